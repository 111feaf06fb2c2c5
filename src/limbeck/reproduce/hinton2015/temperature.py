"""Section 3: which temperature is best, for students of several widths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from limbeck.evaluate.noise import CLEAR, Errors
from limbeck.report.drawing import BAD, GOOD, INK, MUTED
from limbeck.reproduce.experiment import Claim, Line, Outcome, Picture, Scale
from limbeck.reproduce.hinton2015.setting import PAPER, TEMPERATURE, distilled, notes, soft, teacher
from limbeck.sweep.finished import Done
from limbeck.sweep.planning import Asked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MATCHING = {"name": "limbeck.reproduce.hinton2015.matching:MatchLogits"}
WIDE, HIGH = 300, 8.0
"""From so many units per layer on all temperatures from so high on are the same, the paper says."""
MIDDLE = (2.5, 4.0)
"""Where the paper finds the best temperature for 30 units per layer."""
_LOOKS = ((BAD, "^"), (MUTED, "s"), (INK, "D"), (GOOD, "o"))

Grid = Mapping[int, Mapping[float, Errors]]
"""Units per layer -> temperature -> errors."""


@dataclass(frozen=True)
class Temperature:
    """A grid of widths and temperatures, and for each width the limit of the temperature."""

    title: str = "Wide students take any high temperature; the narrowest one wants a lower one."
    paper: str = f"{PAPER}, section 3"

    def runs(self, scale: Scale) -> Sequence[Asked]:
        """One teacher; per width one student at each temperature and one that matches logits."""
        length = "20 epochs" if scale.quick else "40 epochs"
        asked = [teacher(scale)]
        for units in widths(scale):
            asked += [
                distilled(label(units, t), scale, units=units, length=length, method=soft(t))
                for t in temperatures(scale)
            ]
            asked.append(distilled(label(units, None), scale, units=units, length=length, method=MATCHING))
        return asked

    def judge(self, done: Done, scale: Scale) -> Outcome:
        """The grid, and where its rows are lowest."""
        grid = {u: {t: Errors.of(done.of(label(u, t))) for t in temperatures(scale)} for u in widths(scale)}
        limits = {u: Errors.of(done.of(label(u, None))) for u in widths(scale)}
        claims = (_same_when_high(grid), _narrow_wants_lower(grid), _narrow_loses(grid))
        pictures = (_heat(grid, limits), _curves(grid, limits))
        found = Errors.of(done.of("teacher"))
        lines = (Line(f"teacher: errors of {found.images:,}", "67", str(found)), *_lines(grid, limits))
        return Outcome(lines, claims, pictures, notes(scale))


def widths(scale: Scale) -> tuple[int, ...]:
    """Units per layer."""
    return (30, 300) if scale.quick else (30, 100, 300, 800)


def temperatures(scale: Scale) -> tuple[float, ...]:
    """Of the soft targets."""
    return (1.0, 3.0, 8.0, 20.0) if scale.quick else (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 40.0)


def label(units: int, temperature: float | None) -> str:
    """Of the runs of a cell; without a temperature those that match logits."""
    return f"{units}-units-matching" if temperature is None else f"{units}-units-T{temperature:g}"


def best(row: Mapping[float, Errors]) -> float:
    """The temperature with the fewest errors; the lowest of equals."""
    return min(row, key=lambda t: (row[t].mean, t))


def _lines(grid: Grid, limits: Mapping[int, Errors]) -> list[Line]:
    lines = []
    for units, row in grid.items():
        papers = "above 8: all alike" if units >= WIDE else "2.5 to 4" if units == min(grid) else "–"
        lines.append(Line(f"{units} units: best temperature", papers, f"{best(row):g}"))
        errors = f"{row[best(row)]}; {row[TEMPERATURE]}; {limits[units]}"
        lines.append(Line(f"{units} units: errors there; at T = {TEMPERATURE:g}; matching logits", "–", errors))
    return lines


def _same_when_high(grid: Grid) -> Claim:
    held, words = True, []
    for units in (units for units in grid if units >= WIDE):
        high = [errors for t, errors in grid[units].items() if t >= HIGH]
        mean = sum(errors.mean for errors in high) / len(high)
        held &= all(abs(errors.mean - mean) <= CLEAR * errors.noise for errors in high)
        low, top = min(e.mean for e in high), max(e.mean for e in high)
        words.append(f"{units} units: {low:.0f} to {top:.0f} errors, noise ± {high[0].noise:.0f}")
    return Claim(
        f"With {WIDE} units per layer and more, all temperatures from {HIGH:g} on give the same",
        held,
        f"{'; '.join(words)}; each within {CLEAR:g} times its noise of their mean",
    )


def _narrow_wants_lower(grid: Grid) -> Claim:
    narrow, wide = min(grid), max(grid)
    low, high = best(grid[narrow]), best(grid[wide])
    return Claim(
        f"The best temperature of {narrow} units per layer is lower than that of {wide}",
        low < high,
        f"T = {low:g} with {grid[narrow][low]} errors, against T = {high:g} with {grid[wide][high]}",
    )


def _narrow_loses(grid: Grid) -> Claim:
    narrow = min(grid)
    row = grid[narrow]
    middle = {t: errors for t, errors in row.items() if MIDDLE[0] <= t <= MIDDLE[1]}
    t = best(middle)
    fewer = row[t].fewer_than(row[TEMPERATURE])
    lowest = row[t].fewer_than(row[min(row)])
    return Claim(
        f"With {narrow} units a temperature between {MIDDLE[0]:g} and {MIDDLE[1]:g} is better than T = {TEMPERATURE:g}",
        fewer.clear,
        f"T = {t:g} makes {fewer} errors fewer than T = {TEMPERATURE:g}; than T = {min(row):g} {lowest} fewer, "
        f"which is {'clear' if lowest.clear else 'not clear'}",
    )


def _heat(grid: Grid, limits: Mapping[int, Errors]) -> Picture:
    units, columns = list(grid), [*next(iter(grid.values()))]

    def draw(axes: Axes) -> None:
        from matplotlib.patches import Rectangle

        for row, u in enumerate(units):
            cells = [*(grid[u][t].mean for t in columns), limits[u].mean]
            for column, value in enumerate(cells):
                excess = min(1.0, (value / min(cells) - 1) / 0.5)
                colour, strength = (GOOD, 0.4) if value == min(cells) else (BAD, 0.05 + 0.45 * excess)
                box = Rectangle((column - 0.47, row - 0.45), 0.94, 0.9, color=colour, alpha=strength, lw=0)
                axes.add_patch(box)
                axes.text(column, row, f"{value:.0f}", ha="center", va="center_baseline", color=INK, size=9.5)
        axes.set_xticks(range(len(columns) + 1), [*(f"{t:g}" for t in columns), "∞"])
        axes.set_yticks(range(len(units)), [str(u) for u in units])
        axes.set(xlim=(-0.5, len(columns) + 0.5), ylim=(len(units) - 0.5, -0.5), xlabel="temperature")
        axes.set_ylabel("units per layer")
        axes.grid(visible=False)

    caption = (
        "Test errors. In each row the best cell is marked, and the others are the darker the more errors they have in "
        "proportion. ∞ is matching logits."
    )
    return Picture("heat", "Width and temperature", caption, draw, width=520, height=70 + 34 * len(units))


def _curves(grid: Grid, limits: Mapping[int, Errors]) -> Picture:
    def draw(axes: Axes) -> None:
        for (units, row), (colour, marker) in zip(grid.items(), _LOOKS[-len(grid) :], strict=True):
            values, noises = [e.mean for e in row.values()], [e.noise for e in row.values()]
            axes.errorbar(
                list(row), values, noises, color=colour, marker=marker, markersize=5, mew=0, capsize=2, linewidth=1.4
            )
            axes.axhline(limits[units].mean, color=colour, linewidth=0.9, linestyle=(0, (4, 2)))
            axes.annotate(
                f"{units} units", (max(row), values[-1]), (4, 0), textcoords="offset points", color=colour, va="center"
            )
        ticks = [t for t in next(iter(grid.values())) if t in (1, 2, 3, 4, 8, 20, 40)]
        axes.set(xscale="log", yscale="log", xlabel="temperature", ylabel="test errors")
        axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axes.minorticks_off()

    caption = (
        "Means with their noise over seeds and test images. Dashed: matching logits, the limit of the temperature."
    )
    return Picture("temperatures", "Errors by temperature", caption, draw, width=420, height=300)


EXPERIMENT = Temperature()
