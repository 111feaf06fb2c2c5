"""Random numbers as a pure function of counters, instead of a generator that has a state.

A number depends on (seed, purpose, epoch, sample id, draw) alone. So a sample looks the same in whatever batch, order
or process it is met; a run resumes exactly without saving any state; and what training saw can be asked for again.

The function is the output permutation of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number
generators", OOPSLA 2014) over the mixed counters. int64 arithmetic wraps around modulo 2⁶⁴ in torch, on every device,
so the numbers are the same on CPU and GPU.
"""

from __future__ import annotations

import torch
from jaxtyping import Int64
from torch import Tensor

# Purposes: two uses of randomness never share numbers.
ORDER, GEOMETRY, TRANSFORMS, MIXING, SPLIT, PROBE, DRAWS, EPOCH_SHARE = range(1, 9)

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
_WORD = (1 << 64) - 1


def random_bits(
    ids: Int64[Tensor, " n"], *, seed: int, purpose: int, epoch: int = 0, draws: int = 1
) -> Int64[Tensor, "n draws"]:
    """64 random bits per sample and draw.

    Args:
        ids: who draws.
        seed: any integer.
        purpose: one of this module's constants.
        epoch: counted from 0.
        draws: how many numbers each sample needs.
    """
    state = 0
    for counter in (seed, purpose, epoch):
        state = _scrambled((state ^ (counter & _WORD)) + _GOLDEN & _WORD)
    rows = _scrambled_tensor(ids * _signed(_GOLDEN) + _signed(state))
    steps = torch.arange(1, draws + 1, device=ids.device) * _signed(_GOLDEN)
    return _scrambled_tensor(rows[:, None] + steps)


def below(bits: Int64[Tensor, "*n"], limit: int) -> Int64[Tensor, "*n"]:
    """Uniform integers 0 … limit - 1 from random bits; limit at most 2³². In integers, so equal on every device."""
    return (_shifted(bits, 33) * limit) >> 31


def shuffled(ids: Int64[Tensor, " n"], *, seed: int, purpose: int, epoch: int = 0) -> Int64[Tensor, " n"]:
    """A permutation of the positions 0 … n - 1, by each id's own random number.

    Two ids keep their relative order whatever other samples are present, so nested subsets have nested orders.
    """
    keys = random_bits(ids, seed=seed, purpose=purpose, epoch=epoch)[:, 0]
    return torch.argsort(keys, stable=True)


def _scrambled(value: int) -> int:
    value = (value ^ (value >> 30)) * _FIRST & _WORD
    value = (value ^ (value >> 27)) * _SECOND & _WORD
    return value ^ (value >> 31)


def _scrambled_tensor(values: Int64[Tensor, "*n"]) -> Int64[Tensor, "*n"]:
    values = (values ^ _shifted(values, 30)) * _signed(_FIRST)
    values = (values ^ _shifted(values, 27)) * _signed(_SECOND)
    return values ^ _shifted(values, 31)


def _shifted(values: Int64[Tensor, "*n"], by: int) -> Int64[Tensor, "*n"]:
    # torch shifts int64 arithmetically: clear the copies of the sign bit
    return (values >> by) & ((1 << (64 - by)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
