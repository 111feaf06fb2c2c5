"""Files of networks with early exits: the same answers, and fewer operators for an image that leaves early."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from limbeck.adapters.exit_thresholds import NEVER, confidence, left_at
from limbeck.adapters.exits import Exits
from limbeck.core.bridge import Bridge
from limbeck.core.distiller import Distiller
from limbeck.core.errors import ExportError
from limbeck.data.digits import Digits
from limbeck.data.loader import Loader, evaluation_batches
from limbeck.export import exporter
from limbeck.export.early_exit import decided
from limbeck.methods.byot import BYOT
from limbeck.models.build import build
from limbeck.tasks.classification import Classification
from limbeck.train.fit import fit
from limbeck.train.settings import SGD, Train

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

DATA = Digits(validation=0.25).load()


@pytest.fixture(scope="module")
def exits() -> Exits:
    """A ResNet with two exits, trained on digits for some seconds."""
    torch.manual_seed(0)
    network = build("resnet8", {}, classes=10, channels=1, height=8, width=8)
    bridge = Bridge(network, mean=DATA.mean, std=DATA.std)
    loader = Loader(DATA.train, batch=64, seed=0, classes=10)
    found = Distiller(BYOT(), Classification(), {"student": bridge}, next(loader.batches())[0])
    fit(found, loader, Train(length="3 epochs", optimizer=SGD(lr=0.05)), progress=False)
    found.close()
    made = Exits(bridge, list(found.adapters.values()), at=("layer1", "layer2")).eval()
    with torch.no_grad():
        first, second = (confidence(logits) for logits in made.logits_of_all(images())[:2])
    made.thresholds[0] = first.quantile(0.6) + 1e-4
    made.thresholds[1] = second[first < made.thresholds[0]].quantile(0.5) + 1e-4
    return made


def images() -> Tensor:
    return next(iter(evaluation_batches(DATA.test, batch=96))).images


def left(exits: Exits, samples: Tensor) -> Tensor:
    with torch.no_grad():
        logits = torch.stack(exits.logits_of_all(samples), 1)
    return left_at(confidence(logits[:, :-1]), exits.thresholds.tolist())


@pytest.fixture(scope="module")
def written(exits: Exits, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    path = tmp_path_factory.mktemp("onnx") / "early.onnx"
    return path, exporter("onnx")(exits, path, images(), metadata={"classes": "0 1 2"})


def test_every_image_gets_the_live_answer_in_a_batch_of_any_size(exits: Exits, written: tuple[Path, Any]) -> None:
    path, exported = written
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        samples = decided(exits, images())
    assert len(set(left(exits, samples).tolist())) == 3
    with torch.no_grad():
        live = exits(samples)
    for size in (1, 7, len(samples)):
        parts = [session.run(["logits"], {"images": part.numpy()})[0] for part in samples.split(size)]
        torch.testing.assert_close(torch.cat([torch.from_numpy(p) for p in parts]), live, rtol=1e-3, atol=1e-4)
    assert exported.agreement == 1.0
    assert exported.max_difference < 1e-3


def operators(path: Path, image: Tensor, folder: Path) -> Counter[str]:
    """Which operators the runtime executes for one image."""
    options = runtime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    session.run(None, {"images": image.numpy()})
    events = json.loads(Path(session.end_profiling()).read_text())
    return Counter(event["args"]["op_name"] for event in events if event["name"].endswith("_kernel_time"))


def test_an_image_that_leaves_early_runs_fewer_operators(
    exits: Exits, written: tuple[Path, Any], tmp_path: Path
) -> None:
    samples = images()
    place = left(exits, samples)
    ran = [operators(written[0], samples[place == number][:1], tmp_path) for number in range(3)]
    # the stem has one convolution, a stage two or three, a head three
    assert [found["Conv"] for found in ran] == [1 + 2 + 3, 1 + 2 + 3 + 3 + 3, 1 + 2 + 3 + 3 + 3 + 3]
    assert [found["Softmax"] for found in ran] == [1, 2, 2]


def test_the_file_says_where_and_when_it_is_left(exits: Exits, written: tuple[Path, Any]) -> None:
    path, exported = written
    model = onnx.load(str(path))
    onnx.checker.check_model(model, full_check=True)
    (image,), (logits,) = model.graph.input, model.graph.output
    assert (image.name, logits.name) == ("images", "logits")
    assert image.type.tensor_type.shape.dim[0].dim_param == "batch"
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["exits"]) == ["layer1", "layer2"]
    assert json.loads(metadata["exit_thresholds"]) == exits.thresholds.tolist()
    assert metadata["classes"] == "0 1 2"
    kept = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert kept["exit1.threshold"] == pytest.approx(float(exits.thresholds[0]))
    assert "exit2.threshold" not in kept  # it lies in the branch in which it is used
    rows = exported.detail["exits"]
    assert [row["exit"] for row in rows] == ["layer1", "layer2", "end"]
    assert sum(row["share"] for row in rows) == pytest.approx(1.0)
    assert all(row["median_ms"] > 0 and row["live_median_ms"] > 0 for row in rows)


def test_the_time_of_a_file_is_that_of_a_mean_image(written: tuple[Path, Any]) -> None:
    _, exported = written
    rows, single = exported.detail["exits"], exported.detail["latency"][0]
    for key in ("median_ms", "live_median_ms"):
        assert single[key] == pytest.approx(sum(row["share"] * row[key] for row in rows))
    assert exported.median_ms == single["median_ms"]
    assert single["p95_ms"] > 0


def test_weights_lie_in_the_branch_that_uses_them(written: tuple[Path, Any]) -> None:
    model = onnx.load(str(written[0]))

    def sizes(graph: Any) -> list[int]:
        own = sum(onnx.numpy_helper.to_array(tensor).size for tensor in graph.initializer)
        inner = [a.g for node in graph.node if node.op_type == "If" for a in node.attribute if a.name == "else_branch"]
        return [own, *(size for one in inner for size in sizes(one))]

    first, second, last = sizes(model.graph)
    assert first < second < last


@pytest.mark.parametrize(("closed", "left"), [([0], ["layer2"]), ([0, 1], [])])
def test_a_closed_exit_is_not_in_the_file(exits: Exits, closed: list[int], left: list[str], tmp_path: Path) -> None:
    before = exits.thresholds.clone()
    exits.thresholds[closed] = NEVER
    try:
        exporter("onnx")(exits, tmp_path / "file.onnx", images())
    finally:
        exits.thresholds.copy_(before)
    model = onnx.load(str(tmp_path / "file.onnx"))
    assert json.loads({entry.key: entry.value for entry in model.metadata_props}["exits"]) == left
    assert sum(node.op_type == "If" for node in model.graph.node) == len(left)
    assert sum(node.op_type == "Softmax" for node in model.graph.node) == len(left)


def test_other_formats_say_which_can(exits: Exits, tmp_path: Path) -> None:
    message = "early exits cannot be exported to torch.export.*'onnx' keeps the exits, 'safetensors' saves the weights"
    with pytest.raises(ExportError, match=message):
        exporter("torch_export")(exits, tmp_path / "a.pt2", images())
    assert list(tmp_path.iterdir()) == []
    saved = exporter("safetensors")(exits, tmp_path / "a.safetensors", images())
    assert saved.agreement == 1.0


@pytest.mark.parametrize("form", ["onnx", "torch_export", "safetensors"])
def test_an_ensemble_of_all_exits_goes_into_every_format(exits: Exits, form: str, tmp_path: Path) -> None:
    ensemble = Exits(exits.network, list(exits.heads), at=exits.at, answer="ensemble").eval()
    assert exporter(form)(ensemble, tmp_path / "file", images()).agreement == 1.0


def test_a_bridge_around_it_may_be_there_but_change_nothing(exits: Exits, tmp_path: Path) -> None:
    around = Bridge(exits, channels=1, size=(8, 8))
    assert exporter("onnx")(around, tmp_path / "a.onnx", images()).agreement == 1.0
    assert any(node.op_type == "If" for node in onnx.load(str(tmp_path / "a.onnx")).graph.node)
    for other in (Bridge(exits, size=(9, 9)), Bridge(exits, columns=[1, 0])):
        with pytest.raises(ExportError, match="for the images and classes that its exits were trained on"):
            exporter("onnx")(other, tmp_path / "b.onnx", images())
    with pytest.raises(ExportError, match="'onnx' keeps the exits"):
        exporter("torch_export")(around, tmp_path / "a.pt2", images())


def test_samples_at_a_threshold_cannot_verify(exits: Exits) -> None:
    samples = images()
    before = exits.thresholds.clone()
    with torch.no_grad():
        first = confidence(exits.logits_of_all(samples)[0])
        exits.thresholds[0] = first[3]
        kept = decided(exits, samples)
        assert len(kept) < len(samples)
        assert not any(torch.equal(image, samples[3]) for image in kept)
        with pytest.raises(ExportError, match="give others to verify"):
            decided(exits, samples[3:4])
    exits.thresholds.copy_(before)
