"""Properties of the divergences: zeros, invariances, gradients, precision, refusals. Values: `tests/reference`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor

from limbeck.losses.divergence import logit_matching, mean_distribution, soft_target_kl


def kl_at_4(student: Tensor, teacher: Tensor, **arguments: str) -> Tensor:
    return soft_target_kl(student, teacher, temperature=4.0, **arguments)


LOSSES = [kl_at_4, logit_matching]
Loss = Callable[..., Tensor]


@pytest.mark.parametrize("loss", LOSSES)
def test_zero_at_equality_and_positive_elsewhere(loss: Loss) -> None:
    logits = torch.randn(5, 7)
    assert loss(logits, logits).item() == 0.0
    assert loss(logits, torch.randn(5, 7)) > 0


@pytest.mark.parametrize("loss", LOSSES)
def test_the_mean_over_rows_is_the_mean_of_the_rows(loss: Loss) -> None:
    student, teacher = torch.randn(2, 3, 7), torch.randn(2, 3, 7)
    rows = loss(student, teacher, reduction="none")
    assert rows.shape == (2, 3)
    torch.testing.assert_close(loss(student, teacher), rows.mean())


@pytest.mark.parametrize("loss", LOSSES)
def test_permuting_the_classes_of_both_changes_nothing(loss: Loss) -> None:
    student, teacher, order = torch.randn(4, 6), torch.randn(4, 6), torch.randperm(6)
    torch.testing.assert_close(loss(student[:, order], teacher[:, order]), loss(student, teacher))


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_reaches_the_student_and_never_the_teacher(loss: Loss) -> None:
    student = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    loss(student, teacher).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None
    assert torch.autograd.gradcheck(lambda x: loss(x, teacher.detach(), reduction="none"), [student])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(loss: Loss, dtype: torch.dtype) -> None:
    student, teacher = torch.randn(8, 10).to(dtype), torch.randn(8, 10).to(dtype)
    found = loss(student, teacher)
    assert found.dtype is torch.float32
    torch.testing.assert_close(found, loss(student.float(), teacher.float()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_logits_of_a_very_confident_network_stay_finite(dtype: torch.dtype) -> None:
    student = torch.tensor([[300.0, -300.0, 0.0]], dtype=dtype, requires_grad=True)
    loss = soft_target_kl(student, -student.detach(), temperature=1.0)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_no_rows_give_no_values(loss: Loss) -> None:
    empty = torch.zeros(0, 4, requires_grad=True)
    assert loss(empty, torch.zeros(0, 4), reduction="none").shape == (0,)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_is_positive_and_finite(temperature: float) -> None:
    with pytest.raises(ValueError, match="expected more than 0"):
        soft_target_kl(torch.zeros(1, 2), torch.zeros(1, 2), temperature=temperature)


def test_student_and_teacher_have_one_shape() -> None:
    with pytest.raises((ValueError, TypeCheckError)):
        soft_target_kl(torch.zeros(2, 3), torch.zeros(2, 4), temperature=1.0)
    # Without the type checks of the tests, the function itself refuses what would broadcast.
    unchecked = getattr(soft_target_kl, "__wrapped__", soft_target_kl)
    with pytest.raises((ValueError, TypeCheckError)):
        unchecked(torch.zeros(2, 3), torch.zeros(1, 3), temperature=1.0)


@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
def test_the_mean_of_one_network_or_of_equal_ones_is_its_distribution(mean: str) -> None:
    logits = torch.randn(3, 5, dtype=torch.float64)
    for members in ([logits], [logits] * 4):
        found = mean_distribution(members, temperature=2.0, mean=mean)
        torch.testing.assert_close(torch.softmax(found / 2, -1), torch.softmax(logits / 2, -1))


def test_a_network_that_is_certain_does_not_silence_the_arithmetic_mean() -> None:
    certain, other = torch.tensor([[100.0, 0.0]]), torch.tensor([[0.0, 100.0]])
    found = torch.softmax(mean_distribution([certain, other], mean="arithmetic"), -1)
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.5]]))
