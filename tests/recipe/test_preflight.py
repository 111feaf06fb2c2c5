"""What is wrong with the last run of a recipe is found before the first is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision.utils import save_image

from limbeck.core.errors import DataError, LimbeckError, MethodError, ModelError, RecipeError, TrainingError
from limbeck.recipe import preflight
from running import run, write


@pytest.mark.parametrize(
    ("override", "error", "text"),
    [
        ("models.techer=cnn", RecipeError, r"models.techer.*no role 'techer'; close: teacher"),
        ("models.teacher=null", RecipeError, r"kd needs a network for the role 'teacher'"),
        ("train.precision=fp16", TrainingError, "fp16 needs a GPU"),
        ("train.groups={studnet: {name: sgd}}", MethodError, "train.groups: 'studnet'.*close: student"),
        ("data.labelled=0", DataError, "no training image has a label.*baseline: false"),
        (
            "method=hint data.labelled=0 baseline=false",
            DataError,
            "no training image has a label, so nothing teaches the answers",
        ),
        ("models.student={ensemble: [cnn]}", ModelError, "an ensemble can teach, but it cannot be trained"),
        ("data.augment.transforms=[{name: RandomSomething}]", DataError, "RandomSomething"),
    ],
)
def test_nothing_is_trained_for_a_recipe_that_cannot_end(
    tmp_path: Path, override: str, error: type[LimbeckError], text: str
) -> None:
    write(tmp_path)
    with pytest.raises(error, match=text):
        run(tmp_path / "kd.yaml", *override.split(" ") if override.startswith("method=") else [override])
    assert not list((tmp_path / "runs").glob("*"))


def test_data_on_which_nothing_can_be_measured_is_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(6):
            save_image(torch.rand(1, 8, 8), tmp_path / "images" / name / f"{number}.png")
    recipe = tmp_path / "own.yaml"
    recipe.write_text(
        "data: {name: folder, root: images, batch: 4, validation: 0, test: 0}\n"
        "models: {student: {name: cnn, width: 4}}\nmethod: supervised\ntrain: {length: 1 epochs}\n"
    )
    with pytest.raises(DataError, match=r"neither a test nor a validation split.*data.validation"):
        run(recipe, f"data.root={tmp_path / 'images'}")


BROKEN = """\
from torch import nn

class Broken(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.first, self.last = nn.Linear(64, 8), nn.Linear(8, classes)

    def forward(self, images):
        hidden = self.first(images.flatten(1)).exp()
        answer = self.last(hidden)
        hidden += 1
        return answer
"""


def test_a_student_that_cannot_be_trained_is_found_before_its_teacher_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (write(tmp_path) / "own_networks.py").write_text(BROKEN)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RuntimeError, match="inplace operation") as told:
        run(tmp_path / "kd.yaml", "models.student={name: 'own_networks:Broken'}")
    assert "the first step of KD, stage 'main', terms, tried before anything is trained" in str(told.value.__notes__)
    assert not list((tmp_path / "runs").glob("*"))


def test_a_step_is_tried_on_few_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    monkeypatch.setattr(preflight, "try_out", lambda _distiller, batch, **_rest: sizes.append(len(batch.images)))
    write(tmp_path)
    run(tmp_path / "kd.yaml", "train.length=1 steps")
    assert sizes == [preflight.TRIED] * 3  # teacher, student, student alone
