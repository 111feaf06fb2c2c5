"""Whether the images on which something is chosen were held out when the network was trained."""

from __future__ import annotations

from collections.abc import Callable

from limbeck.data.dataset import Dataset
from limbeck.recipe.graph import Run

_NO_CUT = ("augment", "batch")
"""Keys of data that change neither which images there are nor how they are divided."""


def held_out_notes(run: Run, data_of: Callable[[Run], Dataset]) -> list[str]:
    """Says so, if a method that trains nothing chooses on images that its student was trained on.

    Args:
        run: of the method.
        data_of: the data of a run.
    """
    before = _trainer(run)
    if before is None or not run.recipe.method.uses_validation():
        return []
    own, other = (_cut(one) for one in (run, before))
    if own == other or own["fingerprint"] != other["fingerprint"]:
        return []
    chosen, learnt = data_of(run).validation, data_of(before).train
    known = 0 if chosen is None else len(set(chosen.ids.tolist()) & set(learnt.ids.tolist()))
    if chosen is None or not known:
        return []
    return [
        f"student: {before.name} was trained on {known:,} of the {len(chosen):,} images on which choices are made "
        "here, and may know them by heart; give both recipes the same data.validation"
    ]


def _trainer(run: Run) -> Run | None:
    """The run in which the student got its weights, if this is none that trains; None if it did not come from a run."""
    found: Run | None = run
    while found is not None and not found.recipe.method.trains:
        found = found.upstream.get("student")
    return None if found is run else found


def _cut(run: Run) -> dict[str, object]:
    return {key: value for key, value in run.determining["data"].items() if key not in _NO_CUT}
