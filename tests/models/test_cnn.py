import torch

from limbeck.models.cnn import cnn

from .counts import bn, conv, linear, parameters, shapes


def test_parameters():
    network = cnn(classes=10, channels=1, width=8, depth=4)
    expected = conv(1, 8, 3) + conv(8, 16, 3) + conv(16, 32, 3) + conv(32, 32, 3) + bn(8, 16, 32, 32) + linear(32, 10)
    assert parameters(network) == expected


def test_the_second_and_third_block_halve_the_image():
    network = cnn(classes=10, channels=1, width=8, depth=4)
    paths = ("layer1", "layer2", "layer3", "layer4", "pool")
    assert shapes(network, torch.rand(2, 1, 8, 8), *paths) == [[8, 8, 8], [16, 4, 4], [32, 2, 2], [32, 2, 2], [32]]


def test_without_batch_norm_convolutions_have_a_bias():
    network = cnn(classes=10, channels=1, width=8, depth=1, batch_norm=False)
    assert parameters(network) == conv(1, 8, 3) + 8 + linear(8, 10)
    assert [name for name, _ in network.layer1.named_children()] == ["conv", "relu"]


def test_deep_networks_work_on_tiny_images():
    assert cnn(classes=10, channels=1, width=4, depth=12)(torch.rand(2, 1, 8, 8)).shape == (2, 10)
