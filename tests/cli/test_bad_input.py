"""What goes wrong for a person: a clear error with cause and remedy, an exit code, and nothing damaged left behind."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch

from data.making import picture, write_classes
from limbeck.recipe.folder import RunFolder
from running import limbeck, names, only, stamps

RUNS = ["digits-mlp-alone", "kd", "teacher"]

PICTURES = """\
data: {name: folder, root: pictures, batch: 8, size: 8}
models: {student: {name: cnn, width: 2}}
method: supervised
train: {length: 1 epochs}
evaluate: {latency: false}
report: false
"""

CODE = '''
"""A method with a tap that does not exist, and a network with too few outputs."""

from torch import nn

from limbeck.core.settings import settings
from limbeck.methods.kd import KD


@settings
class Tapped(KD):
    def tapped(self):
        return {"student": ("layer1",), "teacher": ("fc11",)}


def seven():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 7))
'''


@pytest.fixture(autouse=True)
def _code(lab: Path) -> None:
    (lab / "bad_input_code.py").write_text(CODE)


def fails(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 1) -> str:
    """What the command says when it fails; it must not be a traceback."""
    capsys.readouterr()
    assert limbeck(*arguments) == code
    error = capsys.readouterr().err
    assert error.lstrip().startswith("error") or "\nerror " in error
    assert "Traceback" not in error
    return " ".join(error.split())


CASES = {
    "a key that does not exist": (["methd.temperature=2"], ["methd", "close: method"]),
    "a key that does not exist further down": (["method.temprature=2"], ["method.temprature", "close: temperature"]),
    "a wrong type": (["train.seed=red"], ["--set train.seed", "red"]),
    "a wrong kind of length": (["train.length=60"], ["train.length", "60"]),
    "an unknown method": (["method=kdd"], ["kdd", "close: kd"]),
    "an unknown network": (["models.student=rsnet20"], ["rsnet20", "close: ", "resnet20"]),
    "an unknown argument of a network": (["models.student.hiden=[3]"], ["hiden", "close: hidden"]),
    "a file of weights that is missing": (
        ["models.student.weights=nowhere.safetensors"],
        ["no file", "nowhere.safetensors"],
    ),
    "a recipe that is missing": (["models.teacher={from: teachr.yaml}"], ["teachr.yaml", "close: teacher"]),
    "a tap that does not exist": (
        ["method={name: 'bad_input_code:Tapped'}"],
        ["tap 'fc11' is not a module of Mlp", "close: fc"],
    ),
    "a user's network with too few outputs": (
        ["models.student={name: 'bad_input_code:seven'}"],
        ["bad_input_code:seven gives shape [2, 7]", "expected logits of shape [2, 10]"],
    ),
    "a teacher that lacks classes": (
        ["models.teacher={from: {recipe: teacher.yaml}}", "data={name: 'bad_input_more:More', batch: 64}"],
        ["no output for 1 of 11 classes: dozen", "The data's classes are: 0, 1", "Take a teacher that knows them"],
    ),
    "a rate at which the loss is lost": (
        ["train.optimizer={name: sgd, lr: 1e+30}", "train.schedule=constant"],
        ["the loss term 'task' is", "Lower train.optimizer.lr", "No checkpoint holds such weights"],
    ),
    "a data set that is not there": (["data={name: mnist, root: nowhere}"], ["data.root", "nowhere", "folder"]),
    "16-bit floats without a GPU": (["train.precision=fp16"], ["precision fp16 needs a GPU", "bf16"]),
    "an optimiser for what is not trained": (["train.groups={teacher: sgd}"], ["train.groups", "'teacher'"]),
    "a role that the method does not know": (["models.techer=mlp"], ["'techer'", "close: teacher"]),
}

MORE = '''
"""Digits with a class that they do not have."""

from limbeck.core.settings import settings
from limbeck.data.digits import Digits


@settings
class More(Digits):
    def find(self):
        found = super().find()
        found.train.labels[:20] = 10
        return found._replace(classes=(*found.classes, "dozen"))
'''


@pytest.mark.parametrize("case", CASES)
def test_the_cause_and_the_remedy_are_named_and_nothing_is_left(
    lab: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    if torch.cuda.is_available() and "GPU" in case:
        pytest.skip("there is a GPU")
    (lab / "bad_input_more.py").write_text(MORE)
    overrides, words = CASES[case]
    before = stamps(lab / "runs")
    sets = [part for text in overrides for part in ("--set", text)]
    error = fails(capsys, "run", "kd.yaml", "--quiet", "--set", "baseline=false", *sets)
    assert [word for word in words if word not in error] == []
    assert stamps(lab / "runs") == before
    assert names(lab / "runs") == RUNS


def test_all_errors_of_a_recipe_come_at_once_with_their_lines(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "wrong.yaml").write_text(
        "data: digits\nmodels: {student: mlpp}\nmethod: {name: kd, temperature: hot}\ntrian: {}\n"
    )
    error = fails(capsys, "run", "wrong.yaml")
    for words in ("wrong.yaml:2:", "close: mlp", "wrong.yaml:3:", "temperature", "wrong.yaml:4:", "close: train"):
        assert words in error


def test_a_recipe_that_does_not_exist(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "close: kd" in fails(capsys, "run", "kdd.yaml")
    assert "close: digits/kd" in fails(capsys, "run", "digit/kd")


@pytest.fixture
def pictures(lab: Path) -> Path:
    """A recipe on a folder of images."""
    write_classes(lab / "pictures" / "train", {"ant": 12, "bee": 12})
    (lab / "pictures.yaml").write_text(PICTURES)
    return lab / "pictures" / "train"


@pytest.mark.parametrize("place", ["data.memory=true", "data.memory=false"])
@pytest.mark.parametrize("content", [b"", b"not an image", None], ids=["empty", "text", "truncated"])
def test_a_corrupt_image_is_named(
    pictures: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, place: str
) -> None:
    path = sorted((pictures / "bee").iterdir())[3]
    if content is None:
        picture(1, size=(64, 64)).save(path)
        content = path.read_bytes()[:2000]
    path.write_bytes(content)
    error = fails(capsys, "run", "pictures.yaml", "--quiet", "--set", place)
    assert str(path.relative_to(pictures)) in error
    assert names(pictures.parent.parent / "runs") == RUNS


def test_a_folder_without_classes_is_refused(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in pictures.rglob("*.png"):
        path.unlink()
    error = fails(capsys, "run", "pictures.yaml", "--quiet")
    assert "image" in error
    assert "pictures/train/ant" in error


class Harmful:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.folder),)


def test_weights_that_would_run_code_are_not_read(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "weights.pt").write_bytes(pickle.dumps({"state_dict": Harmful(lab / "harm")}, protocol=2))
    given = "models.teacher={name: mlp, hidden: [24], weights: weights.pt}"
    error = fails(capsys, "run", "kd.yaml", "--quiet", "--set", given, "--set", "baseline=false")
    assert "weights.pt" in error
    assert "would run code, so it was not read" in error
    assert "safetensors" in error
    assert not (lab / "harm").exists()
    assert names(lab / "runs") == RUNS


def interrupted(lab: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that stopped after its last checkpoint."""
    from limbeck.recipe import execute as module

    with monkeypatch.context() as patched:
        patched.setattr(module.Measurement, "write", lambda _self: exit(9))
        assert limbeck("run", "teacher.yaml", "--quiet", "--runs", "other", "--set", "train.checkpoint=1 steps") == 9
    return only(lab / "other", "teacher")


