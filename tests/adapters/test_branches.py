"""Tails on one trunk: which modules are copied, and that each tail is a whole network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from limbeck.adapters.branches import Branches, branch, branched
from limbeck.adapters.gate import Gate, GatedEnsemble, gated
from limbeck.core.bridge import Bridge
from limbeck.core.errors import MethodError
from little import conv_net, image_batch, run

IMAGES = image_batch()[0]


def made(network: nn.Module, at: str = "3", count: int = 3) -> nn.Module:
    return branched(network, lambda model: run(model, (IMAGES,)), at=at, count=count)


def test_modules_with_weights_after_the_cut_are_copied_and_no_others() -> None:
    kinds = [type(module) for module in made(conv_net())]
    assert kinds[:3] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert kinds[3:5] == [Branches, Branches]
    assert kinds[5:9] == [nn.ReLU, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Dropout]
    assert kinds[9] is Branches


@pytest.mark.parametrize("number", [0, 1, 2])
def test_each_branch_taken_out_gives_its_part_of_the_output(number: int) -> None:
    found = made(conv_net()).eval()
    torch.testing.assert_close(branch(found, number)(IMAGES), found(IMAGES).chunk(3)[number])


def test_the_first_branch_has_the_network_s_own_weights() -> None:
    network = conv_net().eval()
    torch.testing.assert_close(made(network).eval()(IMAGES)[: len(IMAGES)], network(IMAGES))
    assert branch(made(network)).state_dict().keys() == network.state_dict().keys()


@pytest.mark.usefixtures("unchecked")
def test_a_bridge_stays_around_the_branches() -> None:
    found = made(Bridge(conv_net(), mean=[0.5], std=[0.5]))
    assert isinstance(found, Bridge)
    assert isinstance(branch(found), Bridge)
    assert isinstance(found.network[3], Branches)


class Nested(nn.Module):
    """The cut lies inside a container; a later module takes two tensors, a number and gives a pair."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())
        )
        self.pair = Pair()

    def forward(self, images: Tensor) -> Tensor:
        features = self.stem(images).mean((2, 3))
        first, second = self.pair(features, 2.0, other=features.square())
        return first + second


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor, factor: float, *, other: Tensor) -> tuple[Tensor, Tensor]:
        return self.linear(x) * factor, self.linear(other)


def test_a_cut_inside_a_container_and_modules_with_several_inputs_and_outputs() -> None:
    network = Nested().eval()
    found = made(network, at="stem.1", count=2).eval()
    assert isinstance(found.stem[0], nn.Conv2d)
    assert isinstance(found.stem[1], Branches)
    assert isinstance(found.pair, Branches)
    first, second = found(IMAGES).chunk(2)
    torch.testing.assert_close(first, network(IMAGES))
    torch.testing.assert_close(second, branch(found, 1)(IMAGES))


def test_a_module_that_does_not_run_is_no_place_to_begin() -> None:
    network = conv_net()
    network.spare = nn.Linear(2, 2)
    with pytest.raises(MethodError, match="at 'spare' is a module of Wrapped, but does not run"):
        made(Wrapped(network), at="spare")


class Wrapped(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.spare = network, network.spare
        del network.spare

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)


def test_the_gate_weighs_sample_by_sample() -> None:
    torch.manual_seed(0)
    gate = Gate(4, 3).eval()
    weights = gate(torch.randn(5, 4, 2, 2))
    torch.testing.assert_close(weights.sum(1), torch.ones(5))
    logits = torch.randn(15, 2)
    by_hand = sum(weights[:, k : k + 1] * logits[5 * k : 5 * k + 5] for k in range(3))
    torch.testing.assert_close(gated(logits, weights), by_hand)
    assert gate(torch.randn(5, 7, 4)).shape == gate(torch.randn(5, 4)).shape == (5, 3)


@pytest.mark.parametrize("gate", [Gate(4, 3), None])
def test_a_gated_ensemble_is_assembled_again_from_one_branch_and_its_facts(gate: Gate | None) -> None:
    ensemble = GatedEnsemble(made(conv_net()), gate, at="3").eval()
    again = GatedEnsemble.assemble({"network": conv_net(seed=5)}, IMAGES[:2], **ensemble.facts()).eval()
    assert not torch.allclose(again(IMAGES), ensemble(IMAGES))
    again.load_state_dict(ensemble.state_dict())
    torch.testing.assert_close(again(IMAGES), ensemble(IMAGES))


