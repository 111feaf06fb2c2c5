import math

import pytest
import torch
from torch import nn

from limbeck.core.errors import ModelError
from limbeck.models.heads import heads, input_channels, refit_head, replace_head, replace_stem


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 64, 5, stride=2, padding=2), nn.ReLU(), nn.Flatten(), nn.Linear(64, 10))


def test_heads_are_layers_with_that_many_outputs():
    assert heads(nn.Sequential(nn.Linear(4, 10), nn.Conv2d(4, 10, 1), nn.Conv2d(4, 10, 3)), classes=10) == ["0", "1"]


def test_a_new_head_replaces_the_old_one():
    net = network()
    replace_head(net, before=10, after=7)
    assert net(torch.rand(2, 3, 2, 2)).shape == (2, 7)


def test_a_convolution_may_be_the_head():
    net = nn.Sequential(nn.Conv2d(4, 10, 1, bias=False))
    replace_head(net, before=10, after=7)
    assert net[0].weight.shape == (7, 4, 1, 1)
    assert net[0].bias is None


def test_no_head_is_an_error():
    with pytest.raises(ModelError, match="no layer with 11 outputs"):
        replace_head(network(), before=11, after=7)


def test_a_new_stem_keeps_everything_but_the_channels():
    net = network()
    spread = net[0].weight.std().item()
    replace_stem(net, channels=5)
    assert input_channels(net) == 5
    assert net[0].stride == (2, 2)
    assert net[0].padding == (2, 2)
    assert net[0].weight.std().item() == pytest.approx(spread, rel=0.1)
    assert net(torch.rand(2, 5, 2, 2)).shape == (2, 10)


def test_a_network_without_convolution_has_no_stem():
    assert input_channels(nn.Linear(2, 3)) is None
    with pytest.raises(ModelError, match="first convolution of Linear"):
        replace_stem(nn.Linear(2, 3), channels=1)


def test_a_refitted_head_keeps_known_classes_and_sums_up_what_is_left_over():
    net, images = network(), torch.rand(2, 3, 2, 2)
    before = net(images)
    refit_head(net, before=list("abcdefghij"), after=["j", "rest", "a"])
    after = net(images)
    torch.testing.assert_close(after[:, [0, 2]], before[:, [9, 0]])
    torch.testing.assert_close(after[:, 1], before[:, 1:9].mean(1) + math.log(8))
    assert bool((after[:, 1] <= before[:, 1:9].logsumexp(1)).all())


def test_several_new_classes_share_what_is_left_over():
    net, images = network(), torch.rand(2, 3, 2, 2)
    before = net(images)
    refit_head(net, before=list("abcdefghij"), after=["x", "y"])
    torch.testing.assert_close(net(images), (before.mean(1) + math.log(5))[:, None].expand(-1, 2))


def test_where_nothing_is_left_over_new_rows_are_drawn():
    net = network()
    old = net[3].weight
    refit_head(net, before=list("abcdefghij"), after=list("abcdefghijk"))
    assert torch.equal(net[3].weight[:10], old)
    assert 0 < net[3].weight[10].abs().max() <= 1 / 8


def test_a_convolution_without_bias_can_be_refitted():
    net = nn.Sequential(nn.Conv2d(4, 3, 1, bias=False))
    old = net[0].weight
    refit_head(net, before=["a", "b", "c"], after=["rest", "b"])
    torch.testing.assert_close(net[0].weight, torch.stack([old[[0, 2]].mean(0), old[1]]))
