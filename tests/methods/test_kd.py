"""What KD asks for and trains; its values are checked in `tests/reference`."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from limbeck.core.distiller import Distiller
from limbeck.core.net import Kind
from limbeck.core.task import HasRows
from limbeck.methods.kd import KD
from limbeck.tasks.classification import Classification
from little import conv_net, image_batch


def test_it_needs_rows_and_a_frozen_teacher() -> None:
    assert KD().capabilities() == (HasRows,)
    assert KD().roles() == {"student": Kind.TRAINED, "teacher": Kind.FROZEN}
    assert KD().uses_unlabelled()


@pytest.mark.parametrize("wrong", [{"temperature": 0}, {"temperature": -1}, {"hard_weight": 1.1}, {"hard_weight": -1}])
def test_ranges(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        KD(**wrong)


def test_the_soft_term_is_zero_when_the_student_is_the_teacher() -> None:
    models = {"student": conv_net(batch_norm=False), "teacher": conv_net(batch_norm=False)}
    found = Distiller(KD(hard_weight=0), Classification(), models, image_batch())
    terms = found(image_batch())
    assert terms["kd"].item() == 0.0
    terms["kd"].backward()
    assert max(parameter.grad.abs().max() for parameter in models["student"].parameters()) < 1e-6


def test_in_half_precision_the_softmax_is_taken_in_single() -> None:
    models = {"student": conv_net(), "teacher": conv_net(seed=1)}
    batch = image_batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = Distiller(KD(temperature=20.0), Classification(), models, batch)(batch)
    assert {value.dtype for value in terms.values()} == {torch.float32}
