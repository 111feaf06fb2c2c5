"""The program, loaded as its user would load it."""

from __future__ import annotations

from pathlib import Path

import torch

from export.networks import bridged, convolutional, grey
from limbeck.export import torch_export


def test_it_loads_and_runs_on_any_batch(tmp_path: Path) -> None:
    path = tmp_path / "student.pt2"
    exported = torch_export.export(bridged(), path, grey(6), metadata={"classes": "a b c"})
    files = {"classes": ""}
    program = torch.export.load(path, extra_files=files)
    assert files["classes"] == "a b c"
    module, network = program.module(), bridged().eval()
    for n in (1, 2, 11):
        torch.testing.assert_close(module(grey(n)), network(grey(n)).detach())
    assert exported.median_ms == exported.detail["latency"][0]["median_ms"] > 0
    assert exported.detail["runtime"] == f"torch {torch.__version__}"


def test_a_compiled_network_is_exported_as_well(tmp_path: Path) -> None:
    network = convolutional(channels=1)
    network.compile(backend="eager")
    assert torch_export.export(network, tmp_path / "a.pt2", grey(3)).agreement == 1
