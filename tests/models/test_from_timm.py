import pytest
import torch

from limbeck.core.errors import MissingPackage, ModelError, WeightsError
from limbeck.models.build import build

pytest.importorskip("timm")

SIZES = {"classes": 7, "channels": 1, "height": 32, "width": 32}
VIT = {"patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2}


def test_a_convolutional_network_gets_classes_and_channels():
    network = build("timm/resnet18", {"drop_rate": 0.1}, **SIZES).eval()
    assert network(torch.rand(2, 1, 32, 32)).shape == (2, 7)
    assert network.drop_rate == 0.1


def test_a_transformer_gets_the_image_s_size():
    network = build("timm/vit_tiny_patch16_224", VIT, **SIZES)
    assert network.patch_embed.img_size == (32, 32)
    assert network(torch.rand(2, 1, 32, 32)).shape == (2, 7)


def test_arguments_win():
    network = build("timm/vit_tiny_patch16_224", VIT | {"img_size": 64, "num_classes": 1000}, **SIZES)
    assert network.patch_embed.img_size == (64, 64)
    assert network.head.out_features == 1000


def test_an_unknown_name_has_close_ones():
    with pytest.raises(ModelError, match=r"timm has no network 'resnet81' \(close: .*resnet18"):
        build("timm/resnet81", {}, **SIZES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"drop_rat": 0.1}, r"timm/resnet18 has no argument 'drop_rat' \(close: .*drop_rate"),
        ({"checkpoint_path": "x.pth"}, "'checkpoint_path' is not an argument here; use `weights: PATH`"),
        ({"global_pool": "no_such_pool"}, "timm/resnet18 cannot be built"),
        ({"act_layer": "no_such_activation"}, "timm/resnet18 cannot be built"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ModelError, match=message):
        build("timm/resnet18", arguments, **SIZES)


def test_published_weights_are_loaded_and_the_head_is_fresh(tmp_path):
    """The published file is one of our own: timm reads it through its own path for pretrained weights."""
    published = build("timm/resnet18", {"num_classes": 1000, "in_chans": 3}, **SIZES)
    torch.save(published.state_dict(), tmp_path / "weights.pth")
    overlay = {"pretrained_cfg_overlay": {"file": str(tmp_path / "weights.pth")}}
    network = build("timm/resnet18", overlay, **SIZES, pretrained=True)
    assert torch.equal(network.conv1.weight, published.conv1.weight)  # three channels, whatever the data has
    assert network.fc.out_features == 7
    whole = build("timm/resnet18", overlay, **SIZES | {"classes": None}, pretrained=True)
    assert torch.equal(whole.fc.weight, published.fc.weight)


def test_a_download_that_fails_says_so(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="published weights of timm/resnet18 cannot be loaded"):
        build("timm/resnet18", {"cache_dir": "/nowhere"}, **SIZES, pretrained=True)


def test_no_published_weights():
    with pytest.raises(WeightsError, match="publishes no weights for 'mixer_s32_224'"):
        build("timm/mixer_s32_224", {}, **SIZES, pretrained=True)


def test_without_timm_the_install_line_is_told(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingPackage, match=r"limbeck\[vision\]"):
        build("timm/resnet18", {}, **SIZES)
