"""What NetAug trains, draws, sorts and delivers; its values are checked in `tests/reference`."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler

from limbeck.adapters.widening import plain, view_of
from limbeck.adapters.widening.kinds import Follows
from limbeck.core.bridge import Bridge
from limbeck.core.distiller import Distiller
from limbeck.core.errors import Interrupted, MethodError, TrainingError
from limbeck.core.method import Method
from limbeck.core.net import digest
from limbeck.core.plan import At
from limbeck.methods.compose import Compose
from limbeck.methods.hint import Hint
from limbeck.methods.kd import KD
from limbeck.methods.netaug import NetAug
from limbeck.methods.supervised import Supervised
from limbeck.tasks.classification import Classification
from limbeck.train.batches import Cycle
from limbeck.train.fit import fit
from limbeck.train.settings import SGD, Adam, Train
from little import CLASSES, Batch, conv_net, image_batch, run, values
from little_vision import colour_batch, network
from little_wide import mobile_net, shapes
from stages import terms_at


def distiller(method: Method | None = None, models: dict[str, nn.Module] | None = None, *, seed: int = 0) -> Distiller:
    return Distiller(
        method or NetAug(calibrate=16), Classification(), models or {"student": mobile_net()}, image_batch(4), seed=seed
    )


def sizes(found: Distiller, follows: Follows) -> list[int]:
    view = view_of(found["wide"].model)
    return [view.sizes[number] for number in view.plan.numbers(follows)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"alpha": 0},
        {"widths": ()},
        {"widths": (0.5, 1.0)},
        {"expands": (0.9,)},
        {"width_until": 1.1},
        {"calibrate": -1},
    ],
)
def test_ranges(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        NetAug(**wrong)


def test_only_the_student_is_given_and_it_is_left_alone() -> None:
    model = mobile_net()
    before = digest(model)
    found = distiller(models={"student": model})
    fit(found, Cycle([image_batch()]), Train(length="3 steps", optimizer=SGD(lr=0.1)), progress=False)
    assert digest(model) == before
    with pytest.raises(MethodError, match="makes the network of the role 'wide' itself"):
        distiller(models={"student": mobile_net(), "wide": mobile_net()})
    with pytest.raises(MethodError, match="ShuffleNetV2 cannot be widened"):
        Distiller(NetAug(), Classification(), {"student": network("shufflenetv2")}, colour_batch(2))


def test_the_student_s_term_is_the_supervised_one_and_the_wide_one_is_weighted() -> None:
    alone = distiller(Supervised())
    half, whole = distiller(NetAug(alpha=0.5)), distiller(NetAug(alpha=1.0))
    for found in (alone, half, whole):
        found.train()
    first, second = terms_at(half, image_batch()), terms_at(whole, image_batch())
    assert list(first) == ["task", "wide"]
    assert torch.equal(first["task"], terms_at(alone, image_batch())["task"])
    torch.testing.assert_close(2 * first["wide"], second["wide"])


def test_the_wide_network_changes_from_step_to_step_but_not_within_a_step() -> None:
    found = distiller().train()
    seen = []
    for step in range(6):
        for at in found.turns(step, 20, epoch=step / 100):
            for seed in (1, 2):  # two micro-batches
                found(image_batch(seed=seed), at)
                seen.append(dict(view_of(found["wide"].model).sizes))
    assert seen[::2] == seen[1::2]
    assert len({tuple(one.values()) for one in seen}) > 3
    (at,) = found.turns(2, 20, epoch=0.02)
    found(image_batch(), at)
    assert dict(view_of(found["wide"].model).sizes) == seen[4]


def test_epochs_of_nested_loops_are_refused_before_they_sort_after_every_step() -> None:
    found = distiller().train()
    (at,) = found.turns(0, 20, epoch=0)
    with pytest.raises(MethodError, match=r"the epoch, which is 0 in step 0 and in step 1: .* step / steps_per_epoch"):
        next(iter(found.turns(1, 20, epoch=0)))
    (at,) = found.turns(2, 20, epoch=0.5)  # a resumed loop is another one
    assert at.epoch == 0.5


def test_after_a_share_of_training_only_the_inside_of_blocks_is_widened() -> None:
    found = distiller(NetAug(width_until=0.5)).train()
    view = view_of(found["wide"].model)
    own = [view.plan.groups[number].size for number in view.plan.numbers(Follows.WIDTH)]
    early, late = [], []
    for step in range(20):
        (at,) = found.turns(step, 20, epoch=step / 100)
        found(image_batch(), at)
        (early if step < 10 else late).append((sizes(found, Follows.WIDTH), sizes(found, Follows.EXPAND)))
    assert len({tuple(widths) for widths, _ in early}) > 3
    assert all(widths == own for widths, _ in late)
    assert len({tuple(expands) for _, expands in late}) > 3


def test_delivered_is_the_network_as_it_was_given_and_it_answers_like_the_student() -> None:
    model = Bridge(mobile_net(), mean=[0.4], std=[0.3], channels=1, size=(8, 8))
    found = distiller(models={"student": model})
    fit(found, Cycle([image_batch()]), Train(length="4 steps", optimizer=SGD(lr=0.1)), progress=False)
    out = found.deliver()
    assert isinstance(out, Bridge)
    assert type(out.network) is type(model.network)
    assert shapes(out) == shapes(model)
    images = image_batch(seed=7)[0]
    found["student"].model.eval()
    assert torch.equal(out.eval()(images), found["student"].model(images))
    calibrated = found.deliver([image_batch()])
    moved = {name for name, tensor in values(out).items() if not torch.equal(tensor, values(calibrated)[name])}
    assert moved
    assert all("running" in name or "tracked" in name for name in moved)
    # the same statistics in the student give the same answers
    own = dict(found["student"].model.named_buffers())
    for name, statistic in calibrated.named_buffers():
        if "running" in name:
            path, _, leaf = name.rpartition(".")
            own[f"{path}.layer.{leaf}"][: len(statistic)].copy_(statistic)
    assert torch.equal(calibrated.eval()(images), found["student"].model(images))


def test_statistics_are_estimated_from_as_many_training_images_as_asked_for_and_no_others() -> None:
    taken = []

    def train() -> Iterator[Batch]:
        while True:
            taken.append(len(taken))
            yield image_batch(4, seed=len(taken))

    def never() -> Iterator[Batch]:
        raise AssertionError("the validation split is not for this")
        yield image_batch()

    distiller(NetAug(calibrate=12)).deliver(train(), never())
    assert len(taken) == 3
    assert not NetAug().uses_validation()


def test_an_evaluation_during_training_uses_the_estimate(tmp_path: Path) -> None:
    found = distiller(NetAug(calibrate=16))
    train = Train(length="6 steps", optimizer=SGD(lr=0.05), evaluate="3 steps", ema=0.5)
    result = fit(found, Cycle([image_batch()]), train, folder=tmp_path, validation=[image_batch()], progress=False)
    expected = Classification().evaluate(found.deliver([image_batch(), image_batch()]), (), [image_batch()])
    assert result.last["nll"] == pytest.approx(expected["nll"], rel=1e-4)
    assert (tmp_path / "student-last.safetensors").is_file()


def sorted_at(found: Distiller, *, epochs: int, per_epoch: int, steps: int) -> list[int]:
    """The steps after which channels changed places."""
    done = []
    for step in range(epochs * per_epoch):
        for at in found.turns(step, steps, epoch=step / per_epoch):
            found(image_batch(), at)
        if found.reordered:
            done.append(step)
    return done


def test_channels_are_sorted_when_an_epoch_has_begun_in_the_first_phase_only() -> None:
    assert sorted_at(distiller(NetAug(width_until=0.6)).train(), epochs=5, per_epoch=3, steps=15) == [3, 6]
    assert sorted_at(distiller(NetAug(width_until=1)).train(), epochs=5, per_epoch=3, steps=15) == [3, 6, 9, 12]
    assert sorted_at(distiller(NetAug(width_until=1)).train(), epochs=3, per_epoch=7, steps=21) == [7, 14]
    assert sorted_at(distiller(NetAug(sort=False)).train(), epochs=2, per_epoch=3, steps=15) == []


def test_after_a_sort_the_student_owns_the_most_important_channels() -> None:
    found = distiller().train()
    project = found["student"].model.get_submodule("layer1.1.project.conv").layer.weight
    with torch.no_grad():
        project.copy_(torch.randn_like(project))
    NetAug().after_step(found, replace(At(found.method.plan()[0].turns[0]), step=3, epoch=1.0, fraction=0.1))
    norms = project.detach().abs().sum((0, 2, 3))
    assert norms[:12].min() >= norms[12:].max()


class Stopping(Cycle):
    """Somebody presses Ctrl-C while the batch of a step is loaded."""

    def __init__(self, stop: int | None = None) -> None:
        super().__init__([image_batch(6, seed=seed) for seed in range(3)])
        self.stop = stop

    def batches(self, start_step: int = 0) -> Iterator[Any]:
        for step, micro in enumerate(super().batches(start_step), start=start_step):
            if step == self.stop:
                os.kill(os.getpid(), signal.SIGINT)
            yield micro


@pytest.mark.parametrize("optimizer", [SGD(lr=0.05, momentum=0.9), Adam(lr=0.01)], ids=lambda one: one.name)
def test_a_training_with_sorts_that_was_interrupted_ends_with_the_same_bits(optimizer: Any, tmp_path: Path) -> None:
    def trained(folder: Path, *stops: int) -> Distiller:
        train = Train(length="10 steps", optimizer=optimizer, ema=0.6)
        method = NetAug(width_until=0.8, calibrate=24)
        for stop in stops:
            with pytest.raises(Interrupted):
                fit(distiller(method), Stopping(stop), train, folder=folder, progress=False)
        found = distiller(method)
        fit(found, Stopping(), train, folder=folder, progress=False)
        return found

    whole = trained(tmp_path / "whole").state()
    resumed = trained(tmp_path / "resumed", 2, 3, 6).state()
    torch.testing.assert_close(resumed, whole, rtol=0, atol=0)
    for file in ("student-last.safetensors", "student-best.safetensors"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "resumed" / file).read_bytes()


class Noisy(Dataset[Any]):
    """Images on which a user's transform draws noise."""

    def __len__(self) -> int:
        return 48

    def __getitem__(self, index: int) -> Any:
        images, labels, ids = image_batch(1, seed=index)
        return images[0] + 0.1 * torch.randn(1, 8, 8), labels[0], ids[0]


