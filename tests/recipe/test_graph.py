"""What determines a run, and what does not: same recipe = one run, any change that changes the result = another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from limbeck.core.errors import RecipeError
from limbeck.models.build import build
from limbeck.models.weights import save_weights
from limbeck.recipe.graph import Run, baseline_of, network_name, plan
from limbeck.recipe.resolve import resolve
from running import write


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # where paths in overrides start
    return write(tmp_path)


def planned(recipe: Path, *overrides: str, seed: int = 0) -> Run:
    return plan(resolve(recipe, overrides), seed=seed, root=recipe.parent / "runs")


def hashes(recipe: Path, changes: list[str]) -> list[str]:
    return [planned(recipe).hash, *(planned(recipe, *change.split(" + ")).hash for change in changes)]


CHANGES = [
    "task={name: classification, label_smoothing: 0.1}",
    "data.batch=32",
    "data.subset=300",
    "data.memory=true",
    "data.labelled=50",
    "data.validation=0.2",
    "data.augment.shift=1",
    "data.size=16",
    "data.special={classes: ['3', '8']}",
    "data.special={classes: ['3', '8'], share: 0.4}",
    "data.special={classes: {cluster: 0, of: 2, size: 5}}",
    "data.special={classes: {cluster: 0, of: 2, size: 5, seed: 1}}",
    "models.student.hidden=[9]",
    "models.student.normalize=none",
    "models.teacher.from.set={train.length: 4 epochs}",
    "models.teacher={ensemble: [{from: teacher.yaml}, {from: {recipe: teacher.yaml, seed: 1}}]}",
    "models.teacher={ensemble: [{from: teacher.yaml}, {from: {recipe: teacher.yaml, seed: 1}}], mean: geometric}",
    "models.teacher={generalist: {from: teacher.yaml}, specialists: [{from: {recipe: teacher.yaml, seed: 1}}]}",
    "models.teacher={generalist: {from: teacher.yaml}, specialists: [{from: {recipe: teacher.yaml, seed: 1}}], top: 2}",
    "models.student={from: teacher.yaml}",
    "models.student={from: {recipe: teacher.yaml, head: refitted}}",
    "method.temperature=2",
    "method.hard_weight=0.3",
    "method=supervised + models.teacher=null",
    "train.length=4 epochs",
    "train.optimizer.lr=0.02",
    "train.optimizer=sgd",
    "train.schedule=constant",
    "train.groups={student: sgd}",
    "train.precision=bf16",
    "train.clip=1.0",
    "train.max_norm=2.0",
    "train.decay=matrices",
    "train.accumulate=2",
    "train.ema=0.9",
    "train.evaluate=2 epochs",
]

COSMETICS = [
    "train.log=1 steps",
    "train.checkpoint=1 steps",
    "train.trackers=[tensorboard]",
    "data.workers=0",
    "data.prefetch=5",
    "data.pin_memory=false",
    "data.root=.",
    "data.special=null",
    "evaluate.latency=true",
    "evaluate.batch=7",
    "export=[onnx]",
    "report=true",
    "baseline=false",
    "name=Another title",
    "seeds=3",
    "seeds=[0]",
    "data.batch=64",
    "train.seed=0",
]


def test_every_change_that_changes_the_result_is_another_run(recipes: Path) -> None:
    found = hashes(recipes / "kd.yaml", CHANGES)
    alike = [change for change, one in zip(["as it is", *CHANGES], found, strict=True) if found.count(one) > 1]
    assert alike == []


@pytest.mark.parametrize("change", COSMETICS)
def test_a_change_that_does_not_change_the_result_is_the_same_run(recipes: Path, change: str) -> None:
    assert len(set(hashes(recipes / "kd.yaml", [change]))) == 1


def test_a_hash_does_not_depend_on_the_place_or_the_way_of_writing(recipes: Path, tmp_path: Path) -> None:
    elsewhere = write(tmp_path / "elsewhere")
    (elsewhere / "kd.yaml").rename(elsewhere / "other.yaml")
    assert planned(elsewhere / "other.yaml").hash == planned(recipes / "kd.yaml").hash


def test_keys_that_came_later_leave_old_hashes_as_they_were(recipes: Path) -> None:
    assert "special" not in planned(recipes / "kd.yaml").determining["data"]
    teacher = planned(recipes / "kd.yaml").determining["models"]["teacher"]
    assert teacher == {"run": planned(recipes / "teacher.yaml").hash, "part": "student"}


def test_another_seed_is_another_run(recipes: Path) -> None:
    assert planned(recipes / "kd.yaml", seed=1).hash != planned(recipes / "kd.yaml").hash


def test_the_seed_of_a_teacher(recipes: Path) -> None:
    def teacher(*overrides: str) -> Run:
        return planned(recipes / "kd.yaml", *overrides, seed=5).upstream["teacher"]

    assert teacher().seed == 0  # as its own recipe says
    assert teacher("models.teacher.from.seed=inherit").seed == 5
    assert teacher("models.teacher.from.seed=3").seed == 3
    assert teacher("models.teacher.from.set={train.seed: 4}").seed == 4


def test_a_changed_teacher_is_another_student(recipes: Path) -> None:
    before = planned(recipes / "kd.yaml")
    (recipes / "teacher.yaml").write_text((recipes / "teacher.yaml").read_text().replace("3 epochs", "4 epochs"))
    after = planned(recipes / "kd.yaml", "train.length=3 epochs")
    assert before.determining["train"] == after.determining["train"]
    assert before.hash != after.hash


def test_changing_the_method_keeps_the_teacher(recipes: Path) -> None:
    one, other = planned(recipes / "kd.yaml"), planned(recipes / "kd.yaml", "method.temperature=2")
    assert one.upstream["teacher"].folder == other.upstream["teacher"].folder
    assert one.folder != other.folder


def test_other_pixels_are_another_run(tmp_path: Path) -> None:
    for number in range(6):
        path = tmp_path / "pictures" / "train" / str(number % 2) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), number).save(path)
    recipe = (
        write(
            tmp_path, {"r.yaml": "data: {name: folder, root: pictures}\nmodels: {student: mlp}\nmethod: supervised\n"}
        )
        / "r.yaml"
    )
    before = planned(recipe, f"data.root={tmp_path / 'pictures'}").hash
    Image.new("L", (8, 8), 99).save(tmp_path / "pictures" / "train" / "0" / "0.png")
    after = planned(recipe, f"data.root={tmp_path / 'pictures'}").hash
    assert before != after
    (tmp_path / "pictures").rename(tmp_path / "moved")
    assert planned(recipe, f"data.root={tmp_path / 'moved'}").hash == after


def test_other_weights_are_another_run_and_the_file_s_name_does_not_matter(recipes: Path) -> None:
    def weights(name: str, seed: int) -> str:
        torch.manual_seed(seed)
        save_weights(build("mlp", {"hidden": [8]}, classes=10, channels=1, height=8, width=8), recipes / name)
        return planned(recipes / "kd.yaml", f"models.student.weights={recipes / name}").hash

    assert weights("a.safetensors", 0) == weights("b.safetensors", 0)
    assert weights("a.safetensors", 0) != weights("a.safetensors", 1)


def test_other_code_of_a_user_s_module_is_another_run(recipes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = recipes / "graph_own_network.py"
    monkeypatch.syspath_prepend(recipes)
    code = "from torch import nn\n\ndef net(classes):\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))\n"
    module.write_text(code)
    own = "models.student={name: 'graph_own_network:net'}"
    before = planned(recipes / "kd.yaml", own).hash
    assert planned(recipes / "kd.yaml", own).hash == before
    module.write_text(code + "# changed\n")
    assert planned(recipes / "kd.yaml", own).hash != before


def test_a_recipe_that_stands_on_itself_is_refused(tmp_path: Path) -> None:
    text = "data: digits\nmodels: {{student: mlp, teacher: {{from: {other}}}}}\nmethod: kd\n"
    write(tmp_path, {"a.yaml": text.format(other="b.yaml"), "b.yaml": text.format(other="a.yaml")})
    with pytest.raises(
        RecipeError, match=r"a.yaml:\d+:\d+: models: the recipe stands on itself: .*a.yaml -> .*b.yaml -> .*a.yaml"
    ):
        planned(tmp_path / "a.yaml")


def test_only_the_student_is_delivered(recipes: Path) -> None:
    with pytest.raises(RecipeError, match=r"models.teacher.from: part 'teacher': a finished run delivers its student"):
        planned(recipes / "kd.yaml", "models.teacher.from={recipe: teacher.yaml, part: teacher}")


def test_the_order_of_a_chain(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "small.yaml").write_text(
        "extends: kd.yaml\nmodels: {teacher: {from: kd.yaml}, student: {hidden: [4]}}\n"
    )
    run = planned(tmp_path / "small.yaml")
    assert [before.name for before in run.before()] == ["teacher", "kd"]


@pytest.mark.parametrize(
    "overrides",
    [
        ["method.temperature=9"],
        ["method={name: compose, methods: [{name: kd}]}"],
        ["models.teacher.from.set={train.length: 9 epochs}"],
    ],
)
def test_the_baseline_is_shared_by_what_is_compared_with_it(recipes: Path, overrides: list[str]) -> None:
    one = baseline_of(planned(recipes / "kd.yaml"))
    other = baseline_of(planned(recipes / "kd.yaml", *overrides))
    assert one.folder == other.folder
    assert one.recipe.method.roles().keys() == {"student"}
    assert one.upstream == {}


def test_the_baseline_keeps_student_data_and_budget(recipes: Path) -> None:
    run = planned(recipes / "kd.yaml", "train.groups={student: sgd}", "data.labelled=50", seed=2)
    base = baseline_of(run)
    for part in ("data", "train", "task"):
        assert base.determining[part] == run.determining[part]
    assert base.determining["models"] == {"student": run.determining["models"]["student"]}
    assert base.name == "digits-mlp-alone"
    assert base.recipe.train.groups.keys() == {"student"}


def test_a_baseline_and_its_like_written_by_hand_are_one_run(recipes: Path) -> None:
    by_hand = planned(recipes / "teacher.yaml", "models.student.hidden=[8]")
    assert by_hand.hash == baseline_of(planned(recipes / "kd.yaml")).hash


def test_a_run_under_another_name_is_found(recipes: Path) -> None:
    run = planned(recipes / "kd.yaml")
    assert run.folder == recipes / "runs" / f"kd-{run.hash}"
    (recipes / "runs" / f"older-name-{run.hash}").mkdir(parents=True)
    assert planned(recipes / "kd.yaml").folder.name == f"older-name-{run.hash}"


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("{name: mlp}", "mlp"),
        ("{from: teacher.yaml}", "mlp"),
        ("{name: timm/resnet18}", "timm-resnet18"),
        ("{ensemble: [{from: teacher.yaml}, {from: {recipe: teacher.yaml, seed: 1}}]}", "2xmlp"),
        ("{ensemble: [{from: teacher.yaml}, {name: cnn}]}", "mlp+cnn"),
    ],
)
def test_names_of_networks(recipes: Path, form: Any, name: str) -> None:
    text = (recipes / "kd.yaml").read_text().replace("teacher: {from: teacher.yaml}", f"teacher: {form}")
    (recipes / "named.yaml").write_text(text)
    assert network_name(planned(recipes / "named.yaml"), "teacher") == name
