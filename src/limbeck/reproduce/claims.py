"""Sentences that several experiments claim in the same way."""

from __future__ import annotations

from limbeck.evaluate.noise import CLEAR, Errors
from limbeck.reproduce.experiment import Claim

MARGIN = 0.01
"""What a network that is called no worse than another may lose, as a share of the test images."""


def shown(errors: Errors) -> str:
    """Accuracy with its spread over seeds."""
    spread = f" ± {errors.spread / errors.images:.2%}" if len(errors.counts) > 1 else ""
    return f"{1 - errors.rate:.2%}{spread}"


def better(one: Errors, other: Errors, text: str) -> Claim:
    """The claim that one network is clearly better than another."""
    return Claim(text, one.fewer_than(other).clear, _evidence(one, other))


def no_worse(one: Errors, other: Errors, text: str) -> Claim:
    """The claim that one network is as good as another: neither clearly worse, nor by more than `MARGIN`.

    Without the margin the claim would hold the more easily the less is known.
    """
    lost = other.fewer_than(one)
    held = not lost.clear and lost.value <= MARGIN * one.images
    return Claim(text, held, f"{_evidence(one, other)}; allowed: {MARGIN:.0%} of the images")


def _evidence(one: Errors, other: Errors) -> str:
    return f"{shown(one)} against {shown(other)}: {difference(one, other)}"


def difference(one: Errors, other: Errors) -> str:
    """How many errors fewer, or more, with the noise; and what counts as clear."""
    return f"{counted(one, other)}, where {CLEAR:g} times the noise over seeds and test images is clear"


def counted(one: Errors, other: Errors) -> str:
    """How many errors fewer, or more, with the noise."""
    fewer = one.fewer_than(other)
    way = "fewer" if fewer.value >= 0 else "more"
    return f"{abs(fewer.value):.0f} ± {fewer.noise:.0f} {way} errors of {one.images:,}"
