import pytest
import torch
from torch import nn

from limbeck.models.layers import conv_bn_relu, global_pool, he_normal_


@pytest.mark.parametrize(("kernel", "groups"), [(1, 1), (3, 1), (3, 64)])
def test_he_normal_has_the_published_variance(kernel, groups):
    conv = nn.Conv2d(64, 512, kernel, groups=groups)
    he_normal_(conv)
    assert conv.weight.std().item() == pytest.approx((2 / (kernel * kernel * 512)) ** 0.5, rel=0.05)
    assert conv.weight.mean().item() == pytest.approx(0, abs=0.01)
    assert not conv.bias.any()


def test_the_relu_leaves_the_tapped_norm_alone():
    layer = conv_bn_relu(2, 4)
    seen = {}
    layer.bn.register_forward_hook(lambda module, inputs, output: seen.update(output=output))
    layer(torch.randn(2, 2, 5, 5))
    assert seen["output"].min() < 0


def test_size_is_kept_at_stride_one_and_halved_at_two():
    x = torch.rand(2, 2, 9, 8)
    assert conv_bn_relu(2, 4)(x).shape == (2, 4, 9, 8)
    assert conv_bn_relu(2, 4, kernel=1)(x).shape == (2, 4, 9, 8)
    assert conv_bn_relu(2, 4, stride=2)(x).shape == (2, 4, 5, 4)


def test_global_pool_is_the_mean_over_the_image():
    x = torch.randn(2, 3, 5, 7)
    torch.testing.assert_close(global_pool()(x), x.mean((2, 3)))
