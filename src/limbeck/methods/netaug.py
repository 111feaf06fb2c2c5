"""Network Augmentation for Tiny Deep Learning.

Han Cai, Chuang Gan, Ji Lin, Song Han. ICLR 2022, arXiv:2110.08890. The numbers of the equations are ours.

    L = CE(y, f(x; W_t)) + α · CE(y, f(x; [W_t, W_i]))          Eq. 1
    W_t = W[:out, :in]        of every tensor W of the supernet  Eq. 2

A tiny network under-fits: what helps large networks (augmentation, dropout) hurts it. So it is trained as a part of
wider networks, with which it shares its weights, and gets gradient from their loss beside its own. At each step one
wide network is drawn. At inference nothing is left of the others.

Symbols:

    x [b …]          images, the same in both terms
    y [b]            labels
    W [out in k k]   a tensor of the supernet; of a depthwise convolution [c 1 k k]
    W_t              the tiny network's part of it, the network as given
    [W_t, W_i]       the drawn network's part: W[:out_i, :in_i]
    α                `alpha`

Widths of stem, block outputs and last convolution are drawn from `widths` times their own; a residual connection gives
all that it joins one width. Channels inside a block are round(m · mid / in · active input channels), m from `expands`.
Each draw is uniform and independent of the others. After the share `width_until` of training only `expands` are drawn.

At each epoch's beginning until then (`sort`), the channels inside each block are ordered by the L1 norm of the
projection's input columns, so that the tiny network owns the most important ones. Both networks move the shared running
statistics of BatchNorm, so these are estimated anew from `calibrate` training images for whatever is delivered.

Differs from the paper: read in notes, and its authors' code consulted (mit-han-lab/tinyml). Optimiser states follow the
sort; the code forgets them. The first sort comes after one epoch, so that given weights count, and each after the first
step of an epoch, so that an evaluation sees a network that was trained since. The network keeps the weights it has, and
additional ones are drawn with their spread; the code draws all of them by `kaiming_uniform_(a=√5)`. All processes draw
the same network. Sorting needs epochs: the loop must tell `turns` of them.

What else reads features inside a block, such as a hint in a composition, gets them in another order after each sort:
tap the ends of blocks, or switch `sort` off. A block that expands without a depthwise convolution and has no shortcut
is not told from two layers in a row: its inside is widened by `widths`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn

from limbeck.adapters.widening import plain, recalibrate, sort_channels, try_stretched, view_of, widen
from limbeck.core.method import Method, Nets
from limbeck.core.net import Kind
from limbeck.core.plan import At, Stage, Turn
from limbeck.core.settings import settings

_ROUNDING = 1e-6
"""Of epochs, which are steps divided by their number in an epoch."""

Multipliers = Annotated[tuple[Annotated[float, Field(ge=1)], ...], Field(min_length=1)]


@settings
class NetAug(Method):
    """The student as a part of wider networks that share its weights.

    Args:
        alpha: α, the weight of the wide network's loss.
        widths: multipliers of the channels between blocks.
        expands: multipliers of the channels inside blocks.
        width_until: share of training after which the channels between blocks stay the student's own.
        sort: whether the most important channels inside a block come first, from epoch to epoch until then.
        calibrate: training images from which BatchNorm is estimated anew for each evaluation; 0 = not at all.
    """

    alpha: Annotated[float, Field(gt=0)] = 1.0
    widths: Multipliers = (1.0, 1.8, 2.6)
    expands: Multipliers = (1.0, 1.6, 2.2, 2.8)
    width_until: Annotated[float, Field(ge=0, le=1)] = 0.5
    sort: bool = True
    calibrate: Annotated[int, Field(ge=0)] = 16000

    def compilable(self) -> bool:
        """Every step draws another width, and each would be compiled anew."""
        return False

    def looks_at(self) -> Set[str]:
        """Widths are drawn anew in each step, until a share of training; channels are sorted from epoch to epoch."""
        return {"rng", "fraction", *(("step", "epoch") if self.sort else ())}

    def uses_unlabelled(self) -> bool:
        """Labels only."""
        return False

    def roles(self) -> Mapping[str, Kind]:
        """Two views of the supernet; only the student is given."""
        return {"student": Kind.TRAINED, "wide": Kind.TRAINED}

    def made(self) -> Set[str]:
        """The wider view."""
        return {"wide"}

    def networks(self, models: Mapping[str, nn.Module], run: Callable[[nn.Module], Any]) -> Mapping[str, nn.Module]:
        """The supernet of the student.

        Raises:
            MethodError: the student cannot be widened.
        """
        student, wide = widen(models["student"], widths=self.widths, expands=self.expands)
        view_of(wide).stretch(widths=self.widths, expands=self.expands)
        try_stretched(wide, run)
        return {**models, "student": student, "wide": wide}

    def plan(self) -> Sequence[Stage]:
        """Both losses in one step."""
        return (Stage(turns=(Turn(trains=("student", "wide")),)),)

    def terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        """Eq. 1."""
        widths = self.widths if at.fraction < self.width_until else (1.0,)
        # A copy of `at` begins its draws anew: all micro-batches of a step get the same network.
        view_of(nets["wide"].model).draw(replace(at).rng, widths=widths, expands=self.expands)
        student, wide = nets["student"](batch), nets["wide"](batch)
        return {
            "task": nets.task.supervised(student, batch),
            "wide": self.alpha * nets.task.supervised(wide, batch),
        }

    def after_step(self, nets: Nets, at: At) -> None:
        """Sort the channels, once an epoch has begun."""
        if self.sort and at.step and at.fraction < self.width_until:
            before = at.epoch * (at.step - 1) / at.step
            if int(before + _ROUNDING) < int(at.epoch + _ROUNDING):
                sort_channels(nets["student"].model, nets.reorder)

    def deliver(self, nets: Nets, train: Iterable[Any], validation: Iterable[Any]) -> nn.Module:
        """The student as it was given, with the weights that it has come to."""
        made = plain(nets["student"].model)
        recalibrate(made, train, nets.task.run, images=self.calibrate)
        return made
