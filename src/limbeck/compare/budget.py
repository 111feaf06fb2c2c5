"""What makes a comparison fair: as many training images for everybody, and one test for all."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from limbeck.core.errors import DataError, RecipeError
from limbeck.data.dataset import Dataset
from limbeck.data.loader import steps_in
from limbeck.recipe.context import Context
from limbeck.recipe.graph import Run
from limbeck.recipe.measure import tested_part
from limbeck.train.settings import in_steps

ALIKE = 0.01
"""Budgets that differ by less are equal: epochs end with whole batches."""

SOME = 64
"""Test images whose pixels are compared."""


def images_shown(run: Run, dataset: Dataset) -> int:
    """How many training images a run shows its student, each as often as it comes."""
    data, train = run.recipe.data, run.recipe.train
    per_epoch = steps_in(len(dataset.train), batch=data.batch, accumulate=train.accumulate)
    return in_steps(train.length, per_epoch) * min(data.batch * train.accumulate, len(dataset.train))


def check_budgets(runs: Mapping[str, Run], context: Context) -> None:
    """Refuse recipes that train for unequally long.

    Args:
        runs: label -> one of its runs.
        context: for the data.

    Raises:
        RecipeError: the budgets differ.
    """
    shown = {label: images_shown(run, context.dataset(run)) for label, run in runs.items()}
    if all(math.isclose(count, max(shown.values()), rel_tol=ALIKE) for count in shown.values()):
        return
    listed = "; ".join(f"{label}: {count:,}" for label, count in shown.items())
    raise RecipeError(
        [
            f"the recipes show their students unequally many training images ({listed}); give all the same with "
            "--set train.length=... (in steps, if the images or the batches differ), or compare them as they are "
            "with --unequal"
        ]
    )


def check_tests(runs: Mapping[str, Run], context: Context) -> None:
    """Refuse recipes that are not tested on the same images of the same classes.

    Args:
        runs: label -> one of its runs.
        context: for the data.

    Raises:
        DataError: the tests differ.
    """
    (first, run), *others = runs.items()
    known = context.dataset(run)
    for label, other in others:
        if not _same_test(known, context.dataset(other)):
            raise DataError(
                f"{first} and {label} are not tested on the same images of the same classes, so their accuracies "
                "cannot be compared; give them the same data and the same test split"
            )


def _same_test(one: Dataset, other: Dataset) -> bool:
    parts = tested_part(one), tested_part(other)
    if parts[0] is None or parts[1] is None:
        return parts[0] is parts[1]
    if list(one.classes) != list(other.classes) or parts[0].shape != parts[1].shape:
        return False
    if not all(torch.equal(getattr(parts[0], name), getattr(parts[1], name)) for name in ("ids", "labels")):
        return False
    some = torch.arange(min(SOME, len(parts[0])))
    return torch.equal(parts[0].pixels_at(some), parts[1].pixels_at(some))
