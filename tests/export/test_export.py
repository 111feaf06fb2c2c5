"""What holds for every format: verified, whole or absent, and the network is as it was."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from export.networks import bridged, convolutional, grey, shrinking
from limbeck import export as room
from limbeck.core.errors import ExportError
from limbeck.export import FORMATS, SUFFIXES, exporter


@pytest.fixture(params=sorted(FORMATS))
def format_name(request: pytest.FixtureRequest) -> str:
    if request.param == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    return str(request.param)


@pytest.mark.parametrize(
    "network", [bridged(), shrinking(), convolutional(channels=1)], ids=["grow", "shrink", "plain"]
)
def test_a_file_says_what_the_network_says(format_name: str, network: nn.Module, tmp_path: Path) -> None:
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    path = tmp_path / "deep" / f"student{SUFFIXES[format_name]}"
    exported = exporter(format_name)(network, path, grey(7), metadata={"classes": "a b c"})

    assert exported.format == format_name
    assert exported.path == path
    assert exported.bytes == path.stat().st_size > 0
    assert exported.max_difference < 1e-5
    assert exported.agreement == 1
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    json.dumps(asdict(exported), default=str)

    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_one_sample_is_enough(format_name: str, tmp_path: Path) -> None:
    exported = exporter(format_name)(convolutional(channels=1), tmp_path / "a", grey(1))
    assert exported.agreement == 1
    assert [row["batch"] for row in exported.detail.get("latency", [{"batch": 1}])] == [1]


def test_a_file_that_differs_is_not_kept(format_name: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")

    class Restless(nn.Module):
        """Says something else every time."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(256, 3)

        def forward(self, images: Tensor) -> Tensor:
            logits = self.layer(images.flatten(1))
            return logits + torch.rand_like(logits)

    network = Restless().train()
    with pytest.raises(ExportError, match="differs from the live network"):
        exporter(format_name)(network, tmp_path / "a", grey(3))
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"
    assert network.training


def test_unknown_formats_get_a_hint() -> None:
    with pytest.raises(ExportError, match="'onx' is not a format that limbeck exports; close: onnx"):
        exporter("onx")


def test_every_format_has_a_suffix_and_a_docstring() -> None:
    assert sorted(SUFFIXES) == sorted(FORMATS)
    assert all(exporter(name).__doc__ for name in room.FORMATS)
