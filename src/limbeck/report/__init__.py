"""One self-contained HTML page per run: what came of it, in words, figures, numbers and pictures.

page          the page as a whole; `write_report`
facts         sentences and ratios at the top, and what the captions say
table         the table of all networks
drawing       matplotlib to inline SVG that follows the page's colours, light or dark
curves        training curves
tradeoff      accuracy against size and latency
calibration   reliability diagrams
confusion     which classes are taken for which, and what distilling changed
gallery       the test images on which the networks differ most
numbers       how numbers are written
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limbeck.recipe.results import Results

__all__ = ["write_report"]


def write_report(results: Results, path: str | Path) -> Path:
    """Write the page of a finished recipe: one HTML file that needs nothing else and asks the network for nothing.

    Equal results give equal bytes.

    Args:
        results: of `limbeck.recipe.collect`.
        path: the file; it is written whole or not at all.

    Raises:
        MissingPackage: matplotlib or Jinja2 is not installed.
        DataError: a test image cannot be read, or the predictions are of other images than the data set's.
        RunError: the disk is full or the folder cannot be written.
    """
    # Here, because the room's name must be importable without torch and without the extra packages.
    from limbeck.report.page import write

    return write(results, Path(path))
