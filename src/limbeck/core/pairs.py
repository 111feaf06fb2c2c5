"""Which tap of the student learns from which tap of the teacher, and a proposal where nobody says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field
from torch import nn

from limbeck.core.bridge import inner
from limbeck.core.errors import MethodError
from limbeck.core.method import Method, Nets, Shapes
from limbeck.core.outline import Outline, Unit, outline
from limbeck.core.settings import settings


@settings
class Pair:
    """Two taps that belong together.

    Args:
        student: tap path.
        teacher: tap path.
    """

    student: str
    teacher: str


Pairs = Literal["auto"] | Annotated[tuple[Pair, ...], Field(min_length=1)]
"""Pairs from shallow to deep, or `auto`: the ends of equal stages, found when the networks are known."""


SAME_STRIDE = 1.25
"""Strides count as equal up to this factor: layers without padding make maps a little smaller than a half."""

T = TypeVar("T")


def known(taps: T | Literal["auto"]) -> T:
    """Taps that are decided; raises MethodError while they are still `auto`."""
    if isinstance(taps, str):
        raise MethodError("taps: auto is decided when a Distiller is made of the method; ask the `method` of that")
    return taps


@settings
class Paired(Method):
    """Base of methods that compare layers of the student with layers of the teacher, pair by pair.

    Args:
        taps: pairs of layers, from shallow to deep; `auto` = the ends of equal stages.
    """

    taps: Pairs = "auto"

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The pairs; raises MethodError while they are still `auto`."""
        return known(self.taps)

    def settled(self, models: Mapping[str, nn.Module], run: Callable[[nn.Module], Any]) -> Method:
        """The ends of equal stages, where no taps are named."""
        return replace(self, taps=proposed(models, run)) if self.taps == "auto" else self

    def needs_labels(self) -> bool:
        """Layers say nothing of the answers."""
        return True

    def tapped(self) -> Mapping[str, Sequence[str]]:
        """Both sides of the pairs, each tap once."""
        taps = {"student": [pair.student for pair in self.pairs], "teacher": [pair.teacher for pair in self.pairs]}
        return {role: tuple(dict.fromkeys(paths)) for role, paths in taps.items()}

    def adapters(self, nets: Nets, shapes: Shapes) -> Mapping[str, nn.Module]:
        """None; but the pairs are looked at, because a teacher that is needed for nothing else stops at the last one.

        Raises:
            MethodError: the teacher reaches the tap of the last pair before that of another.
        """
        check_deepest(self.pairs[-1].teacher, [pair.teacher for pair in self.pairs], list(shapes["teacher"]))
        return {}


def check_deepest(last: str, named: Sequence[str], order: Sequence[str]) -> None:
    """The tap that is named last is the one that the network reaches last, so that a pass which stops there has all.

    Args:
        last: tap path.
        named: the taps that are needed.
        order: all taps, in the order in which the network reaches them.

    Raises:
        MethodError: it is not.
    """
    reached = [path for path in order if path in set(named)]
    if reached[-1] != last:
        raise MethodError(
            f"taps: expected layers from shallow to deep, but {last!r}, the last one, comes before {reached[-1]!r}"
        )


def proposed(models: Mapping[str, nn.Module], run: Callable[[nn.Module], Any]) -> tuple[Pair, ...]:
    """Pairs for the roles `student` and `teacher`, from shallow to deep.

    Args:
        models: role -> network.
        run: runs a network on the example.

    Raises:
        MethodError: a network gives no feature map and no tokens, so that there is nothing to propose.
    """
    found = outlines(models, run)
    return tuple(Pair(student=s.path, teacher=t.path) for s, t in matched(found["student"], found["teacher"]))


