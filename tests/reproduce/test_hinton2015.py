"""Verdicts: runs whose errors are known, and what each experiment says of them. Nothing is trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from limbeck.data.parts import InMemory
from limbeck.reproduce import find
from limbeck.reproduce.experiment import Done, Outcome, Scale
from limbeck.reproduce.hinton2015.ensemble_mnist import EnsembleMnist
from limbeck.reproduce.hinton2015.mnist import closed
from limbeck.reproduce.hinton2015.temperature import best, label, temperatures, widths
from limbeck.reproduce.noise import Errors
from reproduce.made import CLASSES, Made, wrong_on

FULL, QUICK = Scale((0, 1), quick=False), Scale((0, 1), quick=True)


def held(outcome: Outcome) -> list[bool]:
    return [claim.held for claim in outcome.claims]


def drawn(outcome: Outcome) -> None:
    """Every picture can be drawn."""
    pytest.importorskip("matplotlib", reason="pictures need the report extra")
    from limbeck.report.drawing import chart

    for picture in outcome.pictures:
        size = {"width": picture.width, "height": picture.height}
        assert "<path" in chart(picture.draw, name=picture.name, label=picture.title, **size)


def trained(term: str, *errors: Sequence[int]) -> tuple[Made, ...]:
    lines = [{"step": s, "epoch": s / 10, "terms": {term: 2.0 / s}} for s in (1, 10, 20)]
    return wrong_on(*errors, images=10_000, curves=lines)


class TestMnist:
    def outcome(self, teacher: int, alone: Sequence[int], distilled: Sequence[int]) -> Outcome:
        runs = {
            "teacher": trained("task", range(teacher)),
            "alone": trained("task", *(range(count) for count in alone)),
            "distilled": trained("kd", *(range(count) for count in distilled)),
        }
        return find("hinton2015-mnist").judge(Done(runs), FULL)

    def test_as_in_the_paper(self) -> None:
        outcome = self.outcome(67, [146, 148], [74, 76])
        assert held(outcome) == [True, True, True]
        assert (outcome.lines[-1].paper, outcome.lines[-1].ours) == ("91%", "90%")
        drawn(outcome)

    def test_a_third_of_the_gap_is_not_half_of_it(self) -> None:
        assert held(self.outcome(67, [146, 148], [120, 122])) == [True, False, True]

    def test_a_teacher_that_is_too_weak(self) -> None:
        assert held(self.outcome(93, [146, 148], [96, 98])) == [True, True, False]

    def test_a_gain_within_the_noise_is_no_gain(self) -> None:
        assert held(self.outcome(67, [120, 160], [118, 150])) == [False, False, True]

    def test_the_share_of_the_gap(self) -> None:
        assert closed(67, 146, 74) == pytest.approx(72 / 79)
        assert closed(100, 90, 80) == 0.0


class TestTemperature:
    def outcome(self, narrow: dict[float, int], wide: int = 100, bump: int = 0) -> Outcome:
        runs = {"teacher": wrong_on(range(80), images=10_000)}
        for units in widths(QUICK):
            for t in temperatures(QUICK):
                count = narrow[t] if units == 30 else wide + (bump if t == 20 else 0) + (30 if t < 8 else 0)
                runs[label(units, t)] = wrong_on(range(count), range(count + 2), images=10_000)
            runs[label(units, None)] = wrong_on(range(wide), images=10_000)
        return find("hinton2015-temperature").judge(Done(runs), QUICK)

    def test_as_in_the_paper(self) -> None:
        outcome = self.outcome({1: 290, 3: 260, 8: 300, 20: 350})
        assert held(outcome) == [True, True, True]
        assert "T = 3 with 261" in outcome.claims[1].evidence
        drawn(outcome)

    def test_a_wide_net_that_wants_a_certain_temperature(self) -> None:
        assert held(self.outcome({1: 290, 3: 260, 8: 300, 20: 350}, bump=60))[0] is False

    def test_a_narrow_net_that_wants_a_high_one(self) -> None:
        assert held(self.outcome({1: 350, 3: 300, 8: 270, 20: 260})) == [True, False, False]

    def test_the_lowest_of_equals_is_the_best(self) -> None:
        same = Errors.of(wrong_on(range(5)))
        assert best({3.0: same, 1.0: same, 8.0: Errors.of(wrong_on(range(9)))}) == 1.0


class Leaning(nn.Module):
    """Knows every image's class (it is written into the pixels), and leans to or away from some classes."""

    def __init__(self, bias: dict[int, float]) -> None:
        super().__init__()
        self.bias = torch.zeros(CLASSES)
        for digit, value in bias.items():
            self.bias[digit] = value

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)[:, :CLASSES] * 255 / 20 + self.bias


