from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limbeck.core.errors import Interrupted
from limbeck.methods.kd import KD
from limbeck.train.batches import Cycle
from limbeck.train.checkpoints import load_checkpoint
from limbeck.train.devices import open_accelerator
from limbeck.train.fit import fit
from limbeck.train.record import Record, to_device
from little import image_batch, values
from train.fakes import distiller, plain, scripted
from train.stopping import Stopped

DATA = Cycle([image_batch(8)])


def test_a_batch_that_is_there_already_is_the_same_object() -> None:
    batch = image_batch(4)
    assert to_device(batch, torch.device("cpu")) is batch
    assert to_device(batch, torch.device("meta"))[0].device.type == "meta"


@pytest.mark.parametrize(("interval", "between"), [("3 steps", True), ("0.000001 seconds", True), ("9 minutes", False)])
def test_checkpoints_come_in_steps_or_in_time(tmp_path: Path, interval: str, between: bool) -> None:
    fit(distiller(), DATA, plain("7 steps", checkpoint=interval), folder=tmp_path, progress=False)
    *older, newest = sorted((tmp_path / "checkpoints").iterdir())
    assert newest.name == "step-000000007.pt"  # the last step of a stage is always saved
    assert [path.name for path in older] == (["step-000000006.pt"] if between else [])


def test_the_best_so_far_survives_an_interruption(tmp_path: Path) -> None:
    train = plain("4 steps", evaluate="1 steps")
    arguments = {"folder": tmp_path, "validation": [image_batch(4)], "progress": False}
    with pytest.raises(
        Interrupted, match=r"stopped after step 2 of 4; everything is saved. Run the same command again"
    ):
        fit(distiller(task=scripted(0.9, 0.3)), Stopped(1), train, **arguments)
    result = fit(distiller(task=scripted(0.5, 0.4)), Stopped(), train, **arguments)
    assert (result.best["accuracy"], result.best_step, result.last["accuracy"]) == (0.9, 1, 0.4)


def test_an_average_survives_an_interruption(tmp_path: Path) -> None:
    train = plain("6 steps", momentum=0.9, ema=0.6)
    whole, resumed = distiller(), distiller()
    fit(whole, Stopped(), train, folder=tmp_path / "whole", progress=False)
    with pytest.raises(Interrupted):
        fit(distiller(), Stopped(3), train, folder=tmp_path / "resumed", progress=False)
    fit(resumed, Stopped(), train, folder=tmp_path / "resumed", progress=False)
    torch.testing.assert_close(values(resumed), values(whole), rtol=0, atol=0)


def test_a_checkpoint_holds_no_frozen_network(tmp_path: Path) -> None:
    fit(distiller(KD()), DATA, plain("2 steps"), folder=tmp_path, progress=False)
    _, state = load_checkpoint(tmp_path / "checkpoints") or (None, {})
    assert {name.split(".")[1] for name in state["distiller"]} == {"student"}


def test_the_loss_scale_survives_an_interruption(tmp_path: Path) -> None:
    def record(scale: float) -> Record:
        accelerator = open_accelerator("fp32")
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        arguments = {"folder": tmp_path, "validation": None, "title": "t", "total": 2, "visible": False}
        return Record(distiller(), DATA, plain("2 steps"), accelerator=accelerator, **arguments)

    before = record(8.0)
    before.position.total = 1
    before.checkpoint([])
    after = record(1.0)
    assert after._accelerator.scaler.get_scale() == 8.0


def test_without_loss_scaling_none_is_saved(tmp_path: Path) -> None:
    fit(distiller(), DATA, plain("1 steps"), folder=tmp_path, progress=False)
    _, state = load_checkpoint(tmp_path / "checkpoints") or (None, {})
    assert set(state) == {"distiller", "optimizers", "ema", "frozen", "training"}
