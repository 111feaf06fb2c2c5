"""A generalist and its specialists that answer as one: G. Hinton, O. Vinyals, J. Dean, arXiv:1503.02531, section 5.

A specialist knows the classes of a subset S_m one by one, and all others as one, its dustbin. For an image

    k    the n most probable classes of the generalist                           step 1
    A_k  the specialists whose S_m meets k; there may be none                    step 2
    q    the minimiser of KL(p^g ‖ q) + Σ_{m ∈ A_k} KL(p^m ‖ q)                  Eq. 5

with p^g the generalist's distribution over all classes, and p^m one over S_m and the dustbin; to compare it with p^m,
q's probabilities of the classes in the dustbin are added up.

Differs from the paper: q is found by Newton's method on the conditions of the optimum instead of gradient descent on
logits of q, see `limbeck.losses.pooled`; the objective is convex, so both lead to the same q.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from limbeck.losses.pooling import pooled
from limbeck.losses.precision import wide

Ask = Callable[[int, Int64[Tensor, " r"]], Tensor]
"""(number of a specialist, rows of the batch) -> its logits [r k + 1] for these rows, the dustbin last."""


class Specialists(nn.Module):
    """A generalist's distribution, corrected by those specialists that the image concerns.

    A specialist runs on the images that concern it and on no others, so the module's work depends on its input: it
    can teach, and be measured, but not be traced. What it knows is deployed by distilling it.

    Args:
        generalist: images to logits of all classes.
        members: the specialists: images to logits of the classes of S_m, in the subset's order, and of the dustbin.
        subsets: for each specialist the numbers of its classes.
        top: n.

    Raises:
        ValueError: not one subset per specialist, a class twice in a subset, or top is less than one.
    """

    def __init__(
        self,
        generalist: nn.Module,
        members: Iterable[nn.Module],
        *,
        subsets: Sequence[Sequence[int]],
        top: int = 1,
    ) -> None:
        super().__init__()
        self.generalist = generalist
        self.members = nn.ModuleList(members)
        self.subsets = tuple(tuple(subset) for subset in subsets)
        self.top = top
        if len(self.members) != len(self.subsets):
            raise ValueError(f"expected a subset per specialist, got {len(self.subsets)} for {len(self.members)}")
        check_subsets(self.subsets)
        if top < 1:
            raise ValueError(f"top: expected at least 1, got {top}")

    def representative(self) -> nn.Module:
        """The generalist: it alone runs on all images."""
        return self.generalist

    def forward(self, images: Tensor) -> Float[Tensor, "b c"]:
        """The logarithm of q, which serves as logits."""
        return combined(
            self.generalist(images),
            lambda member, rows: self.members[member](images[rows]),
            subsets=self.subsets,
            top=self.top,
        )


def combined(
    generalist: Float[Tensor, "b c"], ask: Ask, *, subsets: Sequence[Sequence[int]], top: int = 1
) -> Float[Tensor, "b c"]:
    """The logarithm of q for a batch.

    Args:
        generalist: logits of all classes.
        ask: runs a specialist, or looks up what it said; only called for rows that concern it.
        subsets: for each specialist the numbers of its classes.
        top: how many of the generalist's classes decide who is asked.
    """
    log_mass = wide(generalist).log_softmax(-1)
    count, classes = log_mass.shape
    outside = torch.ones(len(subsets), classes, dtype=torch.bool, device=log_mass.device)
    for member, subset in enumerate(subsets):
        outside[member, list(subset)] = False
    asked = concerned(generalist, outside=outside, top=top)
    rest = log_mass.new_zeros(count, len(subsets))
    log_mass = log_mass.clone()
    for member, subset in enumerate(subsets):
        rows = asked[:, member].nonzero()[:, 0]
        if not len(rows):
            continue
        log_p = ask(member, rows).to(log_mass.dtype).log_softmax(-1)
        cells = rows[:, None], torch.tensor(subset, device=rows.device)[None, :]
        log_mass[cells] = torch.logaddexp(log_mass[cells], log_p[:, :-1])
        rest[rows, member] = log_p[:, -1].exp()
    return pooled(log_mass, rest, outside)  # Eq. 5


def concerned(generalist: Float[Tensor, "b c"], *, outside: Bool[Tensor, "m c"], top: int = 1) -> Bool[Tensor, "b m"]:
    """A_k of each image: the specialists that know one of the generalist's most probable classes.

    Args:
        generalist: logits of all classes.
        outside: whether a class is in a specialist's dustbin.
        top: how many classes count as most probable.
    """
    first = generalist.topk(min(top, generalist.shape[-1]), dim=-1).indices
    return (~outside).T[first].any(1)


def check_subsets(subsets: Sequence[Sequence[int]]) -> None:
    """Raise ValueError for an empty subset, and for one with a class twice."""
    for member, subset in enumerate(subsets):
        if not subset or len(set(subset)) < len(subset):
            raise ValueError(f"specialist {member}: expected at least one class, each once, got {list(subset)}")