def pictured(images: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels, and pixels whose first ten say how much an image looks like each class."""
    labels = torch.arange(images) % CLASSES
    generator = torch.Generator().manual_seed(0)
    looks = torch.randint(0, 60, (images, CLASSES), generator=generator)
    looks[torch.arange(images), labels] += 60
    pixels = torch.zeros(images, 1, 4, 4, dtype=torch.uint8)
    pixels.view(images, 16)[:, :CLASSES] = looks.to(torch.uint8)
    return labels, pixels


class TestMissingClass:
    def outcome(self, without: float, only: float) -> Outcome:
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
        return find("hinton2015-missing-class").judge(Done(runs), FULL)

    def test_biases_that_are_off_are_found_without_labels(self) -> None:
        outcome = self.outcome(-1.5, 2.0)
        assert held(outcome) == [True, True, True, True]
        ours = {line.what.partition(":")[0]: line.ours for line in outcome.lines}
        fitted, tuned = (float(one) for one in ours["bias of class 3"].split("; "))
        assert fitted == pytest.approx(1.5, abs=0.2)
        assert tuned == pytest.approx(1.5, abs=0.6)
        drawn(outcome)

    def test_right_biases_leave_nothing_to_gain(self) -> None:
        assert held(self.outcome(0.0, 0.0)) == [True, False, True, False]

    def test_a_class_that_is_never_recognised(self) -> None:
        assert held(self.outcome(-50.0, 50.0))[0] is False


class TestRegulariser:
    def outcome(self, hard: int, early: int, soft: int, *, ends: float, stays: float = 1.0) -> Outcome:
        def runs(last: int, best: int, end: float) -> tuple[Made, ...]:
            lines = [{"step": s, "validation": {"nll": nll}} for s, nll in ((1, 2.0), (2, 0.5), (3, 0.5 * end))]
            labels = torch.arange(CLASSES)
            part = InMemory(torch.zeros(CLASSES, 1, 4, 4, dtype=torch.uint8), labels, ids=labels)
            rest = {"curves": lines, "network": Leaning({}), "data": SimpleNamespace(train=part)}
            return tuple(
                Made({"last": range(last + s), "best": range(best + s)}, images=10_000, **rest) for s in (0, 2)
            )

        made = {"teacher": wrong_on(range(70)), "everything": runs(130, 130, 1.0)}
        for part in (0.03, 0.1):
            made[f"hard-{part:g}"], made[f"soft-{part:g}"] = runs(hard, early, ends), runs(soft, soft, stays)
        return find("hinton2015-regulariser").judge(Done(made), QUICK)

    def test_as_in_the_paper(self) -> None:
        outcome = self.outcome(800, 780, 300, ends=2.0)
        assert held(outcome) == [True, True, True]
        drawn(outcome)

    def test_what_soft_targets_may_fail_at(self) -> None:
        assert held(self.outcome(800, 780, 700, ends=2.0)) == [False, True, True]
        assert held(self.outcome(800, 780, 300, ends=1.1)) == [True, True, False]
        assert held(self.outcome(800, 780, 300, ends=2.0, stays=1.2)) == [True, True, False]


class TestEnsemble:
    def outcome(self, student: int) -> Outcome:
        """Four members that are wrong on 100 images each, of which they share 20."""
        members = [[*range(20), *range(1000 * (k + 1), 1000 * (k + 1) + 80)] for k in range(4)]
        shared = range(20, 20 + student)
        runs = {"member": wrong_on(*members, images=10_000), "one": wrong_on(shared, shared, images=10_000)}
        return EnsembleMnist().judge(Done(runs), QUICK)

    def test_a_mean_is_right_where_most_members_are(self) -> None:
        outcome = self.outcome(25)
        assert [line.ours for line in outcome.lines[:3]] == ["100 ± 0", "20", "20"]
        assert held(outcome) == [True, True]
        assert math.isclose(float(outcome.lines[-1].ours.rstrip("%")), 100 * 75 / 80, abs_tol=1)
        drawn(outcome)

    def test_a_student_that_keeps_little(self) -> None:
        assert held(self.outcome(90)) == [True, False]