def middle(pairs: Sequence[Pair]) -> Pair:
    """The pair in the middle; of an even number the earlier one."""
    return pairs[(len(pairs) - 1) // 2]


def outlines(models: Mapping[str, nn.Module], run: Callable[[nn.Module], Any]) -> dict[str, Outline]:
    """The outlines of student and teacher.

    Raises:
        MethodError: one of them gives no features.
    """
    found = {role: outline(models[role], run) for role in ("student", "teacher")}
    for role, one in found.items():
        lacking = what_is_lacking(one)
        if lacking:
            raise MethodError(
                f"taps: auto finds {lacking} in the {role} ({type(inner(models[role])).__name__}); name the taps"
            )
    return found


def what_is_lacking(found: Outline) -> str:
    """What of a network cannot be paired, in words; empty if it can."""
    if not found.stages:
        return "neither a feature map [b c h w] nor tokens [b n d]"
    if found.is_partial:
        return (
            f"feature maps [b c h w] or tokens [b n d] after {found.covered} of {found.layered} layers only, and "
            "features of another form, such as [b h w c], after the others"
        )
    return ""


def ends_of_stages(model: nn.Module, run: Callable[[nn.Module], Any]) -> list[str]:
    """The ends of a network's stages, or of three equal parts of one without stages, from shallow to deep.

    A mere pooling is no stage here.

    Args:
        model: the network.
        run: runs a network on the example.

    Raises:
        MethodError: it gives no features, or all of it is one part.
    """
    found = outline(model, run)
    lacking = what_is_lacking(found)
    ends = [] if lacking else [unit.path for unit, _ in matched(found, found) if found.layers(unit)]
    if len(ends) < 2:
        raise MethodError(
            f"auto finds {lacking or 'one stage only'} in {type(inner(model)).__name__}; name the modules"
        )
    return ends


def matched(student: Outline, teacher: Outline) -> list[tuple[Unit, Unit]]:
    """Ends of stages that belong together, of the student and of the teacher, from shallow to deep.

    With stages on both sides those of about equal stride, whose maps are as many times smaller than the image; if fewer
    than two agree, or fewer than half of either network's, the deepest with the deepest and so on upwards: of a network
    for small images and one for large ones only the deep end of the one and the shallow end of the other would agree.
    A network without stages is cut at equal depths, into as many parts as the other one has stages, or into three; into
    fewer where it has fewer blocks.
    """
    own, other = student.stages, teacher.stages
    if len(own) > 1 and len(other) > 1:
        strides = ([(unit, one.stride(unit)) for unit in one.stages] for one in (student, teacher))
        common = _of_equal_stride(*strides)
        enough = len(common) > 1 and 2 * len(common) >= max(len(own), len(other))
        count = min(len(own), len(other))
        return common if enough else list(zip(own[-count:], other[-count:], strict=True))
    parts = max(len(own), len(other))
    parts = min(parts if parts > 1 else 3, *(len(_blocks(one)) for one in (student, teacher) if len(one.stages) < 2))
    sides = (one.stages[-parts:] if len(one.stages) > 1 else _cut(_blocks(one), parts) for one in (student, teacher))
    return list(zip(*sides, strict=True))


def _of_equal_stride(own: Sequence[tuple[Unit, float]], other: Sequence[tuple[Unit, float]]) -> list[tuple[Unit, Unit]]:
    """For each unit that has one the teacher's of the nearest stride, up to `SAME_STRIDE`; none twice."""
    found: list[tuple[Unit, Unit]] = []
    for unit, stride in own:
        ratios = {max(stride, far) / min(stride, far): like for like, far in other if like not in dict(found).values()}
        if ratios and min(ratios) <= SAME_STRIDE:
            found.append((unit, ratios[min(ratios)]))
    return found


def _blocks(network: Outline) -> list[Unit]:
    """The units of the most frequent kind: the blocks of a transformer.

    Of kinds that are equally frequent, as in a transformer of one block, the one with most modules inside.
    """
    inside = {(unit.kind, unit.shape): len(network.inside[unit.path]) for unit in network.units}
    kinds = [(unit.kind, unit.shape) for unit in network.units if unit.learns]
    kinds = kinds or list(inside)
    usual = max(kinds, key=lambda kind: (kinds.count(kind), inside[kind]))
    return [unit for unit in network.units if (unit.kind, unit.shape) == usual]


def _cut(blocks: Sequence[Unit], parts: int) -> list[Unit]:
    """The last blocks of so many equal parts, of at most as many as there are blocks."""
    return [blocks[round((part + 1) * len(blocks) / parts) - 1] for part in range(parts)]
