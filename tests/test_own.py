"""A person's own images, own networks, own method and own loop."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from limbeck import KD, Classification, Distiller
from limbeck.recipe.folder import RunFolder
from running import limbeck, names, only

TEACHER = """\
data: {name: folder, root: flowers, batch: 32, augment: {shift: 2}, channels: 1}
models: {student: {name: timm/resnet10t, stem_width: 8, channels: [8, 8, 16, 16]}}
method: supervised
train: {length: 2 epochs, optimizer: {name: adamw, lr: 3e-3}}
"""

DISTIL = """\
data: {name: folder, root: flowers, batch: 32, augment: {shift: 2}, channels: 1}
models:
  teacher: {from: teacher.yaml}
  student: {name: timm/test_resnet}
method: {name: kd, temperature: 4.0}
train: {length: 2 epochs, optimizer: {name: adamw, lr: 3e-3}}
baseline: true
evaluate: {latency: false}
report: false
"""

OWN = """\
from torch import nn

def small(classes, channels=1, hidden=8):
    return nn.Sequential(nn.Flatten(), nn.Linear(64 * channels, hidden), nn.ReLU(), nn.Linear(hidden, classes))
"""

OWN_RECIPE = """\
data: {name: digits, batch: 64, subset: 400}
models:
  teacher: {from: {recipe: digits/teacher, set: {train.length: 2 epochs, evaluate.latency: false}}}
  student: {name: "my_networks:small", hidden: 12}
method: kd
train: {length: 2 epochs}
evaluate: {latency: false}
report: false
"""


@pytest.fixture
def flowers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of images, named after their classes."""
    monkeypatch.chdir(tmp_path)
    pixels, labels = load_digits(n_class=3, return_X_y=True)
    for number, (image, label) in enumerate(zip(pixels[:240], labels[:240], strict=True)):
        path = tmp_path / "flowers" / ("aster", "broom", "clover")[label] / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image.reshape(8, 8) * 15.9).astype("uint8")).resize((32, 32)).save(path)
    return tmp_path


@pytest.mark.slow
def test_a_folder_of_images_and_two_timm_networks_in_twenty_lines(
    flowers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Slow because timm's networks are not as tiny as the others in these tests."""
    assert max(len(text.splitlines()) for text in (TEACHER, DISTIL)) < 20
    (flowers / "teacher.yaml").write_text(TEACHER)
    (flowers / "distil.yaml").write_text(DISTIL)
    assert limbeck("run", "distil.yaml", "--quiet") == 0
    assert "student distilled" in " ".join(capsys.readouterr().out.split())
    assert names(flowers / "runs") == ["distil", "folder-timm-test_resnet-alone", "teacher"]
    folder = RunFolder(only(flowers / "runs", "distil"))
    best, last = (load_file(folder / f"student-{which}.safetensors") for which in ("best", "last"))
    assert best.keys() == last.keys()
    measured = folder.read("evaluation.json")
    assert set(measured["best"]["per_class"]) == {"aster", "broom", "clover"}
    assert set(measured) == {"teacher", "best", "last"}
    assert folder.read("run.json")["validation"].keys() >= {"best", "last", "best_step"}


def test_a_network_of_one_s_own_in_a_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_networks.py").write_text(OWN)
    (tmp_path / "own.yaml").write_text(OWN_RECIPE)
    assert limbeck("run", "own.yaml", "--quiet") == 0
    folder = RunFolder(only(tmp_path / "runs", "own"))
    assert load_file(folder / "student-best.safetensors")["1.weight"].shape == (12, 64)
    assert limbeck("export", "own.yaml", "--format", "safetensors") == 0  # built again from its path
    capsys.readouterr()


def test_a_network_of_one_s_own_in_a_loop_of_one_s_own() -> None:
    images = torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    labels = torch.arange(32) % 3
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    student = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3))
    before = [parameter.clone() for parameter in teacher.parameters()]

    distiller = Distiller(KD(), Classification(), {"teacher": teacher, "student": student}, (images, labels))
    optimizer = torch.optim.AdamW(student.parameters(), lr=0.02)
    losses = []
    for _ in range(200):
        loss = sum(distiller((images, labels)).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert losses[-1] < losses[0]
    with torch.no_grad():
        gap = F.kl_div(
            student(images).log_softmax(-1), teacher(images).log_softmax(-1), log_target=True, reduction="batchmean"
        )
    assert gap < 0.2
    for parameter, original in zip(teacher.parameters(), before, strict=True):
        torch.testing.assert_close(parameter, original, rtol=0, atol=0)
