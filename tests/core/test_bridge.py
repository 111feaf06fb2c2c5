"""A bridge gives each network the pixels it expects, and the task the columns it expects."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from limbeck.core.bridge import Bridge, as_shown, inner
from little import CLASSES, conv_net, image_batch


class Keep(nn.Module):
    """Remembers what it was given; its logits are the flattened pixels."""

    def forward(self, images: Tensor) -> Tensor:
        self.images = images
        return images.flatten(1)


def test_without_arguments_nothing_is_changed() -> None:
    images, seen = image_batch()[0], Keep()
    assert torch.equal(Bridge(seen)(images), images.flatten(1))
    assert seen.images is images


def test_normalising_is_torchvisions_formula() -> None:
    transforms = pytest.importorskip("torchvision.transforms.v2.functional")
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    images, seen = torch.rand(4, 3, 5, 5), Keep()
    Bridge(seen, mean=mean, std=std)(images)
    torch.testing.assert_close(seen.images, transforms.normalize(images, mean, std))
    torch.testing.assert_close(seen.images[:, 1], (images[:, 1] - 0.456) / 0.224)


def test_a_grey_image_is_repeated_before_it_is_normalised() -> None:
    images, seen = image_batch()[0], Keep()
    Bridge(seen, channels=3, mean=[0.0, 0.5, 1.0], std=[1.0, 1.0, 0.5])(images)
    torch.testing.assert_close(seen.images, torch.cat([images, images - 0.5, 2 * images - 2], 1))


def test_colour_images_are_left_alone() -> None:
    images, seen = torch.rand(2, 3, 4, 4), Keep()
    Bridge(seen, channels=3)(images)
    assert seen.images is images


def test_resizing_is_torchvisions_and_only_done_when_needed() -> None:
    transforms = pytest.importorskip("torchvision.transforms.v2.functional")
    images, seen = image_batch()[0], Keep()
    for size in ((5, 5), (16, 12)):
        Bridge(seen, size=size)(images)
        torch.testing.assert_close(seen.images, transforms.resize(images, list(size), antialias=True))
    Bridge(seen, size=(8, 8))(images)
    assert seen.images is images


def test_columns_select_the_tasks_classes_in_the_tasks_order() -> None:
    network, images = conv_net().eval(), image_batch()[0]
    logits = Bridge(network, columns=[2, 0]).eval()(images)
    torch.testing.assert_close(logits, network(images)[:, [2, 0]])


def test_saved_weights_are_the_networks_own() -> None:
    network = conv_net()
    bridge = Bridge(network, mean=[0.5], std=[0.5], columns=[0, 1])
    assert set(bridge.state_dict()) == {f"network.{name}" for name in network.state_dict()}
    assert inner(bridge) is network
    assert inner(Bridge(bridge)) is network
    assert inner(network) is network


def test_gradient_passes_to_the_network_and_to_the_pixels() -> None:
    images = image_batch()[0].requires_grad_()
    bridge = Bridge(conv_net(), mean=[0.1], std=[0.3], size=(6, 6), columns=list(range(CLASSES)))
    bridge(images).square().sum().backward()
    assert images.grad.abs().sum() > 0
    assert bridge.network[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "arguments",
    [{"mean": [0.5]}, {"std": [0.5]}, {"mean": [0.5], "std": [0.0]}, {"mean": [0.5], "std": [1.0, 1.0]}],
)
def test_half_a_normalisation_is_refused(arguments: dict) -> None:
    with pytest.raises(ValueError, match="mean"):
        Bridge(nn.Identity(), **arguments)


def test_training_allows_for_what_is_shown_unevenly_and_evaluation_does_not() -> None:
    images, bridge = image_batch()[0], Bridge(conv_net(), shown=[1.0, 1.0, 0.25])
    bridge.eval()
    plain = bridge.network(images)
    torch.testing.assert_close(bridge(images), plain)
    shifted = Bridge(Keep(), shown=[1.0, 0.5]).train()(torch.zeros(1, 1, 1, 2))
    torch.testing.assert_close(shifted, torch.tensor([[1.0, 0.5]]).log())
    assert set(bridge.state_dict()) == {f"network.{name}" for name in bridge.network.state_dict()}


def test_shown_unevenly_it_learns_what_occurs() -> None:
    """Three quarters of what occurs is of the second class, half of what is shown: the bias finds three quarters."""

    class Bias(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(2))

        def forward(self, images: Tensor) -> Tensor:
            return self.bias.expand(len(images), -1)

    bridge = Bridge(Bias(), shown=[1.0, 1 / 3])
    optimizer = torch.optim.SGD(bridge.parameters(), lr=1.0)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(bridge(torch.zeros(2, 1, 1, 1)), torch.tensor([0, 1])).backward()
        optimizer.step()
    torch.testing.assert_close(bridge.eval()(torch.zeros(1, 1, 1, 1)).softmax(-1), torch.tensor([[0.25, 0.75]]))


def test_what_a_head_gives_is_shifted_as_the_networks_own_logits_are() -> None:
    network = Bridge(Keep(), shown=[1.0, 0.5])
    logits = torch.zeros(1, 2)
    torch.testing.assert_close(as_shown(network.train(), logits), network(torch.zeros(1, 1, 1, 2)))
    assert as_shown(network.eval(), logits) is logits
    assert as_shown(Bridge(Keep()).train(), logits) is logits
    assert as_shown(Keep(), logits) is logits
