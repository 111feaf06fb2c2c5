from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from limbeck.core.errors import MethodError, RunError, TrainingError
from limbeck.core.plan import Stage
from limbeck.methods.kd import KD
from limbeck.methods.supervised import Supervised
from limbeck.train.batches import Cycle
from limbeck.train.checkpoints import load_checkpoint
from limbeck.train.fit import _Loop, fit, stage_lengths
from limbeck.train.settings import SGD, Adam, Cosine, Train
from little import conv_net, image_batch, steps_by_hand, values
from train import fakes
from train.fakes import Meddling, Spoilt, TwoStages, Watching, distiller, linear, plain, scripted

BATCH = image_batch(8)
DATA = Cycle([BATCH])


class Micro(Cycle):
    """Every step has the same micro-batches."""

    def __init__(self, *micro: Any) -> None:
        super().__init__([micro])

    def batches(self, start_step: int = 0) -> Any:
        for step in super().batches(start_step):
            yield step[0]


def fitted(train: Train, *, method: Any = None, data: Any = DATA, **arguments: Any) -> dict[str, Tensor]:
    found = distiller(method)
    fit(found, data, train, progress=False, **arguments)
    return values(found["student"].model)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_the_loop_is_the_one_that_one_would_write_by_hand() -> None:
    by_hand = distiller(KD())
    steps_by_hand(by_hand, [BATCH], 5, lr=0.1)
    found = fitted(plain("5 steps", lr=0.1, momentum=0.9), method=KD())
    torch.testing.assert_close(found, values(by_hand["student"].model))


def test_each_stage_has_fresh_optimisers() -> None:
    by_hand = distiller(TwoStages())
    steps_by_hand(by_hand, [BATCH], 8, lr=0.1)  # it makes a new SGD per stage, so momentum starts again
    found = fitted(plain("8 steps", momentum=0.9), method=TwoStages())
    torch.testing.assert_close(found, values(by_hand["student"].model))
    carried = fitted(plain("8 steps", momentum=0.9))
    assert any(not torch.allclose(found[name], carried[name]) for name in found)


def test_lengths_of_stages() -> None:
    stages = (Stage("a", share=0.25), Stage("b", share=0.75), Stage("c", share=0.0))
    assert stage_lengths(stages, Train(length="10 epochs"), 4) == [10, 30, 1]


def test_the_schedule_runs_over_each_stage(tmp_path: Path) -> None:
    train = Train(length="8 steps", optimizer=SGD(lr=0.4), schedule=Cosine(), log="1 steps")
    fitted(train, method=TwoStages(), folder=tmp_path)
    curve = 0.4 * (1 + np.cos(np.pi * np.arange(4) / 4)) / 2
    assert [line["lr"] for line in lines(tmp_path)] == pytest.approx([*curve, *curve])
    assert [line["stage"] for line in lines(tmp_path)] == ["first"] * 4 + ["second"] * 4


@pytest.mark.parametrize("cut", [4, 6])
def test_two_micro_batches_of_any_size_are_the_one_batch(cut: int) -> None:
    parts = [tuple(part[:cut] for part in BATCH), tuple(part[cut:] for part in BATCH)]
    whole = fitted(plain("4 steps", momentum=0.9))
    torch.testing.assert_close(fitted(plain("4 steps", momentum=0.9), data=Micro(*parts)), whole)


def test_the_gradient_is_clipped_to_its_norm() -> None:
    start = values(linear())

    def moved(clip: float | None) -> float:
        found = fitted(plain("1 steps", lr=1.0, clip=clip))
        return torch.cat([(found[name] - start[name]).flatten() for name in start]).norm().item()

    free = moved(None)
    assert moved(free / 2) == pytest.approx(free / 2, rel=1e-3)
    assert moved(free * 2) == pytest.approx(free, rel=1e-5)


def test_bf16_computes_in_bf16_and_keeps_float32() -> None:
    found, seen = distiller(), []
    found["student"].model[1].register_forward_hook(lambda _m, _i, output: seen.append(output.dtype))
    fit(found, DATA, plain("3 steps", precision="bf16"), progress=False)
    assert set(seen) == {torch.bfloat16}
    assert {tensor.dtype for tensor in values(found["student"].model).values()} == {torch.float32}
    exact = fitted(plain("3 steps"))
    torch.testing.assert_close(values(found["student"].model), exact, rtol=0.02, atol=0.01)
    seen.clear()
    found(BATCH)  # the distiller is itself again: no autocast is left on it
    assert seen == [torch.float32]


def test_a_path_that_is_not_trained_cannot_have_an_optimiser() -> None:
    with pytest.raises(MethodError, match=r"train.groups: 'teacher' is no trained path"):
        fitted(plain("1 steps", groups={"teacher": Adam()}), method=KD())


