"""`limbeck taps`: what networks offer, what is proposed, and that a recipe takes the proposal as it is printed."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import yaml

from running import limbeck, write

CNN = """\
data: {name: digits, batch: 64, subset: 200}
models: {student: {name: cnn, width: 4}}
method: supervised
train: {length: 2 epochs, optimizer: {name: adamw, lr: 1e-2}}
evaluate: {latency: false}
report: false
"""
WIDER = "extends: cnn.yaml\nmodels: {student: {width: 6}}\n"
HINT = """\
extends: cnn.yaml
models: {teacher: {from: wider.yaml}, student: {name: cnn, width: 4}}
"""
PAIRS = [{"student": f"layer{n}", "teacher": f"layer{n}"} for n in (1, 2, 3)]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with recipes that nobody has run."""
    monkeypatch.chdir(write(tmp_path, {"cnn.yaml": CNN, "wider.yaml": WIDER}))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def proposals(shown: str) -> list[str]:
    """The blocks of the output that begin with `taps:`, as they were printed."""
    lines, found = shown.splitlines(), []
    for number, line in enumerate(lines):
        if line == "taps:":
            end = next((n for n in range(number + 1, len(lines)) if not lines[n].startswith("  - ")), len(lines))
            found.append("\n".join(lines[number:end]))
    return found


def rows(shown: str) -> list[list[str]]:
    return [line.split() for line in shown.splitlines()]


