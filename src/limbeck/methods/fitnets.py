"""FitNets: Hints for Thin Deep Nets.

Adriana Romero, Nicolas Ballas, Samira Ebrahimi Kahou, Antoine Chassang, Carlo Gatta, Yoshua Bengio. ICLR 2015,
arXiv:1412.6550.

    L_KD = H(y, P_S) + λ · H(P_T^τ, P_S^τ)                                  Eq. 2
    L_HT = ½ · ‖u_h(x) - r(v_g(x))‖²                                        Eq. 3

Stage 1 trains the student up to its guided layer g, and a regressor r, by L_HT. Stage 2 starts from these weights with
a fresh optimiser, leaves r behind, and trains the whole student by L_KD, in which λ falls on a line.

Symbols:

    u [b c h w]   teacher's features at its hint layer h
    v [b d i j]   student's features at its guided layer g
    r             convolution without padding whose kernel makes i × j as small as h × w; non-linearity of the layer h
    P [b c]       distributions of student and teacher; P^τ softened by τ
    τ             `temperature`
    λ             `soft_start` at the beginning of stage 2, `soft_end` from `anneal` of it on

The soft term has no factor τ², and the label term no factor 1 - λ: this is the paper.

Differs from the paper: its squared norm is over all of a map; here it is summed over channels and averaged over places
and examples, so that it does not grow with the image. KL stands for the cross-entropy H between soft targets, which has
the same gradient. The paper trains stage 1 until nothing has improved for 100 epochs; here it has a share of the
training. Where its code starts λ at 5 and its text at 4, the text is followed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from limbeck.adapters.ensemble import with_teacher_at
from limbeck.adapters.maps import as_map, check_maps
from limbeck.adapters.regressor import Activation, ConvolutionalRegressor, Regressor, activation_for
from limbeck.core.errors import MethodError
from limbeck.core.method import Method, Nets, Shapes
from limbeck.core.pairs import Pair, known, middle, proposed
from limbeck.core.plan import At, Stage, Turn
from limbeck.core.rows import over_rows
from limbeck.core.settings import settings
from limbeck.core.task import HasRows
from limbeck.losses.divergence import softened_kl
from limbeck.losses.features import hint_loss


@settings
class FitNets(Method):
    """Hints first, then soft targets, in two stages.

    Args:
        taps: the guided layer (student) and the hint layer (teacher); `auto` = the ends of the middle stages.
        hint_share: part of the training that is stage 1.
        temperature: τ, for both networks.
        soft_start: λ at the beginning of stage 2.
        soft_end: λ at the end of its fall.
        anneal: part of stage 2 after which λ has fallen.
        regressor: `convolution` as in the paper, or `pointwise`: 1×1, after the map was resized.
        activation: of the regressor's output; `auto` = as the hint layer.
    """

    needs: ClassVar[tuple[type, ...]] = (HasRows,)

    taps: Literal["auto"] | Pair = "auto"
    hint_share: Annotated[float, Field(gt=0, lt=1)] = 0.3
    temperature: Annotated[float, Field(gt=0)] = 3.0
    soft_start: Annotated[float, Field(ge=0)] = 4.0
    soft_end: Annotated[float, Field(ge=0)] = 1.0
    anneal: Annotated[float, Field(gt=0, le=1)] = 1.0
    regressor: Literal["convolution", "pointwise"] = "convolution"
    activation: Activation = "auto"

    def settled(self, models: Mapping[str, nn.Module], run: Callable[[nn.Module], Any]) -> Method:
        """The ends of the middle stages, where no taps are named."""
        return replace(self, taps=middle(proposed(models, run))) if self.taps == "auto" else self

    def tapped(self) -> Mapping[str, Sequence[str]]:
        """The guided layer and the hint layer."""
        return {"student": (self.pair.student,), "teacher": (self.pair.teacher,)}

    @property
    def pair(self) -> Pair:
        """The taps, once they are known."""
        return known(self.taps)

    def adapters(self, nets: Nets, shapes: Shapes) -> Mapping[str, nn.Module]:
        """The regressor."""
        check_maps(self.tapped(), shapes)
        student, teacher = shapes["student"][self.pair.student], shapes["teacher"][self.pair.teacher]
        kind = ConvolutionalRegressor if self.regressor == "convolution" else Regressor
        activation = activation_for(self.activation, nets["teacher"], self.pair.teacher, teacher)
        try:
            return {"regressor": kind(student, teacher, activation=activation)}
        except MethodError as error:
            pair = f"{self.pair.student!r} of the student and {self.pair.teacher!r} of the teacher"
            raise MethodError(f"fitnets, {pair}: {error}") from None

    def networks(self, models: Mapping[str, nn.Module], run: Callable[[nn.Module], Any]) -> Mapping[str, nn.Module]:
        """An ensemble is averaged at the temperature at which it teaches."""
        return with_teacher_at(self.temperature, models)

    def looks_at(self) -> Set[str]:
        """The weight of the soft targets falls during the second stage."""
        return {"fraction"}

    def plan(self) -> Sequence[Stage]:
        """Both networks stop at their taps in stage 1, so no gradient reaches what lies above the guided layer."""
        return (
            Stage("hint", (Turn("hint_terms", ("student", "adapters.regressor")),), share=self.hint_share),
            Stage("soft targets", (Turn("soft_terms", ("student",)),), share=1 - self.hint_share),
        )

    def hint_terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        """Stage 1."""
        teacher = nets["teacher"](batch, until=self.pair.teacher)
        student = nets["student"](batch, until=self.pair.student)
        guess = nets.adapters["regressor"](student.taps[self.pair.student])
        return {"hint": hint_loss(guess, as_map(teacher.taps[self.pair.teacher]))}  # Eq. 3

    def soft_terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        """Stage 2."""
        teacher, student = nets["teacher"](batch), nets["student"](batch)
        fall = min(at.fraction / self.anneal, 1.0)
        weight = self.soft_start + (self.soft_end - self.soft_start) * fall

        def soft(own: Tensor, other: Tensor, _targets: Tensor | None) -> Tensor:
            return weight * softened_kl(own, other, temperature=self.temperature)  # Eq. 2

        task = nets.task.supervised(student, batch)
        return {"task": task} | over_rows({"kd": soft}, nets.task.rows(student, batch), nets.task.rows(teacher, batch))
