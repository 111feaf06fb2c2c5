"""Evaluation mode leaves no trace."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.evaluate.mode import device_of, evaluating


def partly_frozen() -> nn.Sequential:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
    model.train()
    model[1].eval()
    return model


def test_every_module_gets_its_own_mode_back() -> None:
    model = partly_frozen()
    with evaluating(model) as inside:
        assert inside is model
        assert not any(module.training for module in model.modules())
        assert not model(torch.rand(1, 3, 5, 5)).requires_grad
    assert [module.training for module in model.modules()] == [True, True, False, True]
    assert torch.is_grad_enabled()


def test_also_after_an_error() -> None:
    model = partly_frozen()
    with pytest.raises(ZeroDivisionError), evaluating(model):
        raise ZeroDivisionError
    assert [module.training for module in model.modules()] == [True, True, False, True]


def test_running_statistics_do_not_move() -> None:
    model = nn.BatchNorm2d(3).train()
    with evaluating(model):
        model(torch.rand(2, 3, 4, 4) + 5)
    assert model.state_dict()["running_mean"].tolist() == [0, 0, 0]


def test_device_of_a_network_without_parameters_is_the_cpu() -> None:
    assert device_of(nn.Flatten()) == torch.device("cpu")
    assert device_of(nn.Linear(1, 1, device="meta")) == torch.device("meta")