def test_a_truncated_checkpoint_is_named_with_the_remedy_which_works(
    lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = interrupted(lab, monkeypatch)
    *_, newest = sorted((folder / "checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:500])
    before = stamps(folder)
    error = fails(capsys, "run", "teacher.yaml", "--quiet", "--runs", "other")
    assert str(newest.relative_to(lab)) in error
    assert "Delete this file (training then resumes from step-" in error
    assert "--fresh" in error
    assert {name for name, at in stamps(folder).items() if at != before.get(name)} <= {"run.json", "recipe.json"}
    newest.unlink()
    assert limbeck("run", "teacher.yaml", "--quiet", "--runs", "other") == 0
    again, whole = (only(lab / root, "teacher") / "student-last.safetensors" for root in ("other", "runs"))
    assert again.read_bytes() == whole.read_bytes()


def test_a_checkpoint_that_would_run_code_is_not_read(
    lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = interrupted(lab, monkeypatch)
    *_, newest = sorted((folder / "checkpoints").iterdir())
    torch.save({"position": Harmful(lab / "harm")}, newest)
    error = fails(capsys, "run", "teacher.yaml", "--quiet", "--runs", "other")
    assert newest.name in error
    assert "Delete this file" in error
    assert not (lab / "harm").exists()
    assert limbeck("run", "teacher.yaml", "--quiet", "--runs", "other", "--fresh") == 0


def test_a_damaged_run_says_how_to_do_it_again(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = only(lab / "runs", "kd") / "run.json"
    path.write_text(path.read_text()[:40])
    error = fails(capsys, "run", "kd.yaml", "--quiet")
    assert "run.json is damaged" in error
    assert "--fresh" in error
    assert limbeck("run", "kd.yaml", "--quiet", "--fresh") == 0
    assert RunFolder(path.parent).state == "finished"


def test_damaged_weights_of_a_teacher_are_named(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = only(lab / "runs", "teacher") / "student-best.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    error = fails(capsys, "run", "kd.yaml", "--quiet", "--set", "method.temperature=3")
    assert "student-best.safetensors is not a whole safetensors file" in error
    assert names(lab / "runs") == RUNS
