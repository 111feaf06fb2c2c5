"""Optimisers and averages follow tensors whose entries change places."""

from __future__ import annotations

import copy
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limbeck.adapters.widening import sort_channels, view_of, widen
from limbeck.core.distiller import Distiller
from limbeck.core.errors import Interrupted, TrainingError
from limbeck.core.method import Nets
from limbeck.core.plan import At
from limbeck.core.settings import settings
from limbeck.methods.netaug import NetAug
from limbeck.methods.supervised import Supervised
from limbeck.tasks.classification import Classification
from limbeck.train.batches import Cycle
from limbeck.train.ema import Ema
from limbeck.train.fit import fit
from limbeck.train.reordering import Reordered, reorder_states
from limbeck.train.settings import SGD, Adam, AdamW, RMSprop, Train
from little import conv_net, image_batch
from little_wide import mobile_net

Make = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
MAKES: dict[str, Make] = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.01, amsgrad=True),
}


def wide_net() -> tuple[nn.Module, nn.Module]:
    """A supernet in double precision, its second view at full width."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        student, wide = widen(mobile_net().double(), widths=(2.0,), expands=(3.0,))
    view_of(wide).draw(Random(0), widths=(2.0,), expands=(3.0,))
    return student, wide


def step(wide: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    images, labels, _ = image_batch(seed=seed)
    nn.functional.cross_entropy(30 * wide(images.double()), labels).backward()
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_a_step_after_a_sort_is_the_permuted_step_without_it(make: Make) -> None:
    student, wide = wide_net()
    optimizer = make(wide.parameters())
    for seed in (1, 2, 3):
        step(wide, optimizer, seed)
    student_too, wide_too = copy.deepcopy((student, wide))
    follower = make(wide_too.parameters())
    follower.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    done: list[Reordered] = []

    def reorder(tensor: Tensor, axis: int, order: Tensor) -> None:
        with torch.no_grad():
            tensor.copy_(tensor.index_select(axis, order))
        done.append((tensor, axis, order))

    sort_channels(student, reorder)
    reorder_states([optimizer], done)
    images = image_batch(seed=9)[0].double()
    torch.testing.assert_close(wide.eval()(images), wide_too.eval()(images))
    for view, own in ((wide.train(), optimizer), (wide_too.train(), follower)):
        step(view, own, seed=4)
    torch.testing.assert_close(wide.eval()(images), wide_too.eval()(images))
    # tensor by tensor: the unsorted one, permuted as the sorted one was
    twins = {id(t): u for t, u in zip(student.state_dict(keep_vars=True).values(),
                                      student_too.state_dict(keep_vars=True).values(), strict=True)}  # fmt: skip
    for tensor, axis, order in done:
        with torch.no_grad():
            twins[id(tensor)].copy_(twins[id(tensor)].index_select(axis, order))
    torch.testing.assert_close(dict(student_too.state_dict()), dict(student.state_dict()))


def test_without_the_states_the_next_step_would_differ() -> None:
    student, wide = wide_net()
    optimizer = MAKES["sgd"](wide.parameters())
    for seed in (1, 2, 3):
        step(wide, optimizer, seed)
    _, wide_too = copy.deepcopy((student, wide))
    follower = MAKES["sgd"](wide_too.parameters())
    follower.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    sort_channels(student, lambda tensor, axis, order: tensor.data.copy_(tensor.data.index_select(axis, order)))
    for view, own in ((wide, optimizer), (wide_too, follower)):
        step(view, own, seed=4)
    images = image_batch(seed=9)[0].double()
    assert (wide.eval()(images) - wide_too.eval()(images)).abs().max() > 1e-6


def test_means_over_an_axis_follow_and_what_has_axes_of_its_own_is_refused() -> None:
    weight = nn.Parameter(torch.zeros(4, 3))
    optimizer = torch.optim.Adafactor([weight])
    weight.grad = torch.arange(12.0).view(4, 3)
    optimizer.step()
    rows, columns = (optimizer.state[weight][name].clone() for name in ("row_var", "col_var"))
    order = torch.tensor([2, 0, 3, 1])
    reorder_states([optimizer], [(weight, 0, order)])
    assert torch.equal(optimizer.state[weight]["row_var"], rows[order])
    assert torch.equal(optimizer.state[weight]["col_var"], columns)
    optimizer.state[weight]["row_var"] = rows.flatten()
    with pytest.raises(TrainingError, match=r"Adafactor keeps 'row_var' of \[4\] for a parameter of \[4, 3\]"):
        reorder_states([optimizer], [(weight, 0, order)])


@settings
class Shuffling(Supervised):
    """Puts the channels between the two convolutions of `conv_net` in another order after each step."""

    def after_step(self, nets: Nets, at: At) -> None:
        net = nets["student"].model
        order = torch.randperm(len(net[1].weight), generator=torch.Generator().manual_seed(at.step))
        for tensor in (net[0].weight, net[0].bias, *net[1].parameters(), net[1].running_mean, net[1].running_var):
            nets.reorder(tensor, 0, order)
        nets.reorder(net[3].weight, 1, order)


def fitted(method: Supervised, optimizer: Any, *, ema: float | None = None) -> Distiller:
    # in double precision: Adam makes whole steps of gradients that are zero but for rounding
    batches = [(images.double(), *rest) for images, *rest in (image_batch(seed=seed) for seed in range(3))]
    found = Distiller(method, Classification(), {"student": conv_net(6).double()}, batches[0])
    fit(found, Cycle(batches), Train(length="7 steps", optimizer=optimizer, ema=ema), progress=False)
    return found


@pytest.mark.parametrize(
    "optimizer", [SGD(lr=0.1, momentum=0.9), Adam(lr=0.01), AdamW(lr=0.01), RMSprop(lr=0.001)], ids=lambda o: o.name
)
@pytest.mark.parametrize("ema", [None, 0.6])
def test_a_training_in_which_channels_change_places_comes_to_the_same_function(optimizer: Any, ema: float) -> None:
    plain, shuffled = (
        fitted(method, optimizer, ema=ema)["student"].model.eval() for method in (Supervised(), Shuffling())
    )
    assert not torch.allclose(plain[0].weight, shuffled[0].weight, atol=1e-3)
    images = image_batch(seed=9)[0].double()
    torch.testing.assert_close(shuffled(images), plain(images))


def test_a_training_goes_on_as_if_it_had_not_stopped_between_two_orders(tmp_path: Path) -> None:
    def run(folder: Path, *lengths: int) -> Distiller:
        found = None
        for length in lengths:
            found = Distiller(Shuffling(), Classification(), {"student": conv_net(6)}, image_batch(4))
            stop = Stopping([image_batch(seed=seed) for seed in range(3)], length)
            train = Train(length="7 steps", optimizer=SGD(lr=0.1, momentum=0.9), ema=0.6)
            try:
                fit(found, stop, train, folder=folder, progress=False)
            except Interrupted:
                continue
        assert found is not None
        return found

    whole, resumed = run(tmp_path / "whole", 99), run(tmp_path / "parts", 3, 99)
    torch.testing.assert_close(resumed.state(), whole.state(), rtol=0, atol=0)


class Stopping(Cycle):
    """Batches that come to an abrupt end, with checkpoints in between."""

    def __init__(self, batches: list[Any], last: int) -> None:
        super().__init__(batches)
        self.last = last

    def batches(self, start_step: int = 0) -> Any:
        for number, micro in enumerate(super().batches(start_step), start=start_step):
            if number == self.last:
                os.kill(os.getpid(), signal.SIGINT)
            yield micro


def test_an_average_of_shared_weights_is_taken_once_and_follows() -> None:
    found = Distiller(NetAug(), Classification(), {"student": mobile_net()}, image_batch(4))
    ema = Ema(found, 0.5)
    assert {name.partition(".")[0] for name in ema.state} == {"student"}
    weight = found["student"].model.get_submodule("layer1.1.project.conv").layer.weight
    (name,) = [name for name in ema.state if "layer1.1.project.conv" in name and name.endswith("weight")]
    order = torch.arange(weight.shape[1]).flip(0)
    before = ema.state[name].clone()
    found.reorder(weight, 1, order)
    ema.reorder(found.reordered)
    assert torch.equal(ema.state[name], before[:, order])