@pytest.mark.parametrize("log", ["1 steps", "50 steps"])
@pytest.mark.parametrize("method", [Spoilt(step=3), Spoilt(step=3, gradient=True), Spoilt(step=7, gradient=True)])
def test_no_checkpoint_and_no_network_is_spoilt(tmp_path: Path, method: Spoilt, log: str) -> None:
    train = plain("8 steps", checkpoint="1 steps", log=log)
    with pytest.raises(TrainingError, match=r"Lower train.optimizer.lr"):
        fitted(train, method=method, folder=tmp_path)
    position, state = load_checkpoint(tmp_path / "checkpoints") or (None, {})
    assert position is not None
    assert position.total == method.step
    assert all(tensor.isfinite().all() for tensor in state["distiller"].values())
    assert not (tmp_path / "student-last.safetensors").exists()


def test_a_loss_that_is_no_number_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"training, step 4: the loss term 'extra' is nan"):
        fitted(plain("8 steps", log="2 steps"), method=Spoilt(step=3), folder=tmp_path)
    assert not list(tmp_path.glob("**/*.pt"))


def test_a_teacher_that_changes_is_an_error() -> None:
    with pytest.raises(TrainingError, match="stage 'main' changed a frozen network's parameters or buffers"):
        fitted(plain("2 steps"), method=Meddling())


def test_a_teacher_that_was_changed_is_not_passed_over_the_second_time(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(TrainingError, match="changed a frozen network's parameters or buffers"):
            fitted(plain("2 steps"), method=Meddling(), folder=tmp_path)
    assert not list(tmp_path.rglob("student-*.safetensors"))


def test_another_teacher_does_not_go_on_with_a_training(tmp_path: Path) -> None:
    train = plain("4 steps", checkpoint="2 steps")
    models = {"student": linear(), "teacher": linear(1)}
    fit(distiller(KD(), models), DATA, train, folder=tmp_path, progress=False)
    for path in sorted((tmp_path / "checkpoints").glob("*.pt"))[1:]:
        path.unlink()  # as if it had been stopped after step 2
    with pytest.raises(TrainingError, match="a frozen network is not the one with which this training was begun"):
        fit(distiller(KD(), {**models, "teacher": linear(2)}), DATA, train, folder=tmp_path, progress=False)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (plain("3 steps", lr=0.2), "train.optimizer = SGD.*lr=0.1.*this one has SGD.*lr=0.2"),
        (plain("4 steps"), "train.length = '3 steps', this one has '4 steps'"),
        (plain("3 steps", ema=0.5), "train.ema = the default, this one has 0.5"),
    ],
)
def test_a_folder_of_another_training_is_refused(tmp_path: Path, other: Train, said: str) -> None:
    fitted(plain("3 steps"), folder=tmp_path)
    with pytest.raises(RunError, match=f"{said}.*take another folder"):
        fitted(other, folder=tmp_path)
    with pytest.raises(RunError, match=r"method = Supervised, this one has KD"):
        fitted(plain("3 steps"), method=KD(), folder=tmp_path)
    fitted(plain("3 steps"), method=KD(), folder=tmp_path / "kd")
    with pytest.raises(RunError, match=r"method.temperature = the default, this one has 2.0"):
        fitted(plain("3 steps"), method=KD(temperature=2.0), folder=tmp_path / "kd")
    fitted(plain("3 steps", log="1 steps", channels_last=False), folder=tmp_path)


def test_gradients_of_a_loss_that_was_tried_out_are_forgotten() -> None:
    found = distiller()
    sum(found(BATCH).values()).backward()
    fit(found, DATA, plain("2 steps"), progress=False)
    torch.testing.assert_close(values(found["student"].model), fitted(plain("2 steps")), rtol=0, atol=0)


def test_a_start_that_fails_leaves_the_distiller_unwrapped(tmp_path: Path) -> None:
    fitted(plain("3 steps"), folder=tmp_path)
    found = distiller()
    with pytest.raises(RunError):
        fit(found, DATA, plain("3 steps", lr=0.2, precision="bf16"), folder=tmp_path, progress=False)
    assert float(found(BATCH)["task"]) == float(distiller()(BATCH)["task"])  # not in bf16


def scaled_step(optimizers: int, *, clip: float | None, unused: bool = False) -> list[Tensor]:
    """What one step in half precision adds to two layers, under one or two optimisers."""
    torch.manual_seed(0)
    layers = [torch.nn.Linear(4, 4, bias=False) for _ in "12"]
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=1)
    groups = [[layer.weight] for layer in layers] if optimizers == 2 else [[layer.weight for layer in layers]]
    made = [torch.optim.SGD(group, lr=0.1) for group in groups]
    before = [layer.weight.detach().clone() for layer in layers]
    answer = layers[0](torch.ones(2, 4))
    scaler.scale((answer if unused else layers[1](answer)).square().mean()).backward()
    loop = SimpleNamespace(
        settings=SimpleNamespace(clip=clip, precision="fp16"),
        optimizers=made,
        accelerator=SimpleNamespace(scaler=scaler),
        max_norm=SimpleNamespace(keep=lambda: None),
    )
    _Loop._optimise(loop)
    assert scaler.get_scale() == 2.0**11  # grown once
    return [layer.weight.detach() - start for layer, start in zip(layers, before, strict=True)]


