"""limbeck: knowledge distillation on PyTorch.

from limbeck.losses import soft_target_kl           one loss, a function
from limbeck import KD, Classification, Distiller   one module, in a loop of your own
limbeck.run("digits/kd")                            everything: teacher, baseline, student, report, export
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limbeck.cli.pipeline import run
    from limbeck.core.distiller import Distiller
    from limbeck.core.errors import LimbeckError
    from limbeck.core.method import Method
    from limbeck.methods.compose import Compose
    from limbeck.methods.kd import KD
    from limbeck.methods.supervised import Supervised
    from limbeck.tasks.classification import Classification
    from limbeck.train.fit import fit
    from limbeck.train.settings import Train

__all__ = [
    "KD",
    "Classification",
    "Compose",
    "Distiller",
    "LimbeckError",
    "Method",
    "Supervised",
    "Train",
    "fit",
    "run",
]

_HOMES = {
    "KD": "limbeck.methods.kd",
    "Classification": "limbeck.tasks.classification",
    "Compose": "limbeck.methods.compose",
    "Distiller": "limbeck.core.distiller",
    "LimbeckError": "limbeck.core.errors",
    "Method": "limbeck.core.method",
    "Supervised": "limbeck.methods.supervised",
    "Train": "limbeck.train.settings",
    "fit": "limbeck.train.fit",
    "run": "limbeck.cli.pipeline",
}


def __getattr__(name: str) -> object:
    """Import on first use, so that `import limbeck` costs nothing."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
