"""What is wrong with the last run of a recipe is found before the first is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision.utils import save_image

from limbeck.cli.pipeline import experiment
from limbeck.core.distiller import Distiller
from limbeck.core.errors import DataError, LimbeckError, MethodError, ModelError, RecipeError, TrainingError
from limbeck.recipe import preflight
from limbeck.recipe.context import Context
from running import limbeck, run, write


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
    with pytest.raises(
        DataError, match=r"own.yaml:1:7: data: .*neither a test nor a validation split.*data.validation"
    ):
        run(recipe, f"data.root={tmp_path / 'images'}")


OWN = """\
from torch import nn


class Net(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.flat, self.fc = nn.Flatten(), nn.Linear(63, classes)

    def forward(self, x):
        return self.fc(self.flat(x))


def number() -> int:
    return 3


def unbuilt(classes: int) -> nn.Module:
    return nn.Linear(-1, [][classes])
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Net", r"Net cannot run on images.*\(own_wrong.py, line 10, in forward\)"),
        ("number", "number gave an object of type int; expected a torch.nn.Module"),
        ("unbuilt", r"unbuilt cannot be built: IndexError.*\(own_wrong.py, line 18, in unbuilt\)"),
    ],
)
def test_a_person_s_own_network_that_fails_is_named_with_its_line_and_the_recipe_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    (tmp_path / "own_wrong.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    recipe = tmp_path / "own.yaml"
    recipe.write_text(
        f"data: digits\nmodels:\n  student: own_wrong:{name}\nmethod: supervised\ntrain: {{length: 1 epochs}}\n"
    )
    with pytest.raises(ModelError, match=rf"own.yaml:3:12: models.student: own_wrong:{text}"):
        run(recipe)


def test_a_person_s_own_network_may_be_made_of_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_pair.py").write_text(
        "from torch import nn\nfrom limbeck.adapters.ensemble import Ensemble\n\n\ndef pair(classes: int):\n"
        "    return Ensemble([nn.Sequential(nn.Flatten(), nn.Linear(64, classes)) for _ in range(2)])\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    recipe = tmp_path / "own.yaml"
    recipe.write_text(
        "data: {name: digits, subset: 100}\nmodels: {student: 'own_pair:pair'}\nmethod: supervised\n"
        "train: {length: 1 epochs}\nevaluate: {latency: false}\nreport: false\n"
    )
    assert run(recipe).rows()[0].cost["parameters"] == 2 * 65 * 10


def test_a_missing_validation_split_is_named_with_its_place(tmp_path: Path) -> None:
    recipe = tmp_path / "two.yaml"
    recipe.write_text("data: {name: digits, validation: 0}\nmodels: {student: mlp}\nmethod: dml\n")
    with pytest.raises(DataError, match=r"two.yaml:1:7: data: two: DML chooses .*data.validation above 0"):
        run(recipe)


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
    assert told.value.__notes__ == [
        "in stage 'main', terms",
        "of kd (kd.yaml:3:9: method), whose first step was tried before anything is trained",
    ]
    assert not list((tmp_path / "runs").glob("*"))


def test_a_step_is_tried_on_few_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    monkeypatch.setattr(preflight, "try_out", lambda _distiller, batch, **_rest: sizes.append(len(batch.images)) or 1)
    write(tmp_path)
    run(tmp_path / "kd.yaml", "train.length=1 steps", "seeds=2")
    assert sizes == [preflight.TRIED] * 3  # teacher, student, student alone, of one seed each


WHOLE = """\
from limbeck.core.method import Method
from limbeck.core.net import Kind
from limbeck.core.settings import settings
from torch.nn.functional import cross_entropy

@settings
class Hardest(Method):
    \"\"\"Learns from the hardest images of each batch.\"\"\"

    def roles(self):
        return {"student": Kind.TRAINED}

    def terms(self, nets, batch, at):
        each = cross_entropy(nets["student"](batch).output, batch.labels, reduction="none")
        return {"task": each.topk(HARDEST).values.mean()}
"""


@pytest.mark.parametrize(("hardest", "works"), [(16, True), (65, False)])
def test_a_method_that_needs_a_whole_batch_gets_one(
    hardest: int, works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = f"own_method_{hardest}"
    (write(tmp_path) / f"{module}.py").write_text(WHOLE.replace("HARDEST)", f"{hardest})"))
    monkeypatch.chdir(tmp_path)
    sets = ("--set", f"method={module}:Hardest", "--set", "train.length=1 steps")
    if works:
        assert limbeck("run", "teacher.yaml", *sets) == 0
        return
    with pytest.raises(RuntimeError, match="index k out of range") as told:
        limbeck("run", "teacher.yaml", *sets)
    assert "in stage 'main', terms" in told.value.__notes__
    assert not list((tmp_path / "runs").glob("*"))


def test_a_refusal_says_in_which_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = WHOLE.replace('{"task": each.topk(HARDEST).values.mean()}', '{"task": each}')
    (write(tmp_path) / "own_rows.py").write_text(own)
    monkeypatch.chdir(tmp_path)
    assert limbeck("run", "teacher.yaml", "--set", "method=own_rows:Hardest") == 1
    shown = capsys.readouterr().err
    assert "expected a number as loss term 'task', a tensor of shape []; got a tensor of shape [64]" in shown
    assert "in stage 'main', terms\nof teacher" in shown


def test_adapters_are_where_the_networks_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    placed = []
    monkeypatch.setattr(Distiller, "to", lambda self, device: placed.append((device, len(self.adapters))))
    context = Context(progress=False)
    sets = ["method=byot", "models.student={name: resnet, depth: 8}", "evaluate.latency=false"]
    planned = experiment(write(tmp_path) / "teacher.yaml", sets, root=tmp_path / "runs")
    preflight.assemble(planned.runs[0], context)[0].close()
    assert placed == [(context.processes.device, 2)]


def test_the_first_seed_that_is_left_is_tried(tmp_path: Path) -> None:
    recipe = write(tmp_path) / "kd.yaml"
    run(recipe, "train.length=1 steps")
    planned = experiment(recipe, ["train.length=1 steps", "seeds=3"], root=tmp_path / "runs")
    context = Context(progress=False)
    assert preflight.preflight((planned.runs, planned.baselines), context) == 2  # the teacher is there
    assert preflight.preflight((planned.runs[:1], planned.baselines[:1]), context) == 0
