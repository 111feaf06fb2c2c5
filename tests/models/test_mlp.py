import pytest
import torch
from torch.nn import functional as F

from limbeck.models.mlp import mlp

from .counts import linear, parameters


def test_hinton_s_network_on_mnist():
    network = mlp(classes=10, channels=1, height=28, width=28, hidden=[1200, 1200], dropout=0.5, input_dropout=0.2)
    assert parameters(network) == linear(784, 1200) + linear(1200, 1200) + linear(1200, 10) == 2395210


def test_it_is_linear_layers_with_relu():
    network = mlp(classes=3, channels=2, height=2, width=3, hidden=[5, 4], dropout=0.5, input_dropout=0.2).eval()
    images = torch.randn(7, 2, 2, 3)
    first, second = network.layer1.linear, network.layer2.linear
    x = F.relu(F.linear(images.reshape(7, 12), first.weight, first.bias))
    x = F.relu(F.linear(x, second.weight, second.bias))
    torch.testing.assert_close(network(images), F.linear(x, network.fc.weight, network.fc.bias))


def test_names_do_not_depend_on_dropout():
    plain, dropped = (
        mlp(classes=3, channels=1, height=2, width=2, hidden=[4], dropout=share, input_dropout=share)
        for share in (0.0, 0.5)
    )
    assert [name for name, _ in plain.named_modules()] == [name for name, _ in dropped.named_modules()]
    assert list(plain.state_dict()) == ["layer1.linear.weight", "layer1.linear.bias", "fc.weight", "fc.bias"]


@pytest.mark.parametrize(("dropout", "input_dropout"), [(0.5, 0.0), (0.0, 0.5)])
def test_each_dropout_acts_in_training(dropout, input_dropout):
    network = mlp(classes=3, channels=1, height=8, width=8, hidden=[64], dropout=dropout, input_dropout=input_dropout)
    images = torch.rand(4, 1, 8, 8)
    assert not torch.equal(network(images), network(images))


def test_without_hidden_layers_it_is_linear():
    network = mlp(classes=3, channels=1, height=2, width=2, hidden=[])
    assert parameters(network) == linear(4, 3)


def test_hidden_layers_start_as_he():
    network = mlp(classes=3, channels=1, height=16, width=16, hidden=[512])
    assert network.layer1.linear.weight.std().item() == pytest.approx((2 / 256) ** 0.5, rel=0.02)
    assert not network.layer1.linear.bias.any()
