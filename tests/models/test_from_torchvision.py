import hashlib
import sys

import pytest
import torch

from limbeck.core.errors import MissingPackage, ModelError, WeightsError
from limbeck.models.build import build

models = pytest.importorskip("torchvision.models")

SIZES = {"classes": 7, "channels": 3, "height": 32, "width": 32}
SMALL = "shufflenet_v2_x0_5"


class Malicious:
    """A pickle that would run code."""

    def __reduce__(self):
        return (print, ("code ran",))


def publish(content: object, tmp_path, monkeypatch) -> None:
    """Let torchvision find `content` where it looks for the weights of a small network."""
    file = tmp_path / "weights.pth"
    torch.save(content, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    file = file.rename(tmp_path / f"weights-{digest}.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(models.get_model_weights(SMALL).DEFAULT.value, "url", file.as_uri())


def test_arguments_reach_the_network():
    network = build("torchvision/mobilenet_v3_small", {"width_mult": 0.5, "dropout": 0.3}, **SIZES).eval()
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 7)
    assert network.features[1].block[0][0].in_channels == 8
    assert network.classifier[2].p == 0.3


def test_other_channels_get_another_first_convolution():
    network = build("torchvision/resnet18", {}, **SIZES | {"channels": 1}).eval()
    assert network(torch.rand(2, 1, 32, 32)).shape == (2, 7)


def test_a_transformer_gets_the_image_s_size():
    small = {"patch_size": 16, "num_layers": 1, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 16}
    name = "torchvision/vit_b_16"
    with pytest.raises(ModelError, match="cannot be built"):  # the builder sets those itself
        build(name, small, **SIZES)
    assert build(name, {}, **SIZES).image_size == 32
    with pytest.raises(ModelError, match="square images; 32x64"):
        build(name, {}, **SIZES | {"width": 64})


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("mobilenet_v3_smal", {}, r"no classification network 'mobilenet_v3_smal' \(close: mobilenet_v3_small"),
        ("fcos_resnet50_fpn", {}, "no classification network"),
        ("mobilenet_v3_small", {"width_mul": 0.5}, r"no argument 'width_mul' \(close: width_mult"),
        ("resnet18", {"zero_init": True}, r"no argument 'zero_init' \(close: zero_init_residual"),
        ("resnet18", {"weights": "DEFAULT"}, "'weights' is not an argument here"),
        ("resnet18", {"stride": 2}, r"no argument 'stride'|cannot be built"),
    ],
)
def test_wrong_names_and_arguments(name, arguments, message):
    with pytest.raises(ModelError, match=message):
        build(f"torchvision/{name}", arguments, **SIZES)


def test_published_weights_are_loaded_and_the_head_is_fresh(tmp_path, monkeypatch):
    published = models.get_model(SMALL)
    publish(published.state_dict(), tmp_path, monkeypatch)
    network = build(f"torchvision/{SMALL}", {}, **SIZES, pretrained=True)
    assert torch.equal(network.conv1[0].weight, published.conv1[0].weight)
    assert network.fc.out_features == 7
    whole = build(f"torchvision/{SMALL}", {}, **SIZES | {"classes": None}, pretrained=True)
    assert torch.equal(whole.fc.weight, published.fc.weight)


def test_a_published_file_that_would_run_code_is_refused(tmp_path, monkeypatch, capsys):
    publish(models.get_model(SMALL).state_dict() | {"extra": Malicious()}, tmp_path, monkeypatch)
    with pytest.raises(WeightsError, match=f"published weights of torchvision/{SMALL} cannot be loaded"):
        build(f"torchvision/{SMALL}", {}, **SIZES, pretrained=True)
    assert "code ran" not in capsys.readouterr().out


def test_a_network_that_preprocesses_by_itself_is_refused():
    with pytest.raises(ModelError, match="preprocess inside the network"):
        build("torchvision/inception_v3", {}, **SIZES, pretrained=True)
    with torch.device("meta"):
        assert build("torchvision/googlenet", {"init_weights": False}, **SIZES).aux1 is None


def test_a_download_that_fails_says_so(tmp_path, monkeypatch):
    publish({}, tmp_path, monkeypatch)
    monkeypatch.setattr(models.get_model_weights(SMALL).DEFAULT.value, "url", (tmp_path / "none.pth").as_uri())
    with pytest.raises(WeightsError, match=r"cannot be loaded.*none\.pth"):
        build(f"torchvision/{SMALL}", {}, **SIZES, pretrained=True)


def test_without_torchvision_the_install_line_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(MissingPackage, match=r"limbeck\[vision\]"):
        build("torchvision/resnet18", {}, **SIZES)
