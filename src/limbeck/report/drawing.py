"""matplotlib to inline SVG that takes its colours and its font from the page.

A figure is drawn in marker colours that occur nowhere else; in the SVG text they are replaced by the page's CSS
variables, so that one drawing serves light, dark and print. Texts stay texts. Identifiers are derived from the figure's
name, so equal figures give equal bytes and two figures of a page never share one.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limbeck.recipe.results import Role

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, GRID = "#0a0b01", "#0a0b02", "#0a0b03"
GOOD, BAD = "#0a0b05", "#0a0b06"
_TEACHER = "#0a0b07"
_VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid", GOOD: "distilled", BAD: "alone", _TEACHER: "teacher"}


@dataclass(frozen=True)
class Look:
    """How a role is drawn: told apart by more than the colour.

    Args:
        colour: replaced by a CSS variable.
        marker: of points.
        dash: of lines, on and off in units of the line width; empty = solid.
    """

    colour: str
    marker: str
    dash: tuple[float, ...] = ()


LOOKS: Mapping[Role, Look] = {
    "teacher": Look(_TEACHER, "s", (4, 1.6)),
    "alone": Look(BAD, "^", (1.4, 1.2)),
    "distilled": Look(GOOD, "o"),
    "trained": Look(GOOD, "o"),
}

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a class may be called "$5"
    "axes.formatter.useoffset": False,
    "font.size": 11,
    "axes.labelsize": 11,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.linewidth": 1,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "xtick.major.pad": 6,
    "ytick.major.pad": 6,
    "lines.linewidth": 2,
    "lines.dash_capstyle": "butt",
}


@dataclass(frozen=True)
class Panel:
    """A figure and what stands around it.

    Args:
        title: above.
        svg: trusted: made by `chart`.
        caption: below; may be empty.
        aside: beside the title; may be empty.
    """

    title: str
    svg: str
    caption: str = ""
    aside: str = ""


def chart(draw: Callable[[Axes], None], *, name: str, label: str, width: float = 360, height: float = 250) -> str:
    """Draw one pair of axes as an SVG element that grows with its column.

    Args:
        draw: puts something on the axes.
        name: unique on the page.
        label: what a screen reader says instead of the drawing.
        width: in units of which a text is 11 high.
        height: the same.
    """
    import matplotlib.style
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    # From matplotlib's own defaults, so that a user's matplotlibrc does not change the report.
    with matplotlib.style.context(["default", {**_STYLE, "svg.hashsalt": f"limbeck {name}"}]):
        layout = ConstrainedLayoutEngine(w_pad=2 / 72, h_pad=2 / 72)
        figure = Figure(figsize=(width / 72, height / 72), layout=layout)
        axes = figure.add_subplot()
        figure.patch.set_visible(False)
        axes.patch.set_visible(False)
        draw(axes)
        _write_powers_plainly(axes)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _inline(file.getvalue(), label, width, height)


def _write_powers_plainly(axes: Axes) -> None:
    """Logarithmic axes label their ticks in mathematics, which is not read here."""
    from matplotlib.ticker import FuncFormatter, LogFormatter, LogFormatterMathtext

    for axis in (axes.xaxis, axes.yaxis):
        if isinstance(axis.get_major_formatter(), LogFormatterMathtext):
            axis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:g}"))
        if isinstance(axis.get_minor_formatter(), LogFormatterMathtext):
            axis.set_minor_formatter(LogFormatter())  # labels those between powers only where there are few powers


def _inline(document: str, label: str, width: float, height: float) -> str:
    body = document[document.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r"\s*font-family:[^;\"]*;?", "", body)
    # The others are numbered from 1 in every figure.
    used = set(re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', body))
    kept = {name for pair in used for name in pair}
    body = re.sub(r'\s+id="([^"]*)"', lambda match: match[0] if match[1] in kept else "", body)
    body = re.sub(r"\s*\n\s*", " ", body)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, f"var(--{variable})")
    _, _, content = body.partition(">")
    head = (
        f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{_escaped(label)}" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return head + content.strip()


def _escaped(text: str) -> str:
    from markupsafe import escape

    return str(escape(text))
