"""Factored rows give the values and gradients of dense rows, without ever holding all logits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from limbeck.core.rows import Factored, Rows, over_rows
from limbeck.losses.divergence import soft_target_kl

ROWS, WIDTH, CLASSES = 13, 5, 7
ODD_BLOCK = 16 * CLASSES * 4  # bytes for four rows: blocks of 4, 4, 4 and 1


def hard(student: Tensor, _teacher: Tensor | None, targets: Tensor) -> Tensor:
    return 0.3 * F.cross_entropy(student, targets, reduction="none")


def soft(student: Tensor, teacher: Tensor, _targets: Tensor | None) -> Tensor:
    return 0.7 * soft_target_kl(student, teacher, temperature=3.0, reduction="none")


TERMS = {"task": hard, "kd": soft}


def problem(dtype: torch.dtype = torch.float64, *, rows: int = ROWS) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    made = {"hidden": draw(rows, WIDTH), "weight": draw(CLASSES, WIDTH), "bias": draw(CLASSES)}
    made = {name: tensor.requires_grad_() for name, tensor in made.items()}
    targets = torch.randint(0, CLASSES, (rows,), generator=generator)
    targets[::4] = -100
    weights = torch.rand(rows, generator=generator, dtype=torch.float64)
    weights[1::3] = 0
    return {**made, "teacher": draw(rows, CLASSES), "targets": targets, "weights": weights}


def solve(p: dict[str, Tensor], *, factored: bool, masked: bool = True, scale: float = 1.0) -> tuple[dict, dict]:
    inputs = [p["hidden"], p["weight"], p["bias"]]
    logits = Factored(*inputs) if factored else F.linear(*inputs)
    rows = Rows(logits, p["targets"], p["weights"] if masked else None)
    found = over_rows(TERMS, rows, Rows(p["teacher"]), block_bytes=ODD_BLOCK)
    grads = torch.autograd.grad(sum(found.values()) * scale, inputs)
    return found, dict(zip(("hidden", "weight", "bias"), grads, strict=True))


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_factored_equals_dense_in_values_and_gradients(masked: bool, scale: float) -> None:
    p = problem()
    dense, dense_grads = solve(p, factored=False, masked=masked, scale=scale)
    blocked, blocked_grads = solve(p, factored=True, masked=masked, scale=scale)
    torch.testing.assert_close(blocked, dense)
    torch.testing.assert_close(blocked_grads, dense_grads)
    assert dense_grads["weight"].abs().sum() > 0


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.bfloat16, 0.04)])
def test_lower_precision_stays_close_and_keeps_its_types(dtype: torch.dtype, close: float) -> None:
    exact, exact_grads = solve(problem(), factored=False)
    p = problem(dtype)
    for factored in (True, False):
        found, grads = solve(p, factored=factored)
        assert {value.dtype for value in found.values()} <= {torch.float32, torch.float64}
        assert {grad.dtype for grad in grads.values()} == {dtype}
        for name, value in found.items():
            assert value.item() == pytest.approx(exact[name].item(), rel=close)
        for name, grad in grads.items():
            assert (grad.double() - exact_grads[name]).norm() < 2 * close * exact_grads[name].norm()


def test_the_value_is_the_weighted_mean_over_rows() -> None:
    p = problem()
    found, _ = solve(p, factored=False)
    logits = F.linear(p["hidden"], p["weight"], p["bias"])
    each, weights = soft(logits, p["teacher"], None).tolist(), p["weights"].tolist()
    expected = sum(weight * value for weight, value in zip(weights, each, strict=True)) / sum(weights)
    assert found["kd"].item() == pytest.approx(expected, rel=1e-12)


def test_rows_of_weight_zero_take_no_gradient() -> None:
    p = problem()
    for factored in (True, False):
        _, grads = solve(p, factored=factored)
        assert not grads["hidden"][p["weights"] == 0].any()
        assert grads["hidden"][p["weights"] > 0].any()


@pytest.mark.parametrize("factored", [True, False])
def test_no_rows_and_no_rows_that_count_are_zero(factored: bool) -> None:
    empty = problem(rows=0)
    nothing = problem()
    nothing["weights"] = torch.zeros_like(nothing["weights"])
    for p in (empty, nothing):
        found, grads = solve(p, factored=factored)
        assert [float(value) for value in found.values()] == [0.0, 0.0]
        assert not any(grad.any() for grad in grads.values())


def test_a_weight_tied_to_the_embedding_collects_both_gradients() -> None:
    gradients = []
    for factored in (True, False):
        torch.manual_seed(5)
        embedding = nn.Embedding(CLASSES, WIDTH).double()
        hidden = torch.tanh(embedding(torch.arange(ROWS) % CLASSES))
        logits = Factored(hidden, embedding.weight) if factored else F.linear(hidden, embedding.weight)
        rows = Rows(logits, torch.arange(ROWS) % 3)
        found = over_rows({"task": hard}, rows, block_bytes=ODD_BLOCK)
        found["task"].backward()
        gradients.append(embedding.weight.grad)
    torch.testing.assert_close(*gradients)


def test_the_teacher_may_be_factored_with_another_width_and_takes_no_gradient() -> None:
    p = problem()
    teacher = Factored(torch.randn(ROWS, 2).double().requires_grad_(), torch.randn(CLASSES, 2).double())
    whole = F.linear(teacher.hidden, teacher.weight).detach()
    for student in (Factored(p["hidden"], p["weight"]), F.linear(p["hidden"], p["weight"])):
        a = over_rows({"kd": soft}, Rows(student), Rows(teacher), block_bytes=ODD_BLOCK)["kd"]
        b = over_rows({"kd": soft}, Rows(student), Rows(whole), block_bytes=ODD_BLOCK)["kd"]
        torch.testing.assert_close(a, b)
        a.backward(retain_graph=True)
        assert teacher.hidden.grad is None


def test_a_block_never_holds_more_rows_than_the_budget_allows() -> None:
    p, seen = problem(), []

    def spy(student: Tensor, _teacher: Tensor | None, _targets: Tensor | None) -> Tensor:
        seen.append(len(student))
        return student.sum(-1)

    over_rows({"spy": spy}, Rows(Factored(p["hidden"], p["weight"])), block_bytes=ODD_BLOCK)
    assert seen == [4, 4, 4, 1]
    seen.clear()
    over_rows({"spy": spy}, Rows(Factored(p["hidden"], p["weight"])), block_bytes=1)
    assert seen == [1] * ROWS


def test_factored_terms_must_share_their_outer_weight() -> None:
    p = problem()
    found = over_rows(TERMS, Rows(Factored(p["hidden"], p["weight"]), p["targets"]), Rows(p["teacher"]))
    with pytest.raises(RuntimeError, match="weight them inside the row functions"):
        (found["task"] + 2 * found["kd"]).backward()


def test_a_network_that_is_not_trained_gets_values_but_no_gradient() -> None:
    p = problem()
    frozen = Factored(p["hidden"].detach(), p["weight"].detach(), p["bias"])
    found = over_rows(TERMS, Rows(frozen, p["targets"]), Rows(p["teacher"]))
    (grad,) = torch.autograd.grad(sum(found.values()), [p["bias"]])
    assert grad.any()
    with torch.no_grad():
        again = over_rows(TERMS, Rows(frozen, p["targets"]), Rows(p["teacher"]))
    torch.testing.assert_close(again, {name: value.detach() for name, value in found.items()})
    assert not again["task"].requires_grad


@pytest.mark.parametrize("factored", [True, False])
def test_targets_may_be_distributions(factored: bool) -> None:
    p = problem()
    p["targets"] = torch.softmax(torch.randn(ROWS, CLASSES).double(), -1)
    found, _ = solve(p, factored=factored, masked=False)
    log_q = F.linear(p["hidden"], p["weight"], p["bias"]).log_softmax(-1)
    torch.testing.assert_close(found["task"], -0.3 * (p["targets"] * log_q).sum(-1).mean())
