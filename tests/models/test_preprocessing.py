import pytest
import torch

from limbeck.core.errors import WeightsError
from limbeck.models.build import build
from limbeck.models.preprocessing import preprocessing_of

SIZES = {"classes": 7, "channels": 3, "height": 32, "width": 32}


def test_limbeck_s_own_networks_state_none():
    assert preprocessing_of(build("resnet8", {}, **SIZES), "resnet8") is None
    assert preprocessing_of(torch.nn.Linear(1, 1), "torch.nn:Linear") is None


def test_timm_s_statement():
    pytest.importorskip("timm")
    stated = preprocessing_of(build("timm/resnet18", {}, **SIZES), "timm/resnet18")
    assert stated.mean == (0.485, 0.456, 0.406)
    assert stated.std == (0.229, 0.224, 0.225)
    assert (stated.channels, stated.size, stated.classes) == (3, (224, 224), None)


def test_timm_and_torchvision_name_the_classes_of_imagenet_alike():
    pytest.importorskip("timm")
    models = pytest.importorskip("torchvision.models")
    network = build("timm/resnet18", {}, **SIZES | {"classes": 1000})
    names = preprocessing_of(network, "timm/resnet18").classes
    theirs = models.get_model_weights("resnet18").DEFAULT.meta["categories"]
    alike = sum(one == other for one, other in zip(names, theirs, strict=True))
    assert names[0] == "tench"
    assert alike >= 996  # "crane" and "maillot" mean two things each and are told apart in other words
    assert len(set(names)) == 1000


def test_what_the_user_changed_in_a_timm_network_counts():
    pytest.importorskip("timm")
    name = "timm/vit_tiny_patch16_224"
    network = build(name, {"img_size": 48, "in_chans": 1, "depth": 1}, **SIZES)
    stated = preprocessing_of(network, name)
    assert (stated.mean, stated.std, stated.channels, stated.size) == ((0.5,), (0.5,), 1, (48, 48))


@pytest.mark.parametrize(("classes", "named"), [(1000, True), (7, False)])
def test_torchvision_s_statement(classes, named):
    pytest.importorskip("torchvision")
    network = build("torchvision/shufflenet_v2_x0_5", {}, **SIZES | {"classes": classes})
    stated = preprocessing_of(network, "torchvision/shufflenet_v2_x0_5")
    assert stated.mean == (0.485, 0.456, 0.406)
    assert (stated.channels, stated.size) == (3, (224, 224))
    assert (stated.classes or ("",))[0] == ("tench" if named else "")


def test_the_statement_of_a_folder_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("torchvision")
    tiny = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8, "patch_size": 8}
    name = f"hf/{tmp_path}"
    named = {"id2label": {0: "cat", 1: "dog"}, "label2id": {"cat": 0, "dog": 1}}
    network = build("hf/vit", tiny | named | {"num_labels": 2}, **SIZES)
    with pytest.raises(WeightsError, match=r"preprocessing of hf/.* cannot be loaded"):
        preprocessing_of(network, name)
    size = {"height": 24, "width": 16}
    processor = transformers.ViTImageProcessor(image_mean=[0.1] * 3, image_std=[0.2] * 3, size=size)
    processor.save_pretrained(tmp_path)
    network.model.save_pretrained(tmp_path)
    stated = preprocessing_of(network, name)
    assert stated.mean == pytest.approx((0.1, 0.1, 0.1))
    assert stated.std == pytest.approx((0.2, 0.2, 0.2))
    assert (stated.channels, stated.size, stated.classes) == (3, (24, 16), ("cat", "dog"))
    assert preprocessing_of(network, "hf/vit") is None
