"""Nothing is trained: `fit` saves and judges the network as it came."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from limbeck.core.distiller import Distiller
from limbeck.methods.as_is import AsIs
from limbeck.tasks.classification import Classification
from limbeck.train.batches import Cycle
from limbeck.train.fit import fit
from limbeck.train.settings import Train
from little import conv_net, image_batch, values


def test_the_network_is_judged_and_saved_as_it_is(tmp_path: Path) -> None:
    network = conv_net()
    before = values(network)
    found = Distiller(AsIs(), Classification(), {"student": network}, image_batch())
    fitted = fit(
        found,
        Cycle([image_batch()]),
        Train(length="5 steps"),
        folder=tmp_path,
        validation=[image_batch()],
        progress=False,
    )
    assert (fitted.steps, fitted.best_step) == (0, 0)
    assert fitted.last == fitted.best == Classification().evaluate(network, (), [image_batch()])
    for name in ("best", "last"):
        torch.testing.assert_close(load_file(tmp_path / f"student-{name}.safetensors"), before, rtol=0, atol=0)


def test_it_must_come_with_weights() -> None:
    assert not AsIs.trains
    assert AsIs().plan() == ()
