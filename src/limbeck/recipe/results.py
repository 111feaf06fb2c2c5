"""What the runs of a recipe came to: the rows of the final table, and what the report draws."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from limbeck.data.dataset import Dataset
from limbeck.evaluate.noise import Errors, Interval
from limbeck.evaluate.predictions import Predictions

Role = Literal["teacher", "alone", "distilled", "trained"]
LABELS: Mapping[Role, str] = {
    "teacher": "teacher",
    "alone": "student alone",
    "distilled": "student distilled",
    "trained": "trained network",
}
"""Role -> how tables call it, in the order of the table's rows."""


@dataclass(frozen=True, eq=False)
class Entry:
    """One network of one seed, measured on the test split.

    Args:
        role: what it was in the comparison; `trained` = delivered by a recipe without a teacher.
        network: its name, as in the recipe.
        seed: of its training; of a teacher, the seed of its own run.
        folder: its run's.
        metrics: of `limbeck.evaluate.classification.measure`, without `per_class`; for students of a teacher also
            `agreement` and `kl` with the teacher.
        per_class: class -> accuracy.
        cost: of `limbeck.evaluate.cost.measure_cost`, plus `weight_bytes`; `latency` may be empty.
        predictions: on the test split.
        curves: the lines of its `metrics.jsonl`, in order; each has `step`, `epoch`, `stage` and either `terms` (with
            `lr` and `samples_per_second`) or `validation`; empty for a network that was not trained here.
        seconds: its training took; None if it was not trained here.
        selected: "best" by validation, or "last".
    """

    role: Role
    network: str
    seed: int
    folder: Path
    metrics: Mapping[str, float]
    per_class: Mapping[str, float | None]
    cost: Mapping[str, Any]
    predictions: Predictions
    curves: Sequence[Mapping[str, Any]] = ()
    seconds: float | None = None
    selected: str = "last"

    @property
    def label(self) -> str:
        """How tables call it."""
        return LABELS[self.role]


@dataclass(frozen=True)
class Row:
    """A role over its seeds.

    Args:
        role: of all its entries.
        network: their name; several where seeds delivered different ones.
        count: of entries.
        mean: metric -> mean.
        std: metric -> sample standard deviation; absent for a single seed.
        cost: of its largest network. FLOPs and times are means over seeds: early exits lie elsewhere in each.
    """

    role: Role
    network: str
    count: int
    mean: Mapping[str, float]
    std: Mapping[str, float]
    cost: Mapping[str, Any]

    @property
    def label(self) -> str:
        """How tables call it."""
        return LABELS[self.role]