class Epochal(Sampler[int]):
    """Draws positions as it goes, a few at a time, from a generator that others may use, and from the epoch."""

    def __init__(self) -> None:
        self.generator, self.epoch = torch.Generator(), 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return 48

    def __iter__(self) -> Iterator[int]:
        for _ in range(48):
            yield (int(torch.randint(48, (1,), generator=self.generator)) + self.epoch) % 48


def test_an_estimation_on_training_images_changes_nothing_for_training(tmp_path: Path) -> None:
    """Its images come from the loader that training is in the middle of; and what is saved is what was measured."""
    held_out, measured = [image_batch(8, seed=99)], []

    class Measured(Classification):
        def evaluate(self, model: nn.Module, train: Any, test: Any) -> dict[str, float]:
            measured.append(values(model))
            return super().evaluate(model, train, test)

    def trained(name: str, evaluate: str) -> dict[str, torch.Tensor]:
        found = Distiller(NetAug(calibrate=16), Measured(), {"student": mobile_net()}, image_batch(4))
        batches = DataLoader(Noisy(), batch_size=8, sampler=Epochal())
        train = Train(length="16 steps", optimizer=SGD(lr=0.05, momentum=0.9), evaluate=evaluate)
        fit(found, batches, train, folder=tmp_path / name, validation=held_out, progress=False)
        return found.state()

    often, once = trained("often", "3 steps"), trained("once", "16 steps")
    torch.testing.assert_close(often, once, rtol=0, atol=0)
    torch.testing.assert_close(load_file(tmp_path / "once" / "student-last.safetensors"), measured[-1], rtol=0, atol=0)


