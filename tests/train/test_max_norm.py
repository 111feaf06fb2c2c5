from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from limbeck.core.errors import Interrupted, TrainingError
from limbeck.core.pairs import Pair
from limbeck.core.plan import Stage, Turn
from limbeck.methods.fitnets import FitNets
from limbeck.methods.kd import KD
from limbeck.methods.supervised import Supervised
from limbeck.train.batches import Cycle
from limbeck.train.fit import fit
from limbeck.train.max_norm import MaxNorm
from little import conv_net, image_batch, values
from train.fakes import distiller, linear, plain
from train.stopping import Stopped

LIMIT = 0.5


def limited(weight: np.ndarray, limit: float) -> np.ndarray:
    """The definition, unit by unit, in float64; units along the first axis."""
    made = weight.astype(np.float64).copy()
    for unit in range(len(made)):
        norm = np.sqrt((made[unit] ** 2).sum())
        if norm > limit:
            made[unit] *= limit / norm
    return made


def moved(layers: list[Any], limit: float = LIMIT) -> MaxNorm:
    """Of layers that had a gradient in this step."""
    for layer in layers:
        layer.weight.grad = torch.zeros_like(layer.weight)
    return MaxNorm(layers, limit)


@pytest.mark.parametrize(
    "layer",
    [nn.Linear(7, 5), nn.Conv2d(4, 6, 3), nn.Conv2d(4, 6, 3, groups=2), nn.Conv1d(3, 4, 2)],
    ids=lambda layer: type(layer).__name__,
)
def test_every_unit_is_numpy_s(layer: nn.Linear | nn.Conv2d) -> None:
    with torch.no_grad():
        layer.weight[0].mul_(1e-3)  # within the ball: not touched
        layer.weight[1].mul_(5)
        layer.weight[2].zero_()
    before, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    moved([layer]).keep()
    np.testing.assert_allclose(layer.weight.detach().numpy(), limited(before.numpy(), LIMIT), rtol=1e-6)
    assert torch.equal(layer.weight[0], before[0])
    assert torch.equal(layer.bias, bias)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_transposed_convolution_s_units_are_its_outputs(groups: int) -> None:
    layer = nn.ConvTranspose2d(4, 6, 3, groups=groups, bias=False)
    before = layer.weight.detach().double().numpy()
    units = [
        before[group * (4 // groups) : (group + 1) * (4 // groups), out]
        for group in range(groups)
        for out in range(6 // groups)
    ]
    moved([layer], 0.1).keep()
    after = layer.weight.detach().double().numpy()
    found = [after[g * (4 // groups) : (g + 1) * (4 // groups), o] for g in range(groups) for o in range(6 // groups)]
    np.testing.assert_allclose(np.stack(found), limited(np.stack(units), 0.1), rtol=1e-6)


def test_a_second_time_changes_nothing_more() -> None:
    layer = nn.Linear(30, 20)
    moved([layer]).keep()
    once = layer.weight.detach().clone()
    moved([layer]).keep()
    torch.testing.assert_close(layer.weight.detach(), once, rtol=1e-6, atol=0)


def test_it_holds_after_every_step_of_a_training() -> None:
    found, step = linear(), image_batch(8)
    by_hand = linear()
    optimizer = torch.optim.SGD(by_hand.parameters(), lr=2.0)
    for _ in range(4):
        nn.functional.cross_entropy(by_hand(step[0]), step[1]).backward()
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            weight = limited(by_hand[1].weight.numpy(), LIMIT)
            by_hand[1].weight.copy_(torch.from_numpy(weight))
    fit(distiller(models={"student": found}), Cycle([step]), plain("4 steps", lr=2.0, max_norm=LIMIT), progress=False)
    torch.testing.assert_close(values(found), values(by_hand), rtol=1e-5, atol=1e-7)
    assert found[1].weight.detach().norm(dim=1).max().item() == pytest.approx(LIMIT)  # so the limit was met


def test_only_what_the_stage_trains_is_limited() -> None:
    models = {"student": conv_net(seed=1), "teacher": conv_net(seed=2)}
    found = distiller(KD(), models)
    whole = MaxNorm.of(found, Stage(), LIMIT)
    assert [type(layer).__name__ for layer in whole.layers] == ["Conv2d", "Conv2d", "Linear"]
    assert all(any(layer is module for module in models["student"]) for layer in whole.layers)
    part = MaxNorm.of(found, Stage(turns=(Turn(trains=("student.9",)),)), LIMIT)
    assert [type(layer).__name__ for layer in part.layers] == ["Linear"]
    assert not MaxNorm.of(found, Stage(), None).layers


def test_nothing_to_limit_is_an_error() -> None:
    found = distiller(Supervised(), {"student": conv_net()})
    with pytest.raises(TrainingError, match=r"train.max_norm: 0.5, but stage 'main' trains no weight of a linear"):
        MaxNorm.of(found, Stage(turns=(Turn(trains=("student.1",)),)), LIMIT)


def test_a_resumed_training_ends_with_the_same_bits(tmp_path: Path) -> None:
    train, whole, stopped, resumed = plain("6 steps", lr=2.0, momentum=0.9, max_norm=LIMIT), *(linear() for _ in "123")
    fit(distiller(models={"student": whole}), Stopped(), train, progress=False)
    with pytest.raises(Interrupted):
        fit(distiller(models={"student": stopped}), Stopped(3), train, folder=tmp_path, progress=False)
    fit(distiller(models={"student": resumed}), Stopped(), train, folder=tmp_path, progress=False)
    torch.testing.assert_close(values(resumed), values(whole), rtol=0, atol=0)


def test_layers_above_the_guided_one_stay_as_they_are_while_hints_are_learnt() -> None:
    """FitNets, section 2.2: the first stage trains the student up to its guided layer."""
    student = conv_net(4)
    above = [layer for name, layer in student.named_children() if int(name) > 2 and hasattr(layer, "weight")]
    before = [layer.weight.detach().clone() for layer in above]
    method = FitNets(taps=Pair(student="2", teacher="5"), hint_share=0.999)
    stopped = Stopped(3)  # long before the second stage
    with pytest.raises(Interrupted):
        fit(
            distiller(method, {"student": student, "teacher": conv_net(6, seed=5)}),
            stopped,
            plain("3000 steps", lr=1e-3, max_norm=1e-3),
            progress=False,
        )
    assert all(torch.equal(layer.weight, one) for layer, one in zip(above, before, strict=True))
    assert student[0].weight.detach().flatten(1).norm(dim=1).max().item() == pytest.approx(1e-3, rel=1e-3)
