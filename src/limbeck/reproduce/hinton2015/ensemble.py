"""Sections 2 and 5: an ensemble's gain in one network, on each kind of data that it is tried on."""

from __future__ import annotations

from limbeck.reproduce.hinton2015.ensemble_mnist import EnsembleMnist
from limbeck.reproduce.hinton2015.setting import PAPER
from limbeck.reproduce.together import Together

EXPERIMENT = Together(
    title="One network keeps most of what an ensemble gains.",
    paper=f"{PAPER}, sections 2 and 5",
    parts={"MNIST": EnsembleMnist()},
)
