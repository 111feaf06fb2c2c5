"""What stands between a network and the data it is given: pixels in, logits of the task's classes out.

Images are in [0, 1] everywhere in limbeck, and every network carries its own preprocessing. So a teacher and a student
that were trained under different normalisations, sizes or class orders can be put on the same batch, and a file that is
exported for deployment takes plain pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class Bridge(nn.Module):
    """A network with its preprocessing and the selection of its output columns.

    Args:
        network: images [b c h w] to logits [b k].
        mean: per channel of pixels in [0, 1]; absent together with `std` = no normalisation.
        std: per channel, positive.
        channels: what the network expects; a grey image is repeated to it.
        size: height and width that the network expects; other images are resized (bilinear, antialiased).
        columns: for each class of the task, the column of the network's output; absent = the output as it is.
        shown: for each class how often training shows its samples, as a multiple of how often they occur; absent =
            evenly. In training mode the logits then get log(shown) added, as Bayes' rule asks for: the sum fits what is
            shown, and the network's own logits, which are those of evaluation and of every file, fit what occurs.
    """

    scale: Tensor
    offset: Tensor
    columns: Tensor | None
    prior: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        channels: int | None = None,
        size: tuple[int, int] | None = None,
        columns: Sequence[int] | None = None,
        shown: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if (mean is None) != (std is None):
            raise ValueError("mean and std are given together or not at all")
        if mean is not None and std is not None and (len(mean) != len(std) or min(std) <= 0):
            raise ValueError(f"expected one mean and one positive std per channel, got mean={mean}, std={std}")
        self.network = network
        self.channels = channels
        self.size = size
        self.normalises = mean is not None
        centre, spread = torch.tensor(mean or [0.0]), torch.tensor(std or [1.0])
        # One multiply-add instead of a subtraction and a division: twice as fast on a CPU.
        self.register_buffer("scale", (1 / spread).view(-1, 1, 1), persistent=False)
        self.register_buffer("offset", (-centre / spread).view(-1, 1, 1), persistent=False)
        self.register_buffer("columns", None if columns is None else torch.tensor(columns), persistent=False)
        self.register_buffer("prior", None if shown is None else torch.tensor(shown).log(), persistent=False)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Preprocess, run the network, select its columns; in training mode, allow for what is shown unevenly."""
        logits = self.network(self.prepared(images))
        if self.columns is not None:
            logits = logits.index_select(-1, self.columns)
        return logits + self.prior if self.training and self.prior is not None else logits

    def prepared(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """The images as the network expects them."""
        if self.channels is not None and images.shape[1] == 1 < self.channels:
            images = images.expand(-1, self.channels, -1, -1)
        if self.size is not None and tuple(images.shape[-2:]) != self.size:
            images = F.interpolate(images, self.size, mode="bilinear", antialias=True, align_corners=False)
        if self.normalises:
            images = torch.addcmul(self.offset, images, self.scale)
        return images


def as_shown(model: nn.Module, logits: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
    """Logits that a head gives beside the network, with what its bridge adds to the network's own in training mode."""
    prior = model.prior if isinstance(model, Bridge) and model.training else None
    return logits if prior is None else logits + prior


def inner(model: nn.Module) -> nn.Module:
    """The user's own network inside a bridge (or the model itself)."""
    while isinstance(model, Bridge):
        model = model.network
    return model
