"""A network inside a wider one that shares its weights: the first channels of every tensor are its own."""

from limbeck.adapters.widening.calibration import recalibrate
from limbeck.adapters.widening.sorting import sort_channels
from limbeck.adapters.widening.supernet import plain, try_stretched, view_of, widen

__all__ = ["plain", "recalibrate", "sort_channels", "try_stretched", "view_of", "widen"]