def test_a_tail_without_weights_has_nothing_to_branch() -> None:
    with pytest.raises(MethodError, match="nothing from '2' on has weights"):
        made(nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Softmax(-1)), at="2")


def test_what_is_made_of_several_networks_is_not_branched_again() -> None:
    network = GatedEnsemble(made(conv_net()), Gate(4, 3), at="3")
    with pytest.raises(MethodError, match="made of several networks already"):
        made(network, at="network.9")


class Odd(nn.Module):
    """A network whose own code does what is usual, and is hard on copies of its tail."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.stem, self.first = nn.Conv2d(1, 4, 3, padding=1), nn.Sequential(nn.Hardswish(inplace=True), conv(4))
        self.second = nn.Sequential(nn.LeakyReLU(0.3, inplace=True), conv(4))
        self.listed, self.placed, self.head = Listed(), Placed(), nn.Linear(4, 3)
        self.place = nn.Parameter(torch.randn(8, 4))
        self.how = how

    def forward(self, images: Tensor) -> Tensor:
        if self.how == "standardised":
            images = (images - images.mean((1, 2, 3), keepdim=True)) / images.std((1, 2, 3), keepdim=True)
        x = self.stem(images)
        if self.how == "listed":
            x = self.listed(x, [x])
        x = self.second(self.first(x))
        if self.how == "placed":
            x = self.placed(x, self.place)
        if self.how == "kept":
            self.features = x
        return self.head(x.mean((2, 3)))


def conv(width: int) -> nn.Conv2d:
    return nn.Conv2d(width, width, 3, padding=1)


class Listed(nn.Module):
    """Changes the list that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv(4)

    def forward(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        skips[0] = x + self.conv(skips[0])
        return skips[0]


class Placed(nn.Module):
    """Takes a tensor without a row per sample."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv(4)

    def forward(self, x: Tensor, place: Tensor) -> Tensor:
        return self.conv(x) + place.T[:, :, None]


@pytest.mark.parametrize(
    ("how", "at"), [("in place", "first"), ("listed", "listed"), ("placed", "first"), ("standardised", "first")]
)
def test_every_branch_is_the_plain_network_that_it_is_delivered_as(how: str, at: str) -> None:
    network = Odd(how)
    found = branched(network, lambda model: model(IMAGES[:3]), at=at, count=3)
    for mode in (True, False):
        several = found.train(mode)(IMAGES)
        alone = [branch(found, number)(IMAGES) for number in range(3)]
        torch.testing.assert_close(several, torch.cat(alone))
    found.train()(IMAGES).square().sum().backward()
    own = branch(found, 1).train()
    own.zero_grad()
    own(IMAGES).square().sum().backward()
    torch.testing.assert_close(found.second.copies[1][1].weight.grad, own.second[1].weight.grad)


def test_a_network_that_is_not_finite_on_blank_images_is_assembled_again() -> None:
    ensemble = GatedEnsemble(branched(Odd("standardised"), lambda m: m(IMAGES), at="first", count=2), None, at="first")
    blank = torch.zeros(2, 1, 8, 8)
    again = GatedEnsemble.assemble({"network": Odd("standardised")}, blank, **ensemble.facts()).eval()
    again.load_state_dict(ensemble.state_dict())
    torch.testing.assert_close(again(IMAGES), ensemble.eval()(IMAGES))


def test_what_a_pass_leaves_in_a_module_does_not_stop_a_branch_from_being_taken() -> None:
    found = made(Odd("kept"), at="first").train()
    found(IMAGES).sum().backward()
    taken = branch(found, 1).eval()
    torch.testing.assert_close(taken(IMAGES), found.eval()(IMAGES).chunk(3)[1])


def test_what_is_shared_or_not_trained_stays_so_in_each_branch() -> None:
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 4), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 3)
    )
    network[4].weight = network[2].weight
    network[5].weight.requires_grad_(False)
    found = made(network, at="2")
    for number in range(3):
        one = branch(found, number)
        assert one[4].weight is one[2].weight
        assert torch.equal(one[5].weight, network[5].weight)
        assert torch.equal(one[2].weight.flatten().sort().values, network[2].weight.flatten().sort().values)
    assert not torch.equal(branch(found, 1)[2].weight, network[2].weight)
