"""Runs with stored teacher outputs: what shares a cache, what does not, and that students learn the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from limbeck.cli.pipeline import experiment
from limbeck.core.bridge import Bridge
from limbeck.core.errors import RunError
from limbeck.core.net import Net
from limbeck.recipe.cached import prune
from limbeck.recipe.context import Context
from limbeck.recipe.execute import fill
from limbeck.recipe.folder import RunFolder
from limbeck.recipe.graph import baseline_of
from limbeck.train.cache import caches
from running import copied, only, run, stamps, write

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
    assert "sampled" not in cached.determining["train"]["teacher_outputs"]  # as before there was such a choice
    assert baseline_of(cached).hash == baseline_of(plain).hash


def test_faster_steps_that_are_asked_for_are_in_the_hash_and_defaults_are_not(lab: Path) -> None:
    def hash_of(*overrides: str) -> str:
        return experiment(lab / "kd.yaml", overrides, root=lab / "runs").runs[0].hash

    same = (
        *("train.channels_last=null", "train.compile=false", "train.max_norm=null", "train.decay=all"),
        "train.reuse_memory=false",
    )
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
        "train.teacher_outputs={name: cached, sampled: 3}",
        "models.teacher={ensemble: [{from: teacher.yaml}, {from: {recipe: teacher.yaml, seed: 1}}]}",
    ],
)
def test_whatever_changes_an_output_makes_another_cache(lab: Path, change: str) -> None:
    filled(lab, VARIED)
    assert filled(lab, VARIED, change) != "known"


def test_another_version_of_the_package_that_draws_transforms_makes_another_cache(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may draw other pixels from the same numbers, and the student would see those."""
    transforms = "data.augment={transforms: [{name: RandomRotation, degrees: 10}]}"
    few = "train.teacher_outputs={name: cached, views: 1}"
    filled(lab, transforms, few)
    monkeypatch.setattr("limbeck.recipe.cached.version", lambda _package: "0.0")
    assert filled(lab, transforms, few) != "known"


