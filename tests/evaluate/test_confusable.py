"""Classes that are confused with each other come together, without labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from limbeck.core.errors import ModelError
from limbeck.evaluate.confusable import confusable_classes, prediction_covariance

GROUPS = [(0, 4, 8), (1, 5, 9), (2, 6, 10), (3, 7, 11)]


def confused(images: int = 400) -> Tensor:
    """Logits of a network that is sure of the group of an image, and unsure within the group."""
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(images, 12, generator=draw)
    for image in range(images):
        logits[image, list(GROUPS[image % 4])] += 6
    return logits


def test_groups_are_found() -> None:
    assert sorted(confusable_classes(confused(), specialists=4, size=3)) == GROUPS


def test_larger_subsets_hold_their_group_and_the_next_likely_classes() -> None:
    logits = confused()
    logits[::4, 1] += 7  # images of the first group are often taken for class 1
    found = confusable_classes(logits, specialists=4, size=4)
    assert {*GROUPS[0], 1} in [set(subset) for subset in found]
    assert all(len(subset) == 4 and list(subset) == sorted(set(subset)) for subset in found)


@pytest.mark.parametrize(("specialists", "size"), [(3, 4), (2, 6), (5, 3), (1, 12), (12, 1)])
def test_every_class_is_covered(specialists: int, size: int) -> None:
    found = confusable_classes(confused(), specialists=specialists, size=size)
    assert [len(subset) for subset in found] == [size] * specialists
    assert {number for subset in found for number in subset} == set(range(12))


def test_a_seed_decides_and_another_gives_others() -> None:
    logits = torch.randn(200, 12, generator=torch.Generator().manual_seed(1)) * 2
    found = [confusable_classes(logits, specialists=3, size=4, seed=seed) for seed in (0, 0, 1, 2, 3)]
    assert found[0] == found[1]
    assert len({frozenset(one) for one in found}) > 1


def test_the_covariance_is_numpy_s() -> None:
    logits = confused(50)
    expected = np.cov(logits.double().softmax(-1).numpy(), rowvar=False, bias=True)
    np.testing.assert_allclose(prediction_covariance(logits).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(("specialists", "size"), [(3, 3), (2, 13), (0, 12)])
def test_impossible_sizes_are_named(specialists: int, size: int) -> None:
    with pytest.raises(ModelError, match=f"{specialists} specialists with {size} classes each cannot cover 12 classes"):
        confusable_classes(confused(), specialists=specialists, size=size)
