"""Networks joined to data: classes by name, sizes, channels, normalisation."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from limbeck.cli.pipeline import experiment
from limbeck.core.errors import ModelError, RunError, WeightsError
from limbeck.models.build import build
from limbeck.models.weights import save_weights
from limbeck.recipe.bridging import Joined, match_classes
from limbeck.recipe.context import Context
from limbeck.recipe.networks import delivered, join
from limbeck.recipe.preflight import untrained
from running import copied, finished, only, write

DIGITS = [str(digit) for digit in range(10)]


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    return copied(tmp_path / "lab")


def joined(recipe: Path, *overrides: str, role: str = "teacher", frozen: bool = True, trained: bool = True) -> Joined:
    planned = experiment(recipe, overrides, root=recipe.parent / "runs").runs[0]
    looks = None if trained else partial(untrained, context=Context())
    return join(planned, role, Context().dataset(planned), frozen=frozen, untrained=looks)


def images(channels: int = 1) -> torch.Tensor:
    return torch.rand(4, channels, 8, 8, generator=torch.Generator().manual_seed(1))


def test_equal_classes_need_no_mapping() -> None:
    assert match_classes(DIGITS, DIGITS, who="x") is None


def test_permuted_and_more_classes_are_mapped_by_name() -> None:
    assert match_classes(["b", "a"], ["a", "b"], who="x") == [1, 0]
    assert match_classes(["x", "b", "y", "a"], ["a", "b"], who="x") == [3, 1]


def test_missing_classes_are_refused_with_both_lists() -> None:
    words = (
        r"models.teacher: the network has no output for 2 of 3 classes: cat, dog\. "
        r"Its 2 outputs are: ant, bee\. The data's classes are: ant, cat, dog\. Take a teacher that knows them"
    )
    with pytest.raises(ModelError, match=words):
        match_classes(["ant", "bee"], ["ant", "cat", "dog"], who="models.teacher")
    with pytest.raises(ModelError, match=r"… \(100 in all\)"):
        match_classes([str(number) for number in range(100)], ["cat"], who="x")


def weights(lab: Path, **arguments: Any) -> str:
    torch.manual_seed(3)
    path = lab / "w.safetensors"
    save_weights(
        build("mlp", {"hidden": [6]}, **{"classes": 10, "channels": 1, "height": 8, "width": 8, **arguments}), path
    )
    return str(path)


def teacher(lab: Path, *, classes: list[str] | None, **rest: Any) -> str:
    listed = f", classes: [{', '.join(repr(name) for name in classes)}]" if classes else ""
    count = len(classes or DIGITS)
    path = weights(lab, classes=count, **rest)
    return f"models.teacher={{name: mlp, hidden: [6], normalize: none, weights: {path}{listed}}}"


@pytest.mark.parametrize("names", [list(reversed(DIGITS)), ["a", *reversed(DIGITS), "b"]], ids=["permuted", "superset"])
def test_a_teacher_with_other_outputs_is_mapped_and_said(lab: Path, names: list[str]) -> None:
    found = joined(lab / "kd.yaml", teacher(lab, classes=names))
    plain = found.network.network(images())
    expected = torch.stack([plain[:, names.index(digit)] for digit in DIGITS], dim=1)
    torch.testing.assert_close(found.network(images()), expected)
    assert found.notes == [f"teacher: its {len(names)} outputs are matched by name with the 10 classes"]


def test_a_teacher_that_lacks_a_class_is_refused(lab: Path) -> None:
    with pytest.raises(ModelError, match=r"models.teacher: the network has no output for 1 of 10 classes: 9"):
        joined(lab / "kd.yaml", teacher(lab, classes=DIGITS[:9]))


def test_weights_with_another_number_of_classes_are_refused(lab: Path) -> None:
    path = weights(lab, classes=7)
    with pytest.raises(
        WeightsError, match=r"w.safetensors does not fit .* \[7, 6\] in the file, \[10, 6\] in the network"
    ):
        joined(lab / "kd.yaml", f"models.teacher={{name: mlp, hidden: [6], weights: {path}}}")


@pytest.mark.parametrize(
    ("normalize", "noted"),
    [("", True), (", normalize: data", False), (", normalize: {mean: [0.5], std: [0.2]}", False)],
)
def test_weights_that_say_nothing_of_their_images_are_noted(lab: Path, normalize: str, noted: bool) -> None:
    form = f"models.teacher={{name: mlp, hidden: [6], weights: {weights(lab)}{normalize}}}"
    notes = joined(lab / "kd.yaml", form).notes
    assert any("does not say on which images" in note for note in notes) == noted
    assert all("normalize: {mean: [...], std: [...]}" in note for note in notes if "does not say" in note)


def test_a_frozen_teacher_without_weights_is_refused(lab: Path) -> None:
    with pytest.raises(ModelError, match=r"mlp is to teach but has no weights; give it `from: recipe.yaml`"):
        joined(lab / "kd.yaml", "models.teacher=mlp")
    joined(lab / "kd.yaml", "models.teacher=mlp", frozen=False)


COLOURED = """\
data: {name: own_coloured:Coloured, batch: 16, subset: 80}
models: {student: {name: cnn, width: 2}, teacher: {from: teacher.yaml}}
method: kd
train: {length: 1 epochs}
evaluate: {latency: false}
report: false
"""


def test_a_grey_network_on_colour_images_is_refused(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (lab / "own_coloured.py").write_text(_OWN_DATA)
    monkeypatch.syspath_prepend(lab)
    write(lab, {"coloured.yaml": COLOURED})
    with pytest.raises(
        ModelError, match=r"from teacher\): the network takes grey images, these have 3 channels; set data.channels"
    ):
        joined(lab / "coloured.yaml")


_OWN_DATA = '''
"""Digits in three equal channels."""

from limbeck.core.settings import settings
from limbeck.data.digits import Digits
from limbeck.data.parts import InMemory


@settings
class Coloured(Digits):
    def find(self):
        found = super().find()
        return found._replace(train=coloured(found.train), test=coloured(found.test))


def coloured(part):
    return InMemory(part.pixels.expand(-1, 3, -1, -1).contiguous(), part.labels, part.ids)
'''


def test_grey_and_small_images_are_bridged_to_a_published_network_and_said(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from limbeck.models.preprocessing import Preprocessing
    from limbeck.recipe import networks

    published = Preprocessing(mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2), channels=3, size=(16, 16), classes=None)
    plain = build("mlp", {"hidden": [4]}, classes=10, channels=3, height=16, width=16)
    monkeypatch.setattr(networks, "rebuild", lambda described, pretrained=False: plain)
    monkeypatch.setattr(networks, "preprocessing_of", lambda network, name: published)
    listed = ", ".join(repr(digit) for digit in DIGITS)
    found = joined(lab / "kd.yaml", f"models.teacher={{name: timm/resnet18, pretrained: true, classes: [{listed}]}}")
    assert found.notes == [
        "teacher: images of 8×8 pixels are scaled to its 16×16",
        "teacher: grey images are repeated to its 3 channels",
        "teacher: it keeps the normalisation it was trained with, which is not this data's",
    ]
    wide = torch.nn.functional.interpolate(images().expand(-1, 3, -1, -1), (16, 16), mode="bilinear", antialias=True)
    centred = (wide - torch.tensor(published.mean).view(-1, 1, 1)) / torch.tensor(published.std).view(-1, 1, 1)
    torch.testing.assert_close(found.network(images()), plain(centred), rtol=1e-4, atol=1e-5)


def test_a_run_on_smaller_images_teaches_larger_ones_scaled_to_its_size(lab: Path) -> None:
    found = joined(lab / "kd.yaml", "data.size=16")
    assert "teacher: images of 16×16 pixels are scaled to its 8×8" in found.notes
    assert found.network(torch.rand(2, 1, 16, 16)).shape == (2, 10)


@pytest.mark.parametrize(
    ("normalize", "mean"),
    [("none", []), ("{mean: [0.25], std: [2.0]}", [0.25]), ("data", None), ("auto", None)],
)
def test_what_is_subtracted(lab: Path, normalize: str, mean: list[float] | None) -> None:
    found = joined(lab / "kd.yaml", f"models.student.normalize={normalize}", role="student", frozen=False)
    assert found.description is not None
    planned = experiment(lab / "kd.yaml", root=lab / "runs").runs[0]
    own = list(Context().dataset(planned).mean)
    assert found.description["mean"] == (own if mean is None else mean)


def test_own_normalisation_of_a_network_without_any_is_refused(lab: Path) -> None:
    with pytest.raises(ModelError, match="normalize: own, but mlp states no preprocessing; expected data or figures"):
        joined(lab / "kd.yaml", "models.student.normalize=own", role="student", frozen=False)


def test_the_delivered_network_is_the_selected_one_with_its_preprocessing() -> None:
    planned = experiment(finished() / "kd.yaml", root=finished() / "runs").runs[0]
    dataset = Context().dataset(planned)
    network, metadata = delivered(planned, dataset)
    assert metadata["run"] == only(finished() / "runs", "kd").name
    assert metadata["classes"] == '["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]'
    mean, std = (torch.tensor(figures).view(-1, 1, 1) for figures in (dataset.mean, dataset.std))
    by_hand = network.network((images() - mean) / std)
    torch.testing.assert_close(network(images()), by_hand)


def test_an_unfinished_run_delivers_nothing_but_shows_its_shapes(lab: Path) -> None:
    other = "models.teacher.from.set={train.length: 9 epochs}"
    with pytest.raises(RunError, match="run its recipe first"):
        joined(lab / "kd.yaml", other)
    assert joined(lab / "kd.yaml", other, trained=False).network(images()).shape == (4, 10)


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        (
            "own_seven",
            "nn.Sequential(nn.Flatten(), nn.Linear(64, 7))",
            r"gives shape \[2, 7\] .* of shape \[2, 10\], .* models.teacher.classes",
        ),
        ("own_map", "nn.Conv2d(1, 10, 1)", r"gives shape \[2, 10, 8, 8\] for 2 images"),
        ("own_series", "nn.LSTM(8, 10)", "cannot run on images of shape"),
        (
            "own_large",
            "nn.Sequential(nn.Flatten(), nn.Linear(99, 10))",
            r"cannot run on images of shape \[2, 1, 8, 8\]",
        ),
    ],
)
def test_what_a_user_s_network_gives_must_fit_the_classes(
    lab: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: str, words: str
) -> None:
    (lab / f"{name}.py").write_text(f"from torch import nn\n\ndef net():\n    return {code}\n")
    monkeypatch.syspath_prepend(lab)
    with pytest.raises(ModelError, match=f"models.teacher: {name}:net {words}"):
        joined(lab / "kd.yaml", f"models.teacher={{name: '{name}:net'}}")


def test_an_exported_file_says_itself_what_its_network_expects(lab: Path) -> None:
    described = {"classes": [*"9876543210", "x"], "mean": [0.5], "std": [0.25], "channels": 1, "height": 8, "width": 8}
    network = build("mlp", {"hidden": [6]}, classes=11, channels=1, height=8, width=8)
    header = {key: json.dumps(value) for key, value in described.items()}
    save_weights(network, lab / "stated.safetensors", metadata=header)
    form = f"models.teacher={{name: mlp, hidden: [6], weights: {lab / 'stated.safetensors'}}}"
    bridge = joined(lab / "kd.yaml", form).network
    pixels = images()
    torch.testing.assert_close(bridge(pixels), network((pixels - 0.5) / 0.25)[:, list(range(9, -1, -1))])


def test_weights_in_a_run_folder_are_described_beside_them(lab: Path) -> None:
    folder = only(lab / "runs", "teacher")
    form = f"models.teacher={{name: mlp, hidden: [24], weights: {folder / 'student-best.safetensors'}}}"
    pixels = images()
    torch.testing.assert_close(joined(lab / "kd.yaml", form).network(pixels), joined(lab / "kd.yaml").network(pixels))


@pytest.mark.parametrize(("seed", "noted"), [("0", True), ("7", False)])
def test_a_student_that_begins_as_its_teacher_began_is_told_of(lab: Path, seed: str, noted: bool) -> None:
    form = json.loads((only(lab / "runs", "teacher") / "recipe.json").read_text())["recipe"]["models"]["student"]
    notes = joined(lab / "kd.yaml", f"models.student={json.dumps(form)}", f"seeds=[{seed}]").notes
    assert any("give it another seed" in note for note in notes) == noted
