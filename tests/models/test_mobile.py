import pytest
import torch

from limbeck.models.mobile import Block, InvertedResidual, mcunet, mobilenetv2_tiny, mobilenetv2_w035, mobilenetv3_w035

from .counts import bn, conv, linear, millions, parameters, shapes

# channels in, inside (0: the same, without a convolution), out, kernel, inside squeeze-and-excite
MOBILENETV2 = [
    (16, 0, 8, 3, 0),
    *((8, 48, 8, 3, 0), (8, 48, 8, 3, 0)),
    *((8, 48, 16, 3, 0), (16, 96, 16, 3, 0), (16, 96, 16, 3, 0)),
    *((16, 96, 24, 3, 0), (24, 144, 24, 3, 0), (24, 144, 24, 3, 0), (24, 144, 24, 3, 0)),
    *((24, 144, 32, 3, 0), (32, 192, 32, 3, 0), (32, 192, 32, 3, 0)),
    *((32, 192, 56, 3, 0), (56, 336, 56, 3, 0), (56, 336, 56, 3, 0)),
    (56, 336, 112, 3, 0),
]
MCUNET = [
    (16, 0, 8, 3, 0),
    *((8, 24, 16, 7, 0), (16, 80, 16, 3, 0), (16, 80, 16, 7, 0), (16, 64, 16, 5, 0)),
    *((16, 80, 24, 5, 0), (24, 120, 24, 5, 0), (24, 120, 24, 5, 0)),
    *((24, 120, 40, 3, 0), (40, 240, 40, 7, 0), (40, 160, 40, 5, 0)),
    *((40, 200, 48, 5, 0), (48, 240, 48, 7, 0), (48, 240, 48, 3, 0)),
    *((48, 288, 96, 3, 0), (96, 480, 96, 7, 0), (96, 384, 96, 3, 0)),
    (96, 480, 160, 7, 0),
]
MOBILENETV3 = [
    (8, 0, 8, 3, 0),
    *((8, 24, 8, 3, 0), (8, 24, 8, 3, 0)),
    *((8, 24, 16, 5, 16), (16, 40, 16, 5, 16), (16, 40, 16, 5, 16)),
    *((16, 88, 32, 3, 0), (32, 72, 32, 3, 0), (32, 64, 32, 3, 0), (32, 64, 32, 3, 0)),
    *((32, 168, 40, 3, 40), (40, 232, 40, 3, 56)),
    *((40, 232, 56, 5, 56), (56, 336, 56, 5, 88), (56, 336, 56, 5, 88)),
]


def closed_form(blocks, *, stem, last, hidden, classes):
    total = conv(3, stem, 3) + bn(stem)
    for before, inside, after, kernel, squeezed in blocks:
        total += conv(before, inside, 1) + bn(inside)
        inside = inside or before
        total += conv(inside, inside, kernel, groups=inside) + conv(inside, after, 1) + bn(inside, after)
        total += linear(inside, squeezed) + linear(squeezed, inside) if squeezed else 0
    features = last or blocks[-1][2]
    total += conv(blocks[-1][2], last, 1) + bn(last)
    return total + (linear(features, hidden) + linear(hidden, classes) if hidden else linear(features, classes))


@pytest.mark.parametrize(
    ("builder", "blocks", "last", "hidden", "published"),
    [
        (mobilenetv2_w035, MOBILENETV2, 1280, 0, 1.68),
        (mobilenetv2_tiny, MOBILENETV2, 448, 0, 0.75),
        (mcunet, MCUNET, 0, 0, 0.74),
        (mobilenetv3_w035, MOBILENETV3, 336, 1280, 2.11),
    ],
)
def test_parameters(builder, blocks, last, hidden, published):
    for classes in (10, 1000):
        expected = closed_form(blocks, stem=blocks[0][0], last=last, hidden=hidden, classes=classes)
        assert parameters(builder(classes=classes)) == expected
    assert millions(builder(classes=1000)) == pytest.approx(published, abs=0.005)


def test_the_documented_counts_for_100_classes():
    counts = [millions(f(classes=100)) for f in (mobilenetv2_w035, mobilenetv2_tiny, mcunet, mobilenetv3_w035)]
    assert counts == pytest.approx([0.52, 0.35, 0.59, 0.96], abs=0.005)


@pytest.mark.parametrize(("builder", "side", "published"), [(mobilenetv2_tiny, 144, 23.5), (mcunet, 176, 81.8)])
def test_multiply_accumulates_at_the_paper_s_sizes(builder, side, published):
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        builder(classes=1000, stem_stride=2).eval()(torch.rand(1, 3, side, side))
    assert counter.get_total_flops() / 2e6 == pytest.approx(published, abs=0.05)


@pytest.mark.parametrize("builder", [mobilenetv2_w035, mobilenetv2_tiny, mcunet, mobilenetv3_w035])
@pytest.mark.parametrize(("side", "stem_stride", "end"), [(32, 1, 2), (64, 1, 4), (160, 2, 5)])
def test_sides_of_the_maps(builder, side, stem_stride, end):
    with torch.device("meta"):
        network = builder(classes=10, stem_stride=stem_stride)
        first, last = shapes(network, torch.rand(1, 3, side, side), "stem", "last")
    assert first[1:] == [side // stem_stride] * 2
    assert last[1:] == [end] * 2


def test_a_block_adds_its_input_where_it_should():
    x = torch.randn(2, 4, 6, 6)
    for shortcut in (True, False):
        block = InvertedResidual(4, Block(8, 4, shortcut=shortcut)).eval()
        torch.nn.init.zeros_(block.project.conv.weight)
        assert torch.equal(block(x), x if shortcut else torch.zeros_like(x))


def test_squeeze_and_excite_scales_channels():
    block = InvertedResidual(4, Block(8, 4, squeezed=2)).eval()
    block.squeeze.excite.bias.data.fill_(9.0)
    block.squeeze.excite.weight.data.zero_()
    features = torch.randn(2, 8, 3, 3)
    assert torch.equal(block.squeeze(features), features)  # every gate is open
    block.squeeze.excite.bias.data[3:].fill_(-9.0)
    assert not block.squeeze(features)[:, 3:].any()


def test_dropout_before_the_classifier():
    torch.manual_seed(0)
    network = mobilenetv2_tiny(classes=10, dropout=0.9)
    images = torch.rand(4, 3, 32, 32)
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))
