"""Papers' experiments, run again: the figures beside the paper's, and whether each of its claims held.

experiment   what an experiment is: the runs it asks for, and how it judges them
runner       the whole: plan, run, judge, write
ensembles    what several finished networks answer together
page         one self-contained HTML page per outcome
together     several experiments under one name
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from limbeck.core.errors import RecipeError, close

if TYPE_CHECKING:
    from limbeck.reproduce.experiment import Experiment

EXPERIMENTS = {
    "ban2018": "without_teacher.ban:EXPERIMENT",
    "byot2019": "without_teacher.byot:EXPERIMENT",
    "dml2018": "without_teacher.dml:EXPERIMENT",
    "fitnets2015-mnist": "fitnets2015.mnist:EXPERIMENT",
    "fsp2017-cifar10": "fsp2017.cifar10:EXPERIMENT",
    "fsp2017-transfer": "fsp2017.transfer:EXPERIMENT",
    "hinton2015-ensemble": "hinton2015.ensemble:EXPERIMENT",
    "hinton2015-missing-class": "hinton2015.missing_class:EXPERIMENT",
    "hinton2015-mnist": "hinton2015.mnist:EXPERIMENT",
    "hinton2015-regulariser": "hinton2015.regulariser:EXPERIMENT",
    "hinton2015-specialists": "hinton2015.specialists:EXPERIMENT",
    "hinton2015-temperature": "hinton2015.temperature:EXPERIMENT",
    "logit-matching": "logit_matching:EXPERIMENT",
    "netaug2022": "netaug2022.curves:EXPERIMENT",
    "netaug2022-regularisers": "netaug2022.regularisers:EXPERIMENT",
    "one2018": "without_teacher.one:EXPERIMENT",
}
"""Name -> `module of this room:attribute`."""

DESCRIPTIONS = {
    "ban2018": "three generations, each taught by the one before; their ensemble beside independent networks",
    "byot2019": "heads that learn from the network's end; all together; early exits on the clock",
    "dml2018": "two to four networks that learn from each other, alike and unlike",
    "fitnets2015-mnist": "a thin deep student by labels, soft targets, hints, both at once; and how deep it may be",
    "fsp2017-cifar10": "flows first, then a third of a training; ensembles of shuffled students; a small student",
    "fsp2017-transfer": "a teacher of CIFAR-10, a student of 100 classes, and back; beside fine-tuning",
    "hinton2015-ensemble": "ten networks, the means of their answers, and one network distilled from them",
    "hinton2015-missing-class": "a student that never saw a 3, then one that saw only 7s and 8s",
    "hinton2015-mnist": "a large net with dropout and jitter, a small one alone, the small one distilled at T = 20",
    "hinton2015-regulariser": "1 to 30 % of the data: hard labels, early stopping, soft targets",
    "hinton2015-specialists": "specialists for confusable classes correct a generalist; all in one network again",
    "hinton2015-temperature": "students of 30 to 800 units per layer, each at temperatures from 1 to 40",
    "logit-matching": "distilling at a high temperature is matching logits: the limit and the gradient, in numbers",
    "netaug2022": "a tiny and a large network, alone and as a part of wider ones",
    "netaug2022-regularisers": "mixup, DropBlock and others: each helps a large network and costs a tiny one",
    "one2018": "a network with three last stages that learn from their own ensemble",
}
"""Name -> one line for the list."""


def find(name: str) -> Experiment:
    """An experiment by name.

    Raises:
        RecipeError: there is no such experiment.
    """
    if name not in EXPERIMENTS:
        raise RecipeError([f"no experiment is called {name!r}; {close(name, EXPERIMENTS)}"])
    module, _, attribute = EXPERIMENTS[name].partition(":")
    found: Experiment = getattr(import_module(f"limbeck.reproduce.{module}"), attribute)
    return found
