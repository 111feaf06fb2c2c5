"""BatchNorm statistics from batches, against NumPy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from limbeck.adapters.widening.calibration import recalibrate
from little import Batch, conv_net, image_batch, run, values
from little_wide import mobile_net


def test_statistics_are_averages_over_batches_weighted_by_their_sizes() -> None:
    model = conv_net(4)
    batches = [image_batch(6, seed=1), image_batch(2, seed=2)]
    recalibrate(model, batches, run, images=100)
    mean, variance = np.zeros(4), np.zeros(4)
    for images, _, _ in batches:
        x = model[0](images).detach().numpy().astype(np.float64)
        mean += len(x) / 8 * x.mean((0, 2, 3))
        variance += len(x) / 8 * x.var((0, 2, 3))
    np.testing.assert_allclose(model[1].running_mean.numpy(), mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model[1].running_var.numpy(), variance, rtol=1e-5)


def test_deeper_layers_see_what_is_normalised_by_the_batch() -> None:
    model = conv_net(4)
    model[1].running_mean.fill_(7.0)  # nobody may look at it
    batch = image_batch(6)
    recalibrate(model, [batch], run, images=6)
    x = model[:1](batch[0]).detach()
    x = (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    deep = model[3](torch.relu(x)).detach()
    torch.testing.assert_close(model[4].running_mean, deep.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model[4].running_var, deep.var((0, 2, 3), correction=0), rtol=1e-4, atol=1e-5)


def test_an_endless_stream_is_read_until_there_are_enough_images() -> None:
    taken = []

    def endless() -> Iterator[Batch]:
        while True:
            taken.append(len(taken))
            yield image_batch(4, seed=len(taken))

    recalibrate(mobile_net(), endless(), run, images=10)
    assert len(taken) == 3
    recalibrate(mobile_net(), endless(), run, images=0)
    assert len(taken) == 3
    recalibrate(conv_net(batch_norm=False), endless(), run, images=10)
    assert len(taken) == 3


def test_nothing_but_the_statistics_changes_and_no_batches_change_nothing() -> None:
    model = mobile_net()
    model.layer1.eval()
    before, modes = values(model), [module.training for module in model.modules()]
    recalibrate(model, [], run, images=8)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    recalibrate(model, [image_batch()], run, images=8)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name.rpartition(".")[2] for name in changed} == {"running_mean", "running_var", "num_batches_tracked"}
    assert [module.training for module in model.modules()] == modes
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(norm.momentum == 0.1 for norm in norms)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_dropout_is_off() -> None:
    first, second = conv_net(4, dropout=0.9), conv_net(4)
    first.insert(1, nn.Dropout(0.9))
    second.insert(1, nn.Identity())
    for model in (first, second):
        recalibrate(model, [image_batch()], run, images=8)
    assert torch.equal(first[2].running_var, second[2].running_var)


def test_nobody_waits_for_a_layer_that_does_not_run() -> None:
    model, taken = conv_net(), []
    model.insert(0, nn.Identity())
    model[0].aside = nn.BatchNorm2d(3)  # the first that is registered

    def endless() -> Iterator[Batch]:
        while len(taken) < 50:
            taken.append(len(taken))
            yield image_batch(4, seed=len(taken))

    recalibrate(model, endless(), run, images=10)
    assert len(taken) == 3
    assert float(model[0].aside.running_mean.abs().max()) == 0
