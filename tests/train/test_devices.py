from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch
from accelerate import PartialState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS
from accelerate.utils import LoggerType
from torch import nn

from limbeck.core.errors import MissingPackage, TrainingError
from limbeck.train.devices import check_bfloat16, check_trackers, main_alone, open_accelerator
from train.waiting import WORLD, train, work


def test_precisions_follow_each_other_in_one_process() -> None:
    assert open_accelerator("fp32").mixed_precision == "no"
    assert open_accelerator("bf16").mixed_precision == "bf16"
    assert open_accelerator("fp32").mixed_precision == "no"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_fp16_needs_a_gpu() -> None:
    with pytest.raises(TrainingError, match="fp16 needs a GPU; on a CPU use bf16 or fp32"):
        open_accelerator("fp16")


class Wrong(nn.Conv2d):
    """What some CPUs do: another result in bfloat16."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.flip(-1) if torch.is_autocast_enabled("cpu") else x)


def test_a_convolution_that_is_wrong_in_bfloat16_is_named() -> None:
    with pytest.raises(TrainingError, match=r"computes the convolution '1' \(Wrong.* wrong in bfloat16; set"):
        check_bfloat16(nn.Sequential(nn.ReLU(), Wrong(3, 8, 4, 4)))


def test_convolutions_that_are_right_in_bfloat16_are_taken() -> None:
    check_bfloat16(nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 8, 3, 1), nn.Conv2d(64, 8, 4, 4)))


def test_processes_that_do_not_find_each_other_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    open_accelerator("fp32")  # Accelerate's state now says one process
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match=r"expected 2 processes \(WORLD_SIZE\), Accelerate found 1"):
        open_accelerator("fp32")


def test_an_unknown_tracker_has_close_names() -> None:
    with pytest.raises(TrainingError, match="no tracker is called 'tensorbord'; close: tensorboard"):
        open_accelerator("fp32", trackers=("tensorbord",))


def test_a_tracker_that_is_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limbeck.train.devices.get_available_trackers", list)
    with pytest.raises(MissingPackage, match=r"tensorboard is not installed.*pip install 'limbeck\[trackers\]'"):
        check_trackers(["tensorboard"])
    with pytest.raises(TrainingError, match=r"wandb is not installed. Install it with: pip install wandb"):
        check_trackers(["wandb"])


def test_trackers_that_are_installed_or_registered_by_the_user_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "diary", object)
    monkeypatch.setattr("limbeck.train.devices.get_available_trackers", lambda: [LoggerType.TENSORBOARD])
    check_trackers(["tensorboard", "diary"])


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize("fails", [False, True])
def test_others_wait_for_the_main_process_longer_than_their_group_would(tmp_path: Path, fails: bool) -> None:
    """And are told when it ends instead."""
    torch.multiprocessing.spawn(work, (str(tmp_path), free_port(), fails), nprocs=WORLD)
    main, other = ((tmp_path / str(rank)).read_text() for rank in range(WORLD))
    assert main == ("the disk is full True" if fails else "waited True")
    assert other == (
        "the main process ended before its work was done; its own message says why True" if fails else "waited True"
    )


def test_a_slow_evaluation_in_the_main_process_does_not_end_a_training_of_two(tmp_path: Path) -> None:
    """Each is longer than the patience of the processes' group; both end with the same network, averaged."""
    torch.multiprocessing.spawn(train, (str(tmp_path), free_port()), nprocs=WORLD)
    main, other = ((tmp_path / str(rank)).read_text() for rank in range(WORLD))
    assert main.startswith("2 ['accuracy'")
    assert other == "2 []"
    torch.testing.assert_close(*(torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(WORLD)))


def test_one_process_waits_for_nobody() -> None:
    with main_alone(PartialState(cpu=True)) as main:
        assert main
