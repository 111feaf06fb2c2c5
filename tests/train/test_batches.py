from __future__ import annotations

from itertools import islice

import pytest

from limbeck.train.batches import Batches, Cycle, Repeatable, SameEpoch


def test_a_cycle_starts_at_any_step() -> None:
    cycle = Cycle(["a", "b", "c"])
    assert isinstance(cycle, Batches)
    assert cycle.steps_per_epoch == 3
    assert list(islice(cycle.batches(), 5)) == [["a"], ["b"], ["c"], ["a"], ["b"]]
    assert list(islice(cycle.batches(4), 2)) == [["b"], ["c"]]


def test_nothing_is_no_cycle() -> None:
    with pytest.raises(ValueError, match="expected at least one batch"):
        Cycle([])


def test_a_part_is_counted_in_epochs_of_the_whole() -> None:
    part = SameEpoch(Cycle(["a"]), 7)
    assert part.steps_per_epoch == 7
    assert list(islice(part.batches(3), 2)) == [["a"], ["a"]]


def test_a_repeatable_is_made_anew_each_time() -> None:
    again = Repeatable(lambda part: iter(range(part)), 3)
    assert list(again) == list(again) == [0, 1, 2]
