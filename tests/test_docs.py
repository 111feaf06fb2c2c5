"""What the documents say is true: code runs, recipes train, commands exist, links lead somewhere.

A code block whose first line is a comment with a file's name is that file. The other Python blocks of a document run in
order, in one namespace, as somebody would paste them. Recipes are shortened to two steps and write no report.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from limbeck.cli import pipeline
from limbeck.cli.app import app
from limbeck.data.augment import Augment
from limbeck.data.source import ImageData
from limbeck.methods import METHODS
from limbeck.recipe import shipped
from limbeck.recipe.context import Context
from limbeck.recipe.models import From, Network
from limbeck.recipe.resolve import resolve
from limbeck.recipe.schema import Recipe
from limbeck.reproduce import EXPERIMENTS
from limbeck.train.settings import Train

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")])
WITH_CODE = ["CONTRIBUTING.md", "README.md", "docs/own_loop.md"]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w-]+\.(?:py|yaml))\n")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the file that it is, if it is one."""

    language: str
    text: str

    @property
    def file(self) -> str:
        found = FILE.match(self.text)
        return found[1] if found else ""


def blocks(document: str) -> list[Block]:
    return [Block(*found) for found in BLOCK.findall((ROOT / document).read_text(encoding="utf-8"))]


def recipes(document: str) -> list[str]:
    """Those that no other one stands on: the others are run for them."""
    found = [block for block in blocks(document) if block.language == "yaml"]
    return [block.file for block in found if not any(f"from: {block.file}" in other.text for other in found)]


def shortened(text: str) -> str:
    text = re.sub(r"length: \d+ epochs", "length: 2 steps", text)
    text = re.sub(r"^(export|evaluate): .*\n", "", text, flags=re.MULTILINE)
    return text if "extends:" in text else f"{text}evaluate: {{latency: false}}\nreport: false\n"


def photographs(folder: Path) -> None:
    for kind, grey in (("cat", 60), ("dog", 200)):
        (folder / "train" / kind).mkdir(parents=True)
        for number in range(12):
            Image.new("RGB", (70, 64), (grey, number, grey)).save(folder / "train" / kind / f"{number}.jpg")
    pictures = sorted(folder.rglob("*.jpg"))
    lines = [f"{path.relative_to(folder)},{path.parent.name}\n" for path in pictures]
    (folder / "labels.csv").write_text("".join(lines), encoding="utf-8")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in, as somebody's own, with shipped recipes of two steps."""
    own = tmp_path / "shipped"
    for recipe in shipped.shipped():
        path = own / f"{recipe.name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(shortened(recipe.path.read_text(encoding="utf-8")), encoding="utf-8")
    monkeypatch.setattr(shipped, "root", lambda: own)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    photographs(folder / "photos")
    elsewhere = nn.Sequential(nn.Conv2d(3, 24, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 2))
    torch.save(elsewhere.state_dict(), folder / "teacher.pt")
    known = set(sys.modules)
    yield folder
    for name in set(sys.modules) - known:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def written(document: str, folder: Path) -> None:
    """The document's files in a folder."""
    for block in blocks(document):
        if block.file:
            text = shortened(block.text) if block.language == "yaml" else block.text
            (folder / block.file).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("document", WITH_CODE)
def test_the_python_code_runs(document: str, place: Path) -> None:
    written(document, place)
    namespace: dict[str, Any] = {"__name__": "document"}
    for block in blocks(document):
        if block.language == "python" and not block.file:
            exec(compile(block.text, document, "exec"), namespace)
    tests = sorted(place.glob("test_*.py"))
    for path in tests:
        checks = {name: check for name, check in vars(_module(path)).items() if name.startswith("test_")}
        assert checks
        for check in checks.values():
            check()
    assert namespace.get("results") or tests