def test_a_checkpoint_stores_the_supernet_once(tmp_path: Path) -> None:
    found = distiller()
    state = found.state()
    assert {name.split(".")[1] for name in state} == {"student", "wide"}
    torch.save(state, tmp_path / "both.pt")
    torch.save({n: t for n, t in state.items() if n.startswith("nets.student")}, tmp_path / "one.pt")
    assert (tmp_path / "both.pt").stat().st_size < 1.5 * (tmp_path / "one.pt").stat().st_size
    other = distiller(seed=1)
    assert digest(other["wide"]) != digest(found["wide"])
    other.load_state(state)
    assert digest(other["wide"]) == digest(found["wide"])
    assert next(other["wide"].parameters()) is next(other["student"].parameters())


def test_the_optimiser_sees_every_weight_once() -> None:
    found = distiller()
    groups = found.param_groups(found.method.plan()[0])
    listed = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(listed) == len(set(listed)) == len(list(found["student"].parameters()))


@pytest.mark.parametrize("order", [(NetAug(calibrate=8), KD()), (KD(), NetAug(calibrate=8))])
def test_with_soft_targets(order: tuple[Method, Method]) -> None:
    model, teacher = mobile_net(), conv_net(6)
    before = digest(teacher)
    found = distiller(Compose(methods=order), {"student": model, "teacher": teacher}).train()
    terms = terms_at(found, image_batch())
    assert set(terms) == {"task", "netaug/wide", "kd/kd"}
    alone = distiller(KD(), {"student": model, "teacher": teacher}).train()
    assert torch.equal(terms["kd/kd"], terms_at(alone, image_batch())["kd"])
    fit(found, Stopping(), Train(length="8 steps", optimizer=SGD(lr=0.05)), progress=False)
    out = found.deliver([image_batch()])
    assert shapes(out) == shapes(model)
    assert digest(teacher) == before
    assert digest(plain(found["student"].model)) != digest(model)


