"""One paper, one file, one class; the file name is the name in a recipe."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limbeck.methods.as_is import AsIs
    from limbeck.methods.attention_transfer import AttentionTransfer
    from limbeck.methods.born_again import BornAgain
    from limbeck.methods.byot import BYOT
    from limbeck.methods.compose import Compose
    from limbeck.methods.dml import DML
    from limbeck.methods.early_exit import EarlyExit
    from limbeck.methods.fitnets import FitNets
    from limbeck.methods.fsp import FSP
    from limbeck.methods.hint import Hint
    from limbeck.methods.kd import KD
    from limbeck.methods.netaug import NetAug
    from limbeck.methods.one import ONE
    from limbeck.methods.similarity_preserving import SimilarityPreserving
    from limbeck.methods.supervised import Supervised

METHODS = {
    "as_is": "as_is:AsIs",
    "attention_transfer": "attention_transfer:AttentionTransfer",
    "born_again": "born_again:BornAgain",
    "byot": "byot:BYOT",
    "compose": "compose:Compose",
    "dml": "dml:DML",
    "early_exit": "early_exit:EarlyExit",
    "fitnets": "fitnets:FitNets",
    "fsp": "fsp:FSP",
    "hint": "hint:Hint",
    "kd": "kd:KD",
    "netaug": "netaug:NetAug",
    "one": "one:ONE",
    "similarity_preserving": "similarity_preserving:SimilarityPreserving",
    "supervised": "supervised:Supervised",
}
"""Recipe name -> `file:Class`."""

__all__ = [
    "BYOT",
    "DML",
    "FSP",
    "KD",
    "METHODS",
    "ONE",
    "AsIs",
    "AttentionTransfer",
    "BornAgain",
    "Compose",
    "EarlyExit",
    "FitNets",
    "Hint",
    "NetAug",
    "SimilarityPreserving",
    "Supervised",
]

_HOMES = {name: file for file, _, name in (place.partition(":") for place in METHODS.values())}


def __getattr__(name: str) -> object:
    """Import on first use."""
    if name in _HOMES:
        return getattr(import_module(f"limbeck.methods.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
