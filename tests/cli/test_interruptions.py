"""Ctrl-C and a full disk, in processes of their own."""

from __future__ import annotations

import errno
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from limbeck.recipe.measure import Measurement
from limbeck.train.fit import _Loop
from running import copied, limbeck, only, started, write

LONG = ["run", "teacher.yaml", "--quiet", "--set", "train.length=400 epochs", "--set", "train.log=1 steps"]


def wait_for(happened: Callable[[], bool], *, seconds: float = 120.0) -> None:
    """Until something happened; it takes as long as the machine is busy."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


def test_ctrl_c_saves_says_how_to_go_on_and_exits_with_130(tmp_path: Path) -> None:
    lab = write(tmp_path)
    process = started([*LONG, "--profile"], lab)
    wait_for(lambda: any((lab / "runs").glob("teacher-*/metrics.jsonl")))
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 130, text
    assert "student forward" in text, "where the time went until then"
    assert "everything is saved. Run the same command again to go on from here" in " ".join(text.split())
    assert "Traceback" not in text
    (checkpoint,) = (only(lab / "runs", "teacher") / "checkpoints").iterdir()
    assert f"teacher, seed 0: stopped after step {int(checkpoint.stem.removeprefix('step-'))} of 2000" in text


def test_ctrl_c_while_measuring_loses_no_training(
    lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pressed(_self: Measurement) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Measurement, "write", pressed)
        assert limbeck("run", "teacher.yaml", "--quiet", "--runs", "other") == 130
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setattr(_Loop, "_step", None)  # nothing is left to train
    assert limbeck("run", "teacher.yaml", "--quiet", "--runs", "other") == 0
    one, other = (only(lab / root, "teacher") / "student-best.safetensors" for root in ("runs", "other"))
    assert one.read_bytes() == other.read_bytes()


def test_a_full_disk_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    lab = copied(tmp_path / "lab")
    # No file may grow beyond 2 KB: what is left of a disk that fills up. The weights are larger.
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))  # noqa: E731
    process = started(["run", "kd.yaml", "--quiet", "--set", "method.temperature=2"], lab, preexec_fn=limit)
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 1, text
    assert "cannot write" in text
    assert "free space on the disk of" in text
    assert "Traceback" not in text
    assert len(list((lab / "runs").glob("kd-*"))) == 1
    assert not list(lab.rglob("*.part"))


def test_a_disk_that_is_full_later_keeps_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = write(tmp_path)
    monkeypatch.chdir(lab)
    flush, calls = os.fsync, []

    def full_after_a_while(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 40:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(handle)

    every_step = ("--set", "train.checkpoint=1 steps")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full_after_a_while)
        assert limbeck("run", "teacher.yaml", "--quiet", *every_step) == 1
    assert "No space left on device; free space" in " ".join(capsys.readouterr().err.split())
    folder = only(lab / "runs", "teacher")
    assert len(list((folder / "checkpoints").iterdir())) == 2
    assert not list(folder.rglob("*.part"))
    assert limbeck("run", "teacher.yaml", "--quiet") == 0
    assert limbeck("run", "teacher.yaml", "--quiet", "--runs", "other") == 0
    one, other = (only(lab / root, "teacher") / "student-best.safetensors" for root in ("runs", "other"))
    assert one.read_bytes() == other.read_bytes()
