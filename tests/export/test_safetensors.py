"""The weights of the plain network, under its own names."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from export.networks import bridged, convolutional, grey
from limbeck.core.errors import ExportError
from limbeck.export import safetensors as room


def test_the_plain_network_loads_it_without_its_bridge(tmp_path: Path) -> None:
    path = tmp_path / "student.safetensors"
    exported = room.export(bridged(), path, grey(6), metadata={"network": "convolutional"})
    plain = convolutional()
    for tensor in plain.state_dict().values():
        tensor.zero_()
    plain.load_state_dict(safetensors.torch.load_file(path))
    expected = convolutional().state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in plain.state_dict().items())
    assert (exported.max_difference, exported.median_ms) == (0.0, None)
    assert exported.detail == {"tensors": len(expected)}
    with safetensors.safe_open(path, "pt") as file:
        assert file.metadata()["network"] == "convolutional"


class Tied(nn.Module):
    """One matrix in two places, and one in the memory layout of images with channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(16, 16)
        self.second = nn.Linear(16, 16)
        self.second.weight = self.first.weight
        self.convolution = nn.Conv2d(1, 2, 3, padding=1).to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        return self.second(self.first(self.convolution(images).mean(1).flatten(1)))


def test_tied_weights_and_other_memory_layouts(tmp_path: Path) -> None:
    exported = room.export(Tied(), tmp_path / "a", torch.rand(3, 1, 4, 4))
    assert exported.max_difference == 0


def test_a_file_without_all_weights_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(model: nn.Module, path: str, metadata: dict[str, str]) -> None:
        tensors = dict(model.state_dict())
        tensors.popitem()
        safetensors.torch.save_file(tensors, path, metadata)

    monkeypatch.setattr(safetensors.torch, "save_model", forgetful)
    with pytest.raises(ExportError, match="cannot be read back"):
        room.export(bridged(), tmp_path / "a", grey(2))
    assert list(tmp_path.iterdir()) == []
