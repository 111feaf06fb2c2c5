"""What came of a comparison: rows, differences, the Pareto front, and a sentence that says what may be concluded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from limbeck.compare.contestants import Contestant
from limbeck.compare.reasons import Finding
from limbeck.evaluate.noise import Interval
from limbeck.report.facts import listed
from limbeck.report.numbers import points

Cost = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Row:
    """One contestant, measured.

    Args:
        number: from 1 on, as in tables and pictures.
        contestant: who.
        cost: of `limbeck.evaluate.cost.measure_cost`, plus `weight_bytes`; equal networks have equal costs.
        gain: over the same students alone; None without them.
        findings: what was measured to explain a gain that is not clear; empty where nothing needs explaining.
    """

    number: int
    contestant: Contestant
    cost: Cost
    gain: Interval | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def label(self) -> str:
        """Of the contestant."""
        return self.contestant.label

    @property
    def parameters(self) -> float | None:
        """How many numbers the network has."""
        return self.cost.get("parameters")

    @property
    def latency(self) -> float | None:
        """Milliseconds for one image; None if it was not timed."""
        single = next((one for one in self.cost.get("latency") or () if one["batch"] == 1), None)
        return None if single is None else single["median_ms"]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Everything about finished contestants.

    Args:
        title: of its page.
        rows: teachers, then students.
        seeds: of the students.
        images: tested.
        split: on which: "test", or "validation" where there is no test split.
        budget: label -> training images that the student was shown.
        over: dotted key -> values, of a sweep.
        notes: what a reader must know.
        versions: package -> version, and the machine's facts.
    """

    title: str
    rows: Sequence[Row]
    seeds: tuple[int, ...]
    images: int
    split: str
    budget: Mapping[str, int]
    over: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    def row(self, label: str) -> Row:
        """By label."""
        return next(row for row in self.rows if row.label == label)

    @property
    def students(self) -> list[Row]:
        """Everybody but teachers."""
        return [row for row in self.rows if row.contestant.role != "teacher"]

    @property
    def differences(self) -> list[tuple[Row, Row, Interval]]:
        """Every pair of students: the first one's accuracy less the second one's."""
        pairs = combinations(self.students, 2)
        return [(one, other, one.contestant.errors.accuracy_over(other.contestant.errors)) for one, other in pairs]

    def chosen(self) -> Row | None:
        """The student that is best on validation images; None where there are none."""
        known = [(row.contestant.validation, row) for row in self.students]
        found = [(value, row) for value, row in known if value is not None]
        return max(found, key=lambda pair: pair[0])[1] if len(found) == len(known) and len(found) > 1 else None

    def front(self, cost: Callable[[Row], float | None]) -> list[Row]:
        """Those that no other one beats in accuracy at the same cost or less; cheapest first.

        Args:
            cost: of a row; those of which it is not known are left out.
        """
        known = [(value, row) for row in self.rows if (value := cost(row)) is not None]
        known.sort(key=lambda pair: (pair[0], -pair[1].contestant.accuracy))
        found: list[Row] = []
        for _, row in known:
            if not found or row.contestant.accuracy > found[-1].contestant.accuracy:
                found.append(row)
        return found

    def verdict(self) -> str:
        """One honest sentence."""
        gains = [(row.label, row.gain) for row in self.rows if row.gain is not None]
        if not gains:
            return self._ahead()
        if len(gains) == 1:
            ((label, gain),) = gains
            return f"{_judgement(gain)}: {label} {described(gain)} against the same student alone."
        better = [label for label, gain in gains if gain.better]
        worse = [label for label, gain in gains if gain.worse]
        count = f"{len(better) or 'None'} of {len(gains)} {'is' if len(better) < 2 else 'are'}"
        words = f"{count} clearly better than the same student alone"
        if better:
            words += f": {listed(better)}"
        return f"{words}; clearly worse: {listed(worse)}." if worse else f"{words}."

    def _ahead(self) -> str:
        """Where nothing is distilled: the best student, if it is clearly ahead of all others."""
        ordered = sorted(self.students, key=lambda row: -row.contestant.accuracy)
        first = ordered[0]
        if len(ordered) == 1:
            return f"{first.label} reaches {first.contestant.accuracy:.2%} on the {self.split} split."
        gaps = [(row, first.contestant.errors.accuracy_over(row.contestant.errors)) for row in ordered[1:]]
        level = [row.label for row, gap in gaps if not gap.better]
        if level:
            return f"{first.label} has the highest accuracy, but is not clearly ahead of {listed(level)}."
        return f"{first.label} is clearly ahead of {'all others' if len(gaps) > 1 else gaps[0][0].label}."


def described(gain: Interval) -> str:
    """A difference in words: `+1.20 points (95 %: +0.40 to +2.00)`."""
    return f"{points(gain.value)} points (95 %: {points(gain.low)} to {points(gain.high)})"


def _judgement(gain: Interval) -> str:
    return "Distilling helped" if gain.better else "Distilling did harm" if gain.worse else "No clear gain"