@pytest.mark.parametrize("clip", [None, 0.01])
def test_with_loss_scaling_two_optimisers_do_what_one_does(clip: float | None) -> None:
    torch.testing.assert_close(scaled_step(2, clip=clip), scaled_step(1, clip=clip))
    assert all(moved.any() for moved in scaled_step(2, clip=clip))


def test_with_loss_scaling_an_optimiser_without_a_gradient_stands_still() -> None:
    first, second = scaled_step(2, clip=0.01, unused=True)
    assert first.any()
    assert not second.any()


def test_a_teacher_s_running_statistics_do_not_move() -> None:
    teacher = conv_net(seed=3)
    before = values(teacher)
    found = distiller(KD(), {"student": linear(), "teacher": teacher})
    fit(found, DATA, plain("3 steps"), progress=False)
    torch.testing.assert_close(values(teacher), before, rtol=0, atol=0)


def test_the_best_and_the_last_network_are_kept(tmp_path: Path) -> None:
    found = distiller(task=scripted(0.2, 0.9, 0.9, 0.4))
    train = plain("4 steps", evaluate="1 steps")
    result = fit(found, DATA, train, folder=tmp_path, validation=[BATCH], progress=False)
    torch.testing.assert_close(load_file(tmp_path / "student-best.safetensors"), fakes.seen[1])  # the first of equals
    torch.testing.assert_close(load_file(tmp_path / "student-last.safetensors"), fakes.seen[3])
    assert not torch.equal(fakes.seen[1]["1.weight"], fakes.seen[3]["1.weight"])
    assert (result.best["accuracy"], result.best_step, result.last["accuracy"], result.steps) == (0.9, 2, 0.4, 4)
    validation = [(line["step"], line["validation"]["accuracy"]) for line in lines(tmp_path) if "validation" in line]
    assert validation == [(1, 0.2), (2, 0.9), (3, 0.9), (4, 0.4)]


def test_without_validation_the_best_is_the_last(tmp_path: Path) -> None:
    last = fitted(plain("2 steps"), folder=tmp_path)
    for name in ("best", "last"):
        torch.testing.assert_close(load_file(tmp_path / f"student-{name}.safetensors"), last)


def test_the_student_is_back_in_train_mode_after_every_evaluation() -> None:
    models = {"student": conv_net(dropout=0.5)}
    found = distiller(Watching(), models)
    fit(found, DATA, plain("4 steps", evaluate="1 steps"), validation=[BATCH], progress=False)


def test_with_an_average_that_is_what_is_delivered(tmp_path: Path) -> None:
    average = {name: tensor.double().numpy() for name, tensor in values(linear()).items()}
    for steps in range(1, 5):
        now = fitted(plain(f"{steps} steps"))
        average = {name: 0.5 * average[name] + 0.5 * now[name].double().numpy() for name in average}
    found = fitted(plain("4 steps", ema=0.5), folder=tmp_path)
    for name, tensor in load_file(tmp_path / "student-last.safetensors").items():
        np.testing.assert_allclose(tensor.numpy(), average[name], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found[name], tensor)


def test_evaluating_the_average_does_not_disturb_training() -> None:
    often = plain("6 steps", momentum=0.9, ema=0.5, evaluate="1 steps")
    torch.testing.assert_close(
        fitted(often, validation=[BATCH]), fitted(plain("6 steps", momentum=0.9, ema=0.5)), rtol=0, atol=0
    )


def test_cosmetic_settings_do_not_change_a_bit(tmp_path: Path) -> None:
    quiet = fitted(plain("5 steps", momentum=0.9))
    busy = plain("5 steps", momentum=0.9, log="1 steps", checkpoint="1 steps", trackers=("tensorboard",))
    torch.testing.assert_close(fitted(busy, folder=tmp_path), quiet, rtol=0, atol=0)
    assert list(tmp_path.glob("**/events.out.tfevents*"))


def test_metrics_are_lines_with_place_rate_terms_and_speed(tmp_path: Path) -> None:
    fitted(plain("4 steps", log="2 steps"), method=KD(), folder=tmp_path)
    found = lines(tmp_path)
    assert [line["step"] for line in found] == [2, 4]
    assert [line["epoch"] for line in found] == [2.0, 4.0]
    assert set(found[0]["terms"]) == {"task", "kd"}
    assert found[0]["samples_per_second"] > 0
    assert found[1]["seconds"] >= found[0]["seconds"] > 0


def test_a_finished_training_called_again_adds_nothing(tmp_path: Path) -> None:
    train = plain("3 steps", log="1 steps")
    first = fitted(train, folder=tmp_path)
    before = lines(tmp_path)
    torch.testing.assert_close(fitted(train, folder=tmp_path), first, rtol=0, atol=0)
    assert lines(tmp_path) == before


def test_supervised_learns() -> None:
    found = distiller(Supervised())
    fit(found, DATA, plain("200 steps", lr=0.5), progress=False)
    assert found(BATCH)["task"].item() < 0.1
