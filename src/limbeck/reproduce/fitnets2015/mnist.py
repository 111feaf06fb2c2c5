"""Section 3.4 and section 4: the thin deep student on MNIST by backpropagation, soft targets and hints; and its depth.

The paper trains with RMSProp until nothing improves for 100 epochs; here every way has the same number of steps, of
which hints take a part. What depth does is shown on a part of the images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limbeck.evaluate.noise import Errors
from limbeck.report.drawing import BAD, GOOD, INK, MUTED
from limbeck.reproduce.claims import difference
from limbeck.reproduce.experiment import Claim, Line, Outcome, Picture, Scale
from limbeck.sweep.finished import Done
from limbeck.sweep.planning import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PAPER = "Romero, Ballas, Kahou, Chassang, Gatta, Bengio, FitNets: Hints for Thin Deep Nets, arXiv:1412.6550"
WAYS = ("backprop", "soft", "hints", "joint")
"""Labels only; under soft targets; hints first, then soft targets; both at once."""
NAMES: Mapping[str, str] = {
    "backprop": "backpropagation",
    "soft": "soft targets",
    "hints": "hints, then soft targets",
    "joint": "hints and soft targets at once",
}
PUBLISHED: Mapping[str, str] = {"backprop": "1.9 %", "soft": "0.65 %", "hints": "0.51 %", "joint": "fails"}
BY_DEPTH = WAYS[:3]
WIDTHS = (16, 16, 12)
TRAINS, STALLS = 0.1, 0.5
"""A net is trained below the first share of errors, and has not begun to be above the second."""
_LOOKS = {"backprop": (BAD, "^"), "soft": (INK, "s"), "hints": (GOOD, "o"), "joint": (MUTED, "D")}


@dataclass(frozen=True)
class Size:
    """How large the experiment is.

    Args:
        images: of the table; 60,000 = all.
        length: of the students' training there.
        teacher: length of the teacher's training.
        part: images on which depth is tried.
        depths: layers in each of three groups.
        by_depth: length of the students' training there.
    """

    images: int
    length: str
    teacher: str
    part: int
    depths: tuple[int, ...]
    by_depth: str


FULL = Size(60_000, "15 epochs", "10 epochs", part=20_000, depths=(2, 4, 8), by_depth="12 epochs")
QUICK = Size(6_000, "12 epochs", "8 epochs", part=3_000, depths=(2, 8), by_depth="10 epochs")


@dataclass(frozen=True)
class FitNetsMnist:
    """A teacher, the thin deep student four ways, and three of them by depth."""

    title: str = "Hints train a student that is thinner and deeper than its teacher."
    paper: str = f"{PAPER}, sections 3.4 and 4.1"

    def runs(self, scale: Scale) -> Sequence[Asked]:
        """One teacher; each way once per seed; each depth once per seed."""
        size = size_of(scale)
        asked = [Asked("teacher", _teacher(size), seeds=(0,))]
        asked += [Asked(way, _student(way, way, size.images, size.length)) for way in WAYS]
        for depth in size.depths:
            for way in BY_DEPTH:
                label = f"{way}-{depth}"
                asked.append(Asked(label, _student(label, way, size.part, size.by_depth, depth=depth)))
        return asked

    def judge(self, done: Done, scale: Scale) -> Outcome:
        """Errors of each way, and by depth."""
        size = size_of(scale)
        errors = {way: Errors.of(done.of(way)) for way in ("teacher", *WAYS)}
        depths = {way: {n: Errors.of(done.of(f"{way}-{n}")) for n in size.depths} for way in BY_DEPTH}
        lines = (
            Line("teacher, 361 K parameters: test error", "0.55 %", _rate(errors["teacher"])),
            *(Line(f"student, {NAMES[way]}: test error", PUBLISHED[way], _rate(errors[way])) for way in WAYS),
            *(
                Line(f"{3 * n + 1} layers, {size.part:,} images, {NAMES[way]}: test error", "–", _rate(depths[way][n]))
                for n in size.depths
                for way in BY_DEPTH
            ),
        )
        claims = (
            _fewer(errors, "hints", "backprop", "Hints and soft targets train it better than labels alone"),
            _fewer(errors, "hints", "soft", "Hints help beyond soft targets"),
            _fewer(errors, "hints", "joint", "Hints and soft targets at once are worse than one after the other"),
            _fewer(errors, "hints", "teacher", "The student with hints makes fewer errors than its teacher"),
            _deeper(depths),
        )
        return Outcome(lines, claims, (_bars(errors), _by_depth(depths)), _notes(scale, size))


def size_of(scale: Scale) -> Size:
    """The sizes of a scale."""
    return QUICK if scale.quick else FULL


def _teacher(size: Size) -> dict[str, Any]:
    return {
        "name": "fitnets2015-teacher",
        "data": _data(size.images),
        "models": {"student": {"name": "maxout_mnist"}},
        "method": "supervised",
        "train": {
            "length": size.teacher,
            "optimizer": {"name": "adamw", "lr": 1e-3, "weight_decay": 0.05},
            "schedule": {"name": "cosine", "warmup": "50 steps"},
            "precision": "bf16",
        },
        "report": False,
    }


def _student(label: str, way: str, images: int, length: str, *, depth: int = 2) -> dict[str, Any]:
    """The student of so many layers per group, one way."""
    room, taps = "limbeck.reproduce.fitnets2015.ways", {"student": f"layer{2 * depth}", "teacher": "layer2"}
    hint = {"taps": taps, "activation": "maxout"}
    methods: Mapping[str, Any] = {
        "backprop": "supervised",
        "soft": {"name": f"{room}:SoftTargets"},
        "hints": {"name": "fitnets", **hint},
        "joint": {"name": f"{room}:Joint", **hint},
    }
    groups = [[width] * depth for width in WIDTHS]
    models = {"student": {"name": "fitnet_mnist", "groups": groups, "uniform": 0.005}}
    stored = {"teacher_outputs": {"name": "cached", "views": 0}}
    return {
        "name": f"fitnets2015-{label}",
        "data": _data(images),
        "models": models if way == "backprop" else {**models, "teacher": {"from": "teacher.yaml"}},
        "method": methods[way],
        "train": {
            "length": length,
            "optimizer": {"name": "rmsprop", "lr": 5e-4, "alpha": 0.9},
            "schedule": {"name": "linear", "end": 0.1, "warmup": "50 steps"},
            "precision": "bf16",
            **({} if way == "backprop" else stored),
        },
        "report": False,
    }


def _data(images: int) -> dict[str, Any]:
    return {"name": "mnist", "batch": 128, "validation": 0, **({} if images == FULL.images else {"subset": images})}


def _rate(errors: Errors) -> str:
    spread = f" ± {errors.spread / errors.images:.2%}" if len(errors.counts) > 1 else ""
    return f"{errors.rate:.2%}{spread}"


def _fewer(errors: Mapping[str, Errors], one: str, other: str, text: str) -> Claim:
    pair = errors[one], errors[other]
    return Claim(text, pair[0].fewer_than(pair[1]).clear, difference(*pair))


def _deeper(depths: Mapping[str, Mapping[int, Errors]]) -> Claim:
    """Depths at which every seed of one way has not begun to learn, and every seed of the other has learned."""
    images = next(iter(depths["hints"].values())).images
    stalled = {n for n, errors in depths["backprop"].items() if min(errors.counts) > STALLS * images}
    trained = {n for n, errors in depths["hints"].items() if max(errors.counts) < TRAINS * images}
    found = ", ".join(f"{3 * n + 1}" for n in sorted(stalled & trained))
    rates = "; ".join(
        f"{3 * n + 1} layers: {depths['backprop'][n].rate:.1%} and {depths['hints'][n].rate:.1%}"
        for n in depths["hints"]
    )
    return Claim(
        "There is a depth that backpropagation cannot train and hints can",
        bool(found),
        f"errors by labels alone and with hints: {rates}; "
        f"{f'at {found} layers' if found else 'at none of them'} the one stays above {STALLS:.0%} in every seed and "
        f"the other comes below {TRAINS:.0%}",
    )


def _notes(scale: Scale, size: Size) -> tuple[str, ...]:
    setting = (
        "every way has the same number of steps, hints 30 % of them; RMSProp at 0.0005, which falls to a tenth; the "
        "student's weights are drawn evenly from ±0.005 as in the paper; it has 21 K parameters here, 30 K there; "
        "the teacher is trained by AdamW, from torch's own weights; at once, hint and soft targets are added up with a "
        "weight of 1 for the hint"
    )
    depth = f"depth is tried on {size.part:,} images; the paper does so on CIFAR-10, for a fixed number of operations"
    quick = f"quick: {size.images:,} of the 60,000 training images"
    return (setting, depth, quick) if scale.quick else (setting, depth)


def _bars(errors: Mapping[str, Errors]) -> Picture:
    def draw(axes: Axes) -> None:
        for place, way in enumerate(WAYS):
            found, colour = errors[way], _LOOKS[way][0]
            axes.bar(place, 100 * found.rate, width=0.5, color=colour, alpha=0.45)
            axes.errorbar(place, 100 * found.rate, 100 * found.noise / found.images, color=colour, capsize=4)
            axes.plot([place] * len(found.counts), [100 * c / found.images for c in found.counts], ".", color=colour)
        axes.axhline(100 * errors["teacher"].rate, color=MUTED, linewidth=0.9, linestyle=(0, (4, 2)))
        axes.set_xticks(range(len(WAYS)), ["labels", "soft", "hints,\nthen soft", "both\nat once"])
        axes.set(ylabel="test error, %")

    caption = "Means with their noise over seeds and test images; dots: seeds. Dashed: the teacher."
    return Picture("ways", "Errors of the thin deep student", caption, draw)


def _by_depth(depths: Mapping[str, Mapping[int, Errors]]) -> Picture:
    def draw(axes: Axes) -> None:
        for way, row in depths.items():
            colour, marker = _LOOKS[way]
            places, values = [3 * n + 1 for n in row], [100 * errors.rate for errors in row.values()]
            noises = [100 * errors.noise / errors.images for errors in row.values()]
            axes.errorbar(places, values, noises, color=colour, marker=marker, mew=0, capsize=2, label=NAMES[way])
        axes.set(yscale="log", xlabel="layers", ylabel="test error, %")
        axes.set_xticks(places, [f"{place}" for place in places])
        axes.minorticks_off()
        axes.legend(frameon=False, fontsize=9)

    caption = "A net that has not begun to learn errs on 90 %."
    return Picture("depth", "How deep it may be", caption, draw, width=420, height=300)


EXPERIMENT = FitNetsMnist()
