"""The pictures of a comparison: accuracy against cost, gains with their confidence, accuracy along a setting."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from limbeck.compare.comparison import Comparison, Row
from limbeck.compare.grid import RECIPE, written
from limbeck.report import numbers
from limbeck.report.drawing import BAD, GOOD, INK, LOOKS, MUTED, Panel, chart
from limbeck.report.tradeoff import scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW = 24.0

CLOSE = 0.05
"""Of a picture's height; points that are closer share a label."""


def panels(comparison: Comparison) -> list[Panel]:
    """Those for which there is something to draw."""
    found = [
        _tradeoff(comparison, "Accuracy against latency", "ms for one image", lambda row: row.latency),
        _tradeoff(comparison, "Accuracy against size", "parameters", lambda row: row.parameters),
        _gains(comparison),
        _along(comparison),
    ]
    return [panel for panel in found if panel is not None]


def _tradeoff(comparison: Comparison, title: str, unit: str, cost: Callable[[Row], float | None]) -> Panel | None:
    known = {row.number: value for row in comparison.rows if (value := cost(row)) is not None}
    if len(known) < 2:
        return None
    front = comparison.front(cost)

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator, PercentFormatter

        points = [(known[row.number], row.contestant.accuracy) for row in front]
        axes.plot(*zip(*points, strict=True), color=MUTED, linewidth=1, zorder=1, drawstyle="steps-post")
        for row in comparison.rows:
            if row.number in known:
                _point(axes, row, known[row.number])
        _number(axes, [row for row in comparison.rows if row.number in known], known)
        axes.margins(y=0.15)
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.set_xlabel(unit)
        scale(axes, list(known.values()))

    caption = "The numbers are those of the table. The line joins those that no other beats at the same cost or less."
    words = "; ".join(
        f"{row.label}: {numbers.percent(row.contestant.accuracy)} at {numbers.short(known[row.number])} {unit}"
        for row in comparison.rows
        if row.number in known
    )
    return Panel(title, chart(draw, name=title, label=f"{title}. {words}."), caption)


def _point(axes: Axes, row: Row, x: float) -> None:
    look, who = LOOKS[row.contestant.role], row.contestant
    if who.std:
        axes.errorbar(x, who.accuracy, who.std, color=look.colour, linewidth=1, alpha=0.6)
    axes.plot([x], [who.accuracy], look.marker, color=look.colour, markersize=8, mew=0)


def _number(axes: Axes, rows: Sequence[Row], costs: Mapping[int, float]) -> None:
    """Their numbers beside them; those that lie at one place share a label."""
    low, high = axes.get_ylim()
    together: list[list[Row]] = []
    for row in sorted(rows, key=lambda row: (costs[row.number], row.contestant.accuracy)):
        near = together[-1][-1] if together else None
        if (
            near is not None
            and costs[near.number] == costs[row.number]
            and row.contestant.accuracy - near.contestant.accuracy < CLOSE * (high - low)
        ):
            together[-1].append(row)
        else:
            together.append([row])
    for several in together:
        text = ", ".join(str(number) for number in sorted(row.number for row in several))
        place = (costs[several[0].number], statistics.fmean(row.contestant.accuracy for row in several))
        axes.annotate(text, place, (9, 0), textcoords="offset points", color=INK, size=9.5, va="center")


def _gains(comparison: Comparison) -> Panel | None:
    rows = [row for row in comparison.rows if row.gain is not None]
    if not rows:
        return None

    def draw(axes: Axes) -> None:
        axes.axvline(0, color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
        for place, row in enumerate(reversed(rows)):
            gain = row.gain
            assert gain is not None  # noqa: S101 - narrows the type
            colour = GOOD if gain.better else BAD if gain.worse else MUTED
            axes.plot([100 * gain.low, 100 * gain.high], [place, place], color=colour, linewidth=2)
            axes.plot([100 * gain.value], [place], "o", color=colour, markersize=7, mew=0)
        axes.set_yticks(range(len(rows)), [_numbered(row) for row in reversed(rows)])
        axes.set(xlabel="points over the same student alone", ylim=(-0.6, len(rows) - 0.4))
        axes.grid(visible=False, axis="y")

    caption = "Lines: 95 % confidence. Those that cross 0 are not clear."
    svg = chart(draw, name="gains", label=f"Gains over the student alone. {caption}", height=70 + _ROW * len(rows))
    return Panel("Gain over the same student alone", svg, caption)


def _numbered(row: Row) -> str:
    label = row.label if len(row.label) <= 28 else f"{row.label[:27]}…"
    return f"{row.number}  {label}"


def _along(comparison: Comparison) -> Panel | None:
    """Accuracy along the first setting that is a number, one line per recipe and rest of the settings."""
    key = next((key for key, values in comparison.over.items() if all(map(_is_number, values))), None)
    if key is None:
        return None
    lines: dict[str, list[Row]] = {}
    for row in comparison.students:
        setting = row.contestant.setting or {}
        if key in setting:
            rest = [_said(name, value) for name, value in setting.items() if name != key]
            lines.setdefault(", ".join(rest), []).append(row)

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator, PercentFormatter

        for name, rows in lines.items():
            _line(axes, key, name if len(lines) > 1 else "", rows)
        for label in dict.fromkeys(row.contestant.alone for rows in lines.values() for row in rows):
            if label is not None:
                axes.axhline(comparison.row(label).contestant.accuracy, color=BAD, linewidth=1.2, linestyle=(0, (4, 2)))
        if _wide(comparison.over[key]):
            axes.set_xscale("log")
        axes.set_xticks([float(value) for value in comparison.over[key]], [written(v) for v in comparison.over[key]])
        axes.minorticks_off()
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.set_xlabel(key)

    caption = "Means with their standard deviation over seeds. Dashed: the same student alone."
    svg = chart(draw, name="along", label=f"Accuracy along {key}. {caption}")
    return Panel(f"Accuracy along {key.rpartition('.')[2]}", svg, caption)


def _said(name: str, value: Any) -> str:
    return value if name == RECIPE else f"{name.rpartition('.')[2]} {written(value)}"


def _line(axes: Axes, key: str, name: str, rows: Sequence[Row]) -> None:
    points = sorted((float((row.contestant.setting or {})[key]), row) for row in rows)
    x = [value for value, _ in points]
    who = [row.contestant for _, row in points]
    axes.errorbar(
        x, [one.accuracy for one in who], [one.std or 0.0 for one in who], color=GOOD, marker="o", markersize=5
    )
    if name:
        place = (x[-1], who[-1].accuracy)
        axes.annotate(name, place, (6, 0), textcoords="offset points", color=INK, size=9, va="center")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _wide(values: Sequence[Any]) -> bool:
    return min(values) > 0 and max(values) / min(values) >= 8
