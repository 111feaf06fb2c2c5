"""What `taps: auto` took is written down, said, and the same after an interruption."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from limbeck.core.distiller import Distiller
from limbeck.core.pairs import Pair
from limbeck.methods.attention_transfer import AttentionTransfer
from limbeck.methods.compose import Compose
from limbeck.methods.fitnets import FitNets
from limbeck.methods.hint import Hint
from limbeck.methods.kd import KD
from limbeck.methods.one import ONE
from limbeck.recipe.decided import decided, decided_notes
from limbeck.recipe.folder import RunFolder
from limbeck.tasks.classification import Classification
from limbeck.train.fit import _Loop
from little import conv_net, image_batch
from running import limbeck, only, run, write

TEACHER = """\
data: {name: digits, batch: 64, subset: 300}
models: {student: {name: cnn, width: 6, depth: 4}}
method: supervised
train: {length: 6 steps, optimizer: {name: adamw, lr: 1e-2}}
evaluate: {latency: false}
report: false
"""
HINT = """\
extends: teacher.yaml
models: {teacher: {from: teacher.yaml}, student: {name: cnn, width: 4, depth: 3}}
method: {name: hint, weight: 0.5, taps: auto}
"""
RECIPES = {
    "teacher.yaml": TEACHER,
    "hint.yaml": HINT,
    "kd.yaml": HINT.replace("hint, weight: 0.5, taps: auto", "kd"),
    "named.yaml": HINT.replace("auto", "[{student: layer2, teacher: layer2}]"),
}
TAKEN = [("layer1", "layer1"), ("layer2", "layer2"), ("layer3", "layer4")]
"""Ends of the stages of 8×8, 4×4 and 2×2 places; the teacher's last stage has two layers."""
NOTE = "auto chose for Hint, from shallow to deep, student layer1, layer2, layer3; teacher layer1, layer2, layer4"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(write(tmp_path / "lab", RECIPES))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "lab"


def facts(root: Path, name: str = "hint") -> dict[str, Any]:
    return RunFolder(only(root, name)).read("run.json")


def distiller(method: Any) -> Distiller:
    return Distiller(method, Classification(), {"student": conv_net(4), "teacher": conv_net(6)}, image_batch(4))


def test_a_run_records_the_pairs_that_were_taken_and_all_else_of_the_method(lab: Path) -> None:
    results = run(lab / "hint.yaml")
    found = facts(lab / "runs")
    assert found["decided"] == {
        "name": "hint",
        "taps": [{"student": student, "teacher": teacher} for student, teacher in TAKEN],
        "weight": 0.5,
        "hard_weight": 1.0,
        "activation": "auto",
    }
    assert NOTE in found["notes"]
    assert any(NOTE in note for note in results.notes)
    # What was asked for stays what was asked for: the run is found again by it.
    assert RunFolder(only(lab / "runs", "hint")).read("recipe.json")["recipe"]["method"]["taps"] == "auto"


@pytest.mark.parametrize("name", ["teacher", "kd", "named"])
def test_a_recipe_that_leaves_nothing_open_has_nothing_to_record(lab: Path, name: str) -> None:
    results = run(lab / f"{name}.yaml")
    found = facts(lab / "runs", name)
    assert found["decided"] == {}
    assert not any("auto" in note for note in (*found["notes"], *results.notes))


@pytest.mark.parametrize(("name", "told"), [("hint", True), ("kd", False), ("named", False)])
def test_check_says_it_before_anything_is_trained(
    lab: Path, capsys: pytest.CaptureFixture[str], name: str, told: bool
) -> None:
    assert limbeck("check", f"{name}.yaml") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert (f"Note: {NOTE}" in shown) is told
    assert ("auto chose" in shown) is told
    assert not (lab / "runs").exists()


def test_run_says_it_too(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("run", "hint.yaml", "--quiet") == 0
    assert " ".join(capsys.readouterr().out.split()).count(NOTE) >= 1


def test_an_interrupted_run_ends_with_the_same_record(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    often = "train.checkpoint=1 steps"
    run(lab / "hint.yaml", often)
    step, calls = _Loop._step, []

    def pulled(*arguments: Any, **rest: Any) -> Any:
        calls.append(1)
        if len(calls) > 4:
            raise OSError("the plug was pulled")
        return step(*arguments, **rest)

    run(lab / "teacher.yaml", often, root=lab / "broken")
    with monkeypatch.context() as patched:
        patched.setattr(_Loop, "_step", pulled)
        with pytest.raises(OSError, match="the plug"):
            run(lab / "hint.yaml", often, root=lab / "broken")
    assert facts(lab / "broken")["state"] == "unfinished"
    assert any((only(lab / "broken", "hint") / "checkpoints").glob("step-*.pt"))
    calls.clear()
    run(lab / "hint.yaml", often, root=lab / "broken")
    for key in ("state", "decided", "notes", "steps"):
        assert facts(lab / "broken")[key] == facts(lab / "runs")[key]
    assert facts(lab / "broken")["decided"]["taps"][-1] == {"student": "layer3", "teacher": "layer4"}


def test_a_single_pair_is_recorded_as_one() -> None:
    asked = FitNets(temperature=5.0)
    found = distiller(asked)
    assert decided(found, asked)["taps"] == {"student": "2", "teacher": "2"}
    assert decided(found, asked)["temperature"] == 5.0
    assert decided_notes(found, asked) == ["auto chose for FitNets, from shallow to deep, student 2; teacher 2"]


def test_where_branches_begin_is_told_though_nothing_is_tapped() -> None:
    asked = ONE(gate=False)
    found = Distiller(asked, Classification(), {"student": conv_net(4)}, image_batch(4))
    assert decided_notes(found, asked) == [f"auto chose for ONE, at: {found.method.at}"]


@pytest.mark.parametrize("method", [KD(), Hint(taps=(Pair(student="2", teacher="5"),))])
def test_nothing_was_decided_where_nothing_was_open(method: Any) -> None:
    found = distiller(method)
    assert (decided(found, method), decided_notes(found, method)) == ({}, [])


def test_of_composed_methods_only_those_that_left_something_open_are_told_of() -> None:
    named = AttentionTransfer(taps=(Pair(student="5", teacher="5"),))
    asked = Compose(methods=(KD(), Hint(), named))
    found = distiller(asked)
    assert [one["name"] for one in decided(found, asked)["methods"]] == ["kd", "hint", "attention_transfer"]
    (note,) = decided_notes(found, asked)
    assert note == "auto chose for Hint, from shallow to deep, student 2, 5; teacher 2, 5"
