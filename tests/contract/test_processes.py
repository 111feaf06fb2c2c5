"""Contract of every method: two processes with uneven shares of a batch equal one process with the whole batch."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from contract.cases import CASES, Case
from contract.workers import WORLD, trained, work


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each process came to; they are started once for all methods, because starting costs seconds."""
    folder = tmp_path_factory.mktemp("processes")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(work, (str(folder), port), nprocs=WORLD)
    return [torch.load(Path(folder) / f"{rank}.pt") for rank in range(WORLD)]


DRAWS = {"born_again-dkpp"}
"""Draws a permutation for each sample, from the generator of its process."""
ALIKE = [case for case in CASES if case.name not in DRAWS and not case.normalises()]
"""Batch statistics, too, differ between processes by nature."""


@pytest.mark.parametrize("case", ALIKE, ids=lambda case: case.name)
def test_two_processes_equal_one(case: Case, states: list[dict[str, Any]]) -> None:
    first, second = states[0][case.name], states[1][case.name]
    torch.testing.assert_close(second, first, rtol=0, atol=0)
    torch.testing.assert_close(first, trained(case), rtol=1e-4, atol=1e-6)
    start = case.distiller(batch_norm=False).state()
    assert max((first[name] - start[name]).abs().max().item() for name in start) > 1e-3


def test_gather_concatenates_all_processes_and_brings_the_gradient_back(states: list[dict[str, Any]]) -> None:
    weights = torch.arange(12.0).view(4, 3)
    for rank in range(WORLD):
        found = states[rank]["gather"]
        assert found["whole"][:, 0].tolist() == [1.0, 1.0, 2.0, 2.0]
        torch.testing.assert_close(found["grad"], WORLD * weights[2 * rank : 2 * rank + 2])
