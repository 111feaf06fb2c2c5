from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from PIL import Image

from limbeck.models.build import build
from running import limbeck, stamps, write


def test_check_shows_everything_and_trains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(write(tmp_path))
    monkeypatch.setenv("COLUMNS", "160")
    assert limbeck("check", "kd.yaml") == 0
    shown = " ".join(capsys.readouterr().out.split())
    for part in (
        "runs/kd-",
        "runs/teacher-",
        "digits-mlp-alone-",
        "absent",
        "frozen",
        "trained",
        "1,810",
        "610",
        "terms",
    ):
        assert part in shown
    assert not (tmp_path / "runs").exists()


def test_check_says_what_is_finished(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = stamps(lab)
    assert limbeck("check", "kd.yaml") == 0
    shown = capsys.readouterr().out
    assert shown.count("finished") == 3
    assert "was tried" not in shown
    assert stamps(lab) == before


@pytest.mark.usefixtures("unchecked")  # of a branched network the batch grows on the way
@pytest.mark.parametrize(
    ("recipe", "parts"),
    [  # CIFAR-100 itself is not at hand where tests run; its shape decides networks and plan
        ("cifar100/mutual", ("student resnet32 trained 472,756", "peer1 resnet32 trained 472,756")),
        ("cifar100/native-ensemble", ("student resnet32 trained 1,193,084", "student layer3:input")),
        ("cifar100/byot", ("student resnet18 trained 11,220,132", "student layer1, layer2, layer3, layer4")),
    ],
)
def test_recipes_of_the_papers_sizes_can_be_trained(
    recipe: str, parts: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("torchvision")
    write_hundred(tmp_path / "cifar-100-binary")
    monkeypatch.setenv("LIMBECK_DATA", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    assert limbeck("check", recipe) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for part in parts:
        assert part in shown


def test_networks_that_train_inside_wider_ones_are_shown_as_they_are_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    recipe = """\
        data: {name: digits, batch: 64}
        models: {student: {name: resnet, depth: 8, widths: [4, 4, 8, 8]}}
        method: netaug
        train: {length: 1 epochs}
        """
    (tmp_path / "aug.yaml").write_text(dedent(recipe))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    assert limbeck("check", "aug.yaml") == 0
    plain = build("resnet", {"depth": 8, "widths": [4, 4, 8, 8]}, classes=10, channels=1, height=8, width=8)
    shown = " ".join(capsys.readouterr().out.split())
    assert f"delivered – – {sum(parameter.numel() for parameter in plain.parameters()):,}" in shown
    own, widest = (int(re.findall(rf"{role} \S+ trained [\d,]+ ([\d,]+)", shown)[0].replace(",", ""))
                   for role in ("student", "wide"))  # fmt: skip
    assert widest > 3 * own  # what a step may cost
    table, _, tried = shown.rpartition(" Nothing was trained.")
    assert tried == " The first step of each stage to come (1) was tried on some images."
    step = int(table.split()[-1].replace(",", ""))
    assert own < step <= own + widest


def test_turns_of_a_step_are_not_shown_as_further_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "mutual.yaml").write_text(
        "data: {name: digits, batch: 100, validation: 200}\nmodels: {student: {name: mlp, hidden: [4]}}\n"
        "method: dml\ntrain: {length: 2 epochs}\n"
    )
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    assert limbeck("check", "mutual.yaml") == 0
    shown = capsys.readouterr().out.splitlines()
    head = next(index for index, line in enumerate(shown) if line.startswith("stage "))
    first, second = (line.split() for line in shown[head + 1 : head + 3])
    assert first[:6] == ["main", "20", "1", "of", "2:", "terms"]
    assert second[:5] == ["2", "of", "2:", "terms", "peer1"]


def test_the_first_batch_can_be_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(write(tmp_path))
    assert limbeck("check", "teacher.yaml", "--set", "data.augment={mixup: 1.0}", "--images", "sheet.png") == 0
    assert "images of the first batch: sheet.png" in capsys.readouterr().out
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.width == 1120
        assert len(picture.convert("L").getcolors() or []) > 20
    assert not (tmp_path / "runs").exists()


def write_hundred(folder: Path) -> None:
    """Noise in the layout of CIFAR-100: 300 images for training, 100 for testing."""
    folder.mkdir()
    for name, images in (("train", 300), ("test", 100)):
        rows = np.random.default_rng(images).integers(0, 256, (images, 2 + 3 * 32 * 32), dtype=np.uint8)
        rows[:, 0], rows[:, 1] = 0, np.arange(images) % 100
        rows.tofile(folder / f"{name}.bin")
    (folder / "fine_label_names.txt").write_text("\n".join(f"class{number}" for number in range(100)))
