from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from limbeck.data.parts import InMemory
from limbeck.reproduce.experiment import Outcome
from limbeck.reproduce.hinton2015.missing_class import EXPERIMENT
from limbeck.sweep.finished import Done
from reproduce.made import CLASSES, Leaning, Made
from reproduce.verdicts import FULL, drawn, held


def pictured(images: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels, and pixels whose first ten say how much an image looks like each class."""
    labels = torch.arange(images) % CLASSES
    generator = torch.Generator().manual_seed(0)
    looks = torch.randint(0, 60, (images, CLASSES), generator=generator)
    looks[torch.arange(images), labels] += 60
    pixels = torch.zeros(images, 1, 4, 4, dtype=torch.uint8)
    pixels.view(images, 16)[:, :CLASSES] = looks.to(torch.uint8)
    return labels, pixels


def outcome_of(without: float, only: float) -> Outcome:
    labels, pixels = pictured(2000)
    part = InMemory(pixels, torch.full_like(labels, -100), ids=torch.arange(2000))  # labels are of no use to it
    images = pixels.float() / 255

    def run(bias: dict[int, float]) -> tuple[Made, ...]:
        network = Leaning(bias)
        return (Made({}, images=2000, network=network, logits=network(images)),)

    runs = {
        "teacher": (Made({"last": range(30)}, images=2000, data=SimpleNamespace(train=part)),),
        "without-3": run({3: without}),
        "only-7-8": run({7: only, 8: only}),
    }
    return EXPERIMENT.judge(Done(runs), FULL)


def test_biases_that_are_off_are_found_without_labels() -> None:
    outcome = outcome_of(-1.5, 2.0)
    assert held(outcome) == [True, True, True, True]
    ours = {line.what.partition(":")[0]: line.ours for line in outcome.lines}
    fitted, tuned = (float(one) for one in ours["bias of class 3"].split("; "))
    assert fitted == pytest.approx(1.5, abs=0.2)
    assert tuned == pytest.approx(1.5, abs=0.6)
    drawn(outcome)


def test_right_biases_leave_nothing_to_gain() -> None:
    assert held(outcome_of(0.0, 0.0)) == [True, False, True, False]


def test_a_class_that_is_never_recognised() -> None:
    assert held(outcome_of(-50.0, 50.0))[0] is False
