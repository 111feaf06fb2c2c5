"""Figures of early exits, against what the network really does."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from limbeck.adapters.exit_choice import choose_thresholds
from limbeck.adapters.exit_thresholds import NEVER, Costs, confidence
from limbeck.adapters.exits import Exits
from limbeck.core.bridge import Bridge
from limbeck.core.distiller import Distiller
from limbeck.core.errors import DataError, ModelError
from limbeck.data.batches import ImageBatch
from limbeck.data.digits import Digits
from limbeck.data.loader import Loader, evaluation_batches
from limbeck.evaluate.cost import flops
from limbeck.evaluate.exits import (
    THRESHOLDS,
    ExitAnswers,
    _Pool,
    exit_latencies,
    measure_exits,
    predict_exits,
    statistics,
    sweep,
)
from limbeck.evaluate.predictions import predict
from limbeck.methods.byot import BYOT
from limbeck.models.cnn import cnn
from limbeck.tasks.classification import Classification
from limbeck.train.fit import fit
from limbeck.train.settings import SGD, Train

DATA = Digits(validation=0.25).load()


def held_out(split: str = "test") -> Iterator[ImageBatch]:
    return evaluation_batches(getattr(DATA, split), batch=200)


@pytest.fixture(scope="module")
def exits() -> Exits:
    """Trained on digits for some seconds, thresholds chosen on validation."""
    torch.manual_seed(0)
    network = Bridge(cnn(classes=10, channels=1, width=8, depth=3), mean=DATA.mean, std=DATA.std)
    loader = Loader(DATA.train, batch=64, seed=0, classes=10)
    method = BYOT(delivers="early_exit", accuracy_drop=1.0)
    found = Distiller(method, Classification(), {"student": network}, next(loader.batches())[0])
    validation = list(held_out("validation"))
    fit(found, loader, Train(length="5 epochs", optimizer=SGD(lr=0.1)), progress=False, validation=validation)
    delivered = found.deliver([None], validation)
    found.close()
    assert isinstance(delivered, Exits)
    return delivered.eval()


def test_statistics_are_those_of_the_network_itself(exits: Exits) -> None:
    batch = next(held_out())
    images, labels = batch.images, batch.labels
    found = measure_exits(exits, [batch], latency=False)
    early = predict(exits, [batch])
    accuracy = (early.logits.argmax(1) == early.labels).double().mean().item()
    assert found["early"]["accuracy"] == pytest.approx(accuracy, abs=1e-9)
    assert found["samples"] == len(labels) == 200
    spent = [flops(exits, image[None]) for image in images]
    assert found["early"]["flops"] == pytest.approx(sum(spent) / len(spent), rel=1e-9)
    assert found["network"]["flops"] == flops(exits.network, images)
    costs = {row["flops"]: row["share"] for row in found["exits"]}
    for cost, share in costs.items():
        assert share == pytest.approx(spent.count(cost) / len(spent))
    assert sum(row["share"] for row in found["exits"]) == pytest.approx(1.0)
    assert found["early"]["flops"] < found["network"]["flops"]
    mixed = sum(row["share"] * row["accuracy"] for row in found["exits"] if row["accuracy"] is not None)
    assert mixed == pytest.approx(found["early"]["accuracy"])


def test_examples_leave_where_it_is_said(exits: Exits) -> None:
    found = measure_exits(exits, held_out(), latency=False)
    place = {id_: number for number, id_ in enumerate(DATA.test.ids.tolist())}
    for row in found["exits"]:
        assert len(row["examples"]) == min(8, round(row["share"] * 597))
        for id_ in row["examples"]:
            image = DATA.test.pixels[place[id_]][None].float() / 255
            assert flops(exits, image) == row["flops"]


def test_the_sweep_goes_from_all_that_leave_at_once_to_the_whole_network(exits: Exits) -> None:
    found = measure_exits(exits, held_out(), latency=False)
    points = found["sweep"]
    assert [point["threshold"] for point in points] == [*THRESHOLDS[:-1], None]
    assert points[0]["shares"] == [1.0, 0.0, 0.0]
    assert points[0]["accuracy"] == pytest.approx(found["exits"][0]["accuracy_of_all"])
    assert points[-1]["accuracy"] == found["network"]["accuracy"]
    assert points[-1]["flops"] == found["network"]["flops"]
    cost = [point["flops"] for point in points[:-1]]
    assert cost == sorted(cost)
    assert points[-2]["accuracy"] > points[0]["accuracy"]


def test_times_are_of_real_passes_and_thresholds_come_back(exits: Exits) -> None:
    before = exits.thresholds.clone()
    found = measure_exits(exits, held_out(), repeats=5)
    assert torch.equal(exits.thresholds, before)
    times = [row["median_ms"] for row in found["exits"] if row["threshold"] is not None or row["tap"] is None]
    assert all(ms > 0 for ms in times)
    assert found["network"]["mean_ms"] > 0
    assert found["early"]["mean_ms"] == pytest.approx(
        sum(row["share"] * row["median_ms"] for row in found["exits"] if row["median_ms"])
    )
    assert found["early"]["median_ms"] <= found["early"]["p95_ms"]
    assert all(point["mean_ms"] > 0 for point in found["sweep"])
    assert found["timing"] == {"device": "cpu", "threads": torch.get_num_threads()}
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_answers_that_are_there_are_not_asked_for_again(exits: Exits, monkeypatch: pytest.MonkeyPatch) -> None:
    answers, whole = predict_exits(exits, held_out()), measure_exits(exits, held_out(), latency=False)
    monkeypatch.setattr("limbeck.evaluate.exits.predict", None)
    assert measure_exits(exits, held_out(), latency=False, answers=answers) == whole
    assert measure_exits(exits, held_out(), repeats=2, answers=answers)["early"]["mean_ms"] > 0


def test_without_times_there_are_none(exits: Exits) -> None:
    found = measure_exits(exits, held_out(), latency=False)
    times = [row["median_ms"] for row in found["exits"]] + [point["mean_ms"] for point in found["sweep"]]
    assert {*times, found["early"]["median_ms"], found["early"]["mean_ms"], found["network"]["mean_ms"]} == {None}


def test_latencies_force_the_images_out_where_they_are_timed(exits: Exits) -> None:
    images = DATA.test.pixels[:4].float() / 255
    ran: list[str] = []
    layers = [exits.network.network.get_submodule(name) for name in ("layer1", "layer2", "layer3")]
    handles = [
        layer.register_forward_hook(lambda _m, _i, _o, name=name: ran.append(name))
        for name, layer in zip(("1", "2", "3"), layers, strict=True)
    ]
    exit_latencies(exits, images, closed=[False, False], repeats=1)
    # the network, then each exit and the end, in six rounds
    assert "".join(ran) == ("123" + "1" + "12" + "123") * 6
    ran.clear()
    exit_latencies(exits, images, closed=[True, False], repeats=1)
    assert "".join(ran) == ("123" + "12" + "12" + "123") * 6
    for handle in handles:
        handle.remove()


def by_hand() -> tuple[ExitAnswers, Costs]:
    """Two classes, one exit; four samples."""
    first = torch.tensor([[5.0, 0.0], [0.0, 5.0], [0.1, 0.0], [0.0, 0.1]])
    last = torch.tensor([[5.0, 0.0], [5.0, 0.0], [5.0, 0.0], [0.0, 5.0]])
    labels, ids = torch.tensor([0, 0, 0, 0]), torch.tensor([9, 7, 5, 3])
    answers = ExitAnswers(torch.stack([first, last], 1), labels, ids, confidence(first)[:, None])
    return answers, Costs(trunk=(4.0, 10.0), heads=(1.0,))


def test_statistics_by_hand() -> None:
    answers, costs = by_hand()
    first, last = statistics(answers, costs, [0.9])
    assert first == {
        "threshold": 0.9,
        "share": 0.5,
        "accuracy": 0.5,
        "accuracy_of_all": 0.5,
        "flops": 5,
        "examples": [7, 9],
    }
    assert last == {
        "threshold": None,
        "share": 0.5,
        "accuracy": 0.5,
        "accuracy_of_all": 0.75,
        "flops": 11,
        "examples": [3, 5],
    }
    closed = statistics(answers, costs, [NEVER])
    assert (closed[0]["accuracy"], closed[0]["share"], closed[1]["flops"]) == (None, 0.0, 10)


def test_a_sweep_by_hand() -> None:
    answers, costs = by_hand()
    points = sweep(answers, costs, [0.0, 0.9, math.inf])
    assert [point.accuracy for point in points] == [0.5, 0.5, 0.75]
    assert [point.cost for point in points] == [5.0, 8.0, 10.0]


def test_only_labelled_samples_count(exits: Exits) -> None:
    images: Tensor = DATA.test.pixels[:6].float() / 255
    labels = DATA.test.labels[:6].clone()
    labels[2:] = -100
    answers = predict_exits(exits, [(images, labels)])
    assert (len(answers), answers.logits.shape, answers.ids.tolist()) == (2, (2, 3, 10), [0, 1])
    with pytest.raises(DataError, match="there is none"):
        predict_exits(exits, [(images, labels.fill_(-100))])


def test_a_choice_sets_the_thresholds_and_says_what_they_come_to(exits: Exits) -> None:
    before = exits.thresholds.clone()
    found = choose_thresholds(exits, Classification(), list(held_out("validation")), cost=0.7)
    assert found is not None
    assert exits.thresholds.tolist() == pytest.approx(list(found.thresholds))
    answers = predict_exits(exits, held_out("validation"))
    assert found.accuracy == pytest.approx(
        Classification().evaluate(exits, (), list(held_out("validation")))["accuracy"], abs=1e-9
    )
    assert len(answers) == 300
    assert choose_thresholds(exits, Classification(), [], cost=0.7) is None
    assert exits.thresholds.tolist() == pytest.approx(list(found.thresholds))
    exits.thresholds.copy_(before)


@pytest.mark.parametrize("side", [8, 16])
def test_within_a_bridge_images_are_prepared_and_classes_selected(exits: Exits, side: int) -> None:
    columns = [7, 3, 8]
    bridged = Bridge(exits, size=(8, 8), columns=columns)
    chosen = torch.isin(DATA.test.labels, torch.tensor(columns))
    images = DATA.test.pixels[chosen].float() / 255
    images = images.repeat_interleave(side // 8, 2).repeat_interleave(side // 8, 3)
    labels = torch.tensor([columns.index(label) for label in DATA.test.labels[chosen].tolist()])
    batches = [(images[:100], labels[:100]), (images[100:], labels[100:])]
    found = measure_exits(bridged, batches, repeats=2)
    early = predict(bridged, batches)
    assert found["early"]["accuracy"] == pytest.approx((early.logits.argmax(1) == labels).double().mean().item())
    assert found["early"]["accuracy"] > 0.8
    plain = measure_exits(exits, [(images[:2, :, :8, :8], labels[:2])], latency=False)
    assert found["network"]["flops"] == plain["network"]["flops"]
    if side == 8:  # exits decide by all classes that they know, and so as without the bridge
        own = measure_exits(exits, [(images, DATA.test.labels[chosen])], latency=False)
        assert [row["share"] for row in found["exits"]] == [row["share"] for row in own["exits"]]


def test_what_is_no_network_with_exits_is_refused(exits: Exits) -> None:
    with pytest.raises(ModelError, match="a network with exits, got Cnn"):
        measure_exits(exits.network, held_out())


@pytest.mark.parametrize("count", [1, 64, 65, 597])
def test_images_that_are_timed_are_drawn_evenly(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.arange(count).float().view(-1, 1, 1, 1)
    pool = _Pool(64)
    sizes = [len(batch[0]) for batch in pool.filled([(images[begin : begin + 50],) for begin in range(0, count, 50)])]
    assert sum(sizes) == count
    kept = pool.images.flatten().long().tolist()
    assert len(kept) > min(count - 1, 32)
    assert len(kept) <= 64
    stride = {1: 1, 64: 1, 65: 2, 597: 16}[count]
    assert kept == list(range(0, count, stride))
