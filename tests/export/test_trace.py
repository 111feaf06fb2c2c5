"""A graph holds for any batch size, or there is an error that says why not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from export.networks import convolutional, grey
from limbeck.core.errors import ExportError
from limbeck.export import exporter
from limbeck.export.trace import explained, first_line, trace


class DataDependent(nn.Module):
    """No fixed graph can express this forward."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :3] if images.mean() > 0.5 else -images.flatten(1)[:, :3]


class OneByOne(nn.Module):
    """Tracing writes down as many steps as there were images."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([image.flatten()[:3] for image in images])


class Broken(nn.Module):
    """The network's own mistake."""

    def forward(self, images: Tensor) -> Tensor:
        raise ValueError("a mistake.\nwith details")


@pytest.mark.parametrize("samples", [1, 2, 5])
def test_a_graph_runs_on_any_batch(samples: int) -> None:
    network = convolutional(channels=1).eval()
    module = trace(network, grey(samples), target="a file").module()
    for n in (1, 2, 3, 9):
        torch.testing.assert_close(module(grey(n)), network(grey(n)))


@pytest.mark.parametrize("name", ["onnx", "torch_export"])
@pytest.mark.parametrize("network", [DataDependent(), OneByOne(), Broken()])
def test_what_cannot_be_traced_says_why_and_leaves_nothing(
    network: nn.Module, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    network.train()
    with pytest.raises(ExportError, match=f"{type(network).__name__} cannot be exported to .*any batch size"):
        exporter(name)(network, tmp_path / "a", grey(3))
    assert list(tmp_path.iterdir()) == []
    assert network.training
    assert capsys.readouterr().out == ""


def test_the_reason_is_in_the_error() -> None:
    with pytest.raises(ExportError, match=r"Broken cannot be exported to a file: ValueError: a mistake\. Its forward"):
        trace(Broken(), grey(2), target="a file")
    with (
        pytest.raises(ExportError, match=r"Linear cannot be exported to X: KeyError: 'a'\. Its"),
        explained(nn.Linear(1, 1), "X"),
    ):
        raise KeyError("a")
    assert first_line(ValueError()) == "ValueError: no reason given."
