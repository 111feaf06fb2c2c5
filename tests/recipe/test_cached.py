"""Runs with stored teacher outputs: what shares a cache, what does not, and that students learn the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from limbeck.cli.pipeline import experiment
from limbeck.core.errors import RunError
from limbeck.core.net import Net
from limbeck.recipe.cached import prune
from limbeck.recipe.context import Context
from limbeck.recipe.execute import fill
from limbeck.recipe.folder import RunFolder
from limbeck.recipe.graph import baseline_of
from limbeck.train.cache import caches
from running import copied, only, run, stamps

CACHED = "train.teacher_outputs=cached"
VARIED = "data.augment={shift: 1, mixup: 0.2}"
SHORT = ("train.length=1 epochs", "baseline=false")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: recipes with finished runs."""
    folder = copied(tmp_path / "lab")
    monkeypatch.chdir(folder)
    return folder


def filled(lab: Path, *overrides: str) -> str:
    """Fill ahead; the name of the cache that was used."""
    planned = experiment(lab / "kd.yaml", [CACHED, *overrides], root=lab / "runs").runs[0]
    before = set(stamps(lab / "runs" / "cache")) if (lab / "runs" / "cache").is_dir() else set()
    known = {cache.name for cache in caches(lab / "runs")}
    times = stamps(lab / "runs" / "cache") if before else {}
    fill(planned, Context(progress=False))
    after = stamps(lab / "runs" / "cache")
    assert {name: after[name] for name in before} == times  # what was there is not touched
    new = {cache.name for cache in caches(lab / "runs")} - known
    return new.pop() if new else "known"


def test_live_is_not_in_the_hash_and_cached_is(lab: Path) -> None:
    plain, live, cached, eight = (
        experiment(lab / "kd.yaml", overrides, root=lab / "runs").runs[0]
        for overrides in (
            [],
            ["train.teacher_outputs=live"],
            [CACHED],
            ["train.teacher_outputs={views: 8, name: cached}"],
        )
    )
    assert "teacher_outputs" not in plain.determining["train"]
    assert live.hash == plain.hash
    assert plain.folder == only(lab / "runs", "kd")
    assert len({plain.hash, cached.hash, eight.hash}) == 3
    assert baseline_of(cached).hash == baseline_of(plain).hash


def test_faster_steps_that_are_asked_for_are_in_the_hash_and_defaults_are_not(lab: Path) -> None:
    def hash_of(*overrides: str) -> str:
        return experiment(lab / "kd.yaml", overrides, root=lab / "runs").runs[0].hash

    same = ("train.channels_last=null", "train.compile=false", "train.max_norm=null", "train.reuse_memory=false")
    assert {hash_of(one) for one in same} == {hash_of()}
    other = ("train.channels_last=true", "train.compile=true", "train.compile=reduce-overhead")
    assert len({hash_of(), *map(hash_of, other)}) == 4


@pytest.mark.parametrize(
    "change",
    [
        "method.temperature=2",
        "models.student={name: mlp, hidden: [12]}",
        "train.seed=5",
        "train.length=2 epochs",
        "data.batch=32",
        "data.labelled=30",
        "train.optimizer={name: sgd, lr: 0.1}",
    ],
)
def test_another_student_seed_or_temperature_uses_the_same_cache(lab: Path, change: str) -> None:
    same_teacher = "models.teacher.from={recipe: teacher.yaml, seed: 0}"
    assert filled(lab, same_teacher, VARIED) != "known"
    assert filled(lab, same_teacher, VARIED, change) == "known"


@pytest.mark.parametrize(
    "change",
    [
        "models.teacher.from.set={train.length: 1 epochs}",
        "data.augment={shift: 2, mixup: 0.2}",
        "data.subset=300",
        "train.precision=bf16",
        "train.teacher_outputs={name: cached, views: 2}",
        "train.teacher_outputs={name: cached, views: 0}",
        "train.teacher_outputs={name: cached, dtype: float32}",
        "train.teacher_outputs={name: cached, top: 3}",
        "models.teacher={ensemble: [{from: teacher.yaml}, {from: {recipe: teacher.yaml, seed: 1}}]}",
    ],
)
def test_whatever_changes_an_output_makes_another_cache(lab: Path, change: str) -> None:
    filled(lab, VARIED)
    assert filled(lab, VARIED, change) != "known"


