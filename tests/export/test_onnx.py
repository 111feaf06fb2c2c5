"""The ONNX file itself, as another program would read it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from export.networks import bridged, convolutional, grey
from limbeck.core.errors import MissingPackage, RunError
from limbeck.core.files import write_atomically
from limbeck.export import onnx as room

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "student.onnx"
    room.export(bridged(), path, grey(6), metadata={"classes": "a b c"})
    return path


def test_one_file_with_the_promised_names(written: Path) -> None:
    model = onnx.load(str(written), load_external_data=False)
    onnx.checker.check_model(model)
    (image,), (logits,) = model.graph.input, model.graph.output
    assert (image.name, logits.name) == ("images", "logits")
    assert image.type.tensor_type.shape.dim[0].dim_param == "batch"
    assert [dim.dim_value for dim in image.type.tensor_type.shape.dim[1:]] == [1, 16, 16]
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert {entry.key: entry.value for entry in model.metadata_props}["classes"] == "a b c"


def test_it_runs_elsewhere_on_any_batch(written: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved.onnx"
    write_atomically(moved, written.read_bytes())
    session = runtime.InferenceSession(str(moved), providers=["CPUExecutionProvider"])
    network = bridged().eval()
    for n in (1, 2, 11):
        logits = session.run(None, {"images": grey(n).numpy()})[0]
        torch.testing.assert_close(torch.from_numpy(logits), network(grey(n)).detach(), atol=1e-5, rtol=1e-4)


def test_speed_is_that_of_the_runtime_with_torchs_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    session = runtime.InferenceSession

    def watched(path: str, sess_options: Any, providers: list[str]) -> object:
        threads.append(sess_options.intra_op_num_threads)
        return session(path, sess_options=sess_options, providers=providers)

    monkeypatch.setattr(runtime, "InferenceSession", watched)
    exported = room.export(convolutional(channels=1), tmp_path / "a.onnx", grey(9))
    single, several = exported.detail["latency"]
    assert threads == [torch.get_num_threads()] == [single["threads"]]
    assert exported.median_ms == single["median_ms"] > 0
    assert (single["batch"], several["batch"]) == (1, 9)
    assert several["live_median_ms"] > 0
    assert exported.detail["runtime"] == f"onnxruntime {runtime.__version__}"
    assert exported.detail["opset"] >= 18


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_names_the_line_that_installs_it(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackage, match=rf"^{package} is not installed.*pip install 'limbeck\[export\]'"):
        room.export(convolutional(channels=1), tmp_path / "a.onnx", grey(2))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="cannot write"):
        room.export(convolutional(channels=1), tmp_path / "file" / "a.onnx", grey(2))
