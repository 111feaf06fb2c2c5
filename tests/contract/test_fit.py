"""Contract of every method under `fit`: resumed equals uninterrupted at any step, and eight samples can be learnt."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from contract.cases import CASES, Case
from limbeck.core.distiller import Distiller
from limbeck.core.errors import Interrupted
from limbeck.core.net import Kind
from limbeck.methods.supervised import Supervised
from limbeck.tasks.classification import Classification
from limbeck.train.batches import Cycle
from limbeck.train.fit import fit
from limbeck.train.settings import Adam, AdamW, Constant, Train
from little import conv_net, image_batch

STEPS = 8
every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


class Stopped(Cycle):
    """Batches of two micro-batches; somebody presses Ctrl-C while a certain one is loaded."""

    def __init__(self, stop: int | None = None) -> None:
        super().__init__([image_batch(6, seed=seed) for seed in range(3)])
        self.stop = stop

    def batches(self, start_step: int = 0) -> Iterator[list[Any]]:
        for step, micro in enumerate(super().batches(start_step), start=start_step):
            if step == self.stop:
                os.kill(os.getpid(), signal.SIGINT)
            yield [micro[0], image_batch(2, seed=step + 50)]


def trained(case: Case, folder: Path, *, stops: tuple[int, ...] = ()) -> Distiller:
    """Train with dropout, interrupted while the batches of some steps are loaded, each time in a new distiller."""
    train = Train(length=f"{STEPS} steps", optimizer=AdamW(lr=0.01), log="3 steps")
    arguments: Any = {"folder": folder, "validation": [image_batch(4)], "progress": False}
    for stop in stops:
        with pytest.raises(Interrupted):
            fit(case.distiller(dropout=0.3), Stopped(stop), train, **arguments)
    found = case.distiller(dropout=0.3)
    fit(found, Stopped(), train, **arguments)
    return found


@every
def test_a_training_that_was_interrupted_ends_with_the_same_bits(case: Case, tmp_path: Path) -> None:
    whole = trained(case, tmp_path / "whole")
    resumed = trained(case, tmp_path / "resumed", stops=(0, 1, 4))
    torch.testing.assert_close(resumed.state(), whole.state(), rtol=0, atol=0)


def test_a_staged_method_resumes_at_every_step_of_every_stage(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == "staged")
    whole = trained(case, tmp_path / "whole").state()
    for stop in range(STEPS - 1):
        resumed = trained(case, tmp_path / str(stop), stops=(stop,)).state()
        torch.testing.assert_close(resumed, whole, rtol=0, atol=0)


@pytest.fixture(scope="module")
def knows() -> dict[int, dict[str, torch.Tensor]]:
    """By width the weights of a teacher that knows the eight samples."""
    found = {}
    for width in {case.frozen_width for case in CASES}:
        teacher = conv_net(width, seed=3)
        distiller = Distiller(Supervised(), Classification(), {"student": teacher}, image_batch())
        fit(distiller, Cycle([image_batch()]), Train(length="150 steps", optimizer=Adam(lr=0.02)), progress=False)
        found[width] = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    return found


@every
def test_eight_samples_can_be_learnt(case: Case, knows: dict[int, dict[str, torch.Tensor]]) -> None:
    models = case.models()
    for role, kind in case.method.roles().items():
        if kind is Kind.FROZEN:
            models[role].load_state_dict(knows[case.frozen_width])
    found = case.distiller(models)
    train = Train(length="200 steps", optimizer=Adam(lr=0.02), schedule=Constant())
    fit(found, Cycle([image_batch()]), train, validation=[image_batch()], progress=False)
    network = found.deliver([image_batch()], [image_batch()]) if case.of_limbeck else models["student"]
    metrics = Classification().evaluate(network, [], [image_batch()])
    assert metrics["accuracy"] == 1.0
