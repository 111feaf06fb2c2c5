from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from limbeck.core.errors import Interrupted
from limbeck.core.forward_pass import ForwardPass
from limbeck.core.method import Nets
from limbeck.core.net import Kind
from limbeck.core.plan import At
from limbeck.core.settings import settings
from limbeck.methods.kd import KD
from limbeck.tasks.classification import Classification
from limbeck.train.batches import Cycle
from limbeck.train.fit import fit
from limbeck.train.profile import Profile, Section
from limbeck.train.settings import Train
from little import conv_net, image_batch, values
from train.fakes import distiller, linear, plain

BATCH = image_batch(8)
DATA = Cycle([BATCH])
NAP = 0.01


class Sleepy(nn.Module):
    """A network that takes its time."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        time.sleep(NAP)
        return self.network(images)


class SlowData(Cycle):
    """Every step waits for its batch."""

    def batches(self, start_step: int = 0) -> Any:
        for step in super().batches(start_step):
            time.sleep(NAP)
            yield step


class Burning(Dataset[Any]):
    """Each item costs its worker processor time."""

    def __getitem__(self, _index: int) -> Any:
        end = time.process_time() + NAP
        while time.process_time() < end:
            pass
        return [BATCH]


class FromWorker(Cycle):
    """The batches come from another process."""

    def batches(self, start_step: int = 0) -> Any:
        order = [0] * 1000
        yield from DataLoader(Burning(), sampler=order, batch_size=None, num_workers=1, prefetch_factor=2)


class SlowEvaluation(Classification):
    """An evaluation that takes its time, the networks' own time included."""

    def evaluate(self, model: nn.Module, train: Any, test: Any) -> dict[str, float]:
        time.sleep(NAP)
        return super().evaluate(model, train, test)


@settings
class TwoTeachers(KD):
    """Asks a second teacher, twice on the same batch; and rests after each step."""

    def roles(self) -> Mapping[str, Kind]:
        return {**super().roles(), "assistant": Kind.FROZEN}

    def terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        terms = super().terms(nets, batch, at)
        time.sleep(NAP)
        first, second = nets["assistant"](batch), nets["assistant"](batch)
        return {**terms, "zero": 0 * (first.output - second.output).sum()}

    def after_step(self, nets: Nets, at: At) -> None:
        time.sleep(NAP)


class Recorded:
    """Answers for a network with what it was given, except where it is told to let the network run."""

    def __init__(self, output: Tensor, *, live_after: int) -> None:
        self.output, self.live_after, self.step = output, live_after, 0

    def now(self, batch: Any, step: int) -> None:
        self.step = step

    def __call__(self, batch: Any, *, until: str | None = None) -> ForwardPass | None:
        return ForwardPass(self.output, {}) if self.step < self.live_after else None


def profiled(
    train: Train | None = None,
    *,
    method: Any = None,
    models: Any = None,
    task: Any = None,
    data: Any = DATA,
    **rest: Any,
) -> Profile:
    profile = Profile()
    found = distiller(method or KD(), models, task=task)
    fit(found, data, train or plain("10 steps"), progress=False, profile=profile, **rest)
    return profile


def seconds(profile: Profile) -> dict[str, float]:
    return {row.name: row.seconds for row in profile.rows()}


def networks(*sleepy: str, roles: tuple[str, ...] = ("student", "teacher")) -> dict[str, nn.Module]:
    return {role: Sleepy(linear(n)) if role in sleepy else linear(n) for n, role in enumerate(roles)}


@pytest.mark.parametrize("slow", ["teacher", "student"])
def test_a_network_that_sleeps_is_found(slow: str) -> None:
    profile = profiled(plain("30 steps"), models=networks(slow))
    spent = seconds(profile)
    assert spent[f"{slow} forward"] >= 30 * NAP
    awake = "student" if slow == "teacher" else "teacher"
    assert 0 < spent[f"{awake} forward"] < spent[f"{slow} forward"] / 3
    del spent[Section.SETUP]  # the first optimiser of a process waits for torch's imports
    assert max(spent, key=lambda name: spent[name]) == f"{slow} forward"
    assert profile.processor_idle * profile.wall > 0.9 * 30 * NAP


def test_sections_exclude_each_other_and_leave_nothing_out() -> None:
    began = time.perf_counter()
    models = networks("teacher", "assistant", roles=("student", "teacher", "assistant"))
    profile = profiled(plain("20 steps"), method=TwoTeachers(), models=models, data=SlowData([BATCH]))
    wall = time.perf_counter() - began
    spent = seconds(profile)
    assert sum(spent.values()) == pytest.approx(profile.wall)
    assert 0.5 * wall < profile.wall <= wall
    # each of them slept 20 naps, and what is inside another is not counted there again
    for name in ("teacher forward", "assistant forward", Section.DATA, Section.LOSSES, Section.STEP):
        assert 20 * NAP <= spent[name] < 40 * NAP


