"""Who is taken for whom."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from limbeck.evaluate.predictions import Predictions
from limbeck.recipe.results import Results
from limbeck.report import confusion


def with_answers(results: Results, answers: list[int], labels: list[int]) -> Results:
    """The same results, as if the students had given these answers."""
    logits = torch.nn.functional.one_hot(torch.tensor(answers), len(results.classes)).float()
    made = Predictions(logits=logits, labels=torch.tensor(labels), ids=torch.arange(len(labels)))
    return dataclasses.replace(results, entries=[dataclasses.replace(e, predictions=made) for e in results.entries])


def test_pairs_are_shares_of_the_true_class(distilled: Results) -> None:
    found = confusion.pairs(with_answers(distilled, [1, 1, 1, 3, 3, 3, 2, 0], [1, 1, 1, 1, 2, 2, 2, 0]))
    assert [(pair.true, pair.taken) for pair in found] == [("2", "3"), ("1", "3")]
    assert found[0].shares == ["66.7%"] * 3
    assert found[1].shares == ["25.0%"] * 3


def test_a_perfect_student_confuses_nothing(distilled: Results) -> None:
    labels = list(range(10))
    assert confusion.pairs(with_answers(distilled, labels, labels)) == []
    assert confusion.matrix(with_answers(distilled, labels, labels)).svg.count(">100</text>") == 10


def test_numbers_for_few_classes_a_picture_for_many(distilled: Results, many: Results) -> None:
    assert "<image" not in confusion.matrix(distilled).svg
    assert "<image" in confusion.matrix(many).svg
    assert len(confusion.matrix(many).svg) < 60_000


def test_changes_count_better_and_worse(distilled: Results) -> None:
    def with_classes(role: str, values: dict[str, float]) -> list:
        return [dataclasses.replace(entry, per_class=values) for entry in distilled.entries if entry.role == role]

    before, after = {"0": 0.5, "1": 0.5, "2": 0.5}, {"0": 0.6, "1": 0.7, "2": 0.4}
    entries = [*with_classes("alone", before), *with_classes("distilled", after)]
    panel = confusion.changes(dataclasses.replace(distilled, entries=entries))
    assert panel is not None
    assert panel.caption == "Better in 2 of 3 classes, worse in 1."


def test_changes_need_both_students(alone: Results) -> None:
    assert confusion.changes(alone) is None


@pytest.mark.parametrize(("name", "cut"), [("cat", "cat"), ("a" * 16, "a" * 16), ("a" * 17, "a" * 15 + "…")])
def test_long_names_are_cut(name: str, cut: str) -> None:
    assert confusion._cut(name) == cut
