"""Native ensembles: where networks are branched, what is delivered; values are checked in `tests/reference`."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from limbeck.adapters.branches import Branches
from limbeck.adapters.gate import GatedEnsemble
from limbeck.core.distiller import Distiller
from limbeck.core.errors import MethodError
from limbeck.methods.compose import Compose
from limbeck.methods.kd import KD
from limbeck.methods.one import ONE
from limbeck.models.build import build
from limbeck.tasks.classification import Classification
from little import conv_net, image_batch, steps_by_hand


def colour_batch(count: int = 4) -> tuple[torch.Tensor, ...]:
    return torch.rand(count, 3, 32, 32), torch.arange(count) % 10, torch.arange(count)


def distiller(method: ONE, network: nn.Module) -> Distiller:
    batch = image_batch() if next(network.parameters()).shape[1] == 1 else colour_batch()
    return Distiller(method, Classification(), {"student": network}, batch)


def test_the_trunk_runs_once_and_the_given_network_stays_as_it_is() -> None:
    network = conv_net()
    found = distiller(ONE(at="3"), network)
    assert not any(isinstance(module, Branches) for module in network.modules())
    calls = []
    made = found["student"].model
    made[0].register_forward_hook(lambda *_: calls.append("trunk"))
    for tail in made[3].copies:
        tail.register_forward_hook(lambda *_: calls.append("tail"))
    found.train()(image_batch())
    assert calls == ["trunk", "tail", "tail", "tail"]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("name", "at"),
    [("resnet20", "layer3"), ("wrn_16_1", "layer3"), ("mobilenetv2", "layer6"), ("vgg8", "pool3")],
)
def test_auto_begins_at_the_last_stage(name: str, at: str) -> None:
    network = build(name, {}, classes=10, channels=3, height=32, width=32)
    found = distiller(ONE(branches=2), network)
    assert found.method.at == at
    assert found.state().keys() > {f"adapters.gate.linear.{kind}" for kind in ("weight", "bias")}
    plain = found.deliver()
    assert plain.state_dict().keys() == network.state_dict().keys()


def test_a_delivered_branch_is_the_network_with_its_original_names() -> None:
    network, images = conv_net(), image_batch()[0]
    found = distiller(ONE(at="3"), network)
    steps_by_hand(found, [image_batch()], 3)
    delivered = found.eval().deliver()
    assert {name: value.shape for name, value in delivered.state_dict().items()} == {
        name: value.shape for name, value in network.state_dict().items()
    }
    torch.testing.assert_close(delivered(images), found["student"].model(images)[:8])
    assert not torch.equal(delivered[0].weight, network[0].weight)


@pytest.mark.parametrize("gate", [True, False])
def test_a_delivered_ensemble_is_what_the_objective_calls_the_ensemble(gate: bool) -> None:
    found = distiller(ONE(at="3", gate=gate, delivers="ensemble"), conv_net())
    steps_by_hand(found, [image_batch()], 3)
    delivered, batch = found.eval().deliver(), image_batch()
    assert isinstance(delivered, GatedEnsemble)
    ensemble = nn.functional.cross_entropy(delivered(batch[0]), batch[1])
    torch.testing.assert_close(ensemble, found(batch)["ensemble"])


def test_the_branches_differ_from_the_start() -> None:
    first, second, third = distiller(ONE(at="3"), conv_net())["student"].model[3].copies
    assert torch.equal(first.weight.flatten().sort().values, second.weight.flatten().sort().values)
    assert not torch.equal(first.weight, second.weight)
    assert not torch.equal(second.weight, third.weight)


class Reaches(nn.Module):
    """A later step needs what came in before the cut."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = (
            nn.Conv2d(1, 4, 3, padding=1),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.Linear(4, 3),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        early = self.first(images)
        return self.head((early + self.second(early)).mean((2, 3)))


def test_a_network_that_cannot_be_split_is_refused_in_one_sentence() -> None:
    with pytest.raises(MethodError, match=r"Reaches cannot be split at 'second': .* at another place: set at: 'head'"):
        distiller(ONE(at="second"), Reaches())


class Looks(nn.Module):
    """Uses a weight of its last layer, not the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3 * 32 * 32, 4), nn.Linear(4, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.first(images.flatten(1))
        return self.last(features) * self.last.weight.norm()


def test_a_network_that_looks_inside_its_tail_is_refused_in_one_sentence() -> None:
    with pytest.raises(MethodError, match=r"Looks cannot be split at 'last': its own code looks inside.*; no place"):
        distiller(ONE(at="last"), Looks())


def test_unknown_places_and_networks_of_one_stage_are_refused() -> None:
    with pytest.raises(MethodError, match="at 'tail' is not a module of Sequential"):
        distiller(ONE(at="tail"), conv_net())
    flat = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    with pytest.raises(MethodError, match=r"auto finds one stage only.* at another place: set at: '4'"):
        distiller(ONE(), flat)
    assert len(distiller(ONE(at="4"), flat)["student"].model[4].copies) == 3


def test_its_network_answers_per_branch_so_it_is_not_composed() -> None:
    with pytest.raises(ValidationError, match="one gives its network another kind of output"):
        Compose(methods=(KD(), ONE()))


def test_a_trunk_whose_channels_come_last_has_no_gate() -> None:
    class Last(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.permute(0, 2, 3, 1)

    class First(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.permute(0, 3, 1, 2)

    network = conv_net(16)
    network.insert(3, Last())
    network.insert(4, First())
    with pytest.raises(MethodError, match=r"channels last.* \(gate: false\)"):
        distiller(ONE(at="4"), network)
    distiller(ONE(at="4", gate=False), network)


def test_a_gate_needs_two_samples_to_train_on() -> None:
    found = distiller(ONE(at="3"), conv_net()).train()
    images, labels, ids = image_batch()
    with pytest.raises(MethodError, match="a batch of at least 2"):
        found((images[:1], labels[:1], ids[:1]))


def test_without_a_gate_a_trunk_may_hand_on_a_list() -> None:
    class Several(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(16, 16, 1)

        def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
            return self.conv(maps[0]) + maps[1]

    class Twice(nn.Module):
        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            return [x, x.relu()]

    network = conv_net(16)
    network.insert(3, Twice())
    network.insert(4, Several())
    found = distiller(ONE(at="4", gate=False, delivers="ensemble"), network)
    sum(found.train()(image_batch()).values()).backward()
    delivered, images = found.deliver().eval(), image_batch()[0]
    each = found["student"].model(images).unflatten(0, (3, -1))
    torch.testing.assert_close(delivered(images), each.mean(0))
