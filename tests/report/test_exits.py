"""The section on early exits, of a network that was really trained."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from limbeck.adapters.exits import Exits
from limbeck.core.bridge import Bridge
from limbeck.core.distiller import Distiller
from limbeck.core.errors import DataError
from limbeck.core.files import write_json
from limbeck.data.loader import Loader, evaluation_batches
from limbeck.evaluate.classification import measure
from limbeck.evaluate.cost import measure_cost
from limbeck.evaluate.exits import measure_exits
from limbeck.evaluate.predictions import predict
from limbeck.methods.byot import BYOT
from limbeck.models.cnn import cnn
from limbeck.recipe.folder import EXITS
from limbeck.recipe.results import Entry, Results
from limbeck.report import exits as room
from limbeck.report.page import render
from limbeck.tasks.classification import Classification
from limbeck.train.fit import fit
from limbeck.train.settings import SGD, Train
from report.test_page import Outline
from report.trained import digits


@pytest.fixture(scope="module")
def early(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """One seed of a network with two exits on digits, with its `exits.json`."""
    torch.manual_seed(0)
    dataset, folder = digits(), tmp_path_factory.mktemp("early")
    assert dataset.test is not None
    assert dataset.validation is not None
    network = Bridge(cnn(classes=10, channels=1, width=8, depth=3), mean=dataset.mean, std=dataset.std)
    loader = Loader(dataset.train, batch=64, seed=0, classes=10)
    method = BYOT(delivers="early_exit", accuracy_drop=3.0)
    found = Distiller(method, Classification(), {"student": network}, next(loader.batches())[0])
    validation = list(evaluation_batches(dataset.validation))
    train = Train(length="4 epochs", optimizer=SGD(lr=0.1))
    fit(found, loader, train, folder=folder, progress=False, validation=validation)
    exits = found.deliver([None], validation)
    found.close()
    assert isinstance(exits, Exits)
    write_json(folder / EXITS, measure_exits(exits, evaluation_batches(dataset.test), repeats=5))
    predictions = predict(exits, evaluation_batches(dataset.test))
    measured = measure(predictions, dataset.classes)
    cost = measure_cost(exits, next(iter(evaluation_batches(dataset.test, batch=8))).images, repeats=2)
    entry = Entry(
        role="trained",
        network="cnn",
        seed=0,
        folder=folder,
        metrics={name: value for name, value in measured.items() if name not in ("per_class", "samples")},
        per_class=measured["per_class"],
        cost={**cost, "weight_bytes": 1000},
        predictions=predictions,
    )
    recipe = {"method": {"name": "byot", "delivers": "early_exit", "accuracy_drop": 3.0}}
    return Results(title="digits/byot", recipe=recipe, classes=dataset.classes, dataset=dataset, entries=[entry])


def figures(results: Results) -> dict[str, Any]:
    return json.loads((Path(results.entries[0].folder) / EXITS).read_text())


def changed(results: Results, folder: Path, **change: Any) -> Results:
    """The same with other figures."""
    write_json(folder / EXITS, {**figures(results), **change})
    return dataclasses.replace(results, entries=[dataclasses.replace(results.entries[0], folder=folder)])


def test_without_the_file_there_is_no_section(alone: Results, distilled: Results) -> None:
    assert room.section(alone) is None
    text = render(distilled)
    assert 'id="early"' not in text
    assert "#early" not in text


def test_the_section_is_on_the_page_and_the_page_stays_whole(early: Results) -> None:
    pytest.importorskip("matplotlib")
    text = render(early)
    outline = Outline(text)
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    assert {target.removeprefix("#") for target in outline.targets} <= set(outline.ids)
    assert outline.nameless == []
    assert 'href="#early"' in text
    assert re.findall(r"<h2[^>]*>Early exits</h2>", text)
    assert render(early) == text


def test_the_lead_says_what_is_saved(early: Results) -> None:
    shown, found = room.section(early), figures(early)
    assert shown is not None
    share = 1 - found["exits"][-1]["share"]
    assert shown.lead.startswith(f"{share:.1%} of the test images leave before the end. A mean image takes")
    assert f"{found['early']['flops'] / found['network']['flops']:.0%} of the network without exits" in shown.lead
    assert f"the accuracy is {found['early']['accuracy']:.2%}, without exits" in shown.lead
    assert f"{found['network']['accuracy']:.2%} (asked for: at most 3 points less), and" in shown.lead


def test_without_an_open_exit_nothing_is_said_to_be_saved(early: Results, tmp_path: Path) -> None:
    closed = [row | {"threshold": None, "median_ms": None} for row in figures(early)["exits"]]
    shown = room.section(changed(early, tmp_path, exits=closed))
    assert shown is not None
    assert shown.lead.startswith("No exit is open: the held-out images do not show that one would reach the target")


def test_exits_that_take_longer_are_said_to(early: Results, tmp_path: Path) -> None:
    found = figures(early)
    for factor, slower in ((2.0, True), (0.5, False)):
        own = {**found["early"], "mean_ms": factor * found["network"]["mean_ms"]}
        shown = room.section(changed(early, tmp_path, early=own))
        assert shown is not None
        assert ("that is slower, heads included" in shown.lead) == slower


def test_a_row_per_exit(early: Results) -> None:
    shown, found = room.section(early), figures(early)
    assert shown is not None
    assert [(row.name, row.tap) for row in shown.rows] == [("exit 1", "layer1"), ("exit 2", "layer2"), ("end", "")]
    assert [row.cells[1] for row in shown.rows] == [f"{row['share']:.1%}" for row in found["exits"]]
    assert shown.rows[-1].cells[0] == "–"
    assert shown.rows[-1].cells[3] == f"{found['network']['accuracy']:.2%}"
    assert all(row.cells[5].endswith(" ms") for row in shown.rows if row.cells[0] != "closed")


def test_a_closed_exit_is_called_so(early: Results, tmp_path: Path) -> None:
    first, *rest = figures(early)["exits"]
    first |= {"threshold": None, "share": 0.0, "accuracy": None, "examples": [], "median_ms": None}
    shown = room.section(changed(early, tmp_path, exits=[first, *rest]))
    assert shown is not None
    assert shown.rows[0].cells == ["closed", "0.0%", "–", f"{first['accuracy_of_all']:.2%}", "–", "–"]
    assert shown.note.endswith("The head of a closed exit is not computed.")
    assert not any("exit 1" in group.title for group in shown.groups)


def test_two_curves_with_names_or_one_without_times(early: Results, tmp_path: Path) -> None:
    shown = room.section(early)
    assert shown is not None
    assert [panel.title for panel in shown.panels] == ["Accuracy against mean FLOPs", "Accuracy against mean latency"]
    assert all('aria-label="Accuracy against mean' in panel.svg for panel in shown.panels)
    found = figures(early)
    untimed = changed(early, tmp_path, early={**found["early"], "mean_ms": None, "median_ms": None})
    shown = room.section(untimed)
    assert shown is not None
    assert [panel.title for panel in shown.panels] == ["Accuracy against mean FLOPs"]
    assert " ms" not in shown.lead


def test_images_stand_where_they_leave_with_label_and_answer(early: Results) -> None:
    pil = pytest.importorskip("PIL.Image", reason="pictures need pillow")
    shown, found = room.section(early), figures(early)
    assert shown is not None
    rows = [row for row in found["exits"] if row["examples"]]
    assert [len(group.pictures) for group in shown.groups] == [len(row["examples"]) for row in rows]
    test, predictions = early.dataset.test, early.entries[0].predictions
    assert test is not None
    for group, row in zip(shown.groups, rows, strict=True):
        for picture, id_ in zip(group.pictures, row["examples"], strict=True):
            place = predictions.ids.tolist().index(id_)
            assert picture.truth == str(int(predictions.labels[place]))
            assert picture.answer == str(int(predictions.logits[place].argmax()))
            assert picture.right == (picture.truth == picture.answer)
            image = pil.open(io.BytesIO(base64.b64decode(picture.source.partition(",")[2])))
            assert image.size == (112, 112)


def test_names_are_escaped_and_other_data_is_refused(early: Results, tmp_path: Path) -> None:
    named = dataclasses.replace(early, classes=tuple(f"<{name}>" for name in early.classes))
    assert "<3>" not in render(named)
    first, *rest = figures(early)["exits"]
    other = changed(early, tmp_path, exits=[{**first, "examples": [123_456]}, *rest])
    predictions = other.entries[0].predictions
    ids = predictions.ids.clone()
    ids[0] = 123_456
    entry = dataclasses.replace(other.entries[0], predictions=dataclasses.replace(predictions, ids=ids))
    with pytest.raises(DataError, match="id 123456"):
        room.section(dataclasses.replace(other, entries=[entry]))
