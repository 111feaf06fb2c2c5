"""Runs happen once, in order, by one process at a time, and leave nothing damaged behind."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from limbeck.cli.pipeline import experiment
from limbeck.core.errors import DataError, ModelError, RunError, TrainingError
from limbeck.core.net import digest
from limbeck.evaluate.predictions import Predictions
from limbeck.recipe import execute as module
from limbeck.recipe import measure as measuring
from limbeck.recipe.batches import training_batches
from limbeck.recipe.context import Context
from limbeck.recipe.execute import execute, remeasure
from limbeck.recipe.folder import RunFolder
from limbeck.recipe.graph import baseline_of
from limbeck.recipe.networks import join
from running import copied, finished, names, only, run, stamps

SHORT = "train.length=1 epochs"


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """The recipes with finished runs of the teacher, the student and its baseline."""
    return copied(tmp_path / "lab")


def weights(folder: Path, which: str = "last") -> dict[str, torch.Tensor]:
    return load_file(folder / f"student-{which}.safetensors")


def test_what_a_run_leaves() -> None:
    root = finished() / "runs"
    assert names(root) == ["digits-mlp-alone", "kd", "teacher"]
    present = {path.name for path in only(root, "kd").iterdir()}
    assert present >= {
        "recipe.json",
        "run.json",
        "network.json",
        "metrics.jsonl",
        "evaluation.json",
        "costs.json",
        "student-best.safetensors",
        "student-last.safetensors",
        "predictions-best.safetensors",
        "predictions-last.safetensors",
        "predictions-teacher.safetensors",
    }
    assert "checkpoints" not in present
    facts = RunFolder(only(root, "kd")).read("run.json")
    assert facts["state"] == "finished"
    assert facts["upstream"] == {"teacher": only(root, "teacher").name}
    assert {"torch", "threads", "python"} <= facts["versions"].keys()


def test_the_same_recipe_twice_is_one_run(lab: Path) -> None:
    before = stamps(lab / "runs")
    run(lab / "kd.yaml")
    assert stamps(lab / "runs") == before


def test_cosmetic_changes_do_not_train_again(lab: Path) -> None:
    before = stamps(lab / "runs")
    run(
        lab / "kd.yaml",
        "train.log=1 steps",
        "train.checkpoint=1 steps",
        "data.workers=0",
        "evaluate.batch=100",
        "name=T",
    )
    assert stamps(lab / "runs") == before


def test_another_temperature_reuses_teacher_and_baseline(lab: Path) -> None:
    before = stamps(lab / "runs")
    run(lab / "kd.yaml", "method.temperature=2")
    after = stamps(lab / "runs")
    assert {name: after[name] for name in before} == before
    assert names(lab / "runs") == ["digits-mlp-alone", "kd", "kd", "teacher"]


def test_two_methods_share_a_baseline_of_equal_steps(lab: Path) -> None:
    few = ("data.labelled=40", SHORT)
    run(lab / "kd.yaml", *few)
    base = [
        path for path in (lab / "runs").glob("digits-mlp-alone-*") if "labelled" in (path / "recipe.json").read_text()
    ]
    before = {path: stamps(path) for path in base}
    run(lab / "kd.yaml", *few, "method={name: compose, methods: [{name: kd, temperature: 2}]}")
    assert {path: stamps(path) for path in base} == before
    assert len(list((lab / "runs").glob("digits-mlp-alone-*"))) == 2
    student, alone = _by_labels(lab, "kd"), _by_labels(lab, "digits-mlp-alone")
    assert {RunFolder(path).read("run.json")["steps"] for path in (*student, *alone)} == {5}  # 360 images, 64 a step


def _by_labels(lab: Path, name: str) -> list[Path]:
    paths = [path for path in (lab / "runs").glob(f"{name}-*") if not path.name.startswith("kd-alone")]
    return [p for p in paths if json.loads((p / "recipe.json").read_text())["recipe"]["data"]["labelled"] == 40]


def test_a_method_that_needs_labels_sees_the_labelled_images_equally_often(lab: Path) -> None:
    planned = experiment(lab / "kd.yaml", ["data.labelled=40"], root=lab / "runs").runs[0]
    context = Context(progress=False)
    dataset = context.dataset(planned)
    taught, alone = (training_batches(one, dataset, context) for one in (planned, baseline_of(planned)))
    assert taught.steps_per_epoch == alone.steps_per_epoch
    assert (next(taught.batches())[0].labels < 0).any()
    assert (next(alone.batches())[0].labels >= 0).all()


def test_files_of_a_teacher_are_bit_identical_after_distilling(lab: Path) -> None:
    folder = only(lab / "runs", "teacher")
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    run(lab / "kd.yaml", "method.temperature=3", SHORT, "models.teacher.from.set={}")
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_the_teacher_in_the_student_s_run_is_the_delivered_one(lab: Path) -> None:
    planned = experiment(lab / "kd.yaml", root=lab / "runs").runs[0]
    dataset = Context().dataset(planned)
    network = join(planned, "teacher", dataset, frozen=True).network.network
    torch.testing.assert_close(network.state_dict(), weights(only(lab / "runs", "teacher"), "best"), rtol=0, atol=0)


def test_a_chain_of_teacher_assistant_and_student(lab: Path) -> None:
    (lab / "small.yaml").write_text(
        "extends: kd.yaml\nmodels: {teacher: {from: kd.yaml}, student: {hidden: [4]}}\nbaseline: false\n"
    )
    before = stamps(lab / "runs")
    results = run(lab / "small.yaml", SHORT)
    after = stamps(lab / "runs")
    assert {name: after[name] for name in before} == before
    assert RunFolder(only(lab / "runs", "small")).read("run.json")["upstream"] == {
        "teacher": only(lab / "runs", "kd").name
    }
    assistant = RunFolder(only(lab / "runs", "kd")).read("evaluation.json")["best"]["accuracy"]
    assert results.of("teacher")[0].metrics["accuracy"] == assistant


def test_a_trained_role_may_start_from_another_run(lab: Path) -> None:
    (lab / "tuned.yaml").write_text("extends: teacher.yaml\nmodels: {student: {from: kd.yaml}}\n")
    run(lab / "tuned.yaml", "train.length=1 steps", "train.optimizer={name: sgd, lr: 1e-9}")
    start = weights(only(lab / "runs", "kd"), "best")
    torch.testing.assert_close(weights(only(lab / "runs", "tuned")), start, rtol=0, atol=1e-6)


@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
def test_an_ensemble_of_teachers(lab: Path, mean: str) -> None:
    members = "[{from: teacher.yaml}, {from: {recipe: teacher.yaml, seed: 1, set: {train.length: 1 epochs}}}]"
    (lab / "many.yaml").write_text(
        (lab / "kd.yaml").read_text().replace("{from: teacher.yaml}", f"{{ensemble: {members}, mean: {mean}}}")
    )
    results = run(lab / "many.yaml", SHORT, "baseline=false")
    assert names(lab / "runs") == ["digits-mlp-alone", "kd", "many", "teacher", "teacher"]
    planned = experiment(lab / "many.yaml", [SHORT], root=lab / "runs").runs[0]
    dataset = Context().dataset(planned)
    joined = join(planned, "teacher", dataset, frozen=True).network.eval()
    images = dataset.test.pixels_at(torch.arange(5)) / 255
    members_probs = [member(images).softmax(-1) for member in joined.members]
    mixed = torch.stack(members_probs)
    expected = mixed.mean(0) if mean == "arithmetic" else (mixed.log().mean(0)).softmax(-1)
    torch.testing.assert_close(joined(images).softmax(-1), expected)
    assert results.of("teacher")[0].network == "2xmlp"


def test_several_seeds_are_several_runs_of_one_teacher(lab: Path) -> None:
    results = run(lab / "kd.yaml", SHORT, "seeds=2")
    assert [entry.seed for entry in results.of("distilled")] == [0, 1]
    assert [entry.seed for entry in results.of("alone")] == [0, 1]
    assert names(lab / "runs").count("teacher") == 1
    one, other = (weights(entry.folder) for entry in results.of("distilled"))
    assert not torch.equal(
        one["head.weight"] if "head.weight" in one else next(iter(one.values())), next(iter(other.values()))
    )
    (row,) = [row for row in results.rows() if row.role == "distilled"]
    assert row.count == 2
    assert "accuracy" in row.std


def test_fresh_trains_the_recipe_s_own_runs_again_and_nothing_else(lab: Path) -> None:
    before, old = stamps(lab / "runs"), weights(only(lab / "runs", "kd"))
    run(lab / "kd.yaml", fresh=True)
    after = stamps(lab / "runs")
    changed = {name.partition("/")[0] for name in before if after[name] != before[name]}
    assert changed == {only(lab / "runs", "kd").name}
    torch.testing.assert_close(weights(only(lab / "runs", "kd")), old, rtol=0, atol=0)


def test_two_runs_with_one_seed_are_the_same_bits(lab: Path) -> None:
    again = lab / "again"
    run(lab / "teacher.yaml", root=again)
    for which in ("best", "last"):
        one, other = (only(root, "teacher") / f"student-{which}.safetensors" for root in (again, lab / "runs"))
        assert one.read_bytes() == other.read_bytes()


def test_a_folder_in_which_another_process_trains_is_left_alone(lab: Path) -> None:
    planned = experiment(lab / "teacher.yaml", [SHORT], root=lab / "runs").runs[0]
    planned.folder.mkdir()
    (planned.folder / "checkpoints").mkdir()
    handle = os.open(planned.folder / ".lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with pytest.raises(RunError, match=r"another process is training .*; wait for it, or stop it"):
            execute(planned, Context(progress=False))
        assert sorted(path.name for path in planned.folder.iterdir()) == [".lock", "checkpoints"]
    finally:
        os.close(handle)
    execute(planned, Context(progress=False))
    assert RunFolder(planned.folder).state == "finished"


@pytest.mark.parametrize(
    ("overrides", "error", "words"),
    [
        (
            ["models.teacher={name: mlp}"],
            ModelError,
            "models.teacher: mlp is to teach but has no weights; give it `from",
        ),
        (["data.subset=15", "data.labelled=3"], DataError, "no labelled training image of"),
        (
            ["train.optimizer={name: sgd, lr: 1e+30}", "train.schedule=constant"],
            TrainingError,
            "Lower train.optimizer.lr",
        ),
    ],
)
def test_a_run_that_fails_before_its_first_checkpoint_leaves_nothing(
    lab: Path, overrides: list[str], error: type[Exception], words: str
) -> None:
    before = stamps(lab / "runs")
    with pytest.raises(error, match=words):
        run(lab / "kd.yaml", "baseline=false", *overrides)
    assert stamps(lab / "runs") == before
    assert names(lab / "runs") == ["digits-mlp-alone", "kd", "teacher"]


def test_a_run_that_fails_later_goes_on_from_its_checkpoint(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = weights(only(lab / "runs", "teacher"))
    measurement = module.Measurement

    class Broken:
        def __init__(self, *_args: Any, **_rest: Any) -> None:
            raise RunError("cannot write evaluation.json")

    root = lab / "again"
    with monkeypatch.context() as patched:
        patched.setattr(module, "Measurement", Broken)
        with pytest.raises(RunError, match=r"evaluation.json"):
            run(lab / "teacher.yaml", root=root)
    folder = RunFolder(only(root, "teacher"))
    assert folder.state == "unfinished"
    assert module.Measurement is measurement
    run(lab / "teacher.yaml", root=root)
    assert folder.state == "finished"
    torch.testing.assert_close(weights(folder.path), whole, rtol=0, atol=0)
    known = RunFolder(only(lab / "runs", "teacher")).read("run.json")["validation"]
    assert folder.read("run.json")["validation"] == known


def test_the_teacher_s_accuracy_is_said_before_training(lab: Path) -> None:
    said: list[str] = []
    run(lab / "kd.yaml", SHORT, "baseline=false", context=Context(say=said.append, progress=False))
    assert len(said) == 1
    accuracy = float(said[0].removeprefix("teacher (mlp): ").partition("%")[0]) / 100
    assert "on the validation split" in said[0]
    known = json.loads((only(lab / "runs", "teacher") / "run.json").read_text())["validation"]["best"]["accuracy"]
    assert accuracy == pytest.approx(known, abs=1e-4)


def test_a_teacher_is_asked_once_for_all_seeds_and_a_student_once_for_best_and_last(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[str] = []
    real = module.predict

    def counted(network: torch.nn.Module, *arguments: Any) -> Predictions:
        passes.append(f"{sum(p.numel() for p in network.parameters())} parameters")
        return real(network, *arguments)

    monkeypatch.setattr(module, "predict", counted)
    monkeypatch.setattr(measuring, "predict", counted)
    run(lab / "kd.yaml", SHORT, "baseline=false", "seeds=[1, 2]", "evaluate.latency=false")
    teacher, student = 64 * 24 + 24 + 24 * 10 + 10, 64 * 8 + 8 + 8 * 10 + 10
    # once on validation, once on test; each student once, because its only epoch is its best
    assert sorted(passes) == sorted([f"{teacher} parameters"] * 2 + [f"{student} parameters"] * 2)
    for name in ("predictions-best.safetensors", "predictions-last.safetensors", "predictions-teacher.safetensors"):
        assert all((folder / name).is_file() for folder in (lab / "runs").glob("kd-*"))


def test_measuring_again_changes_no_figure_and_no_weights(lab: Path) -> None:
    planned = experiment(lab / "kd.yaml", root=lab / "runs").runs[0]
    folder = RunFolder(planned.folder)
    before, bits = folder.read("evaluation.json"), (folder / "student-best.safetensors").read_bytes()
    (folder / "evaluation.json").unlink()
    remeasure(planned, Context(progress=False))
    assert folder.read("evaluation.json") == before
    assert (folder / "student-best.safetensors").read_bytes() == bits


def test_initial_weights_follow_from_seed_and_role(lab: Path) -> None:
    def student(seed: int) -> str:
        planned = experiment(lab / "kd.yaml", [f"train.seed={seed}"], root=lab / "runs").runs[0]
        return digest(join(planned, "student", Context().dataset(planned), frozen=False).network)

    assert student(0) == student(0)
    assert student(0) != student(1)
