"""Which classes the student takes for which, and what distilling changed for each class."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float64
from torch import Tensor

from limbeck.evaluate.classification import confusion
from limbeck.recipe.results import Results, Role
from limbeck.report import numbers
from limbeck.report.calibration import pooled
from limbeck.report.drawing import BAD, GOOD, GRID, INK, LOOKS, MUTED, Panel, chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FEW = 20
_PAIRS = 6
_MOVED = 6
_RIGHT_RGB, _WRONG_RGB = (58, 134, 190), (214, 116, 32)


@dataclass(frozen=True)
class Pair:
    """A class and what it is most taken for.

    Args:
        true: the class.
        taken: for this one.
        shares: of the true class's images, per role in the order of the table.
    """

    true: str
    taken: str
    shares: Sequence[str]


def student_role(results: Results) -> Role:
    """Whose confusion is shown: the distilled student's, or the only network's."""
    rows = [row.role for row in results.rows()]
    return next(role for role in ("distilled", "trained", "alone", "teacher") if role in rows)


def matrix(results: Results) -> Panel:
    """The confusion matrix of the student; with numbers up to 20 classes, as a picture above."""
    role = student_role(results)
    shares = _shares(results, role)
    classes = results.classes
    few = len(classes) <= _FEW
    label = (
        f"Confusion matrix of the {results.of(role)[0].label}, {len(classes)} classes; "
        "the most frequent confusions are listed in the table that follows."
    )
    svg = chart(
        lambda axes: _draw_cells(axes, shares, classes) if few else _draw_picture(axes, shares),
        name="confusion",
        label=label,
        width=440,
        height=430,
    )
    caption = "Row: true class; column: answer. Share of the true class in %" + (
        ", blank where none." if few else "; the stronger the colour, the larger."
    )
    return Panel("Confusion matrix", svg, caption)


def pairs(results: Results) -> list[Pair]:
    """The student's most frequent confusions, and how frequent they are with the other networks."""
    shares = {row.role: _shares(results, row.role) for row in results.rows()}
    own = shares[student_role(results)].clone().fill_diagonal_(0)
    values, order = own.flatten().sort(descending=True, stable=True)
    found = []
    for value, place in zip(values[:_PAIRS].tolist(), order[:_PAIRS].tolist(), strict=True):
        if value > 0:
            true, taken = divmod(place, len(results.classes))
            written = [numbers.percent(each[true, taken].item(), 1) for each in shares.values()]
            found.append(Pair(results.classes[true], results.classes[taken], written))
    return found


def changes(results: Results) -> Panel | None:
    """Accuracy per class, student alone to what the recipe delivers; None without both."""
    taught = results.taught
    if not results.of("alone") or not results.of(taught):
        return None
    alone, distilled = _per_class(results, "alone"), _per_class(results, taught)
    both = [name for name in results.classes if name in alone and name in distilled]
    both.sort(key=lambda name: distilled[name] - alone[name])
    shown = both if len(both) <= _FEW else both[:_MOVED] + both[-_MOVED:]
    better = sum(distilled[name] > alone[name] for name in both)
    worse = sum(distilled[name] < alone[name] for name in both)
    caption = f"Better in {better} of {len(both)} classes, worse in {worse}."
    if len(shown) < len(both):
        caption += f" Shown: the {_MOVED} that gained and the {_MOVED} that lost most."
    svg = chart(
        lambda axes: _draw_changes(axes, shown, alone, distilled),
        name="changes",
        label=f"Accuracy per class, student alone and {taught}. {caption}",
        height=60 + 21 * len(shown),
    )
    return Panel(f"Accuracy per class, alone to {taught}", svg, caption)


def _shares(results: Results, role: Role) -> Float64[Tensor, "c c"]:
    """Rows sum to 1, over all seeds together; a row without images is zero."""
    counts = confusion(pooled(results.of(role))).double()
    return counts / counts.sum(1, keepdim=True).clamp_min(1)


def _per_class(results: Results, role: Role) -> dict[str, float]:
    """The mean over seeds, of the classes that have test images."""
    found = {}
    for name in results.classes:
        values = [value for entry in results.of(role) if (value := entry.per_class.get(name)) is not None]
        if values:
            found[name] = statistics.fmean(values)
    return found


def _draw_cells(axes: Axes, shares: Tensor, classes: Sequence[str]) -> None:
    from matplotlib.patches import Rectangle

    worst = shares.clone().fill_diagonal_(0).max().clamp_min(1e-9)
    for row, line in enumerate(shares.tolist()):
        for column, share in enumerate(line):
            if not share:
                axes.add_patch(Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, color=GRID, alpha=0.22, lw=0))
                continue
            right = row == column
            # At most half opaque, so that the text in the page's ink is legible on it in light and dark.
            strength = 0.08 + 0.42 * share if right else 0.1 + 0.4 * (share / worst.item()) ** 0.5
            box = Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, color=GOOD if right else BAD, alpha=strength, lw=0)
            axes.add_patch(box)
            text = f"{100 * share:.0f}" if share >= 0.0095 else "<1"
            size = 10 if len(classes) <= 12 else 7
            axes.text(column, row, text, ha="center", va="center_baseline", color=INK, size=size)
    _name_axes(axes, len(classes))
    axes.set_xticks(range(len(classes)), [_cut(name) for name in classes], rotation=90 if _long(classes) else 0)
    axes.set_yticks(range(len(classes)), [_cut(name) for name in classes])


def _draw_picture(axes: Axes, shares: Tensor) -> None:
    """One pixel per cell: hue says right or wrong, opacity how often, so it works on any background."""
    strength = torch.where(shares > 0, 0.12 + 0.88 * shares.sqrt(), 0.0)
    pixels = torch.zeros(*shares.shape, 4, dtype=torch.uint8)
    pixels[..., :3] = torch.tensor(_WRONG_RGB, dtype=torch.uint8)
    diagonal = torch.arange(len(shares))
    pixels[diagonal, diagonal, :3] = torch.tensor(_RIGHT_RGB, dtype=torch.uint8)
    pixels[..., 3] = (255 * strength).round().clamp(max=255).to(torch.uint8)
    axes.imshow(pixels.numpy(), interpolation="none")
    _name_axes(axes, len(shares))


def _name_axes(axes: Axes, classes: int) -> None:
    axes.set(
        xlim=(-0.5, classes - 0.5), ylim=(classes - 0.5, -0.5), xlabel="answer", ylabel="true class", aspect="equal"
    )
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)


def _draw_changes(axes: Axes, names: Sequence[str], alone: dict[str, float], distilled: dict[str, float]) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    for place, name in enumerate(names):
        axes.plot([alone[name], distilled[name]], [place, place], color=MUTED, linewidth=1.2, zorder=2)
        for look, value in ((LOOKS["alone"], alone[name]), (LOOKS["distilled"], distilled[name])):
            axes.plot([value], [place], look.marker, color=look.colour, markersize=7.5, mew=0, zorder=3, clip_on=False)
    axes.grid(visible=True, axis="x")
    axes.set_yticks(range(len(names)), [_cut(name) for name in names])
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def _long(classes: Sequence[str]) -> bool:
    return max(len(name) for name in classes) > 3


def _cut(name: str) -> str:
    return name if len(name) <= 16 else f"{name[:15]}…"
