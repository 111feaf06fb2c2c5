"""Two processes under torchrun: they do what one does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from limbeck.recipe.folder import RunFolder
from running import limbeck, names, only

SHORT = (
    "train.length=2 epochs",
    "seeds=1",
    "report=false",
    "evaluate.latency=false",
    "export=[]",
    "train.log=1 epochs",
)


def options(*texts: str) -> list[str]:
    return [part for text in texts for part in ("--set", text)]


def torchrun(folder: Path, *arguments: str) -> str:
    """The command as two processes on the CPU; what they print."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m", "limbeck"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_demo_works_on_two_processes(tmp_path: Path) -> None:
    """Slow because two processes import torch."""
    short = options(*SHORT, "models.teacher.from.set={train.length: 2 epochs, evaluate.latency: false}")
    shown = torchrun(tmp_path, "run", "digits/kd", "--quiet", *short)
    assert names(tmp_path / "runs") == ["digits-cnn-alone", "digits-kd", "digits-teacher"]
    assert shown.count("student distilled") == 1  # one process speaks
    facts = RunFolder(only(tmp_path / "runs", "digits-kd")).read("run.json")
    assert facts["state"] == "finished"
    assert facts["steps"] == 2 * (1200 // 64)
    assert not (only(tmp_path / "runs", "digits-kd") / "checkpoints").exists()


def one_and_two(folder: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, *overrides: str) -> None:
    """A recipe without BatchNorm, in one process and then, with the same teacher, in two: the students are equal."""
    monkeypatch.chdir(folder)
    arguments = ["run", recipe, "--quiet", *options(*SHORT, "baseline=false", *overrides)]
    assert limbeck(*arguments) == 0
    name = recipe.replace("/", "-")
    teacher = only(folder / "runs", name.replace("kd", "teacher"))
    shutil.copytree(teacher, folder / "two" / teacher.name)
    torchrun(folder, *arguments, "--runs", "two")
    one, two = (load_file(only(folder / root, name) / "student-last.safetensors") for root in ("runs", "two"))
    torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-4)
    first, second = (RunFolder(only(folder / root, name)).read("evaluation.json")["last"] for root in ("runs", "two"))
    assert second["nll"] == pytest.approx(first["nll"], rel=1e-3)


@pytest.mark.slow
def test_two_processes_give_every_network_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped recipe without BatchNorm, teacher and all. Slow because two processes import torch."""
    monkeypatch.chdir(tmp_path)
    teacher = "models.teacher.from.set={train.length: 5 epochs, evaluate.latency: false}"
    arguments = ["run", "digits/mlp", "--quiet", *options(*SHORT, teacher)]
    assert limbeck(*arguments) == 0
    torchrun(tmp_path, *arguments, "--runs", "two")
    assert len(names(tmp_path / "two")) == 3
    for name in names(tmp_path / "runs"):
        one, two = (load_file(only(tmp_path / root, name) / "student-last.safetensors") for root in ("runs", "two"))
        torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_two_processes_give_the_student_of_one_on_mnist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_root: Path
) -> None:
    """Slow because two processes import torch and read MNIST."""
    few = "data.subset=2000"
    teacher = f"models.teacher.from.set={{train.length: 1 epochs, {few.replace('=', ': ')}, evaluate.latency: false}}"
    one_and_two(tmp_path, monkeypatch, "mnist/kd", teacher, few)


@pytest.mark.slow
def test_two_processes_read_the_teacher_that_one_has_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With mixup, crops and three views. Slow because two processes import torch."""
    stored = "train.teacher_outputs={name: cached, views: 3, dtype: float32}"
    monkeypatch.chdir(tmp_path)
    sets = options(*SHORT, "baseline=false", stored, "data.augment={shift: 1, mixup: 0.2}", "train.length=4 epochs")
    assert limbeck("run", "digits/mlp", "--quiet", *sets) == 0
    teacher = only(tmp_path / "runs", "digits-mlp-teacher")
    shutil.copytree(teacher, tmp_path / "two" / teacher.name)
    torchrun(tmp_path, "run", "digits/mlp", "--quiet", *sets, "--runs", "two")
    one, two = (load_file(only(tmp_path / root, "digits-mlp") / "student-last.safetensors") for root in ("runs", "two"))
    torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-4)
    files = [
        sorted(path.relative_to(tmp_path / root) for path in (tmp_path / root / "cache").rglob("view-*"))
        for root in ("runs", "two")
    ]
    assert len(files[0]) == 3
    assert files[0] == files[1]
