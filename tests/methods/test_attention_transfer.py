"""What attention transfer asks for and trains; its values are checked in `tests/reference`."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from limbeck.core.distiller import Distiller
from limbeck.core.errors import MethodError
from limbeck.core.pairs import Pair
from limbeck.methods.attention_transfer import AttentionTransfer
from limbeck.tasks.classification import Classification
from little import changed, conv_net, image_batch, values
from little_vision import colour_batch, network, vit
from stages import Counting, train_stage

BOTH = (Pair(student="2", teacher="2"), Pair(student="5", teacher="5"))


def models() -> dict[str, nn.Module]:
    return {"student": conv_net(4), "teacher": conv_net(6, seed=5)}


def distiller(method: AttentionTransfer, found: dict[str, nn.Module] | None = None) -> Distiller:
    return Distiller(method, Classification(), models() if found is None else found, image_batch(4))


@pytest.mark.parametrize("wrong", [{"weight": 0}, {"hard_weight": -1}, {"power": 0.5}, {"taps": ()}])
def test_ranges(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AttentionTransfer(**wrong)


def test_auto_is_settled_in_the_distiller_and_the_method_given_stays_open() -> None:
    method = AttentionTransfer(power=4.0)
    assert distiller(method).method == AttentionTransfer(power=4.0, taps=BOTH)
    assert method.taps == "auto"
    named = AttentionTransfer(taps=BOTH[1:])
    assert distiller(named).method is named


def test_nothing_but_the_student_is_trained() -> None:
    found = distiller(AttentionTransfer())
    assert list(found.adapters) == []
    before = values(found)
    train_stage(found, image_batch(), phase=0, optimizer=torch.optim.SGD)
    assert changed(before, found) == {name for name in before if name.startswith("nets.student.")}


def test_the_attention_alone_trains_nothing_above_the_last_layer() -> None:
    found = distiller(AttentionTransfer(hard_weight=0, taps=BOTH[:1]))
    terms = found(image_batch())
    assert set(terms) == {"attention"}
    terms["attention"].backward()
    reached = {name for name, p in found["student"].model.named_parameters() if p.grad is not None and p.grad.any()}
    assert "0.weight" in reached
    assert {name.partition(".")[0] for name in reached} == {"0", "1"}


def test_it_is_zero_when_the_student_is_the_teacher() -> None:
    same = {role: conv_net(batch_norm=False) for role in ("student", "teacher")}
    assert distiller(AttentionTransfer(), same)(image_batch())["attention"].item() == 0.0


def test_the_teacher_stops_at_its_last_layer() -> None:
    given = models()
    for model in given.values():
        model.insert(6, Counting())
    found = distiller(AttentionTransfer(taps=BOTH), given)
    student, teacher = given["student"][6], given["teacher"][6]
    student.calls = teacher.calls = 0
    found(image_batch())
    assert (student.calls, teacher.calls) == (1, 0)


def test_pairs_from_deep_to_shallow_are_refused() -> None:
    message = "expected layers from shallow to deep, but '2', the last one, comes before '5'"
    with pytest.raises(MethodError, match=message):
        distiller(AttentionTransfer(taps=BOTH[::-1]))


@pytest.mark.parametrize(("student", "teacher"), [("8", "5"), ("5", "8"), ("8", "8")])
def test_attention_on_one_place_is_refused(student: str, teacher: str) -> None:
    """It is always the same, so that the term would be zero for ever."""
    with pytest.raises(MethodError, match=r"compared on one place .* choose layers before the pooling"):
        distiller(AttentionTransfer(taps=(Pair(student=student, teacher=teacher),)))


def test_a_layer_without_a_map_is_named() -> None:
    given = models()
    given["student"].insert(6, nn.Unflatten(1, (2, 2)))
    given["student"].insert(7, nn.Flatten(1, 2))
    taps = (Pair(student="6", teacher="5"),)
    with pytest.raises(MethodError, match=r"tap '6' of the student: features of shape \(4, 2, 2, 2, 2\) of an image"):
        distiller(AttentionTransfer(taps=taps), given)


@pytest.mark.parametrize("student", ["cnn", "vit"])
def test_maps_learn_from_tokens_and_tokens_from_maps(student: str) -> None:
    networks = {"cnn": network("cnn", width=4), "vit": vit()}
    models = {"student": networks.pop(student), "teacher": networks.popitem()[1]}
    batch = colour_batch()
    found = Distiller(AttentionTransfer(hard_weight=0), Classification(), models, batch)
    assert len(found.method.pairs) == 3
    found(batch)["attention"].backward()
    for pair in found.method.pairs:
        module = found["student"].at(pair.student)
        assert any(parameter.grad is not None and parameter.grad.any() for parameter in module.parameters())
