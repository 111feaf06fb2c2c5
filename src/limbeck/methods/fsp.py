"""A Gift from Knowledge Distillation: Fast Optimization, Network Minimization and Transfer Learning.

Junho Yim, Donggyu Joo, Jihoon Bae, Junmo Kim. CVPR 2017.

    G[i, j] = Σ_{s,t} F¹[s, t, i] · F²[s, t, j] / (h · w)                   Eq. 1
    L_FSP   = 1 / N · Σ_x Σ_l λ_l · ‖G_l^T(x) - G_l^S(x)‖²_F                Eq. 2

Stage 1 trains the student by L_FSP alone: its weights are then the initialisation of stage 2, which trains on the
labels, without the teacher.

Symbols:

    F¹ [b m h w]   features of the first layer of a section of the network
    F² [b n h w]   features of its last layer
    G [b m n]      the flow of solution procedure (FSP) between them
    λ              1 for every section, as in the paper, times `weight`
    N              examples x

Student and teacher need as many channels as each other in each of these layers; maps of different sizes within one
flow are brought to the smaller size by max pooling, and the sizes of student and teacher may differ.

For students that should differ from each other although they have one teacher, the paper shuffles rows and columns of
the teacher's matrices: another order of its channels is an equivalent teacher. With `shuffle` the order is drawn from
the seed of the run.

Flows compare channel by channel, so a teacher of the student's kind should not begin with the student's weights: give
its run another seed.

Differs from the paper: nothing known, but there was only a summary of the paper to work from. What it takes for the
first layer of a section it shows in a picture; `auto` takes the first activation, in a stage that consists of several
modules that of the last one. Where the blocks of a network run one activation several times, as torchvision's ResNets
do, that is what it gives last: the end of the first block. The paper's learning rates are 0.001 in stage 1 and 0.1 in
stage 2, hence `flow_rate`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor, nn

from limbeck.adapters.maps import as_map, check_flows, check_maps, map_channels
from limbeck.adapters.orders import Orders
from limbeck.core.errors import MethodError
from limbeck.core.method import Method, Nets, Shapes
from limbeck.core.pairs import check_deepest, known
from limbeck.core.plan import At, Stage, Turn
from limbeck.core.sections import Section, proposed_sections
from limbeck.core.settings import settings
from limbeck.losses.features import flow, flow_loss


@settings
class FSP(Method):
    """Flows between layers first, then the labels, in two stages.

    Args:
        taps: sections, each with its first and last layer in either network; `auto` = equal stages of both.
        flow_share: part of the training that is stage 1.
        flow_rate: multiplier of the learning rate in stage 1.
        weight: of the sum over sections.
        shuffle: whether the teacher's channels are put in another order, drawn from the seed.
    """

    taps: Literal["auto"] | Annotated[tuple[Section, ...], Field(min_length=1)] = "auto"
    flow_share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    flow_rate: Annotated[float, Field(gt=0)] = 0.01
    weight: Annotated[float, Field(gt=0)] = 1.0
    shuffle: bool = False

    def settled(self, models: Mapping[str, nn.Module], run: Callable[[nn.Module], Any]) -> Method:
        """Equal stages, where no taps are named."""
        return replace(self, taps=proposed_sections(models, run)) if self.taps == "auto" else self

    @property
    def sections(self) -> tuple[Section, ...]:
        """The sections, once they are known."""
        return known(self.taps)

    def tapped(self) -> Mapping[str, Sequence[str]]:
        """Both ends of every section, each tap once."""
        roles = ("student", "teacher")
        return {role: tuple(dict.fromkeys(tap for s in self.sections for tap in s.of(role))) for role in roles}

    def adapters(self, nets: Nets, shapes: Shapes) -> Mapping[str, nn.Module]:
        """The orders of the teacher's channels, if they are to be shuffled.

        Raises:
            MethodError: a flow of the student and that of the teacher have different shapes, begins where it ends, or
                has a layer without a map.
        """
        check_maps(self.tapped(), shapes)
        for number, section in enumerate(self.sections, start=1):
            for role in ("student", "teacher"):
                if len(set(section.of(role))) == 1:
                    raise MethodError(
                        f"fsp: section {number} begins and ends at {section.of(role)[0]!r} of the {role}; a flow lies "
                        "between two layers"
                    )
        check_flows(self.sections, shapes)
        for role, taps in self.tapped().items():
            check_deepest(self.sections[-1].of(role)[1], taps, list(shapes[role]))
        channels = {tap: map_channels(shapes["teacher"][tap]) for tap in self.tapped()["teacher"]}
        return {"orders": Orders(channels)} if self.shuffle else {}

    def needs_labels(self) -> bool:
        """Flows say nothing of the answers."""
        return True

    def plan(self) -> Sequence[Stage]:
        """Both networks stop at the end of the last section in stage 1; the teacher does not run in stage 2."""
        return (
            Stage("flow", (Turn("flow_terms", {"student": self.flow_rate}),), share=self.flow_share),
            Stage("task", (Turn("task_terms", ("student",)),), share=1 - self.flow_share),
        )

    def flow_terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        """Stage 1."""
        last = self.sections[-1]
        teacher, student = nets["teacher"](batch, until=last.teacher[1]), nets["student"](batch, until=last.student[1])
        own = {tap: as_map(features) for tap, features in student.taps.items()}
        other = {tap: as_map(features) for tap, features in teacher.taps.items()}
        if self.shuffle:
            other = {tap: nets.adapters["orders"](tap, features) for tap, features in other.items()}
        losses = [
            flow_loss(flow(*(own[tap] for tap in s.student)), flow(*(other[tap] for tap in s.teacher)))  # Eqs. 1, 2
            for s in self.sections
        ]
        return {"flow": self.weight * sum(losses[1:], losses[0])}

    def task_terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        """Stage 2."""
        return {"task": nets.task.supervised(nets["student"](batch), batch)}
