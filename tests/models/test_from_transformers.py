import sys

import pytest
import torch

from limbeck.core.errors import MissingPackage, ModelError, WeightsError
from limbeck.models.build import build

transformers = pytest.importorskip("transformers")

SIZES = {"classes": 7, "channels": 1, "height": 16, "width": 16}
TINY = {"patch_size": 8, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
RESNET = {"embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 1], "layer_type": "basic"}


@pytest.fixture
def folder(tmp_path):
    """A saved classifier of 5 classes on grey images of 16 pixels."""
    build("hf/vit", TINY | {"num_labels": 5}, **SIZES).model.save_pretrained(tmp_path / "vit")
    return tmp_path / "vit"


def test_a_type_with_a_configuration():
    network = build("hf/vit", TINY, **SIZES)
    assert network.model.config.image_size == 16
    assert network(torch.rand(2, 1, 16, 16)).shape == (2, 7)


def test_a_convolutional_type_and_an_image_that_is_not_square():
    assert build("hf/resnet", RESNET, **SIZES)(torch.rand(2, 1, 32, 32)).shape == (2, 7)
    wide = build("hf/vit", TINY, **SIZES | {"width": 32})
    assert wide(torch.rand(2, 1, 16, 32)).shape == (2, 7)


def test_the_attention_can_be_chosen():
    network = build("hf/vit", TINY | {"attn_implementation": "eager"}, **SIZES)
    assert network.model.config._attn_implementation == "eager"


def test_another_name_of_a_field_is_taken():
    small = {"embed_dim": 8, "depths": [1], "num_heads": [2], "window_size": 2, "patch_size": 4}
    assert build("hf/swin", small, **SIZES)(torch.rand(2, 1, 16, 16)).shape == (2, 7)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("vitt", {}, r"no image classifier 'vitt' \(close: .*vit"),
        ("bert", {}, "no image classifier 'bert'"),
        ("vit", {"hidden_sise": 8}, r"hf/vit has no argument 'hidden_sise' \(close: hidden_size"),
        ("vit", {"trust_remote_code": True}, "has no argument 'trust_remote_code'"),
        ("vit", TINY | {"hidden_size": "many"}, "hf/vit cannot be built"),
    ],
)
def test_wrong_names_and_arguments(name, arguments, message):
    with pytest.raises(ModelError, match=message):
        build(f"hf/{name}", arguments, **SIZES)


def test_a_folder_gives_its_configuration_or_its_weights(folder):
    scratch = build(f"hf/{folder}", {}, **SIZES)
    loaded = build(f"hf/{folder}", {}, **SIZES | {"classes": 5}, pretrained=True)
    again = build(f"hf/{folder}", {}, **SIZES | {"classes": 5}, pretrained=True)
    images = torch.rand(2, 1, 16, 16)
    assert scratch(images).shape == (2, 7)
    assert loaded.training
    assert torch.equal(loaded.eval()(images), again.eval()(images))


def test_other_classes_get_a_fresh_head_only(folder):
    first, second = (build(f"hf/{folder}", {}, **SIZES, pretrained=True).state_dict() for _ in range(2))
    assert build(f"hf/{folder}", {}, **SIZES | {"classes": None}, pretrained=True).model.config.num_labels == 5
    different = {name for name in first if not torch.equal(first[name], second[name])}
    assert different == {"model.classifier.weight"}
    assert first["model.classifier.weight"].shape[0] == 7


def test_weights_of_another_shape_are_refused(folder):
    with pytest.raises(WeightsError, match="do not fit its configuration"):
        build(f"hf/{folder}", {"hidden_size": 32}, **SIZES, pretrained=True)


def test_weights_that_would_run_code_are_refused(folder, capsys):
    class Malicious:
        def __reduce__(self):
            return (print, ("code ran",))

    (folder / "model.safetensors").unlink()
    torch.save({"vit.layernorm.weight": Malicious()}, folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="cannot be loaded"):
        build(f"hf/{folder}", {}, **SIZES, pretrained=True)
    assert "code ran" not in capsys.readouterr().out


def test_a_type_has_no_weights():
    with pytest.raises(WeightsError, match="is a type of model, without weights"):
        build("hf/vit", {}, **SIZES, pretrained=True)


def test_a_download_that_fails_says_so(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="configuration of hf/nobody/nothing cannot be loaded"):
        build("hf/nobody/nothing", {}, **SIZES, pretrained=True)


def test_without_transformers_the_install_line_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingPackage, match=r"limbeck\[text\]"):
        build("hf/vit", {}, **SIZES)
