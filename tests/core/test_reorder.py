"""Tensors whose entries a method puts in another order."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.core.distiller import Distiller
from limbeck.core.errors import MethodError
from limbeck.core.method import Nets
from limbeck.core.plan import At
from limbeck.core.settings import settings
from limbeck.methods.compose import Compose
from limbeck.methods.supervised import Supervised
from limbeck.tasks.classification import Classification
from little import conv_net, image_batch

ORDER = torch.tensor([2, 0, 3, 1])


@settings
class Reordering(Supervised):
    """Permutes the rows of the first convolution after each step."""

    def after_step(self, nets: Nets, at: At) -> None:
        nets.reorder(nets["student"].model[0].weight, 0, ORDER)


def distiller(method: Supervised | Compose) -> Distiller:
    return Distiller(method, Classification(), {"student": conv_net(4)}, image_batch(4))


def test_entries_move_along_an_axis_and_the_parameter_stays_the_same_object() -> None:
    found = distiller(Supervised())
    weight = found["student"].model[9].weight
    before, address = weight.detach().clone(), weight.data_ptr()
    found.reorder(weight, 1, ORDER)
    assert torch.equal(weight.detach(), before[:, [2, 0, 3, 1]])
    assert weight.data_ptr() == address
    assert weight.requires_grad
    ((tensor, axis, order),) = found.reordered
    assert tensor is weight
    assert axis == 1
    assert order is ORDER


def test_buffers_can_move_too_and_other_lengths_are_refused() -> None:
    found = distiller(Supervised())
    mean = found["student"].model[1].running_mean
    mean.copy_(torch.arange(4.0))
    found.reorder(mean, 0, ORDER)
    assert mean.tolist() == [2, 0, 3, 1]
    with pytest.raises(MethodError, match=r"4 numbers for axis 0 of a tensor of \[3, 4\]"):
        found.reorder(found["student"].model[9].weight, 0, ORDER)


@pytest.mark.parametrize("method", [Reordering(), Compose(methods=(Supervised(), Reordering()))])
def test_what_a_method_reordered_is_remembered_until_the_next_step(method: Supervised | Compose) -> None:
    found = distiller(method)
    for step in range(3):
        for at in found.turns(step, 3, epoch=0.0):
            assert found.reordered == []
            found(image_batch(), at)
        assert [axis for _, axis, _ in found.reordered] == [0]


def test_networks_that_a_method_makes_follow_the_seed_of_the_distiller_and_leave_the_generator_alone() -> None:
    @settings
    class Drawing(Supervised):
        def networks(self, models, run):  # type: ignore[no-untyped-def]
            return {"student": nn.Sequential(nn.Flatten(), nn.Linear(64, 3))}

    def weight(seed: int) -> torch.Tensor:
        found = Distiller(Drawing(), Classification(), {"student": conv_net(4)}, image_batch(4), seed=seed)
        return found["student"].model[1].weight.detach()

    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = weight(0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(weight(0), first)
    assert not torch.equal(weight(1), first)
