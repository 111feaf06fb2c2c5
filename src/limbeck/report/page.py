"""The page as a whole: everything that the other files make, put into the templates."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import yaml

from limbeck.core.errors import MissingPackage
from limbeck.core.files import write_atomically
from limbeck.recipe.results import Results
from limbeck.report import calibration, confusion, curves, exits, facts, numbers, table, tradeoff
from limbeck.report.gallery import gallery

if TYPE_CHECKING:
    from jinja2 import Environment

_NEEDED = {"matplotlib": "matplotlib", "jinja2": "Jinja2"}


def write(results: Results, path: Path) -> Path:
    """See `limbeck.report.write_report`."""
    require_packages()
    write_atomically(path, render(results).encode())
    return path


def require_packages() -> None:
    """Raise MissingPackage unless what draws and fills pages is installed."""
    for module, package in _NEEDED.items():
        try:
            import_module(module)
        except ImportError as error:
            raise MissingPackage(package, "report") from error


def render(results: Results) -> str:
    """The page's text.

    Raises:
        DataError: a test image cannot be read, or the predictions are of other images than the data set's.
    """
    return environment().get_template("page.html").render(_context(results))


def environment() -> Environment:
    """Where pages find their templates; everything that is put into them is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("limbeck.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _context(results: Results) -> dict[str, Any]:
    """The names that the templates know."""
    return {
        "title": results.title,
        "headline": facts.headline(results.verdict()),
        "tiles": facts.tiles(results),
        "rows": results.rows(),
        "groups": (groups := table.groups(results)),
        "spreads": any(cell.spread for group in groups for line in group.lines for cell in line.cells),
        "marked": any(cell.best for group in groups for line in group.lines for cell in line.cells),
        "captions": facts.captions(results),
        "timing": facts.timing_caption(results),
        "curves": curves.panels(results),
        "curve_rows": [row for row in results.rows() if any(entry.curves for entry in results.of(row.role))],
        "seeds": max(row.count for row in results.rows()),
        "student": next(row for row in results.rows() if row.role == confusion.student_role(results)),
        "tradeoff": tradeoff.panels(results),
        "early": exits.section(results),
        "calibration": calibration.panels(results),
        "matrix": confusion.matrix(results),
        "pairs": confusion.pairs(results),
        "changes": confusion.changes(results),
        "gallery": gallery(results),
        "exports": [_export(exported) for exported in results.exports],
        "recipe": _yaml(results.recipe),
        "versions": results.versions,
        "notes": results.notes,
        "data": _facts(results.dataset.description),
    }


def _export(exported: Mapping[str, Any]) -> dict[str, str]:
    """A line of the exports' table."""
    speeds: Sequence[Mapping[str, Any]] = exported.get("detail", {}).get("latency") or ()
    single = next((speed for speed in speeds if speed["batch"] == 1), {})
    return {
        "format": exported["format"],
        "file": PurePath(exported["path"]).name,
        "size": numbers.size(exported["bytes"]),
        "difference": f"{exported['max_difference']:.1e}" if exported["max_difference"] else "0",
        "time": _milliseconds(exported.get("median_ms")),
        "live": _milliseconds(single.get("live_median_ms")),
    }


def _milliseconds(value: float | None) -> str:
    return numbers.NOTHING if value is None else f"{numbers.significant(value)} ms"


def _yaml(recipe: Mapping[str, Any]) -> str:
    # Through JSON, so that equal lists are not written as references to one another.
    plain = json.loads(json.dumps(dict(recipe)))
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)


def _facts(description: Mapping[str, Any]) -> dict[str, str]:
    """What is worth reading of the data set's description."""
    kept = {name: value for name, value in description.items() if value not in (None, "", False)}
    return {
        name.replace("_", " "): "yes" if value is True else f"{value:,}" if isinstance(value, int) else str(value)
        for name, value in kept.items()
    }
