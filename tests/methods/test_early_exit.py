"""Thresholds of a network with exits are chosen again; nothing else of it changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import nn

from limbeck.adapters.exit_choice import choose_thresholds
from limbeck.adapters.exit_head import ExitHead
from limbeck.adapters.exit_thresholds import NEVER
from limbeck.adapters.exits import Exits
from limbeck.core.bridge import Bridge
from limbeck.core.distiller import Distiller
from limbeck.core.errors import MethodError
from limbeck.core.method import Method
from limbeck.methods.as_is import AsIs
from limbeck.methods.compose import Compose
from limbeck.methods.early_exit import EarlyExit
from limbeck.methods.kd import KD
from limbeck.tasks.classification import Classification
from limbeck.train.batches import Cycle
from limbeck.train.fit import fit
from limbeck.train.settings import Train
from little import CLASSES, conv_net, image_batch, values

BATCHES = [image_batch(64, seed=seed) for seed in (3, 4)]


def network(answer: Any = "ensemble", thresholds: tuple[float, ...] = (NEVER,)) -> Exits:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        head = ExitHead((8, 4, 4), (8, 2, 2), classes=CLASSES)
    return Exits(conv_net(8), [head], at=["2"], answer=answer, thresholds=thresholds).eval()


def delivered(method: EarlyExit, student: nn.Module) -> Exits:
    found = Distiller(method, Classification(), {"student": student}, image_batch())
    made = found.deliver(BATCHES, BATCHES)
    assert isinstance(made, Exits)
    return made


def test_thresholds_are_those_that_the_training_would_have_chosen() -> None:
    expected = network("early")
    point = choose_thresholds(expected, Classification(), BATCHES, cost=0.9)
    assert point is not None
    assert 0 <= expected.thresholds.item() <= 1
    for given in (network(), network("early", (0.125,))):
        made = delivered(EarlyExit(cost=0.9), given)
        assert made.leaves_early
        torch.testing.assert_close(made.thresholds, expected.thresholds, rtol=0, atol=0)
    assert delivered(EarlyExit(accuracy_drop=0.0), network()).thresholds.item() != made.thresholds.item()


def test_the_weights_stay_and_are_saved_with_the_thresholds(tmp_path: Path) -> None:
    given = network()
    before = values(given)
    found = Distiller(EarlyExit(cost=0.9), Classification(), {"student": given}, image_batch())
    arguments: Any = {"folder": tmp_path, "validation": BATCHES, "progress": False}
    fitted = fit(found, Cycle(BATCHES), Train(length="5 steps"), **arguments)
    assert fitted.steps == 0
    assert given.answer == "ensemble"
    torch.testing.assert_close(values(given), before, rtol=0, atol=0)
    saved = load_file(tmp_path / "student-last.safetensors")
    assert saved.pop("thresholds").item() < NEVER
    del before["thresholds"]
    torch.testing.assert_close(saved, before, rtol=0, atol=0)
    assert fitted.last == Classification().evaluate(found.deliver(BATCHES, BATCHES), (), BATCHES)


def test_one_target_is_needed() -> None:
    for targets in ({}, {"cost": 0.5, "accuracy_drop": 1.0}):
        with pytest.raises(ValidationError, match="expected one target: accuracy_drop"):
            EarlyExit(**targets)


def test_a_network_without_heads_is_refused() -> None:
    with pytest.raises(MethodError, match=r"the student \(Sequential\) has none; take it from a recipe whose byot"):
        delivered(EarlyExit(cost=0.9), conv_net())


def test_data_of_another_kind_is_refused() -> None:
    order = torch.arange(CLASSES).flip(0).tolist()
    with pytest.raises(MethodError, match="the same in another order"):
        delivered(EarlyExit(cost=0.9), Bridge(network(), columns=order))
    delivered(EarlyExit(cost=0.9), Bridge(network()))


def test_where_no_sample_can_leave_is_said() -> None:
    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4, CLASSES)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.last((self.first(images) + images).mean((2, 3)))

    head = ExitHead((4, 8, 8), (4, 4, 4), classes=CLASSES)
    with pytest.raises(MethodError, match="no sample can leave at 'first'"):
        delivered(EarlyExit(cost=0.9), Exits(Around(), [head], at=["first"], answer="ensemble"))


def test_a_missing_validation_split_is_said() -> None:
    found = Distiller(EarlyExit(cost=0.9), Classification(), {"student": network()}, image_batch())
    with pytest.raises(MethodError, match="validation split"):
        found.deliver(BATCHES, ())


def test_a_cost_that_cannot_be_reached_is_said() -> None:
    with pytest.raises(MethodError, match=r"cost: 1% of the network's .* be reached: .* exit, '2', costs"):
        Distiller(EarlyExit(cost=0.01), Classification(), {"student": network()}, image_batch())


@pytest.mark.parametrize("method", [EarlyExit(cost=0.9), AsIs()], ids=["early_exit", "as_is"])
def test_what_trains_nothing_is_composed_with_nothing(method: Method) -> None:
    with pytest.raises(ValidationError, match="trains nothing, so there is nothing to compose it with"):
        Compose(methods=(KD(), method))
