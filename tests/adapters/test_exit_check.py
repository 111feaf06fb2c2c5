"""Where samples can leave a network, and where a later layer would miss them."""

from __future__ import annotations

import pytest
from torch import Tensor, nn
from torch.nn import functional as F

from limbeck.adapters.exit_check import check_exits
from limbeck.core.errors import MethodError
from little import CLASSES, conv_net, image_batch
from little_vision import colour_batch, network


class Skipping(nn.Module):
    """A network whose end looks at the first layer once more."""

    def __init__(self, *, pool: bool = False, twice: bool = False) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.unused = nn.Linear(4, 4)
        self.fc = nn.Linear(4, CLASSES)
        self.pool, self.twice = pool, twice

    def forward(self, images: Tensor) -> Tensor:
        first = F.relu(self.first(images))
        second = self.second(self.second(first)) if self.twice else self.second(first)
        mixed = second if self.twice else second + (first.mean(0, keepdim=True) if self.pool else first)
        return self.fc(mixed.mean((2, 3)))


@pytest.mark.parametrize(
    ("model", "at", "message"),
    [
        (Skipping(), "second", "no sample can leave at 'second': a later layer needs the whole batch as it was before"),
        (Skipping(twice=True), "second", "'second': it runs several times in a pass"),
        (Skipping(), "unused", "'unused': it does not run"),
        (nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (-1, 3 * 32 * 32))), "0", r"'0': it gives \(12288,\) for 4"),
    ],
)
def test_where_nobody_can_leave_is_found_by_an_example(model: nn.Module, at: str, message: str) -> None:
    images = colour_batch(4)[0]
    with pytest.raises(MethodError, match=message):
        check_exits(model, (at,), lambda one: one(images))
    assert not any(module._forward_hooks for module in model.modules())


def test_a_module_inside_a_residual_block_is_refused_and_its_end_is_not() -> None:
    images = colour_batch(4)[0]
    model = network("resnet8")
    check_exits(model, ("layer1.0", "layer2.0.relu2"), lambda one: one(images))
    with pytest.raises(MethodError, match=r"'layer1.0.conv2': a later layer needs the whole batch"):
        check_exits(model, ("layer1", "layer1.0.conv2"), lambda one: one(images))


def test_statistics_over_the_batch_are_noticed() -> None:
    class Centred(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x - x.mean(0)

    model = nn.Sequential(conv_net()[:6], Centred(), *conv_net()[6:])
    with pytest.raises(MethodError, match="get other answers when others have left"):
        check_exits(model, ("0",), lambda one: one(100 * image_batch()[0]))