def test_modules_with_their_shapes_and_a_proposal(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("taps", "cnn", "{name: cnn, width: 4}") == 0
    shown = capsys.readouterr().out
    teacher, student = shown.split("Student: ")
    for part, widths in ((teacher, (32, 64, 128)), (student, (4, 8, 16))):
        for number, (channels, side) in enumerate(zip(widths, (8, 4, 2), strict=True), start=1):
            expected = f"layer{number} Sequential {channels} channels, {side}×{side} end of stage {number}"
            assert expected.split() in rows(part)
    assert "Teacher: cnn, 94,186 parameters" in teacher
    assert student.startswith("cnn, 1,702 parameters")
    assert "what `taps: auto` takes" in shown
    proposal, sections = proposals(shown)
    assert yaml.safe_load(proposal) == {"taps": PAIRS}
    assert "`fitnets` takes one pair, `taps: {student: layer2, teacher: layer2}`" in shown
    ends = [[f"layer{n}.conv", f"layer{n}"] for n in (1, 2, 3)]
    assert yaml.safe_load(sections) == {"taps": [{"student": pair, "teacher": pair} for pair in ends]}


def test_an_ensemble_is_called_what_it_was_given_as(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("taps", "{ensemble: [cnn, cnn]}", "cnn") == 1
    shown = " ".join(capsys.readouterr().err.split())
    assert "the teacher '{ensemble: [cnn, cnn]}'.0: cnn is to teach but has no weights" in shown


def test_an_ensemble_offers_the_layers_of_the_one_that_stands_for_it(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = "{ensemble: [{from: wider.yaml}, {from: {recipe: wider.yaml, seed: 1}}]}"
    assert limbeck("taps", both, "{name: cnn, width: 4}") == 0
    shown = capsys.readouterr().out
    assert "Teacher: 2xcnn, " in shown
    (proposal,) = proposals(shown)[:1]
    assert all(pair["teacher"].endswith(pair["student"]) for pair in yaml.safe_load(proposal)["taps"])


def test_a_recipe_takes_what_was_printed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("taps", "{name: cnn, width: 6}", "{name: cnn, width: 4}") == 0
    proposal, _ = proposals(capsys.readouterr().out)
    indented = "\n".join(f"  {line}" for line in proposal.splitlines())
    write(place, {"hint.yaml": f"{HINT}method:\n  name: hint\n{indented}\n"})
    assert limbeck("check", "hint.yaml") == 0
    shown = capsys.readouterr().out
    assert "regressor2" in shown
    assert "regressor3" not in shown
    assert "auto chose" not in shown


def test_it_proposes_what_auto_takes(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where depths differ: a third layer pairs with the last of its size, not with its number."""
    deep = "{name: cnn, width: 6, depth: 5}"
    assert limbeck("taps", deep, "{name: cnn, width: 4}") == 0
    proposal, _ = proposals(capsys.readouterr().out)
    assert yaml.safe_load(proposal) == {"taps": [*PAIRS[:2], {"student": "layer3", "teacher": "layer5"}]}
    write(place, {"deep.yaml": f"extends: cnn.yaml\nmodels: {{student: {deep}}}\n"})
    write(place, {"auto.yaml": HINT.replace("wider", "deep") + "method: {name: hint, taps: auto}\n"})
    assert limbeck("check", "auto.yaml") == 0
    assert "student layer1, layer2, layer3; teacher layer1, layer2, layer5" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("teacher", "student", "lacking"),
    [
        ("cnn", "{name: cnn, width: 4}", "no weights for the teacher and student"),
        ("wider.yaml", "cnn", "no weights for the teacher and student"),  # nobody has run it
        ("{name: cnn}", "cnn.yaml", "no weights for the teacher."),
        ("cnn.yaml", "{name: cnn}", "no weights for the student."),
    ],
)
def test_without_weights_it_says_whose_are_missing(
    place: Path, capsys: pytest.CaptureFixture[str], teacher: str, student: str, lacking: str
) -> None:
    if "cnn.yaml" in (teacher, student):
        assert limbeck("run", "cnn.yaml", "--quiet") == 0
        capsys.readouterr()
    before = sorted(place.rglob("*"))
    assert limbeck("taps", teacher, student) == 0
    shown = capsys.readouterr().out
    assert lacking in shown
    assert "CKA" not in shown
    assert len(proposals(shown)) == 2  # by stage, and the sections of flows
    assert sorted(place.rglob("*")) == before  # nothing was trained


def test_trained_networks_are_compared_by_what_they_see(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for recipe in ("cnn.yaml", "wider.yaml"):
        assert limbeck("run", recipe, "--quiet") == 0
    capsys.readouterr()
    assert limbeck("taps", "wider.yaml", "cnn.yaml", "--batches", "2") == 0
    shown = capsys.readouterr().out
    assert "no weights" not in shown
    _, table = shown.split("Linear CKA, rows of the student")
    found = {row[0]: row[1:] for row in rows(table) if row and row[0].startswith("layer") and len(row) == 5}
    assert list(found) == ["layer1", "layer2", "layer3"]  # of the student: ends of stages; of the teacher: every unit
    values = [[float(cell) for cell in row] for row in found.values()]
    assert all(0 <= value <= 1 for row in values for value in row)
    assert len({value for row in values for value in row}) > 6
    by_stage, _, by_sight = (yaml.safe_load(text)["taps"] for text in proposals(shown))
    assert by_stage == PAIRS
    assert [pair["student"] for pair in by_sight] == list(found)


def test_a_network_is_most_like_itself(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the same weights on both sides every layer sees what it sees itself, and none is more alike."""
    assert limbeck("run", "cnn.yaml", "--quiet") == 0
    capsys.readouterr()
    assert limbeck("taps", "cnn.yaml", "cnn.yaml") == 0
    shown = capsys.readouterr().out
    _, table = shown.split("Linear CKA, rows of the student")
    values = {row[0]: row[1:] for row in rows(table) if len(row) == 5}
    assert [values[f"layer{n}"][n - 1] for n in (1, 2, 3)] == ["1.00"] * 3
    assert yaml.safe_load(proposals(shown)[2]) == {"taps": PAIRS}


@pytest.mark.parametrize(
    ("arguments", "named", "near"),
    [
        (("resnet2o", "cnn"), "teacher 'resnet2o'", "no network is called 'resnet2o'; close: resnet"),
        (("cnn", "mpl"), "student 'mpl'", "no network is called 'mpl'; close: mlp"),
        (("cnn", "{name: cnn, widht: 4}"), "student '{name: cnn, widht: 4}'", "no argument 'widht'; close: width"),
        (("cnn", "cnn", "digitz"), "data 'digitz'", "no data set is called 'digitz'; close: digits"),
        (("wyder.yaml", "cnn"), "teacher 'wyder.yaml'", "close: wider"),
    ],
)
def test_a_wrong_name_gets_close_ones_and_no_file_of_ours(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], named: str, near: str
) -> None:
    assert limbeck("taps", *arguments) == 1
    shown = " ".join(capsys.readouterr().err.split())
    assert named in shown
    assert near in shown
    assert "taps.yaml" not in shown
    assert tempfile.gettempdir() not in shown.replace(str(place), "")


@pytest.mark.parametrize(("teacher", "student"), [("cnn", "mlp"), ("mlp", "cnn")])
def test_a_network_without_features_has_nothing_to_pair(
    place: Path, capsys: pytest.CaptureFixture[str], teacher: str, student: str
) -> None:
    assert limbeck("taps", teacher, student) == 0
    shown = capsys.readouterr().out
    assert "a feature map [b c h w]" in " ".join(shown[shown.index("Nothing to pair") :].split())
    assert proposals(shown) == []


def test_no_batches_are_a_usage_error(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("taps", "cnn", "cnn", "--batches", "0") == 2
    assert "Usage" in capsys.readouterr().err


def test_relative_paths_are_those_of_the_current_folder(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("taps", "{name: cnn, weights: w.safetensors}", "cnn") == 1
    assert str(place / "w.safetensors") in "".join(capsys.readouterr().err.split())
    assert limbeck("taps", "{from: cnn.yaml}", "wider.yaml") == 0
    assert not list(place.glob(".taps-*"))


@pytest.mark.parametrize("arguments", [("{name: cnn", "cnn"), ("cnn", "cnn", "{name: [")])
def test_what_is_neither_a_name_nor_yaml_is_said_to_be(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert limbeck("taps", *arguments) == 1
    assert "is neither a name nor YAML" in " ".join(capsys.readouterr().err.split())


def test_a_small_last_batch_is_not_compared(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert limbeck("run", "cnn.yaml", "--quiet") == 0
    capsys.readouterr()
    assert limbeck("taps", "cnn.yaml", "cnn.yaml", "{name: digits, subset: 65, validation: 0}") == 0
    shown = capsys.readouterr().out
    assert "1.00" in shown
    assert "0.50" not in shown
