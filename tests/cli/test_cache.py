"""`limbeck cache`: fill ahead, list, verify, prune; a killed filling is completed; a killed training goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from limbeck.train.cache import caches
from running import RECIPES, limbeck, only, stamps, started, write

VARIED = ["--set", "data.augment={shift: 1, mixup: 0.2}"]
CACHED = ["--set", "train.teacher_outputs=cached"]
SHORT = ["--set", "train.length=1 epochs", "--set", "baseline=false"]

SLOW = """\
import time
from collections.abc import Callable
import torch
from torch import nn


class Slow(nn.Sequential):
    def forward(self, images):
        time.sleep(0.02)
        return super().forward(images)


def teacher():
    torch.manual_seed(5)
    return Slow(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 10))
"""

RECIPE = """\
data: {name: digits, batch: 48, subset: 400, augment: {shift: 1, mixup: 0.2}}
models: {teacher: {name: "slow_code:teacher"}, student: {name: mlp, hidden: [16], dropout: 0.3}}
method: {name: kd, temperature: 3.0}
train: {length: 300 steps, log: 1 steps, checkpoint: 4 steps, teacher_outputs: cached}
evaluate: {latency: false}
report: false
"""


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join("".join(capsys.readouterr()).split())


def test_fill_list_verify_and_prune(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("cache", "--list") == 0
    assert "no caches" in shown(capsys)
    assert limbeck("cache", "kd.yaml", "--quiet", *CACHED, *VARIED) == 0
    assert "storing what teacher (mlp) gives: 8 views of 360 samples, 0.1 MB (float16) in runs/cache/" in shown(capsys)
    (cache,) = caches(lab / "runs")
    before = stamps(cache.folder)
    assert limbeck("run", "kd.yaml", "--quiet", *CACHED, *VARIED, *SHORT) == 0
    assert "storing" not in shown(capsys)
    assert stamps(cache.folder) == before
    assert limbeck("cache", "--list") == 0
    listed = shown(capsys)
    assert f"runs/cache/{cache.name} 0.1 MB, complete teacher (mlp): 360 samples, 8 views, float16" in listed
    assert limbeck("cache", "--verify") == 0
    assert f"{cache.name}: sound" in shown(capsys)
    assert limbeck("cache", "--prune") == 0
    assert "removed" not in shown(capsys)
    assert limbeck("cache", "kd.yaml", "--quiet", *CACHED) == 0
    assert limbeck("cache", "--prune") == 0
    assert "no run refers to it" in shown(capsys)
    assert caches(lab / "runs") == [cache]


def test_a_damaged_file_is_named(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("cache", "kd.yaml", "--quiet", *CACHED) == 0
    (cache,) = caches(lab / "runs")
    path = cache.folder / "view-000.safetensors"
    path.write_bytes(path.read_bytes().replace(b"F16", b"I16"))
    assert limbeck("cache", "--verify") == 1
    assert str(path.relative_to(lab)) in shown(capsys)


def test_what_is_missing_or_damaged_is_said_of_each(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more in ([], VARIED):
        assert limbeck("cache", "kd.yaml", "--quiet", *CACHED, *more) == 0
    one, other = sorted(caches(lab / "runs"), key=lambda cache: len(list(cache.folder.glob("view-*"))))
    (one.folder / "manifest.json").write_text("{}")
    (other.folder / "view-003.safetensors").unlink()
    shown(capsys)
    assert limbeck("cache", "--list") == 0
    listed = shown(capsys)
    assert "its manifest is damaged" in listed
    assert "1 of 8 views missing" in listed
    assert limbeck("cache", "--verify") == 1
    verified = shown(capsys)
    assert f"{other.name}: sound, 1 views missing" in verified
    assert f"{one.name}/manifest.json" in verified
    assert limbeck("cache", "--prune") == 0
    assert caches(lab / "runs") == []


def test_what_cannot_be_stored_is_refused_before_the_teacher_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(write(tmp_path, RECIPES))
    assert limbeck("cache", "kd.yaml", "--set", "train.teacher_outputs={name: cached, top: 10}") == 1
    assert "top: 10 of 10 classes is no less than all" in shown(capsys)
    assert not list((tmp_path / "runs").glob("teacher-*"))


def test_what_cannot_be_meant_is_refused(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("cache") == 1
    assert "expected one of: a recipe, --list, --verify, --prune" in shown(capsys)
    assert limbeck("cache", "kd.yaml", "--prune") == 1
    assert limbeck("cache", "kd.yaml") == 1
    assert "expected cached: --set train.teacher_outputs=cached" in shown(capsys)


def test_nothing_is_trained_for_outputs_that_are_not_to_be_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(write(tmp_path, RECIPES))
    assert limbeck("cache", "kd.yaml", "--set", "train.teacher_outputs=live") == 1
    assert "so there is nothing to store" in shown(capsys)
    assert not list((tmp_path / "runs").glob("teacher-*"))


def until(ready: Callable[[], object], folder: Path, *arguments: str) -> None:
    """Start the command and kill it as soon as something is so."""
    process = started(arguments, folder)
    try:
        while process.poll() is None and not ready():
            time.sleep(0.001)
        assert process.poll() is None, process.communicate()[0]
    finally:
        process.kill()
        process.communicate()


def finished(folder: Path, *arguments: str) -> str:
    process = started(arguments, folder)
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    return text


@pytest.mark.slow
def test_killed_while_filling_and_while_training_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    """Slow because every attempt is a process of its own that imports torch."""
    whole, broken = (write(tmp_path / name, {"slow.yaml": RECIPE, "slow_code.py": SLOW}) for name in ("one", "other"))
    finished(whole, "run", "slow.yaml", "--quiet")
    views = broken / "runs" / "cache"
    until(lambda: len(list(views.glob("*/view-*"))) == 3, broken, "cache", "slow.yaml")
    (cache,) = caches(broken / "runs")
    assert not cache.complete
    before = stamps(cache.folder)
    until(
        lambda: list((broken / "runs").glob("slow-*/checkpoints/step-00000004*.pt")),
        broken,
        "run",
        "slow.yaml",
        "--quiet",
    )
    after = stamps(cache.folder)
    kept = [name for name in cache.manifest()["files"] if name in before][:2]
    assert kept
    assert all(after[name] == before[name] for name in kept)
    assert cache.complete
    finished(broken, "run", "slow.yaml", "--quiet")
    for name in ("student-last.safetensors", "student-best.safetensors"):
        one, other = (only(folder / "runs", "slow") / name for folder in (whole, broken))
        assert one.read_bytes() == other.read_bytes()
    (other,) = caches(whole / "runs")
    assert other.name == cache.name
    for name in other.manifest()["files"]:
        assert (other.folder / name).read_bytes() == (cache.folder / name).read_bytes()
