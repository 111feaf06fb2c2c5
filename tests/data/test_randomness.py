from __future__ import annotations

import torch

from limbeck.data.randomness import below, random_bits, shuffled

WORD = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def splitmix(value: int) -> int:
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & WORD
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & WORD
    return value ^ (value >> 31)


def test_equals_the_definition_in_unbounded_integers() -> None:
    ids = torch.tensor([0, 1, 12345, 2**40])
    bits = random_bits(ids, seed=-3, purpose=2, epoch=7, draws=3)
    state = 0
    for counter in (-3, 2, 7):
        state = splitmix((state ^ (counter & WORD)) + GOLDEN & WORD)
    for row, number in enumerate(ids.tolist()):
        start = splitmix((number * GOLDEN + state) & WORD)
        for draw in range(3):
            assert bits[row, draw].item() & WORD == splitmix((start + (draw + 1) * GOLDEN) & WORD)


def test_the_permutation_is_splitmix64() -> None:
    # the first output of SplitMix64 for the seed 1234567, as published with the algorithm's reference code
    assert splitmix((1234567 + GOLDEN) & WORD) == 6457827717110365317


def test_every_counter_matters() -> None:
    ids = torch.arange(100)
    base = random_bits(ids, seed=0, purpose=1, epoch=0)
    for other in ({"seed": 1, "purpose": 1}, {"seed": 0, "purpose": 2}, {"seed": 0, "purpose": 1, "epoch": 1}):
        assert (random_bits(ids, **other) != base).all()
    assert len(random_bits(ids, seed=0, purpose=1, draws=5).unique()) == 500


def test_integers_are_in_range_and_uniform() -> None:
    bits = random_bits(torch.arange(90_000), seed=0, purpose=1)[:, 0]
    counts = torch.bincount(below(bits, 9), minlength=9)
    assert len(counts) == 9
    # chi squared with 8 degrees of freedom: above 26.1 once in a thousand
    assert ((counts - 10_000).double().square() / 10_000).sum() < 26.1


def test_largest_limit_does_not_overflow() -> None:
    bits = torch.tensor([-1, 0, 2**63 - 1, -(2**63)])
    assert below(bits, 2**32).tolist() == [2**32 - 2, 0, 2**31 - 2, 2**31]


def test_order_is_a_permutation_and_survives_removal() -> None:
    ids = torch.arange(1000) * 3
    order = shuffled(ids, seed=5, purpose=1, epoch=2)
    assert order.sort().values.tolist() == list(range(1000))
    assert not torch.equal(order, shuffled(ids, seed=5, purpose=1, epoch=3))
    kept = torch.arange(0, 1000, 7)
    expected = [number for number in ids[order].tolist() if number in set(ids[kept].tolist())]
    assert ids[kept][shuffled(ids[kept], seed=5, purpose=1, epoch=2)].tolist() == expected