def test_other_weights_make_another_cache(lab: Path) -> None:
    filled(lab)
    path = only(lab / "runs", "teacher") / "student-best.safetensors"
    weights = load_file(path)
    name = next(iter(weights))
    weights[name].view(-1)[0] += 1e-6
    save_file(weights, path)
    assert filled(lab) != "known"


def test_an_ensemble_is_stored_at_the_temperature_at_which_it_teaches(lab: Path) -> None:
    """Its mean depends on it: the mean of softened distributions is not that of sharp ones."""
    pair = "models.teacher={ensemble: [{from: teacher.yaml}, {from: {recipe: teacher.yaml, seed: 1}}]}"
    filled(lab, pair)
    assert filled(lab, pair, "method.temperature=2") != "known"


def trained(lab: Path, *overrides: str) -> dict[str, torch.Tensor]:
    planned = experiment(lab / "kd.yaml", [*SHORT, *overrides], root=lab / "runs").runs[0]
    run(lab / "kd.yaml", *SHORT, *overrides)
    return load_file(planned.folder / "student-last.safetensors")


def test_a_student_of_a_stored_teacher_equals_that_of_a_live_one(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without augmentation both see the same pixels, so only rounding separates them."""
    live = trained(lab)
    passes = []
    whole = Net._pass

    def counting(self: Net, batch: Any, until: str | None, *, quiet: bool) -> Any:
        passes.append((quiet, len(batch[0])))
        return whole(self, batch, until, quiet=quiet)

    monkeypatch.setattr(Net, "_pass", counting)
    exact = trained(lab, "train.teacher_outputs={name: cached, dtype: float32}")
    torch.testing.assert_close(exact, live, rtol=1e-4, atol=1e-6)
    # two probes before and two in the run, the example, and one view in 6 batches; then only the student
    assert sum(quiet for quiet, _ in passes) == 2 + 2 + 1 + 6
    half = trained(lab, CACHED)
    torch.testing.assert_close(half, live, rtol=1e-2, atol=1e-3)


def test_a_run_says_which_cache_it_used_and_prune_keeps_that_one(lab: Path) -> None:
    run(lab / "kd.yaml", *SHORT, CACHED)
    (used,) = caches(lab / "runs")
    planned = experiment(lab / "kd.yaml", [*SHORT, CACHED], root=lab / "runs").runs[0]
    assert RunFolder(planned.folder).read("run.json")["teacher_outputs"] == {"teacher": used.name}
    other = filled(lab, VARIED)
    partial = filled(lab, "train.teacher_outputs={name: cached, dtype: float32}")
    (lab / "runs" / "cache" / partial / "view-000.safetensors").unlink()
    removed = {path.name: why for path, why in prune(lab / "runs")}
    assert removed == {other: "no run refers to it", partial: "not complete"}
    assert caches(lab / "runs") == [used]
    assert used.complete


def test_a_damaged_cache_stops_the_run_before_it_trains(lab: Path) -> None:
    filled(lab)
    (cache,) = caches(lab / "runs")
    path = cache.folder / "view-000.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(RunError, match=r"view-000.safetensors is damaged"):
        run(lab / "kd.yaml", *SHORT, CACHED)
    planned = experiment(lab / "kd.yaml", [*SHORT, CACHED], root=lab / "runs").runs[0]
    assert not planned.folder.exists()
    path.unlink()
    run(lab / "kd.yaml", *SHORT, CACHED)


def test_the_manifest_says_in_words_what_it_is_keyed_by(lab: Path) -> None:
    filled(lab, VARIED)
    (cache,) = caches(lab / "runs")
    manifest = json.loads((cache.folder / "manifest.json").read_text())
    assert manifest["who"] == "teacher (mlp)"
    assert manifest["rows"] == 360
    key = manifest["key"]
    assert key["views"] == 8
    assert key["augment"]["shift"] == 1
    assert key["precision"] == "fp32"
    assert key["data"]["fingerprint"]
    assert key["network"]["model"] == {
        "run": only(lab / "runs", "teacher").name.rpartition("-")[2],
        "part": "student",
    }
    assert len(key["weights_sha256"]) == 64
    assert set(manifest["files"]) == {f"view-{view:03d}.safetensors" for view in range(8)}


def test_a_method_without_a_frozen_network_has_nothing_to_store(lab: Path) -> None:
    with pytest.raises(RunError, match="supervised has no frozen network; expected live"):
        run(lab / "teacher.yaml", CACHED)