@pytest.mark.parametrize(
    "name", [(document, recipe) for document in WITH_CODE for recipe in recipes(document)], ids=str
)
def test_the_recipes_train(name: tuple[str, str], place: Path) -> None:
    document, recipe = name
    written(document, place)
    results = pipeline.run(recipe, root=place / "runs", context=Context(progress=False))
    assert results.rows()
    assert all(torch.isfinite(entry.predictions.logits).all() for entry in results.entries)


def test_the_recipe_in_the_readme_is_the_one_that_is_shipped(tmp_path: Path) -> None:
    for block in blocks("README.md"):
        if block.file == "digits-kd.yaml":
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
    assert resolve(tmp_path / "digits-kd.yaml").canonical == resolve("digits/kd").canonical


def commands() -> list[str]:
    lines = [line for path in DOCUMENTS for line in path.read_text(encoding="utf-8").splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ") and "limbeck " in line]


@pytest.mark.parametrize("command", commands())
def test_the_commands_exist_and_their_recipes_are_right(command: str, place: Path) -> None:
    for document in WITH_CODE:
        written(document, place)
    words = shlex.split(command)
    verb, *rest = words[words.index("limbeck") + 1 :]
    assert verb in {registered.name for registered in app.registered_commands}
    if verb == "reproduce":
        assert rest[0] in EXPERIMENTS
        return
    overrides = [value for option, value in pairwise(rest) if option == "--set"]
    assert resolve(rest[0], overrides).recipe


def test_there_are_commands() -> None:
    assert len(commands()) >= 5


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(path: Path) -> None:
    prose = BLOCK.sub("", path.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)#:]+)\)", prose):
        assert (path.parent / target).exists(), target


def test_the_index_of_methods_is_what_the_docstrings_say() -> None:
    script = _module(ROOT / "docs" / "make_methods.py")
    assert (ROOT / "docs" / "methods.md").read_text(encoding="utf-8") == script.page(), (
        "run python docs/make_methods.py"
    )


def test_the_page_of_keys_is_what_the_docstrings_say() -> None:
    script = _module(ROOT / "docs" / "make_recipe.py")
    shown = script.page()
    assert (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8") == shown, "run python docs/make_recipe.py"
    rows = [line.split(" | ") for line in shown.splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    assert all(len(row) in (3, 4) and all(cell.strip("| ") for cell in row) for row in rows)
    assert "FieldInfo" not in shown
    assert "<" not in re.sub(r"<class>", "", shown)  # no object's repr


@pytest.mark.parametrize("cls", [Recipe, Train, Network, From, ImageData, Augment], ids=lambda cls: cls.__name__)
def test_every_key_is_on_the_page(cls: type) -> None:
    shown = (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8")
    keys = {field.name for field in fields(cls)} - {"arguments"}
    assert keys <= set(re.findall(r"^\| `(\w+)` \|", shown, re.MULTILINE))


def test_the_exported_file_answers_as_the_readme_says(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written("README.md", place)
    (place / "photos.yaml").write_text((place / "photos.yaml").read_text() + "export: [onnx]\n", encoding="utf-8")
    results = pipeline.run("photos.yaml", root=place / "runs", context=Context(progress=False))
    (exported,) = results.exports
    command = [sys.executable, "predict.py", exported["path"], "photos/train/dog/3.jpg"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("cat", "dog")


def test_every_hyper_parameter_has_a_meaning_in_the_index() -> None:
    script = _module(ROOT / "docs" / "make_methods.py")
    cells: Mapping[str, list[list[str]]] = {
        name: [line.split(" | ") for line in script._section(name) if line.startswith("| `")] for name in METHODS
    }
    assert all(len(row) == 4 and len(row[3]) > 5 for rows in cells.values() for row in rows)
    assert cells["kd"]


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_figures_of_reproductions_are_those_of_the_outcomes() -> None:
    script = _module(ROOT / "docs" / "make_reproductions.py")
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "run python docs/make_reproductions.py"
    for path in script.OUTCOMES.glob("*.json"):
        outcome = json.loads(path.read_text(encoding="utf-8"))
        assert outcome["name"] == path.stem
        assert outcome["name"] in EXPERIMENTS
        assert not outcome["quick"]
