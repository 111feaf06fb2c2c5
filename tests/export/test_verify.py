"""An exported file that says something else is found, at whatever batch size it does so."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from limbeck.core.errors import ExportError
from limbeck.export.verify import check_samples, on_cpu, speeds, verify


def live(images: Tensor) -> Tensor:
    return images.flatten(1)[:, :4]


def samples(n: int = 8) -> Tensor:
    return torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def test_equal_networks_match() -> None:
    match = verify(live, live, samples())
    assert (match.max_difference, match.agreement) == (0.0, 1.0)


@pytest.mark.parametrize(("n", "sizes"), [(8, [1, 5, 8]), (5, [1, 5]), (3, [1, 3, 5]), (1, [1, 5])])
def test_batches_of_one_five_and_all(n: int, sizes: list[int]) -> None:
    seen: list[int] = []

    def exported(images: Tensor) -> Tensor:
        seen.append(len(images))
        return live(images)

    verify(live, exported, samples(n))
    assert seen == sizes


def test_small_differences_are_reported_and_large_ones_refused() -> None:
    scale = live(samples()).abs().max().item()
    match = verify(live, lambda images: live(images) + 0.9e-3 * scale, samples())
    assert match.max_difference == pytest.approx(0.9e-3 * scale, rel=1e-3)
    with pytest.raises(ExportError, match=r"differs from the live network by .* on a batch of 1"):
        verify(live, lambda images: live(images) + 1.5e-3 * scale, samples())
    assert verify(live, lambda images: live(images) + 1.5e-3 * scale, samples(), tolerance=2e-3).agreement == 1


@pytest.mark.parametrize("size", [1, 5, 8])
def test_a_difference_at_one_batch_size_only_is_found(size: int) -> None:
    with pytest.raises(ExportError, match=f"on a batch of {size}"):
        verify(live, lambda images: live(images) + (len(images) == size), samples())


def test_agreement_is_a_share_of_all_samples() -> None:
    images = torch.zeros(4, 1, 2, 2)
    images[:, 0, 0, 0] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    images[0, 0, 0, 1] = 1.0001

    def exported(batch: Tensor) -> Tensor:
        return live(batch) - torch.tensor([0.0, 0.0005, 0.0, 0.0])

    assert verify(live, exported, images).agreement == 0.75


def test_not_a_number_is_never_equal() -> None:
    with pytest.raises(ExportError, match="differs"):
        verify(live, lambda images: live(images) * math.nan, samples())
    with pytest.raises(ExportError, match="not finite"):
        verify(lambda images: live(images) * math.nan, live, samples())


def test_other_shapes_and_failures_name_the_batch() -> None:
    with pytest.raises(ExportError, match=r"\(1, 4\) of the live network and \(1, 3\) of the exported"):
        verify(live, lambda images: live(images)[:, :3], samples())
    with pytest.raises(ExportError, match=r"expected logits \[1, classes\]"):
        verify(lambda images: live(images)[:, 0], lambda images: live(images)[:, 0], samples())
    with pytest.raises(ExportError, match="cannot run on a batch of 5: RuntimeError"):
        verify(live, lambda images: live(images).view(1, 4), samples())


@pytest.mark.parametrize("wrong", [torch.rand(3, 4, 4), torch.rand(0, 1, 4, 4), torch.zeros(1, 1, 4, 4).byte()])
def test_samples_must_be_images(wrong: Tensor) -> None:
    with pytest.raises(ExportError, match=r"expected samples \[n, channels, height, width\]"):
        check_samples(wrong)


def test_a_network_on_the_cpu_is_not_copied() -> None:
    model = nn.Linear(2, 2)
    assert on_cpu(model) is model


def test_speeds_are_side_by_side() -> None:
    rows = speeds(live, lambda array: array.sum(), samples(3), prepare=Tensor.numpy)
    assert [row["batch"] for row in rows] == [1, 3]
    assert all(row["median_ms"] > 0 and row["live_median_ms"] > 0 and row["p95_ms"] > 0 for row in rows)
    assert rows[0]["threads"] == torch.get_num_threads()
