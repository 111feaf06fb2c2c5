from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from limbeck.core.errors import RecipeError
from limbeck.methods.compose import Compose
from limbeck.methods.kd import KD
from limbeck.methods.supervised import Supervised
from limbeck.models.build import build
from limbeck.recipe import shipped
from limbeck.recipe.models import From, Network
from limbeck.recipe.resolve import resolve
from limbeck.train.settings import SGD, AdamW, Constant

TEACHER = """\
data: digits
models:
  student: mlp
method: supervised
train: {length: 2 epochs, optimizer: {name: adamw, lr: 1e-3}}
"""

KD_OF_IT = """\
# Soft targets
extends: teacher.yaml
models:
  teacher: {from: teacher.yaml}
  student: {name: mlp, hidden: [8]}
method: {name: compose, methods: [{name: kd, temperature: 3}, supervised]}
train:
  schedule: constant
  groups: {student.head: sgd}
seeds: 2
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "teacher.yaml").write_text(TEACHER)
    (tmp_path / "kd.yaml").write_text(KD_OF_IT)
    return tmp_path


def problems(reference: str, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        resolve(reference, overrides)
    return str(caught.value).splitlines()


def test_parents_defaults_and_nested_methods(folder: Path) -> None:
    resolved = resolve("kd.yaml")
    recipe = resolved.recipe
    assert recipe.method == Compose(methods=(KD(temperature=3.0), Supervised()))
    assert recipe.models["student"] == Network(name="mlp", arguments={"hidden": [8]})
    assert recipe.models["teacher"] == From(recipe=str(folder / "teacher.yaml"))
    assert recipe.train.optimizer == AdamW(lr=1e-3)
    assert recipe.train.schedule == Constant()
    assert recipe.train.groups == {"student.head": SGD()}
    assert recipe.train.length == "2 epochs"
    assert resolved.path == folder / "kd.yaml"
    assert resolved.name == "kd"


def test_the_canonical_form_is_json_and_reads_as_the_same_recipe(folder: Path) -> None:
    resolved = resolve("kd.yaml", ["train.seed=3"])
    (folder / "again.yaml").write_text(json.dumps(resolved.canonical))
    again = resolve("again.yaml")
    assert again.canonical == resolved.canonical
    assert again.recipe == resolved.recipe
    assert resolved.overrides == {"train.seed": 3}
    assert resolved.canonical["data"]["batch"] == 128


def test_overrides_win_over_files(folder: Path) -> None:
    resolved = resolve("kd.yaml", {"train.length": "5 epochs", "method": "kd", "models.teacher.from.seed": "inherit"})
    assert resolved.recipe.train.length == "5 epochs"
    assert resolved.recipe.method == KD()
    assert resolved.recipe.models["teacher"] == From(recipe=str(folder / "teacher.yaml"), seed="inherit")


def test_null_takes_a_role_away(folder: Path) -> None:
    assert list(resolve("kd.yaml", ["models.teacher=null"]).recipe.models) == ["student"]


def test_later_problems_have_a_place(folder: Path) -> None:
    resolved = resolve("kd.yaml", ["train.seed=3"])
    assert str(resolved.problem("models.student.hidden", "too wide")) == "kd.yaml:5:32: models.student.hidden: too wide"
    assert str(resolved.problem("models.student.dropout", "too much")).startswith("kd.yaml:5:12: ")
    assert str(resolved.problem("data.root", "missing")) == "teacher.yaml:1:7: data.root: missing"
    assert str(resolved.problem("train.seed", "odd")) == "--set train.seed: train.seed: odd"
    assert str(resolved.problem(("method", "methods", 0, "temperature"), "hot")).startswith("kd.yaml:6:59: ")


def test_all_problems_of_all_layers_together(folder: Path) -> None:
    (folder / "bad.yaml").write_text(
        "extends: kd.yaml\n"
        "dta: {name: digits}\n"
        "data: {batch: big, batch: 3}\n"
        "models:\n"
        "  teacher: {from: techer.yaml}\n"
        "  student: {hidden: [8], hide: 3}\n"
        "method: {name: kd, temperature: -1}\n"
        "train: {optimizer: {lr: 0}, length: soon}\n"
        "export: [onx]\n"
    )
    assert problems("bad.yaml", "train.sed=1", "seeds=[1, 1]") == [
        "bad.yaml:2:1: dta: no such key; close: data, task, train",
        "bad.yaml:3:15: data.batch: expected a whole number, came 'big'",
        "bad.yaml:3:20: key 'batch' is given twice (first in line 3)",
        f"bad.yaml:5:19: models.teacher.from: no file '{folder}/techer.yaml'; close: teacher",
        "bad.yaml:6:26: models.student.hide: mlp has no argument 'hide'; close: hidden",
        "bad.yaml:7:33: method.temperature: expected a number greater than 0, came -1",
        "bad.yaml:8:25: train.optimizer.lr: expected a number greater than 0, came 0",
        "bad.yaml:8:37: train.length: expected a length such as '60 epochs' or '5000 steps', got 'soon'",
        "bad.yaml:9:9: export: no export format is called 'onx'; close: onnx",
        "--set seeds: seeds: 1 is given twice",
        "--set train.sed: train.sed: no such key; close: seed, schedule",
    ]


def test_missing_keys_are_named_unless_a_parent_might_have_given_them(folder: Path) -> None:
    (folder / "bare.yaml").write_text("baseline: true\n")
    assert [line.split(": ")[1] for line in problems("bare.yaml")] == [
        f"the key '{k}' is missing" for k in ("data", "models", "method")
    ]
    (folder / "orphan.yaml").write_text("extends: gone.yaml\nbaselin: true\n")
    lines = problems("orphan.yaml")
    assert len(lines) == 2
    assert lines[0].startswith("orphan.yaml:1:10: extends: no file")
    assert lines[1] == "orphan.yaml:2:1: baselin: no such key; close: baseline, train"


def test_circles_and_broken_parents(folder: Path) -> None:
    (folder / "a.yaml").write_text("extends: b.yaml\n")
    (folder / "b.yaml").write_text("extends: a.yaml\n")
    assert problems("a.yaml") == [
        "b.yaml:1:10: extends: recipes extend each other in a circle: a.yaml -> b.yaml -> a.yaml"
    ]
    (folder / "c.yaml").write_text("extends: d.yaml\n")
    (folder / "d.yaml").write_text("a: [\n")
    assert problems("c.yaml")[0].startswith("d.yaml:2:1: not YAML")


def test_shipped_names(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder / "site" / "recipes"
    (root / "digits").mkdir(parents=True)
    (root / "digits" / "teacher.yaml").write_text("# Teacher\n" + TEACHER)
    (root / "digits" / "kd.yaml").write_text(KD_OF_IT)
    monkeypatch.setattr(shipped, "root", lambda: root)
    resolved = resolve("digits/kd")
    assert resolved.reference == "digits/kd"
    assert resolved.name == "digits-kd"
    assert resolved.recipe.models["teacher"] == From(recipe="digits/teacher")
    (folder / "mine.yaml").write_text("extends: digits/kd\nname: My own, 2nd\n")
    assert resolve("mine.yaml").name == "My-own-2nd"
    assert problems("digits/kdd") == [
        "no shipped recipe 'digits/kdd'; close: digits/kd, digits/teacher; a path must end in .yaml"
    ]


@pytest.mark.parametrize("recipe", shipped.shipped(), ids=lambda recipe: recipe.name)
def test_every_shipped_recipe_resolves_and_round_trips(recipe: shipped.Shipped, tmp_path: Path) -> None:
    resolved = resolve(recipe.name)
    (tmp_path / "again.yaml").write_text(json.dumps(resolved.canonical))
    assert resolve(tmp_path / "again.yaml").canonical == resolved.canonical


def test_network_augmentation_at_the_paper_s_size_is_of_the_paper_s_network() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    recipe = resolve("imagenet/netaug").recipe
    form, side = recipe.models["student"], recipe.data.size
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network = build(form.name, form.arguments, classes=1000, channels=3, height=side, width=side)
        network.eval()(torch.rand(1, 3, side, side))
    assert counter.get_total_flops() / 2e6 == pytest.approx(23.5, abs=0.05)  # millions of multiply-accumulates
