"""The alignment in the other form of the paper, between features and not examples, and a search by brute force."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor, nn

from limbeck.core.outline import Unit, outline
from limbeck.evaluate.cka import alignments, linear_cka, most_alike
from little import conv_net, image_batch


def features(n: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed)).double()


def by_features(one: Tensor, other: Tensor) -> float:
    """‖Yᵀ X‖² / (‖Xᵀ X‖ ‖Yᵀ Y‖) of centred features: arXiv:1905.00414, equation 5 with equation 3 put in."""
    x, y = (part.reshape(len(part), -1).double().numpy() for part in (one, other))
    x, y = x - x.mean(0), y - y.mean(0)
    return float(np.linalg.norm(y.T @ x) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)))


def rotation(size: int) -> Tensor:
    return torch.linalg.qr(features(size, size, seed=9)).Q


@pytest.mark.parametrize(
    ("one", "other"), [((5,), (5,)), ((3,), (11,)), ((40,), (2,)), ((4, 3, 3), (2, 5, 5)), ((7, 6), (4, 2, 2))]
)
def test_it_equals_the_form_between_features(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    x = features(12, *one) + 3.0
    y = features(12, *other, seed=1) + x.flatten(1)[:, :1].reshape(12, *[1] * len(other))  # related, not alike
    assert linear_cka(x, y) == pytest.approx(by_features(x, y), rel=1e-10)
    assert 0.01 < linear_cka(x, y) < 0.99


def test_rotations_scalings_and_shifts_change_nothing() -> None:
    x, other = features(20, 6), features(20, 4, seed=1)
    turned = 7.0 * x @ rotation(6) + features(6, seed=2)
    assert linear_cka(x, turned) == pytest.approx(1.0, abs=1e-12)
    assert linear_cka(turned, other) == pytest.approx(linear_cka(x, other), rel=1e-9)


def test_one_column_scaled_is_no_rotation() -> None:
    x = features(20, 6)
    assert linear_cka(x, x * torch.tensor([5.0, 1, 1, 1, 1, 1])) < 0.9


def test_unrelated_features_of_many_examples_are_not_alike() -> None:
    assert linear_cka(features(1000, 5), features(1000, 5, seed=1)) < 0.02


def test_it_does_not_matter_which_comes_first() -> None:
    x, y = features(15, 3), features(15, 8, seed=1)
    assert linear_cka(x, y) == pytest.approx(linear_cka(y, x), rel=1e-12)


def test_a_large_mean_costs_no_digits() -> None:
    """In float32 the Gram matrix of these features has lost what is below 1."""
    x, y = features(30, 6).float(), features(30, 6, seed=1).float()
    moved = x + 4096.0
    assert linear_cka(moved, y) == pytest.approx(by_features(moved, y), rel=1e-9)
    assert linear_cka(moved, y) == pytest.approx(linear_cka(x, y), rel=1e-2)


def test_half_precision_is_computed_in_double() -> None:
    x, y = features(30, 64).bfloat16(), features(30, 8, seed=1).bfloat16()
    assert linear_cka(x, y) == pytest.approx(by_features(x, y), rel=1e-10)


def test_features_that_say_nothing_are_like_nothing() -> None:
    assert linear_cka(torch.full((8, 4), 2.5), features(8, 4)) == 0.0


def test_other_numbers_of_examples_are_refused() -> None:
    # The annotations say so first where they are executed, as they are in these tests.
    with pytest.raises((ValueError, TypeCheckError)):
        linear_cka(features(6, 3), features(7, 3))


def networks() -> tuple[tuple[nn.Module, list[Unit]], tuple[nn.Module, list[Unit]]]:
    """Two networks in train mode with BatchNorm and dropout, a part of each in another state."""
    found = []
    for model in (conv_net(4, dropout=0.5), conv_net(6, seed=5, dropout=0.5)):
        model.train()
        model[1].eval()
        model[3].requires_grad_(False)
        found.append((model, outline(model, lambda m: m(image_batch()[0])).units))
    return found[0], found[1]


def seen(model: nn.Module, units: Sequence[Unit], images: Tensor) -> list[Tensor]:
    """What the units give in eval mode, by hooks of our own."""
    given: dict[str, Tensor] = {}
    handles = [
        model.get_submodule(unit.path).register_forward_hook(
            lambda _m, _i, output, path=unit.path: given.update({path: output.clone()})
        )
        for unit in units
    ]
    modes = [(module, module.training) for module in model.modules()]
    with torch.no_grad():
        model.eval()(images)
    for module, mode in modes:
        module.training = mode
    for handle in handles:
        handle.remove()
    return [given[unit.path] for unit in units]


def test_alignments_are_means_over_batches_of_every_unit_with_every_unit() -> None:
    student, teacher = networks()
    student = student[0], student[1][1:3]
    batches = [image_batch(12, seed=seed) for seed in (1, 2)]
    expected = np.zeros((2, len(teacher[1])))
    for images, *_ in batches:
        rows, columns = seen(*student, images), seen(*teacher, images)
        expected += [[by_features(row, column) / 2 for column in columns] for row in rows]
    np.testing.assert_allclose(alignments(student, teacher, iter(batches)), expected, rtol=1e-5)
    assert np.ptp(expected) > 0.1  # else any order of rows and columns would do


def state(model: nn.Module) -> tuple[object, ...]:
    modules = list(model.modules())
    return (
        [module.training for module in modules],
        [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in modules],
        [parameter.requires_grad for parameter in model.parameters()],
        [tensor.tolist() for tensor in model.state_dict().values()],
    )


def test_networks_are_left_as_they_were() -> None:
    student, teacher = networks()
    before = state(student[0]), state(teacher[0])
    alignments(student, teacher, [image_batch(4)])
    assert (state(student[0]), state(teacher[0])) == before


def test_networks_are_left_as_they_were_after_an_error_too() -> None:
    student, teacher = networks()
    before = state(student[0]), state(teacher[0])
    with pytest.raises(RuntimeError):
        alignments(student, teacher, [(torch.rand(4, 2, 8, 8),)])
    assert (state(student[0]), state(teacher[0])) == before


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (4, 1), (3, 3), (4, 6), (6, 3)])
def test_the_most_alike_are_the_best_of_all_assignments_that_never_go_back(rows: int, columns: int) -> None:
    generator = torch.Generator().manual_seed(rows * 10 + columns)
    for _ in range(20):
        alignment = torch.rand(rows, columns, generator=generator)
        every = combinations_with_replacement(range(columns), rows)
        best = max(every, key=lambda chosen: sum(alignment[row, column] for row, column in enumerate(chosen)).item())
        assert most_alike(alignment) == list(best)


def test_the_best_of_each_row_is_not_taken_if_that_goes_back() -> None:
    assert most_alike(torch.tensor([[0.1, 0.2, 0.9], [0.8, 0.3, 0.1]])) == [2, 2]
    assert most_alike(torch.tensor([[0.1, 0.2, 0.7], [0.8, 0.3, 0.1]])) == [0, 0]
