"""A multilayer perceptron, as in the MNIST experiments of Hinton, Vinyals and Dean (2015, arXiv 1503.02531).

Modules, as feature taps name them: `layer1`, `layer2`, … (each holds `linear`, `relu`, `dropout`), then `fc`. The names
depend on the number of hidden layers only, not on the dropout shares.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from limbeck.models.layers import Positive, Share


def mlp(
    *,
    classes: Positive,
    channels: Positive,
    height: Positive,
    width: Positive,
    hidden: Sequence[Positive] = (800, 800),
    dropout: Share = 0.0,
    input_dropout: Share = 0.0,
) -> Mlp:
    """A perceptron with ReLU on the flattened image.

    Args:
        classes: number of logits.
        channels: of the image.
        height: of the image, pixels.
        width: of the image, pixels.
        hidden: units of each hidden layer; empty gives a linear classifier.
        dropout: share of hidden units dropped after each hidden layer (Hinton et al.: 0.5).
        input_dropout: share of pixels dropped (Hinton et al.: 0.2).
    """
    return Mlp(channels * height * width, hidden, classes, dropout=dropout, input_dropout=input_dropout)


class Mlp(nn.Module):
    """Linear layers with ReLU and dropout.

    Args:
        inputs: numbers per sample.
        hidden: units of each hidden layer.
        classes: number of logits.
        dropout: share dropped after each hidden layer.
        input_dropout: share of the inputs dropped.
    """

    def __init__(
        self, inputs: int, hidden: Sequence[int], classes: int, *, dropout: float = 0.0, input_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.flatten = nn.Flatten(1)
        self.input_dropout = nn.Dropout(input_dropout)
        sizes = [inputs, *hidden]
        self._names = [f"layer{number}" for number in range(1, len(sizes))]
        for name, before, after in zip(self._names, sizes[:-1], sizes[1:], strict=True):
            linear = nn.Linear(before, after)
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
            nn.init.zeros_(linear.bias)
            layer = OrderedDict(linear=linear, relu=nn.ReLU(), dropout=nn.Dropout(dropout))
            self.add_module(name, nn.Sequential(layer))
        self.fc = nn.Linear(sizes[-1], classes)

    def forward(self, images: Float[Tensor, "b ..."]) -> Float[Tensor, "b k"]:
        """Logits of a batch of images (or of any tensors with `inputs` numbers per sample)."""
        x = self.input_dropout(self.flatten(images))
        for name in self._names:
            x = self.get_submodule(name)(x)
        return self.fc(x)
