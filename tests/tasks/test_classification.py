"""The task: what a batch means. The label term's values are checked in `tests/reference/test_kd_terms.py`."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from limbeck.core.errors import MethodError
from limbeck.core.forward_pass import ForwardPass
from limbeck.core.task import HasEmbedding, HasRows, Task
from limbeck.tasks.classification import UNLABELLED, Classification
from little import conv_net, image_batch


class Fixed(nn.Module):
    """Gives the rows it is asked for by the first pixel."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.register_buffer("logits", logits)
        self.dropout = nn.Dropout(0.9)

    def forward(self, images: Tensor) -> Tensor:
        return self.dropout(self.logits[images.flatten(1)[:, 0].long()])


def numbered(labels: list[int]) -> list[tuple[Tensor, Tensor]]:
    """Batches of two images, each of which carries its own number."""
    images = torch.arange(len(labels)).float().view(-1, 1, 1, 1)
    return [(images[i : i + 2], torch.tensor(labels[i : i + 2])) for i in range(0, len(labels), 2)]


def test_it_is_a_task_with_rows() -> None:
    task = Classification()
    assert isinstance(task, Task)
    assert isinstance(task, HasRows)
    assert not isinstance(task, HasEmbedding)


def test_it_reads_a_batch() -> None:
    task, batch, network = Classification(), image_batch(), conv_net().eval()
    torch.testing.assert_close(task.run(network, batch), network(batch[0]))
    assert task.size(batch) == 8
    assert torch.equal(task.key(batch), batch[2])
    rows = task.rows(ForwardPass(network(batch[0]), {}), batch)
    assert rows.targets is batch[1]
    assert rows.weights is None


def test_accuracy_and_likelihood_count_labelled_images_only() -> None:
    logits = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 3.0], [0.0, 3.0], [5.0, 0.0]])
    model = Fixed(logits)
    metrics = Classification().evaluate(model, [], numbered([0, 1, 1, -100, -100]))
    expected = (math.log1p(math.exp(-2)) + math.log1p(math.exp(2)) + math.log1p(math.exp(-3))) / 3
    assert metrics["accuracy"] == pytest.approx(2 / 3)
    assert metrics["nll"] == pytest.approx(expected, rel=1e-6)


def test_evaluation_is_in_eval_mode_and_restores_the_mode_of_every_module() -> None:
    network = conv_net()
    network.train()
    network[1].eval()
    modes = [module.training for module in network.modules()]
    before = network[4].running_mean.clone()
    Classification().evaluate(network, [], [image_batch()])
    assert [module.training for module in network.modules()] == modes
    assert torch.equal(network[4].running_mean, before)
    with pytest.raises(RuntimeError):
        Classification().evaluate(network, [], [(torch.rand(2, 5, 8, 8), torch.zeros(2).long())])
    assert [module.training for module in network.modules()] == modes


def test_nothing_to_evaluate_is_zero_and_not_a_division_by_zero() -> None:
    assert Classification().evaluate(conv_net(), [], []) == {"accuracy": 0.0, "nll": 0.0}


def test_selection_takes_accuracy_first_and_then_the_likelihood() -> None:
    score = Classification().score
    assert score({"accuracy": 0.9, "nll": 9.0}) > score({"accuracy": 0.8, "nll": 0.1})
    assert score({"accuracy": 0.9, "nll": 0.1}) > score({"accuracy": 0.9, "nll": 0.2})


@pytest.mark.parametrize("wrong", [-0.1, 1.0, float("nan")])
def test_smoothing_is_a_share(wrong: float) -> None:
    with pytest.raises(ValidationError):
        Classification(label_smoothing=wrong)


def test_mixed_labels_are_smoothed_and_rows_without_a_label_stay_zero() -> None:
    logits = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[0.7, 0.3, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]], dtype=torch.float64)
    task = Classification(label_smoothing=0.2)
    smoothed = 0.8 * labels + 0.2 * labels.sum(-1, keepdim=True) / 4
    expected = -(smoothed * logits.log_softmax(-1)).sum() / 3
    torch.testing.assert_close(task.supervised(ForwardPass(logits, {}), (None, labels)), expected)
    hard = task.supervised(ForwardPass(logits[2:], {}), (None, torch.tensor([3])))
    torch.testing.assert_close(task.supervised(ForwardPass(logits[2:], {}), (None, labels[2:])), hard)


@pytest.mark.parametrize("count", [2, 3, 8])
def test_labels_as_distributions_are_evaluated_as_classes_are(count: int) -> None:
    images, classes, _ = image_batch(count)
    classes[-1] = UNLABELLED
    shares = F.one_hot(classes.clamp(min=0), 3) * (classes != UNLABELLED)[:, None]
    net = conv_net()
    hard = Classification().evaluate(net, (), [(images, classes)])
    soft = Classification().evaluate(net, (), [(images, shares.double())])
    assert hard["accuracy"] == soft["accuracy"]
    assert soft["nll"] == pytest.approx(hard["nll"])


class Wrapped(nn.Module):
    """Answers as Transformers' networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.network = conv_net()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"logits": self.network(images)}


@pytest.mark.parametrize(
    ("batch", "text"),
    [
        ({"pixel_values": 0, "labels": 1}, "got a dict with 'pixel_values', 'labels'"),
        ({}, "got a dict with nothing"),
        ((), "got a tuple of 0"),
        (torch.rand(8, 1, 8, 8), r"got a tensor float32 \[8, 1, 8, 8\]"),
        (None, "got a NoneType"),
    ],
)
def test_a_batch_of_another_kind_is_refused(batch: Any, text: str) -> None:
    with pytest.raises(MethodError, match=rf"expected a batch \(images, labels\).*{text}"):
        Classification().run(conv_net(), batch)


def test_an_answer_that_is_no_tensor_is_refused_where_logits_are_used() -> None:
    task, batch = Classification(), image_batch()
    answer = ForwardPass(task.run(Wrapped(), batch), {})  # a task of one's own may read it
    for use in (
        lambda: task.supervised(answer, batch),
        lambda: task.rows(answer, batch),
        lambda: task.evaluate(Wrapped(), (), [batch]),
    ):
        with pytest.raises(MethodError, match=r"logits \[b c\] as a network's answer, got a dict with 'logits'"):
            use()


def test_labels_are_missed_where_they_are_needed_only() -> None:
    task, alone = Classification(), [image_batch()[0]]
    answer = ForwardPass(task.run(conv_net(), alone), {})
    for use in (
        lambda: task.supervised(answer, alone),
        lambda: task.rows(answer, alone),
        lambda: task.evaluate(conv_net(), (), [alone]),
    ):
        with pytest.raises(MethodError, match=r"expected a batch \(images, labels\).*got a list of 1"):
            use()


@pytest.mark.parametrize(
    "labels",
    [torch.zeros(8, dtype=torch.int32), torch.zeros(8, 1, dtype=torch.int64), torch.zeros(4).long(), torch.zeros(8, 4)],
)
def test_labels_of_another_kind_are_refused(labels: Tensor) -> None:
    images = image_batch()[0]
    with pytest.raises(MethodError, match=r"labels class numbers, int64 \[8\], or distributions, float \[8, 3\]; got"):
        Classification().supervised(ForwardPass(conv_net()(images), {}), (images, labels))


def test_lists_and_bytes_as_labels_will_do() -> None:
    images, labels, _ = image_batch()
    seen = ForwardPass(conv_net()(images), {})
    wanted = Classification().supervised(seen, (images, labels))
    torch.testing.assert_close(Classification().supervised(seen, [images, labels.to(torch.uint8)]), wanted)