def test_with_hints_from_a_layer_of_the_student() -> None:
    method = Compose(methods=(NetAug(), Hint(taps=({"student": "layer1.0", "teacher": "2"},))))
    found = distiller(method, {"student": mobile_net(), "teacher": conv_net(6)}).train()
    terms = terms_at(found, image_batch())
    assert set(terms) == {"task", "netaug/wide", "hint/hint"}
    terms["hint/hint"].backward()
    weight = found["student"].model.get_submodule("layer1.0.project.conv").layer.weight
    assert weight.grad[:6, :8].any()
    assert not weight.grad[6:].any()  # the student's own channels only


def test_composed_channels_are_sorted_too() -> None:
    method = Compose(methods=(KD(), NetAug()))
    found = distiller(method, {"student": mobile_net(), "teacher": conv_net(6)}).train()
    assert sorted_at(found, epochs=3, per_epoch=3, steps=18) == [3, 6]


def test_two_of_them_at_once_are_refused() -> None:
    with pytest.raises(ValidationError, match="netaug and netaug2 each deliver a network of their own"):
        Compose(methods=(NetAug(), NetAug(alpha=2)))


def test_a_network_that_fails_when_it_is_wider_is_refused_before_training() -> None:
    class Listed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(4, CLASSES)
            self.layers = [self.conv, self.fc]

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.layers[1](self.layers[0](images).mean((2, 3)))

    with pytest.raises(MethodError, match=r"'conv' \(Conv2d\): forward does not reach it"):
        distiller(models={"student": Listed()})


def test_before_a_width_is_drawn_the_wide_network_is_at_its_widest() -> None:
    view = view_of(distiller()["wide"].model)
    widest = dict(view.sizes)
    view.draw(Random(0), widths=(max(NetAug().widths),), expands=(max(NetAug().expands),))
    assert view.sizes == widest
    assert sum(widest.values()) > sum(view.plan.sizes({}).values())


def test_eight_samples_can_be_learnt_by_a_network_with_every_kind_of_channels() -> None:
    found = distiller(NetAug(widths=(1.0, 1.5), expands=(1.0, 2.0), calibrate=8))
    fit(found, Cycle([image_batch()]), Train(length="120 steps", optimizer=Adam(lr=0.02)), progress=False)
    metrics = Classification().evaluate(found.deliver([image_batch()]), [], [image_batch()])
    assert metrics["accuracy"] == 1.0
    assert run(found.deliver(), image_batch()).shape == (8, CLASSES)


def test_a_network_that_changes_at_every_step_is_not_compiled(tmp_path: Path) -> None:
    assert not Compose(methods=(NetAug(calibrate=16), KD())).compilable()
    with pytest.raises(TrainingError, match="networks of NetAug are others in every step"):
        fit(distiller(), Cycle([image_batch(4)]), Train(length="2 steps", compile=True), progress=False)


def test_an_epoch_begins_once_however_its_fraction_is_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    found, calls, done = distiller(NetAug(width_until=1)), list[Any](), list[int]()
    monkeypatch.setattr("limbeck.methods.netaug.sort_channels", lambda *given: calls.append(given))
    for step in range(18 * 781):
        before = len(calls)
        list(found.turns(step, 18 * 781, epoch=step / 781))
        done += [step] * (len(calls) - before)
    assert done == [781 * epoch for epoch in range(1, 18)]
