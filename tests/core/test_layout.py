from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.core.layout import channels_last, laid_out_alike
from limbeck.core.net import digest
from little import conv_net, image_batch, values


def lies_last(network: nn.Module) -> list[bool]:
    return [p.is_contiguous(memory_format=torch.channels_last) for p in network.parameters() if p.ndim == 4]


def wide() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 3))


def test_convolutions_lie_with_channels_last_inside_and_as_before_afterwards() -> None:
    network = wide()
    places = {name: (p.data_ptr(), p.stride()) for name, p in network.named_parameters()}
    before, parameters = digest(network), [id(p) for p in network.parameters()]
    with channels_last(network):
        assert lies_last(network) == [True, True]
        assert digest(network) == before
    assert lies_last(network) == [False, False]
    assert {name: (p.data_ptr(), p.stride()) for name, p in network.named_parameters()} == places
    assert digest(network) == before
    assert [id(p) for p in network.parameters()] == parameters


def test_features_lie_with_channels_last_and_agree_to_rounding() -> None:
    network, images = wide()[:3], torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    plain = network(images)
    with channels_last(network):
        features = network(images)
    assert features.is_contiguous(memory_format=torch.channels_last)
    assert not plain.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(features, plain)


def test_what_changes_inside_is_kept_also_where_the_memory_is_shared() -> None:
    network = wide()
    shared = network.state_dict()
    with channels_last(network), torch.no_grad():
        network[0].weight.fill_(2)
    assert bool((network[0].weight == 2).all())
    torch.testing.assert_close(shared["0.weight"], network[0].weight.detach(), rtol=0, atol=0)
    with torch.no_grad():
        network[0].weight.fill_(3)
    assert bool((shared["0.weight"] == 3).all())


def test_it_ends_after_an_error() -> None:
    network = wide()
    with pytest.raises(ZeroDivisionError), channels_last(network):
        raise ZeroDivisionError
    assert lies_last(network) == [False, False]


@pytest.mark.parametrize(("wanted", "inside"), [(None, True), (True, True), (False, False)])
def test_the_choice(wanted: bool | None, inside: bool) -> None:
    network = wide()
    with channels_last(network, wanted):
        assert lies_last(network) == [inside, inside]


def test_networks_without_convolutions_stay_as_they_are() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    network.register_buffer("planes", torch.zeros(2, 3, 4, 4))
    with channels_last(network):
        assert network.planes.is_contiguous()


def test_a_network_that_already_lies_so_is_left_alone() -> None:
    network = wide().to(memory_format=torch.channels_last)
    with channels_last(network):
        pass
    assert lies_last(network) == [True, True]


def test_a_tensor_is_laid_out_as_another() -> None:
    one = torch.arange(24.0).view(1, 2, 3, 4)
    other = torch.zeros(1, 2, 3, 4).contiguous(memory_format=torch.channels_last)
    found = laid_out_alike(one, other)
    assert found.stride() == other.stride()
    torch.testing.assert_close(found, one, rtol=0, atol=0)
    assert laid_out_alike(one, torch.zeros(3)) is one


def test_a_network_for_evaluation_changes_nothing_else() -> None:
    network = conv_net().train()
    before = values(network)
    with channels_last(network), torch.no_grad():
        network.eval()(image_batch()[0])
    torch.testing.assert_close(values(network), before, rtol=0, atol=0)
