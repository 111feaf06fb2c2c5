"""A network as one ONNX file: pixels in, logits out, any batch size.

One with early exits keeps them: see `limbeck.export.early_exit`.

The file holds its weights itself (no second file beside it), so it can be moved; this limits it to 2 GB.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from limbeck.adapters.exits import Exits
from limbeck.core.errors import MissingPackage
from limbeck.core.files import atomic_path
from limbeck.evaluate.mode import evaluating
from limbeck.export.early_exit import OpenHeads, decided, exit_speeds, exits_of, mean_speed, nested
from limbeck.export.trace import explained, trace
from limbeck.export.verify import TOLERANCE, Exported, check_samples, on_cpu, speeds, verify

_INPUT, _OUTPUT = "images", "logits"


def export(
    network: nn.Module,
    path: str | Path,
    samples: Float[Tensor, "n c h w"],
    *,
    metadata: Mapping[str, str] | None = None,
    tolerance: float = TOLERANCE,
) -> Exported:
    """Write an ONNX file and run it in onnxruntime, on the CPU, against the live network.

    Args:
        network: images [b c h w] in [0, 1] to logits; its modes are restored.
        path: the file; it appears only if it agrees with the network.
        samples: pixels in [0, 1], to verify the file and to time it.
        metadata: texts to keep in the file (the names of the classes, say).
        tolerance: the largest difference accepted, as a share of the largest absolute logit.

    Raises:
        MissingPackage: onnx, onnxscript or onnxruntime is not installed.
        ExportError: the network cannot be traced, or the file differs from it.
        RunError: the disk is full or the folder cannot be written.
    """
    runtime = _runtime()
    samples = check_samples(samples)
    live = on_cpu(network)
    with evaluating(live), atomic_path(path) as temporary:
        early = exits_of(live, samples)
        samples = samples if early is None else decided(early, samples)
        opset = _write(live if early is None else early, temporary, samples, metadata or {})
        run = _session(runtime, temporary)
        match = verify(live, lambda images: torch.from_numpy(run(images.numpy())), samples, tolerance=tolerance)
        latency = speeds(live, run, samples, prepare=Tensor.numpy)
        detail: dict[str, Any] = {"latency": latency}
        if early is not None:
            detail["exits"] = exit_speeds(early, run, samples)
            latency[0] |= mean_speed(detail["exits"], early, run, samples)
    return Exported(
        format="onnx",
        path=Path(path),
        bytes=Path(path).stat().st_size,
        max_difference=match.max_difference,
        agreement=match.agreement,
        median_ms=latency[0]["median_ms"],
        detail={"opset": opset, "runtime": f"onnxruntime {runtime.__version__}", **detail},
    )


def _runtime() -> Any:
    """The onnxruntime package, after making sure that those which write the file are there too."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            module = import_module(package)
        except ImportError as error:
            raise MissingPackage(package, "export") from error
    return module


def _write(network: nn.Module, path: Path, samples: Tensor, metadata: Mapping[str, str]) -> int:
    """Write the file and return the version of the operator set that it uses."""
    if isinstance(network, Exits) and network.answer == "early":
        return _write_early(network, path, samples, metadata)
    program = _program(network, samples, [_OUTPUT])
    program.model.metadata_props.update(metadata)
    program.save(path, external_data=False)
    return int(program.model.opset_imports[""])


def _write_early(exits: Exits, path: Path, samples: Tensor, metadata: Mapping[str, str]) -> int:
    """The same for a network with early exits."""
    heads = OpenHeads(exits)
    program = _program(heads, samples, heads.outputs, called=exits)
    program.model.metadata_props.update({**heads.metadata(), **metadata})
    with explained(exits, "ONNX"):
        model = nested(program.model_proto, heads.outputs, heads.thresholds, output=_OUTPUT)
        path.write_bytes(model.SerializeToString())
    return int(program.model.opset_imports[""])


def _program(network: nn.Module, samples: Tensor, outputs: list[str], *, called: nn.Module | None = None) -> Any:
    """The network in ONNX's operators; `called` is what an error shall name."""
    graph = trace(network, samples, target="ONNX", called=called)
    # The graph is given, not the network: the exporter would retry a failed trace with a fixed batch size, silently.
    with explained(called or network, "ONNX"):
        program = torch.onnx.export(
            graph,
            dynamo=True,
            verbose=False,
            input_names=[_INPUT],
            output_names=outputs,
            dynamic_shapes=({0: "batch"},),  # only the name: the graph already holds for any batch
        )
        if program is None:
            raise RuntimeError("the exporter returned nothing")
    return program


def _session(runtime: Any, path: Path) -> Callable[[Any], Any]:
    """Images to logits, both NumPy arrays, with as many threads as PyTorch uses."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])

    def run(images: Any) -> Any:
        return session.run([_OUTPUT], {_INPUT: images})[0]

    return run
