from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from limbeck.core.distiller import Distiller
from limbeck.methods.kd import KD
from limbeck.methods.supervised import Supervised
from limbeck.tasks.classification import Classification
from limbeck.train.ema import Ema
from little import conv_net, image_batch, values

DECAY = 0.75
BATCH = image_batch(4)


def supervised(model: nn.Module) -> Distiller:
    return Distiller(Supervised(), Classification(), {"student": model}, BATCH)


def test_the_average_is_numpy_s() -> None:
    model = conv_net()
    weight = model[9].weight
    ema = Ema(supervised(model), DECAY)
    expected = weight.detach().numpy().astype(np.float64)
    for step in range(5):
        with torch.no_grad():
            weight.add_(step + 1.0)
            model[1].running_mean.fill_(float(step))
            model[1].num_batches_tracked.fill_(step)
        expected = DECAY * expected + (1 - DECAY) * weight.detach().numpy()
        ema.update()
    state = {name.removeprefix("student."): tensor for name, tensor in ema.state.items()}
    found = next(tensor for name, tensor in state.items() if name.endswith("9.weight"))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)
    running = next(tensor for name, tensor in state.items() if name.endswith("1.running_mean"))
    mean = 0.0
    for step in range(5):
        mean = DECAY * mean + (1 - DECAY) * step
    np.testing.assert_allclose(running.numpy(), mean, rtol=1e-5)
    counted = next(tensor for name, tensor in state.items() if name.endswith("1.num_batches_tracked"))
    assert counted.item() == 4


def test_inside_the_average_outside_the_own_weights() -> None:
    model = conv_net()
    ema = Ema(supervised(model), DECAY)
    start = values(model)
    with torch.no_grad():
        model[9].weight.add_(1.0)
    own = values(model)
    with ema.applied():
        torch.testing.assert_close(values(model), start, rtol=0, atol=0)
    torch.testing.assert_close(values(model), own, rtol=0, atol=0)
    ema.keep()
    torch.testing.assert_close(values(model), start, rtol=0, atol=0)


def test_a_saved_average_is_copied_into_place() -> None:
    first, second = Ema(supervised(conv_net(seed=1)), DECAY), Ema(supervised(conv_net(seed=2)), DECAY)
    second.load(first.state)
    torch.testing.assert_close(second.state, first.state, rtol=0, atol=0)
    first.state[
        "student.model.9.weight" if "student.model.9.weight" in first.state else next(iter(first.state))
    ].zero_()
    assert any(tensor.abs().sum() > 0 for tensor in second.state.values())


class Counting(nn.Module):
    """Puts a new tensor in its buffer's place at every pass, instead of changing the one that is there."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(1))
        self.layer = nn.Linear(64, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.count = self.count + 1
        return self.layer(images.flatten(1))


def test_a_buffer_that_is_replaced_is_averaged_too() -> None:
    model = Counting()
    ema = Ema(supervised(model), DECAY)
    expected = start = float(model.count)
    for step in range(1, 4):
        model(BATCH[0])
        expected = DECAY * expected + (1 - DECAY) * (start + step)
        ema.update()
    with ema.applied():
        assert float(model.count) == pytest.approx(expected)
    assert float(model.count) == start + 3


def test_frozen_networks_are_not_averaged() -> None:
    models = {"student": conv_net(seed=1), "teacher": conv_net(seed=2)}
    ema = Ema(Distiller(KD(), Classification(), models, BATCH), DECAY)
    assert {name.partition(".")[0] for name in ema.state} == {"student"}
