"""A generalist and its specialists answer as one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from limbeck.adapters.specialists import Specialists, combined, concerned
from limbeck.core.distiller import Distiller
from limbeck.methods.kd import KD
from limbeck.tasks.classification import Classification
from little import conv_net, image_batch


class Says(nn.Module):
    """The same logits for every image; remembers how many it was asked about."""

    def __init__(self, *probabilities: float) -> None:
        super().__init__()
        self.logits = torch.tensor(probabilities, dtype=torch.float64).log()
        self.asked = 0

    def forward(self, images: Tensor) -> Tensor:
        self.asked += len(images)
        return self.logits.expand(len(images), -1)


class Looks(nn.Module):
    """The first pixels are the logits."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


IMAGES = torch.zeros(3, 1, 8, 8)


def test_where_nobody_is_concerned_the_generalist_answers() -> None:
    generalist, specialist = Says(0.1, 0.2, 0.7), Says(0.9, 0.1)
    log_q = Specialists(generalist, [specialist], subsets=[[0]])(IMAGES)
    torch.testing.assert_close(log_q, generalist.logits.expand(3, -1))
    assert specialist.asked == 0


def test_the_specialist_that_is_concerned_corrects_the_generalist() -> None:
    """Its classes get the mean of both, the others the mean of both for all of them, in their old proportions."""
    generalist, specialist = Says(0.4, 0.35, 0.15, 0.1), Says(0.2, 0.7, 0.1)
    log_q = Specialists(generalist, [specialist], subsets=[[0, 1]])(IMAGES)
    rest = (0.25 + 0.1) / 2
    expected = torch.tensor([0.3, 0.525, rest * 0.6, rest * 0.4]).double()
    torch.testing.assert_close(log_q.exp(), expected.expand(3, -1))


def test_a_subset_s_order_is_that_of_the_specialist_s_outputs() -> None:
    generalist = Says(0.4, 0.35, 0.15, 0.1)
    one = Specialists(generalist, [Says(0.2, 0.7, 0.1)], subsets=[[0, 1]])(IMAGES)
    other = Specialists(generalist, [Says(0.7, 0.2, 0.1)], subsets=[[1, 0]])(IMAGES)
    torch.testing.assert_close(one, other)


def test_only_images_that_concern_a_specialist_are_shown_to_it() -> None:
    images = torch.tensor([[3.0, 1.0, 0.0], [0.0, 3.0, 2.0], [0.0, 1.0, 3.0]]).view(3, 3, 1, 1)
    first, second = Says(0.5, 0.3, 0.2), Says(0.8, 0.2)
    Specialists(Looks(), [first, second], subsets=[[0, 1], [2]])(images)
    assert (first.asked, second.asked) == (2, 1)
    Specialists(Looks(), [first, second], subsets=[[0, 1], [2]], top=2)(images)
    assert (first.asked, second.asked) == (2 + 3, 1 + 2)


def test_the_most_probable_classes_decide_who_is_concerned() -> None:
    logits = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    outside = torch.tensor([[False, True, True], [True, False, True]])
    assert concerned(logits, outside=outside).tolist() == [[True, False], [False, False]]
    assert concerned(logits, outside=outside, top=2).tolist() == [[True, True], [False, True]]
    assert concerned(logits, outside=outside, top=9).tolist() == [[True, True], [True, True]]


def test_what_was_said_before_serves_as_well_as_asking_again() -> None:
    generalist, member = conv_net(seed=0).eval(), conv_net(seed=1).eval()
    images = image_batch()[0]
    with torch.no_grad():
        said = member(images)
        live = Specialists(generalist, [member], subsets=[[2, 0]], top=2)(images)
        stored = combined(generalist(images), lambda _, rows: said[rows], subsets=[[2, 0]], top=2)
    torch.testing.assert_close(live, stored)
    assert live.exp().sum(-1).tolist() == pytest.approx([1.0] * 8)


def test_it_teaches() -> None:
    teacher = Specialists(conv_net(seed=0), [conv_net(seed=1)], subsets=[[1, 2]], top=2)
    batch = image_batch()
    models = {"teacher": teacher, "student": conv_net(seed=2)}
    terms = Distiller(KD(temperature=2.0), Classification(), models, batch, seed=0)(batch)
    assert bool(terms["kd"] > 0)
    terms["kd"].backward()


@pytest.mark.parametrize(
    ("subsets", "top", "message"),
    [
        ([[0]], 1, "a subset per specialist, got 1 for 2"),
        ([[0], []], 1, "specialist 1: expected at least one class, each once"),
        ([[0], [1, 1]], 1, r"specialist 1: .* got \[1, 1\]"),
        ([[0], [1]], 0, "top: expected at least 1, got 0"),
    ],
)
def test_what_does_not_fit_together_is_refused(subsets: list[list[int]], top: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Specialists(Says(1.0), [Says(1.0), Says(1.0)], subsets=subsets, top=top)
