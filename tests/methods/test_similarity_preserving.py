"""What similarity preserving asks for and trains; its values are checked in `tests/reference`."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from limbeck.core.distiller import Distiller
from limbeck.core.errors import MethodError
from limbeck.core.pairs import Pair
from limbeck.methods.similarity_preserving import SimilarityPreserving
from limbeck.tasks.classification import Classification
from little import changed, conv_net, image_batch, values
from stages import Counting, train_stage

BOTH = (Pair(student="2", teacher="2"), Pair(student="5", teacher="5"))


def models() -> dict[str, nn.Module]:
    return {"student": conv_net(4), "teacher": conv_net(6, seed=5)}


def distiller(method: SimilarityPreserving, found: dict[str, nn.Module] | None = None) -> Distiller:
    return Distiller(method, Classification(), models() if found is None else found, image_batch(4))


@pytest.mark.parametrize("wrong", [{"weight": 0}, {"hard_weight": -1}, {"taps": ()}, {"taps": "all"}])
def test_ranges(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SimilarityPreserving(**wrong)


def test_auto_is_settled_in_the_distiller_and_the_method_given_stays_open() -> None:
    method = SimilarityPreserving(weight=1.0)
    assert distiller(method).method == SimilarityPreserving(weight=1.0, taps=BOTH)
    assert method.taps == "auto"
    named = SimilarityPreserving(taps=BOTH[1:])
    assert distiller(named).method is named


def test_nothing_but_the_student_is_trained() -> None:
    found = distiller(SimilarityPreserving())
    assert list(found.adapters) == []
    before = values(found)
    train_stage(found, image_batch(), phase=0, optimizer=torch.optim.SGD)
    assert changed(before, found) == {name for name in before if name.startswith("nets.student.")}


def test_it_is_zero_when_the_student_is_the_teacher_and_the_labels_may_be_left_out() -> None:
    same = {role: conv_net(batch_norm=False) for role in ("student", "teacher")}
    terms = distiller(SimilarityPreserving(hard_weight=0), same)(image_batch())
    assert set(terms) == {"similarity"}
    assert terms["similarity"].item() == 0.0


def test_any_two_layers_can_be_compared_even_those_without_a_map() -> None:
    taps = (Pair(student="9", teacher="2"), Pair(student="7", teacher="9"))
    found = distiller(SimilarityPreserving(taps=taps, hard_weight=0))
    found(image_batch())["similarity"].backward()
    assert found["student"].model[9].weight.grad.any()


def test_the_teacher_stops_at_its_last_layer() -> None:
    given = models()
    for model in given.values():
        model.insert(6, Counting())
    found = distiller(SimilarityPreserving(taps=BOTH), given)
    student, teacher = given["student"][6], given["teacher"][6]
    student.calls = teacher.calls = 0
    found(image_batch())
    assert (student.calls, teacher.calls) == (1, 0)


def test_pairs_from_deep_to_shallow_are_refused() -> None:
    message = "expected layers from shallow to deep, but '2', the last one, comes before '5'"
    with pytest.raises(MethodError, match=message):
        distiller(SimilarityPreserving(taps=BOTH[::-1]))


def test_a_batch_of_one_is_refused_because_an_example_resembles_itself() -> None:
    with pytest.raises(MethodError, match=r"compares the examples of a batch; set data.batch to 2 or more"):
        Distiller(SimilarityPreserving(taps=BOTH), Classification(), models(), image_batch(1))
