"""Distilling at a high temperature is matching logits: section 2.1 of the paper, in numbers.

Geoffrey Hinton, Oriol Vinyals, Jeff Dean. Distilling the Knowledge in a Neural Network. arXiv:1503.02531.

    ∂C/∂z_i = (1/T) (q_i - p_i)                                             Eq. 2
    ∂C/∂z_i ≈ (1 / (N T²)) (z_i - v_i)     for T ≫ |z|, |v| of mean zero    Eq. 4

C is the cross-entropy of the student's q = softmax(z / T) against the teacher's p = softmax(v / T), over N classes.
Nothing is trained: logits are drawn from a normal distribution, and all is computed in double precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float64
from torch import Tensor

from limbeck.losses.divergence import logit_matching, soft_target_kl
from limbeck.report.drawing import BAD, GOOD, MUTED
from limbeck.reproduce.experiment import Claim, Line, Outcome, Picture, Scale
from limbeck.sweep.finished import Done
from limbeck.sweep.planning import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS, CLASSES, DEVIATION = 512, 10, 3.0
TEMPERATURES = (1.0, 2.0, 4.0, 8.0, 20.0, 50.0, 100.0, 1e3, 1e4)
SHOWN = (1.0, 4.0, 20.0)
HIGH = 100.0


@dataclass(frozen=True)
class LogitMatching:
    """The limit of the loss and the formula of its gradient."""

    title: str = "Distilling at a high temperature is matching logits."
    paper: str = "Hinton, Vinyals, Dean, Distilling the Knowledge in a Neural Network, section 2.1, arXiv:1503.02531"

    def runs(self, scale: Scale) -> Sequence[Asked]:
        """Nothing is trained."""
        return ()

    def judge(self, done: Done, scale: Scale) -> Outcome:
        """Loss and gradient at rising temperatures, against their limits."""
        z, v = logits()
        ratios = {t: float(soft_target_kl(z, v, temperature=t) / logit_matching(z, v)) for t in TEMPERATURES}
        off = {t: gradient_deviation(z, v, t) for t in TEMPERATURES}
        lines = tuple(
            Line(f"T² · KL over its limit, T = {t:,.0f}", "1" if t >= HIGH else "–", f"{ratio:.5f}")
            for t, ratio in ratios.items()
        )
        deviations = {t: abs(1 - ratio) for t, ratio in ratios.items()}
        pictures = (_limit(deviations, off), _gradients(z, v))
        return Outcome(lines, (_loss(deviations), _formula(z, v), _high(off), _constant(z, v)), pictures)


def logits() -> tuple[Float64[Tensor, "n c"], Float64[Tensor, "n c"]]:
    """The student's and the teacher's, each row of mean zero."""
    generator = torch.Generator().manual_seed(0)
    drawn = DEVIATION * torch.randn(2, ROWS, CLASSES, generator=generator, dtype=torch.float64)
    z, v = drawn - drawn.mean(-1, keepdim=True)
    return z, v


def gradient(z: Tensor, v: Tensor, temperature: float) -> Float64[Tensor, "n c"]:
    """∂C/∂z of every row, by automatic differentiation."""
    leaf = z.clone().requires_grad_()
    total = soft_target_kl(leaf, v, temperature=temperature, reduction="none").sum() / temperature**2
    (found,) = torch.autograd.grad(total, leaf)
    return found


def gradient_deviation(z: Tensor, v: Tensor, temperature: float) -> float:
    """How far the gradient is from (z - v) / (N T²), as a share of it."""
    limit = (z - v) / (CLASSES * temperature**2)
    return float((gradient(z, v, temperature) - limit).norm() / limit.norm())


def _loss(deviations: dict[float, float]) -> Claim:
    highest, before = TEMPERATURES[-1], TEMPERATURES[-2]
    order = deviations[before] / deviations[highest]
    return Claim(
        "As T grows, T² · KL becomes half the mean squared difference of the centred logits",
        deviations[highest] < 1e-3 and order > (highest / before) / 2,
        f"off by {deviations[1.0]:.1%} at T = 1, {deviations[20.0]:.2%} at T = 20 and {deviations[highest]:.1e} at "
        f"T = {highest:,.0f}; ten times the temperature leaves 1/{order:.1f} of it",
    )


def _formula(z: Tensor, v: Tensor) -> Claim:
    worst = max(
        float((gradient(z, v, t) - (torch.softmax(z / t, -1) - torch.softmax(v / t, -1)) / t).abs().max())
        for t in TEMPERATURES
    )
    return Claim(
        "The gradient of the soft cross-entropy is (q - p) / T at every temperature",
        worst < 1e-12,
        f"largest difference from automatic differentiation {worst:.0e}, in double precision",
    )


def _high(off: dict[float, float]) -> Claim:
    return Claim(
        "For logits of mean zero and T far above them, the gradient is (z - v) / (N T²)",
        off[HIGH] < 0.05 and off[1e4] < 1e-3,
        f"off by {off[1.0]:.0%} at T = 1, {off[20.0]:.0%} at T = 20, {off[HIGH]:.1%} at T = {HIGH:.0f} and "
        f"{off[1e4]:.1e} at T = 10,000, for logits of standard deviation {DEVIATION:g}",
    )


def _constant(z: Tensor, v: Tensor) -> Claim:
    moved = float((soft_target_kl(z + 5, v, temperature=HIGH) - soft_target_kl(z, v, temperature=HIGH)).abs())
    plain = float((z + 5 - v).square().mean() - (z - v).square().mean())
    return Claim(
        "What is matched are centred logits: a constant added to all of them changes nothing",
        moved < 1e-9,
        f"adding 5 changes T² · KL by {moved:.0e}, and the plain squared difference by {plain:.0f}",
    )


def _limit(loss: dict[float, float], off: dict[float, float]) -> Picture:
    def draw(axes: Axes) -> None:
        for values, colour, marker, name in ((loss, GOOD, "o", "loss"), (off, BAD, "^", "gradient")):
            axes.plot(list(values), list(values.values()), color=colour, marker=marker, markersize=5, mew=0)
            end = (TEMPERATURES[-1], values[TEMPERATURES[-1]])
            axes.annotate(name, end, (0, 8), textcoords="offset points", color=colour, ha="right")
        axes.set(xscale="log", yscale="log", xlabel="temperature", ylabel="share by which it is off")

    caption = "How far T² · KL and its gradient are from logit matching. Straight lines: the error falls as 1/T."
    return Picture("limit", "The limit", caption, draw)


def _gradients(z: Tensor, v: Tensor) -> Picture:
    rows = slice(0, 60)
    difference = (z - v)[rows].flatten()

    def draw(axes: Axes) -> None:
        for t, colour, marker in zip(SHOWN, (BAD, MUTED, GOOD), ("^", "s", "o"), strict=True):
            scaled = CLASSES * t**2 * gradient(z, v, t)[rows].flatten()
            axes.plot(difference, scaled, marker, color=colour, markersize=3, mew=0, alpha=0.5, label=f"T = {t:g}")
        axes.axline((0, 0), slope=1, color=MUTED, linewidth=0.8, linestyle=(0, (4, 2)))
        axes.set(xlabel="z - v", ylabel="N · T² · gradient", ylim=(-16, 16))
        axes.legend(frameon=False, markerscale=2)

    caption = (
        "Each mark is one class of one row. At T = 20 the student is told how far its logits are off (dashed: exactly "
        "so); at T = 1 it hears of the few classes that either network holds for likely."
    )
    return Picture("gradients", "What a student is told", caption, draw)


EXPERIMENT = LogitMatching()
