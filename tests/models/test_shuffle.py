import torch

from limbeck.models.shuffle import ChannelShuffle


def test_channels_are_dealt_out():
    x = torch.arange(6.0).view(1, 6, 1, 1).expand(2, 6, 3, 2)
    assert ChannelShuffle(3)(x)[0, :, 0, 0].tolist() == [0, 2, 4, 1, 3, 5]


def test_one_group_changes_nothing():
    x = torch.randn(2, 6, 3, 2)
    assert torch.equal(ChannelShuffle(1)(x), x)


def test_shuffling_back_restores():
    x = torch.randn(2, 6, 3, 2)
    assert torch.equal(ChannelShuffle(3)(ChannelShuffle(2)(x)), x)