@dataclass(frozen=True, eq=False)
class Results:
    """Everything about a finished recipe.

    Args:
        title: the recipe's name.
        recipe: canonical, as plain data.
        classes: names, in the order of the logits.
        dataset: for test images (`dataset.test`) and its `description`.
        entries: teacher, students alone, students distilled, each seed after seed.
        exports: what was exported, as plain values (`format`, `path`, `bytes`, `max_difference`, `median_ms`, …).
        versions: package -> version, and the machine's facts (`python`, `device`, `threads`, `platform`).
        notes: what a reader must know, such as a bridged difference between teacher and student.
    """

    title: str
    recipe: Mapping[str, Any]
    classes: Sequence[str]
    dataset: Dataset
    entries: Sequence[Entry]
    exports: Sequence[Mapping[str, Any]] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def split(self) -> Literal["test", "validation"]:
        """What everything was measured on: without a test split the validation split, which also chose the networks."""
        return "test" if self.dataset.test is not None else "validation"

    def of(self, role: Role) -> list[Entry]:
        """The entries of a role."""
        return [entry for entry in self.entries if entry.role == role]

    def rows(self) -> list[Row]:
        """One row per role that there is, in the order of `LABELS`."""
        return [_row(role, self.of(role)) for role in LABELS if self.of(role)]

    @property
    def taught(self) -> Role:
        """The role of what the recipe delivers: distilled from a teacher, or trained by a method without one."""
        return "distilled" if self.of("distilled") else "trained"

    @property
    def gains(self) -> list[float]:
        """What the recipe delivers less the student alone, in accuracy, seed by seed; empty without either."""
        pairs = zip(self.of(self.taught), self.of("alone"), strict=False)
        return [taught.metrics["accuracy"] - alone.metrics["accuracy"] for taught, alone in pairs]

    @property
    def gain(self) -> Interval:
        """In accuracy over the student alone, with its 95 % interval; the roles must be there."""
        taught, alone = (
            Errors.in_predictions([entry.predictions for entry in self.of(role)]) for role in (self.taught, "alone")
        )
        return taught.accuracy_over(alone)

    @property
    def another_network(self) -> bool:
        """Whether what was trained without a teacher is no equal of the student alone, but an ensemble, say."""
        taught, alone = (self.of(role) for role in (self.taught, "alone"))
        if self.of("teacher") or not taught or not alone:
            return False
        return _row(self.taught, taught).cost["parameters"] != _row("alone", alone).cost["parameters"]

    def verdict(self) -> str:
        """One honest sentence: did the method help, by how much, against what, over how many seeds."""
        rows = {row.role: row for row in self.rows()}
        taught, alone, teacher = rows.get(self.taught), rows.get("alone"), rows.get("teacher")
        if taught is None or (alone is None and taught.role == "trained"):
            row = taught or next(iter(rows.values()))
            return f"The {row.label} reaches {_percent(row)} on the {self.split} split."
        if alone is None:
            return f"The distilled student reaches {_percent(taught)}; it was not compared with one trained alone."
        if self.another_network:
            several = len({entry.network for entry in self.of(self.taught)}) > 1
            which = f"by {taught.network}, with up to" if several else "with"
            return (
                f"Another network than the student: {_percent(taught)} {which} {taught.cost['flops']:,} FLOPs an image "
                f"is delivered, and the student alone has {_percent(alone)} with {alone.cost['flops']:,}."
            )
        gain = taught.mean["accuracy"] - alone.mean["accuracy"]
        gains, way = self.gains, "under the teacher" if taught.role == "distilled" else "trained so"
        what = "Distilling" if taught.role == "distilled" else "The method"
        seeds = f"over {len(gains)} seeds" if len(gains) > 1 else "with one seed, so without a spread"
        sentence = (
            f"{self._judgement(what)}: the student reaches {_percent(taught)} {way} "
            f"and {_percent(alone)} alone ({100 * gain:+.2f} points, {seeds})"
        )
        if teacher is not None:
            sentence += f"; the teacher reaches {_percent(teacher)}"
        return sentence + "."

    def _judgement(self, what: str) -> str:
        """Helped or harmed only if the 95 % interval, over seeds and test images, lies on one side of 0."""
        gain = self.gain
        if gain.better or gain.worse:
            return f"{what} {'helped' if gain.better else 'did harm'}"
        return f"No clear gain from {what[0].lower()}{what[1:]}"


def _row(role: Role, entries: Sequence[Entry]) -> Row:
    values = {name: [entry.metrics[name] for entry in entries] for name in entries[0].metrics}
    mean = {name: statistics.fmean(numbers) for name, numbers in values.items()}
    std = {name: statistics.stdev(numbers) for name, numbers in values.items()} if len(entries) > 1 else {}
    names = dict.fromkeys(entry.network for entry in entries)
    return Row(role, " or ".join(names), len(entries), mean, std, mean_cost([entry.cost for entry in entries]))


def mean_cost(costs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the largest of some networks cost, on the mean of those that are equally large.

    Args:
        costs: of one network each, as in `Entry.cost`; at least one.
    """
    largest = max(cost.get("parameters", 0) for cost in costs)
    alike = [cost for cost in costs if cost.get("parameters", 0) == largest]
    found = dict(alike[0])
    if "flops" in found:
        found["flops"] = round(statistics.fmean(cost["flops"] for cost in alike))
    if found.get("latency"):
        found["latency"] = [
            _mean_timing(several) for several in zip(*(cost["latency"] for cost in alike), strict=False)
        ]
    return found


def _mean_timing(several: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {**several[0], **{key: statistics.fmean(one[key] for one in several) for key in ("median_ms", "p95_ms")}}


def _percent(row: Row) -> str:
    spread = f" ± {row.std['accuracy']:.2%}" if row.std else ""
    return f"{row.mean['accuracy']:.2%}{spread}"
