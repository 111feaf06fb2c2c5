from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from contract.methods import Hint
from limbeck.core.distiller import Distiller
from limbeck.core.errors import TrainingError
from limbeck.core.method import Method
from limbeck.core.net import digest
from limbeck.methods.kd import KD
from limbeck.tasks.classification import Classification
from limbeck.train.batches import Cycle
from limbeck.train.fit import fit
from limbeck.train.settings import Train
from limbeck.train.speed import check_compiler, sped_up
from little import conv_net, image_batch, values
from train.fakes import plain

CPU = torch.device("cpu")
BATCHES = [image_batch(6, seed=seed) for seed in (1, 2, 3)]


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def distiller(method: Method | None = None) -> Distiller:
    models = {"student": conv_net(4), "teacher": conv_net(6, seed=5)}
    return Distiller(method or KD(), Classification(), models, BATCHES[0])


def trained(settings: Train, method: Method | None = None) -> dict[str, Tensor]:
    found = distiller(method)
    fit(found, Cycle(BATCHES), settings, progress=False)
    return values(found["student"].model)


def strides(module: nn.Module) -> list[tuple[int, ...]]:
    return [parameter.stride() for parameter in module.parameters()]


def test_a_layout_trains_the_same_network_to_rounding() -> None:
    one, other = (trained(plain("6 steps", momentum=0.9, channels_last=wanted)) for wanted in (True, False))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert trained(plain("6 steps", momentum=0.9)).keys() == one.keys()


def test_layouts_end_with_the_training() -> None:
    found = distiller(Hint())
    before, teacher = strides(found), digest(found["teacher"].model)
    fit(found, Cycle(BATCHES), plain("3 steps", channels_last=True), progress=False)
    assert strides(found) == before
    assert digest(found["teacher"].model) == teacher


def test_networks_with_convolutions_lie_with_channels_last_by_default() -> None:
    found = distiller()
    with sped_up(found, Train(), CPU):
        inside = [p.is_contiguous() for p in found.parameters() if p.ndim == 4 and p.shape[1] > 1]
    assert inside == [False, False]
    with sped_up(found, Train(channels_last=False), CPU):
        assert all(p.is_contiguous() for p in found.parameters())


def test_a_training_resumes_under_another_layout(tmp_path: Path) -> None:
    whole = trained(plain("6 steps", momentum=0.9))
    half = distiller()
    settings = {"momentum": 0.9, "checkpoint": "1 steps"}

    class Stops(Cycle):
        def batches(self, start_step: int = 0) -> Iterator[list[object]]:
            for number, step in enumerate(super().batches(start_step), start=start_step):
                if number == 4:
                    raise KeyError("the power is gone")
                yield step

    with pytest.raises(KeyError):
        fit(half, Stops(BATCHES), plain("6 steps", channels_last=False, **settings), folder=tmp_path, progress=False)
    rest = distiller()
    fit(rest, Cycle(BATCHES), plain("6 steps", **settings), folder=tmp_path, progress=False)
    torch.testing.assert_close(values(rest["student"].model), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", [KD(), Hint()], ids=["logits", "taps"])
def test_compiled_training_is_eager_training_to_rounding(method: Method) -> None:
    found = distiller(method)
    counters.clear()
    fit(found, Cycle(BATCHES), plain("4 steps", compile=True), progress=False)
    assert counters["stats"]["unique_graphs"] >= 2
    torch.testing.assert_close(values(found["student"].model), trained(plain("4 steps"), method), rtol=1e-3, atol=1e-5)


def test_compiling_ends_with_the_training_and_spares_evaluations() -> None:
    found = distiller()
    names = set(found.state_dict())
    with sped_up(found, Train(compile=True), CPU):
        assert set(found.state_dict()) == names
        with torch.compiler.set_stance("fail_on_recompile"), torch.no_grad():
            found["student"].model(BATCHES[0][0])
    assert not found["student"]._compiled


def test_without_a_compiler_there_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(TrainingError, match=r"train.compile needs a C\+\+ compiler .* set train.compile: false"):
        check_compiler(True, CPU)
    check_compiler(False, CPU)
    check_compiler(True, torch.device("cuda"))


_FAULTS = """
import resource, sys, torch
from limbeck.train.speed import keep_freed_memory
kept = sys.argv[1] == "keep" and not keep_freed_memory()
for _ in range(20): torch.ones(10_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20): torch.ones(10_000_000)
print(-1 if kept else resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_memory_that_is_freed_is_used_again() -> None:
    def faults(what: str) -> int:
        done = subprocess.run([sys.executable, "-c", _FAULTS, what], capture_output=True, text=True, check=True)
        return int(done.stdout)

    kept, given_back = faults("keep"), faults("give back")
    if kept < 0:
        pytest.skip("the allocator is not glibc's")
    assert kept < given_back / 4