def test_worker_processes_are_counted_apart() -> None:
    profile = profiled(plain("20 steps"), data=FromWorker([BATCH]))
    found = re.search(r"Worker processes used another ([0-9.]+) s", str(profile))
    assert found is not None
    assert float(found[1]) >= 20 * NAP
    assert seconds(profile)[Section.DATA] >= 15 * NAP  # it waits for them, and is idle meanwhile
    assert profile.processor_idle * profile.wall >= 10 * NAP


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_that_waits_is_found_idle() -> None:
    profile = profiled(plain("40 steps"), models=networks("teacher"))
    assert profile.device_idle is not None
    assert 0.5 < profile.device_idle < 1  # it has next to nothing to do while the teacher sleeps
    spent = seconds(profile)
    assert spent[Section.TRACE] >= 10 * NAP
    assert 30 * NAP <= spent["teacher forward"] < 40 * NAP


def test_each_part_of_the_loop_has_its_row(tmp_path: Path) -> None:
    train = plain("6 steps", ema=0.9, evaluate="1 steps", log="1 steps", checkpoint="2 steps")
    profile = profiled(train, task=SlowEvaluation(), folder=tmp_path, validation=[BATCH])
    forwards = {"student forward", "teacher forward"}
    assert {row.name for row in profile.rows()} == {*Section, *forwards} - {Section.TRACE}
    assert seconds(profile)[Section.EVALUATION] >= 6 * NAP
    assert profile.steps == 6
    for row in [*profile.rows(), profile.total()]:
        assert row.share == pytest.approx(row.seconds / profile.wall)
        assert row.ms_per_step == pytest.approx(1000 * row.seconds / 6)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_bit_depends_on_it(tmp_path: Path, precision: str) -> None:
    found = []
    for profile in (None, Profile()):
        models = {"teacher": conv_net(6, seed=1, dropout=0.2), "student": conv_net(seed=2, dropout=0.2)}
        train = plain("12 steps", momentum=0.9, precision=precision, clip=1.0, evaluate="3 steps")
        folder = tmp_path / str(len(found))
        one = distiller(KD(), models)
        fit(one, DATA, train, folder=folder, validation=[BATCH], progress=False, profile=profile)
        found.append([values(one), load_file(folder / "student-best.safetensors")])
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=0)


def test_stored_outputs_have_a_row_of_their_own() -> None:
    def train(live_after: int) -> dict[str, float]:
        found, profile = distiller(KD(), networks("teacher")), Profile()
        output = found["teacher"].model(BATCH[0]).detach()
        found["teacher"].served = Recorded(output, live_after=live_after)
        fit(found, DATA, plain("10 steps"), progress=False, profile=profile)
        return seconds(profile)

    stored = train(10)
    assert "teacher forward" not in stored
    assert 0 < stored["teacher (stored outputs)"] < 5 * NAP
    some = train(5)
    assert some["teacher forward"] >= 5 * NAP
    assert 0 < some["teacher (stored outputs)"] < 5 * NAP


def test_what_was_stopped_has_a_profile_and_leaves_no_hooks() -> None:
    class Stops(Cycle):
        def batches(self, start_step: int = 0) -> Iterator[Any]:
            yield [BATCH]
            raise Interrupted("enough")

    found, profile = distiller(KD(), networks("teacher")), Profile()
    with pytest.raises(Interrupted):
        fit(found, Stops([BATCH]), plain("10 steps"), progress=False, profile=profile)
    assert seconds(profile)["teacher forward"] >= NAP
    before = profile.wall
    found(BATCH)
    assert (sum(seconds(profile).values()), profile.wall) == (pytest.approx(before), before)


def test_it_is_of_the_last_training() -> None:
    profile = Profile()
    assert "no training has been profiled yet" in str(profile)
    for models, data in [(networks("teacher"), DATA), (networks(), SlowData([BATCH]))]:
        fit(distiller(KD(), models), data, plain("4 steps"), progress=False, profile=profile)
    assert profile.steps == 4
    assert seconds(profile)["teacher forward"] < 4 * NAP
    assert seconds(profile)[Section.DATA] >= 4 * NAP


def test_printed_it_is_a_table() -> None:
    profile = profiled(plain("10 steps"), models=networks("teacher"))
    lines = str(profile).splitlines()
    assert lines[0].split() == ["seconds", "share", "ms", "a", "step"]
    (teacher,) = [row for row in profile.rows() if row.name == "teacher forward"]
    assert f"teacher forward {teacher.seconds:.2f} {100 * teacher.share:.1f} % {teacher.ms_per_step:.3f}" in [
        " ".join(line.split()) for line in lines
    ]
    assert lines[-2].split()[:2] == ["total", f"{profile.wall:.2f}"]
    assert lines[-1].startswith(f"Processor idle: {profile.processor_idle:.0%} of ")
    assert len({len(line) for line in lines[:-1]}) == 1
