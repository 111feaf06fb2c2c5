from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from limbeck.recipe.build import Builder
from limbeck.recipe.models import (
    Ensemble,
    From,
    Network,
    Normalize,
    Specialists,
    members_of,
    plain_model,
    read_model,
)
from limbeck.recipe.yaml import Mark, node_of, parse


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "teacher.yaml").write_text("a: 1\n")
    (tmp_path / "w.safetensors").write_text("")
    return tmp_path


def read(folder: Path, text: str) -> tuple[Any, list[str]]:
    builder = Builder()
    form = read_model(builder, parse(text, file=str(folder / "r.yaml"), problems=[]), ("models", "x"))
    return form, [str(problem).split("r.yaml:")[1] for problem in builder.problems]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("mlp", Network(name="mlp")),
        ("{name: mlp, hidden: [8], dropout: 0.5}", Network(name="mlp", arguments={"hidden": [8], "dropout": 0.5})),
        (
            "{name: timm/resnet18, pretrained: true, any: 1}",
            Network(name="timm/resnet18", pretrained=True, arguments={"any": 1}),
        ),
        (
            "{name: mlp, normalize: own, classes: [dog, cat]}",
            Network(name="mlp", normalize="own", classes=("dog", "cat")),
        ),
        (
            "{name: mlp, normalize: {mean: [0], std: [1]}}",
            Network(name="mlp", normalize=Normalize(mean=(0.0,), std=(1.0,))),
        ),
        ("{name: 'limbeck.models.cnn:cnn', width: 4}", Network(name="limbeck.models.cnn:cnn", arguments={"width": 4})),
    ],
)
def test_networks(folder: Path, text: str, form: Network) -> None:
    assert read(folder, text) == (form, [])


def test_paths_start_from_the_recipes_folder(folder: Path) -> None:
    teacher = str(folder / "teacher.yaml")
    assert read(folder, "from: teacher.yaml") == (From(recipe=teacher), [])
    text = "from: {recipe: teacher.yaml, part: teacher, set: {train.length: 5 epochs}, seed: inherit}"
    assert read(folder, text) == (
        From(recipe=teacher, part="teacher", set={"train.length": "5 epochs"}, seed="inherit"),
        [],
    )
    assert read(folder, "{name: mlp, weights: w.safetensors}")[0].weights == str(folder / "w.safetensors")


def test_ensembles(folder: Path) -> None:
    form, problems = read(folder, "{ensemble: [mlp, {from: teacher.yaml}], mean: geometric}")
    assert problems == []
    members = (Network(name="mlp"), From(recipe=str(folder / "teacher.yaml")))
    assert form == Ensemble(ensemble=members, mean="geometric")


def test_specialists(folder: Path) -> None:
    form, problems = read(folder, "{generalist: {from: teacher.yaml}, specialists: [mlp, cnn], top: 2}")
    assert problems == []
    generalist = From(recipe=str(folder / "teacher.yaml"))
    assert form == Specialists(generalist=generalist, specialists=(Network(name="mlp"), Network(name="cnn")), top=2)
    keys = ["student.generalist", "student.0", "student.1"]
    assert members_of(form, "student") == dict(zip(keys, [generalist, *form.specialists], strict=True))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "3",
            "1:1: models.x: expected a name, {name: ...}, {from: recipe}, {ensemble: [...]} or "
            "{generalist: ..., specialists: [...]}, came 3",
        ),
        ("{hidden: 3}", "1:1: models.x: expected a name"),
        ("mpl", "1:1: models.x.name: no network is called 'mpl'; close: mlp; or timm/NAME"),
        ("{name: 3}", "1:8: models.x.name: expected text, came 3"),
        ("{name: mlp, hiden: 3}", "1:13: models.x.hiden: mlp has no argument 'hiden'; close: hidden"),
        (
            "{name: mlp, preTrained: true}",
            "1:13: models.x.preTrained: mlp has no argument 'preTrained'; close: pretrained",
        ),
        ("{name: mlp, width: 3}", "1:13: models.x.width: mlp has no argument 'width'; close: "),
        ("{name: mlp, hidden: 3}", "1:21: models.x.hidden: expected a list, came 3"),
        ("{name: mlp, hidden: [0]}", "1:22: models.x.hidden.0: expected a number greater than 0, came 0"),
        ("{name: 'limbeck.models.cnn:cn'}", "1:8: models.x.name: module 'limbeck.models.cnn' has no 'cn'; close: cnn"),
        ("{name: mlp, weights: none.pt}", "1:22: models.x.weights: no file"),
        ("{name: mlp, normalize: oown}", "1:24: models.x.normalize: expected 'auto'"),
        (
            "{name: mlp, normalize: {mean: [0], std: [1, 1]}}",
            "1:24: models.x.normalize: mean has 1 channels, std has 2",
        ),
        ("{from: taecher.yaml}", "1:8: models.x.from: no file"),
        ("{from: {part: student}}", "1:8: models.x.from: the key 'recipe' is missing"),
        ("{from: teacher.yaml, part: x}", "1:22: models.x.part: no such key beside 'from'"),
        ("{from: {recipe: teacher.yaml, seed: inherited}}", "1:37: models.x.from.seed: expected"),
        ("{ensemble: mlp}", "1:12: models.x.ensemble: expected a list, came 'mlp'"),
        ("{ensemble: []}", "1:12: models.x.ensemble: expected at least 1 item(s), came []"),
        ("{ensemble: [mlp, mpl]}", "1:18: models.x.ensemble.1.name: no network is called 'mpl'"),
        ("{ensemble: [{ensemble: [mlp]}]}", "1:13: models.x.ensemble.0: expected a name"),
        ("{ensemble: [mlp], meen: x}", "1:19: models.x.meen: no such key; close: mean"),
        ("{from: {recipe: teacher.yaml, head: new}}", "1:37: models.x.from.head: expected 'kept' or 'refitted'"),
        ("{generalist: mlp}", "1:1: models.x: the key 'specialists' is missing"),
        ("{generalist: mlp, specialists: []}", "1:32: models.x.specialists: expected at least 1 item(s), came []"),
        ("{generalist: mlp, specialists: [mpl]}", "1:33: models.x.specialists.0.name: no network is called 'mpl'"),
        ("{generalist: mlp, specialists: [mlp], top: 0}", "1:44: models.x.top: expected a number greater than"),
    ],
)
def test_wrong_forms(folder: Path, text: str, problem: str) -> None:
    _, problems = read(folder, text)
    assert len(problems) == 1
    assert problems[0].startswith(problem)


@pytest.mark.parametrize(
    "text",
    [
        "{name: mlp, hidden: [8], normalize: {mean: [0], std: [1]}}",
        "{ensemble: [mlp, {from: teacher.yaml}]}",
        "{generalist: mlp, specialists: [{from: {recipe: teacher.yaml, head: refitted}}]}",
    ],
)
def test_plain_forms_read_as_the_same(folder: Path, text: str) -> None:
    form, _ = read(folder, text)
    builder = Builder()
    assert read_model(builder, node_of(plain_model(form), Mark()), ()) == form
    assert builder.problems == []
