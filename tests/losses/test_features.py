"""Properties of the losses between features: zeros, invariances, gradients, precision, refusals.

Values: `tests/reference`.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from limbeck.losses.features import (
    attention,
    attention_loss,
    flow,
    flow_loss,
    hint_loss,
    similarity,
    similarity_loss,
    squared_distance,
)

Loss = Callable[..., Tensor]


def flow_of_maps(student: Tensor, teacher: Tensor, **arguments: str) -> Tensor:
    """The flow between the first three channels and the others."""
    return flow_loss(flow(student[:, :3], student[:, 3:]), flow(teacher[:, :3], teacher[:, 3:]), **arguments)


LOSSES = [hint_loss, flow_of_maps, attention_loss, similarity_loss]
BY_EXAMPLE = [hint_loss, flow_of_maps, attention_loss]


def maps(*, channels: int = 5, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(4, channels, 6, 4, dtype=dtype)


def rotation(size: int) -> Tensor:
    """A random orthogonal matrix."""
    return torch.linalg.qr(torch.randn(size, size, dtype=torch.float64))[0]


@pytest.mark.parametrize("loss", LOSSES)
def test_zero_at_equality_and_positive_elsewhere(loss: Loss) -> None:
    features = maps()
    assert loss(features, features.clone()).item() == 0.0
    assert loss(features, maps()) > 0


@pytest.mark.parametrize("loss", LOSSES)
def test_it_is_a_single_number(loss: Loss) -> None:
    assert loss(maps(), maps()).shape == ()


@pytest.mark.parametrize("loss", BY_EXAMPLE)
def test_the_mean_over_examples_is_the_mean_of_the_examples(loss: Loss) -> None:
    student, teacher = maps(), maps()
    rows = loss(student, teacher, reduction="none")
    assert rows.shape == (4,)
    torch.testing.assert_close(loss(student, teacher), rows.mean())
    torch.testing.assert_close(rows[2:3], loss(student[2:3], teacher[2:3], reduction="none"))


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_reaches_the_student_and_never_the_teacher(loss: Loss) -> None:
    student, teacher = (torch.randn(2, 5, 2, 2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    loss(student, teacher).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None
    assert torch.autograd.gradcheck(lambda x: loss(x, teacher.detach()), [student])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(loss: Loss, dtype: torch.dtype) -> None:
    student, teacher = maps().to(dtype), maps().to(dtype)
    found = loss(student, teacher)
    assert found.dtype is torch.float32
    torch.testing.assert_close(found, loss(student.float(), teacher.float()))


@pytest.mark.parametrize("loss", LOSSES)
def test_double_precision_is_kept(loss: Loss) -> None:
    student, teacher = maps(dtype=torch.float64), maps(dtype=torch.float64)
    found = loss(student, teacher)
    assert found.dtype is torch.float64
    torch.testing.assert_close(found.float(), loss(student.float(), teacher.float()))


def test_a_difference_between_flows_that_half_precision_would_swallow_counts() -> None:
    # The flow moves from 4096 to 4096.06; the next number after 4096 in bfloat16 is 4128.
    features = torch.full((1, 1, 32, 32), 64.0, dtype=torch.bfloat16)
    other = features.clone()
    other[0, 0, 0, 0] += 0.5
    found = flow_loss(flow(features, features), flow(other, other))
    assert found.item() == pytest.approx(((64.5**2 - 64**2) / 1024) ** 2, rel=0.05)


@pytest.mark.parametrize("loss", [hint_loss, flow_of_maps, attention_loss])
def test_shuffling_the_places_of_both_changes_nothing(loss: Loss) -> None:
    student, teacher, order = maps(), maps(), torch.randperm(24)
    moved = [x.flatten(2)[:, :, order].reshape(x.shape) for x in (student, teacher)]
    torch.testing.assert_close(loss(*moved), loss(student, teacher))


def test_a_hint_is_summed_over_channels_and_averaged_over_places() -> None:
    # One unit apart everywhere: half of the number of channels, whatever the size of the map.
    for height, width in ((1, 1), (3, 5)):
        ones = torch.ones(2, 6, height, width)
        assert hint_loss(ones, torch.zeros_like(ones)).item() == 3.0


def test_a_squared_distance_is_summed_over_the_feature_and_averaged_over_examples() -> None:
    student = torch.randn(4, 6, requires_grad=True)
    teacher = torch.randn(4, 6, requires_grad=True)
    rows = squared_distance(student, teacher, reduction="none")
    torch.testing.assert_close(rows, (student - teacher).norm(dim=1) ** 2)
    torch.testing.assert_close(squared_distance(student, teacher), rows.mean())
    assert squared_distance(student, student).item() == 0
    squared_distance(student, teacher).backward()
    torch.testing.assert_close(student.grad, (student - teacher).detach() / 2)
    assert teacher.grad is None
    assert squared_distance(student.bfloat16(), teacher.bfloat16()).dtype == torch.float32


def test_permuting_the_channels_of_both_layers_permutes_rows_and_columns_of_the_flow() -> None:
    first, last = maps(channels=3), maps(channels=4)
    rows, columns = torch.tensor([2, 0, 1]), torch.tensor([1, 3, 0, 2])
    torch.testing.assert_close(flow(first[:, rows], last[:, columns]), flow(first, last)[:, rows][:, :, columns])


def test_a_flow_is_bilinear_and_turns_over_with_its_layers() -> None:
    first, last = maps(channels=3), maps(channels=4)
    torch.testing.assert_close(flow(2 * first, -3 * last), -6 * flow(first, last))
    torch.testing.assert_close(flow(last, first), flow(first, last).mT)


def test_a_flow_does_not_grow_with_the_map() -> None:
    first, last = maps(channels=3), maps(channels=4)
    tiled = [x.repeat(1, 1, 2, 3) for x in (first, last)]
    torch.testing.assert_close(flow(*tiled), flow(first, last))


def test_a_flow_between_sizes_takes_the_largest_value_of_each_block_of_the_larger_map() -> None:
    first = torch.arange(16.0).view(1, 1, 4, 4)
    last = torch.tensor([[[[1.0, 10.0], [100.0, 1000.0]]]])
    assert flow(first, last).item() == (5 + 70 + 1300 + 15000) / 4
    assert flow(last, first).item() == (5 + 70 + 1300 + 15000) / 4


def test_attention_has_length_one_and_does_not_see_the_order_of_channels_their_sign_or_their_scale() -> None:
    features = maps()
    looks = attention(features)
    torch.testing.assert_close(looks.norm(dim=1), torch.ones(4))
    scale = torch.tensor([0.01, 1.0, 3.0, 100.0])[:, None, None, None]
    signs = torch.tensor([1.0, -1.0, -1.0, 1.0, -1.0])[None, :, None, None]
    torch.testing.assert_close(attention(features[:, torch.randperm(5)] * scale * signs), looks)


def test_a_higher_power_looks_more_at_the_strongest_place() -> None:
    features = torch.tensor([[[[1.0, 2.0]]]])
    for power in (1.0, 2.0, 4.0):
        expected = torch.tensor([[1.0, 2.0**power]]) / (1 + 4.0**power) ** 0.5
        torch.testing.assert_close(attention(features, power=power), expected)


def test_attention_compares_layers_of_different_widths_and_survives_a_layer_that_is_silent() -> None:
    student = torch.zeros(2, 3, 4, 4, requires_grad=True)
    loss = attention_loss(student, torch.ones(2, 7, 4, 4))
    assert loss.item() == pytest.approx(1 / 16)  # the teacher's map of length one against nothing
    loss.backward()
    assert torch.isfinite(student.grad).all()


def test_similarity_does_not_see_a_rotation_of_the_features_or_their_scale() -> None:
    features = torch.randn(6, 10, dtype=torch.float64)
    torch.testing.assert_close(similarity(features @ rotation(10) * 7), similarity(features))
    torch.testing.assert_close(similarity(features).norm(dim=1), torch.ones(6, dtype=torch.float64))
    assert similarity_loss(features, features @ rotation(10) * 7).item() < 1e-25


def test_permuting_the_examples_of_both_changes_no_similarity_loss_but_permuting_one_does() -> None:
    student, teacher, order = maps(), maps(channels=2), torch.tensor([2, 0, 3, 1])
    whole = similarity_loss(student, teacher)
    torch.testing.assert_close(similarity_loss(student[order], teacher[order]), whole)
    assert abs(similarity_loss(student[order], teacher) - whole) > 1e-3


def test_similarity_takes_any_shape_behind_the_examples() -> None:
    features = maps()
    torch.testing.assert_close(similarity(features), similarity(features.flatten(1)))
    assert similarity_loss(features, torch.randn(4, 7)).shape == ()


@pytest.mark.parametrize(
    ("loss", "student", "teacher", "message"),
    [
        (hint_loss, (2, 3, 4, 4), (2, 1, 4, 4), r"one shape, got student \(2, 3, 4, 4\), teacher \(2, 1, 4, 4\)"),
        (hint_loss, (2, 3, 4, 4), (2, 3, 1, 1), r"one shape, got student \(2, 3, 4, 4\), teacher \(2, 3, 1, 1\)"),
        (squared_distance, (2, 3), (2, 1), r"one shape, got student \(2, 3\), teacher \(2, 1\)"),
        (flow_loss, (2, 3, 4), (2, 3, 1), r"one shape, got student \(2, 3, 4\), teacher \(2, 3, 1\)"),
        (attention_loss, (2, 3, 4, 4), (2, 3, 2, 8), r"maps of one size, got student .*, teacher \(2, 3, 2, 8\)"),
        (attention_loss, (2, 3, 4, 4), (1, 3, 4, 4), r"maps of one size, got student .*, teacher \(1, 3, 4, 4\)"),
        (similarity_loss, (2, 3), (1, 3), r"the same examples, got student \(2, 3\), teacher \(1, 3\)"),
    ],
)
def test_shapes_that_would_broadcast_are_refused(loss: Loss, student: tuple, teacher: tuple, message: str) -> None:
    unchecked = getattr(loss, "__wrapped__", loss)  # without the type checks of the tests
    with pytest.raises(ValueError, match=message):
        unchecked(torch.zeros(student), torch.zeros(teacher))


def test_mixed_precision_does_not_reach_the_products() -> None:
    first, last = torch.rand(2, 3, 4, 4), torch.rand(2, 5, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        flows, alike = flow(first, last), similarity(first)
    torch.testing.assert_close(flows, flow(first, last), rtol=0, atol=0)
    torch.testing.assert_close(alike, similarity(first), rtol=0, atol=0)
