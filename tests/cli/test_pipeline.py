from __future__ import annotations

from pathlib import Path

import pytest

import limbeck as limbeck_package
from limbeck.cli.pipeline import experiment, export
from limbeck.compare import reasons
from limbeck.core.errors import LimbeckError, TrainingError
from limbeck.recipe.context import Context
from running import limbeck, only, run, stamps, write


@pytest.mark.parametrize("verb", ["evaluate", "export", "report"])
def test_what_is_not_finished_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    monkeypatch.chdir(write(tmp_path))
    assert limbeck(verb, "kd.yaml") == 1
    error = capsys.readouterr().err
    assert "is not finished; run it first: limbeck run" in error
    assert not (tmp_path / "runs").exists()


def test_the_same_from_python(lab: Path) -> None:
    before = stamps(lab / "runs")
    results = limbeck_package.run(lab / "kd.yaml", {"train.log": "1 steps"}, root=lab / "runs")
    assert [entry.role for entry in results.entries] == ["teacher", "alone", "distilled"]
    assert stamps(lab / "runs") == before


def test_an_experiment_is_runs_and_baselines(lab: Path) -> None:
    planned = experiment("kd.yaml", ["seeds=[3, 5]"], root=Path("runs"))
    assert [run.seed for run in planned.runs] == [run.seed for run in planned.baselines] == [3, 5]
    assert planned.report_path.name == "report-2-seeds.html"
    assert experiment("kd.yaml", ["baseline=false"], root=Path("runs")).baselines == ()


def test_exports_are_verified_once_and_reused(lab: Path) -> None:
    limbeck_package.run("kd.yaml", {"export": ["safetensors"]}, root="runs")
    path = only(lab / "runs", "kd") / "exports" / "student.safetensors"
    before = stamps(path.parent)
    (entry,) = limbeck_package.run("kd.yaml", {"export": ["safetensors"]}, root="runs").exports
    assert stamps(path.parent) == before
    assert entry["max_difference"] <= 1e-5
    path.unlink()
    limbeck_package.run("kd.yaml", {"export": ["safetensors"]}, root="runs")
    assert path.is_file()


def test_a_page_is_written_once(lab: Path) -> None:
    limbeck_package.run("kd.yaml", {"report": True}, root="runs")
    page = only(lab / "runs", "kd") / "report.html"
    before = page.stat().st_mtime_ns
    limbeck_package.run("kd.yaml", {"report": True}, root="runs")
    assert page.stat().st_mtime_ns == before


def test_a_page_belongs_to_the_runs_that_were_asked_for(lab: Path) -> None:
    def page(*overrides: str) -> str:
        run(lab / "kd.yaml", *overrides, "report=true", "baseline=false", "train.length=1 epochs")
        return next((lab / "runs").glob("kd-*/report-2-seeds.html")).read_text()

    first = page("seeds=[0,1]")
    assert page("seeds=[0,2]") != first
    assert page("seeds=[0,1]") == first
    assert "student.onnx" in page("seeds=[0,1]", "export=[onnx]")


def test_fresh_keeps_the_old_run_until_the_new_one_is_finished(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = only(lab / "runs", "teacher")
    before = stamps(folder)
    with pytest.raises(LimbeckError):
        run(lab / "teacher.yaml", "train.precision=fp16", fresh=True)
    with monkeypatch.context() as broken:
        broken.setattr("limbeck.recipe.execute.fit", _fails)
        with pytest.raises(TrainingError, match="as if"):
            run(lab / "teacher.yaml", fresh=True)
    assert stamps(folder) == before
    run(lab / "teacher.yaml", fresh=True)
    assert stamps(folder) != before
    assert [path.name for path in (lab / "runs").glob("*.before")] == []


def _fails(*_arguments: object, **_named: object) -> None:
    raise TrainingError("as if a loss were not finite")


def test_exports_move_with_their_run_folder(lab: Path) -> None:
    planned = experiment(lab / "kd.yaml", root=lab / "runs")
    export(planned, ["safetensors"], Context())
    (lab / "runs").rename(lab / "moved")
    moved = experiment(lab / "kd.yaml", root=lab / "moved")
    (entry,) = export(moved, ["safetensors"], Context())
    assert Path(entry["path"]).is_relative_to(lab / "moved")
    assert Path(entry["path"]).is_file()


def test_why_distilling_did_not_help_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path)
    monkeypatch.chdir(folder)
    untrained = "models.teacher={from: {recipe: teacher.yaml, set: {train.length: 1 steps}}}"
    notes = run(folder / "kd.yaml", untrained).notes
    assert any(note.startswith("a likely reason: the teacher is not clearly better") for note in notes)

    def never(*_arguments: object, **_rest: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(reasons, "findings", never)
    assert run(folder / "kd.yaml", untrained).notes == notes
    without = run(folder / "kd.yaml", untrained, "baseline=false")  # nothing to compare with, nothing to explain
    assert not any("likely reason" in note for note in without.notes)