def test_another_way_to_run_a_network_makes_another_cache(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's own task decides what a network gives; a setting of limbeck's own does not."""
    (lab / "darker.py").write_text(DARKER)
    monkeypatch.syspath_prepend(lab)
    filled(lab)
    assert filled(lab, "task={name: classification, label_smoothing: 0.1}") == "known"
    first = filled(lab, "task={name: 'darker:Darker', share: 0.5}")
    assert first != "known"
    assert filled(lab, "task={name: 'darker:Darker', share: 0.6}") not in ("known", first)


DARKER = """\
from limbeck.core.settings import settings
from limbeck.tasks.classification import Classification


@settings
class Darker(Classification):
    \"\"\"Images lose light.

    Args:
        share: of the light that stays.
    \"\"\"

    share: float = 0.5

    def run(self, model, batch):
        return model(batch[0] * self.share)
"""


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
    assert filled(lab, pair, "models.student={name: mlp, hidden: [12]}") == "known"  # whoever learns from it
    assert filled(lab, pair.replace("]}", "], mean: geometric}")) != "known"


def test_samples_are_drawn_at_the_temperature_at_which_the_method_teaches(lab: Path) -> None:
    """A hotter method finds another cache; the same one, composed or for another student, finds its own."""
    samples = "train.teacher_outputs={name: cached, sampled: 5}"
    name = filled(lab, samples)
    assert filled(lab, samples, "models.student={name: mlp, hidden: [12]}") == "known"
    assert filled(lab, samples, "method={name: compose, methods: [{name: kd, temperature: 4}]}") == "known"
    assert filled(lab, samples, "method.temperature=1") != "known"
    manifest = json.loads((lab / "runs" / "cache" / name / "manifest.json").read_text())
    assert manifest["key"]["sampled"] == 5
    assert manifest["key"]["temperature"] == 4.0
    assert manifest["tensors"] == {"sampled.classes": ["int16", [5]]}
    assert manifest["row_bytes"] == 10


def test_the_largest_classes_are_kept_at_the_temperature_at_which_the_method_teaches(lab: Path) -> None:
    """A method of two temperatures gets them at 1."""
    largest = "train.teacher_outputs={name: cached, top: 5}"
    manifests = {
        temperature: json.loads((lab / "runs" / "cache" / name / "manifest.json").read_text())
        for temperature, name in (
            (4.0, filled(lab, largest)),
            (1.0, filled(lab, largest, "method={name: compose, methods: [{name: kd, temperature: 2}, {name: kd}]}")),
        )
    }
    for temperature, manifest in manifests.items():
        assert manifest["temperature"] == manifest["key"]["temperature"] == temperature


def test_two_fillings_draw_the_same_classes(lab: Path) -> None:
    samples = "train.teacher_outputs={name: cached, sampled: 5, views: 2}"
    name = filled(lab, samples, VARIED)
    views = [lab / "runs" / "cache" / name / f"view-00{view}.safetensors" for view in (0, 1)]
    before = [path.read_bytes() for path in views]
    assert before[0] != before[1]
    shutil.rmtree(views[0].parent)
    assert filled(lab, samples, VARIED) == name
    assert [path.read_bytes() for path in views] == before


def test_a_student_learns_from_samples(lab: Path) -> None:
    """Sharp distributions need few draws: it comes close to the student that is told everything."""
    sets = ("method={name: kd, temperature: 1, hard_weight: 0}", "train.length=40 epochs", "baseline=false")
    found = {}
    for kept in ("sampled: 8", "top: 9"):
        results = run(lab / "kd.yaml", *sets, f"train.teacher_outputs={{name: cached, {kept}}}")
        (found[kept],) = (entry.metrics["kl"] for entry in results.entries if entry.role == "distilled")
    assert found["sampled: 8"] < found["top: 9"] + 0.03


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
    # two probes and the trial before, two probes in the run, the example, one view in 6 batches; then only the student
    assert sum(quiet for quiet, _ in passes) == 2 + 1 + 2 + 1 + 6
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
    assert {path.name for path in prune(lab / "runs")} == {other, partial}
    assert caches(lab / "runs") == [used]
    assert used.complete


def test_prune_keeps_what_an_unfinished_run_was_filling(lab: Path) -> None:
    """A run says which cache it uses before it fills it; one that was killed meanwhile still completes it."""
    half = filled(lab, VARIED)
    (lab / "runs" / "cache" / half / "view-003.safetensors").unlink()
    RunFolder(lab / "runs" / "kd-0123456789").update(state="unfinished", teacher_outputs={"teacher": half})
    assert list(prune(lab / "runs")) == []
    assert [cache.name for cache in caches(lab / "runs")] == [half]


def test_prune_removes_a_damaged_cache_that_nobody_uses(lab: Path) -> None:
    name = filled(lab)
    (lab / "runs" / "cache" / name / "manifest.json").write_text("{")
    assert [path.name for path in prune(lab / "runs")] == [name]


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
    answers = {f"answers-{split}.safetensors" for split in ("validation", "test")}
    assert set(manifest["files"]) == {f"view-{view:03d}.safetensors" for view in range(8)} | answers


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["train.teacher_outputs={name: cached, top: 10}"], "top: 10 of 10 classes is no less than all"),
        (["train.teacher_outputs={name: cached, sampled: 12}"], "sampled: 12 of 10 classes is no less than all"),
        (
            ["train.teacher_outputs={name: cached, views: 3}", "data.augment={}"],
            "views: 3, but without augmentation every view is the same; expected 0, or data.augment",
        ),
        (
            [
                "train.teacher_outputs={name: cached, sampled: 4}",
                "method={name: compose, methods: [{name: kd, temperature: 2}, {name: kd, temperature: 4}]}",
            ],
            "compose does not learn from teacher through a KL divergence",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused_before_the_teacher_is_trained(
    tmp_path: Path, overrides: list[str], problem: str
) -> None:
    with pytest.raises(RunError, match=problem):
        run(write(tmp_path) / "kd.yaml", *overrides)
    assert not list((tmp_path / "runs").glob("teacher-*"))


def test_a_method_without_a_frozen_network_has_nothing_to_store(lab: Path) -> None:
    with pytest.raises(RunError, match="supervised has no frozen network; expected live"):
        run(lab / "teacher.yaml", CACHED)


def test_where_outputs_are_stored_a_later_command_never_runs_the_teacher(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for its own figures either: they are those of the command that stored them."""
    passes: list[int] = []
    real = torch.nn.Module.__call__

    def counted(module: torch.nn.Module, *arguments: Any, **named: Any) -> Any:
        if isinstance(module, Bridge) and sum(p.numel() for p in module.parameters()) > 1000:
            passes.append(len(arguments[0]))
        return real(module, *arguments, **named)

    monkeypatch.setattr(torch.nn.Module, "__call__", counted)
    held_out = {40, 512, 597 - 512}  # validation images; the test images in batches of 512
    first = run(lab / "kd.yaml", *SHORT, CACHED)
    assert held_out <= set(passes)
    passes.clear()
    second = run(lab / "kd.yaml", *SHORT, CACHED, "train.seed=7", "method.temperature=2")
    assert not held_out & set(passes)
    assert passes.count(64) == 2  # shapes are probed before anything is trained, and once more
    one, other = ([entry.metrics for entry in found.entries if entry.role == "teacher"] for found in (first, second))
    assert one == other


def test_answers_that_are_damaged_are_named_and_made_again(lab: Path) -> None:
    name = filled(lab)
    (cache,) = caches(lab / "runs")
    path = cache.folder / "answers-validation.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert cache.damaged() == [path]
    assert cache.held(path.name) is None
    run(lab / "kd.yaml", *SHORT, CACHED)
    assert (cache.name, cache.damaged()) == (name, [])
    assert path.read_bytes() == whole


def test_a_teacher_that_differs_between_seeds_is_asked_under_each(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights of a user's own network may be drawn in its code, from the seed of the run."""
    code = "from torch import nn\n\n\ndef drawn():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    (lab / "own_teacher.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(lab)
    found = run(lab / "kd.yaml", *SHORT, CACHED, "seeds=2", 'models.teacher={name: "own_teacher:drawn"}')
    said = [load_file(entry.folder / "predictions-teacher.safetensors") for entry in found.of("distilled")]
    assert all(not torch.equal(said[0][key], said[1][key]) for key in said[0] if said[0][key].is_floating_point())
    answers = [load_file(cache.folder / "answers-test.safetensors") for cache in caches(lab / "runs")]
    assert len(answers) == 2
    assert any(not torch.equal(answers[0][key], answers[1][key]) for key in answers[0])
