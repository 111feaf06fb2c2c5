"""The words at the top."""

from __future__ import annotations

import dataclasses

from limbeck.recipe.results import Results
from limbeck.report.facts import captions, headline, listed, tiles, timing_caption


def test_a_headline_is_cut_at_its_colon() -> None:
    cut = headline("Distilling helped: the student reaches 90%.")
    assert (cut.judgement, cut.sentence) == ("Distilling helped", "The student reaches 90%.")
    assert headline("The network reaches 90%.").judgement == ""


def test_tiles_compare_student_and_teacher(distilled: Results) -> None:
    found = {tile.label: tile for tile in tiles(distilled)}
    teacher, student = distilled.of("teacher")[0], distilled.of("distilled")[0]
    factor = teacher.cost["parameters"] / student.cost["parameters"]
    assert found["smaller than the teacher"].value == f"{factor:.0f}×"
    assert "over the student alone" in found


def test_a_larger_student_is_not_called_smaller(distilled: Results) -> None:
    swap = {"teacher": 10, "alone": 1000, "distilled": 1000}
    entries = [
        dataclasses.replace(entry, cost={**entry.cost, "parameters": swap[entry.role]}) for entry in distilled.entries
    ]
    found = {tile.label: tile.value for tile in tiles(dataclasses.replace(distilled, entries=entries))}
    assert found["larger than the teacher"] == "100×"
    assert "smaller than the teacher" not in found


def test_a_teacher_of_the_same_size_and_another_network_are_not_compared(distilled: Results) -> None:
    even = [dataclasses.replace(one, cost={**one.cost, "parameters": 10, "flops": 9}) for one in distilled.entries]
    found = [tile.label for tile in tiles(dataclasses.replace(distilled, entries=even))]
    assert not [label for label in found if label.endswith("than the teacher")]
    assert "over the student alone" in found
    sizes = {"alone": 10, "trained": 20}
    roles = {"distilled": "trained", "alone": "alone"}
    trained = [
        dataclasses.replace(one, role=roles[one.role], cost={**one.cost, "parameters": sizes[roles[one.role]]})
        for one in distilled.entries
        if one.role in roles
    ]
    assert "over the student alone" not in [
        tile.label for tile in tiles(dataclasses.replace(distilled, entries=trained))
    ]


def test_captions_name_seeds_and_weights(distilled: Results, alone: Results) -> None:
    text = " ".join(captions(distilled))
    assert "597 images" in text
    assert "student distilled: seeds 0 and 1" in text
    assert "at the end of training" in text
    assert "One seed, so there is no spread" in " ".join(captions(alone))
    mixed = [
        dataclasses.replace(entry, selected="best") if entry.role == "distilled" else entry
        for entry in distilled.entries
    ]
    text = " ".join(captions(dataclasses.replace(distilled, entries=mixed)))
    assert "those at the end of training (student alone); the best on the validation split (student distilled)" in text


def test_no_latency_no_caption(distilled: Results) -> None:
    entries = [dataclasses.replace(entry, cost={"latency": []}) for entry in distilled.entries]
    assert timing_caption(dataclasses.replace(distilled, entries=entries)) == ""
    assert "1 thread." in timing_caption(distilled)


def test_listed() -> None:
    assert [listed(range(n)) for n in range(4)] == ["", "0", "0 and 1", "0, 1 and 2"]
