"""When a network's stored passes answer for it, and when it runs."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from limbeck.core.errors import TapError
from limbeck.core.forward_pass import ForwardPass
from limbeck.core.net import Kind, Net
from little import conv_net, image_batch, run


class Source:
    """Knows one batch."""

    def __init__(self, batch: Any) -> None:
        self.batch, self.asked = batch, list[Any]()

    def now(self, batch: Any, step: int) -> None:
        raise AssertionError("only the loop says which batch is current")

    def __call__(self, batch: Any, *, until: str | None = None) -> ForwardPass | None:
        self.asked.append(until)
        return ForwardPass(None if until else "stored", {}) if batch is self.batch else None


def net(kind: Kind = Kind.FROZEN) -> tuple[Net, Any]:
    made, batch = Net(conv_net(), run, taps=("2", "5"), kind=kind), image_batch()
    made.served = Source(batch)
    return made, batch


def test_what_is_stored_answers_once_per_batch_and_the_network_does_not_run() -> None:
    teacher, batch = net()
    assert teacher(batch).output == "stored"
    assert teacher(batch) is teacher(batch)
    assert teacher.calls == 0
    assert teacher.served.asked == [None]


def test_the_network_runs_for_any_other_batch() -> None:
    teacher, batch = net()
    assert isinstance(teacher(tuple(batch)[:2]).output, torch.Tensor)
    assert teacher.calls == 1


def test_a_pass_stops_where_it_is_asked_to_and_only_at_a_tap() -> None:
    teacher, batch = net()
    assert teacher(batch, until="2").output is None
    assert teacher.served.asked == ["2"]
    with pytest.raises(TapError, match="until '3' is not a tap"):
        teacher(batch, until="3")


def test_gradient_passes_through_the_network_itself() -> None:
    teacher, batch = net()
    images = batch[0].requires_grad_()
    teacher((images, *batch[1:])).output.sum().backward()
    assert images.grad is not None
    assert teacher(batch).output.requires_grad
    assert teacher.served.asked == []


@pytest.mark.parametrize("kind", [Kind.TRAINED, Kind.MOMENTUM])
def test_only_a_frozen_network_is_answered_for(kind: Kind) -> None:
    student, batch = net(kind)
    with torch.no_grad():
        assert isinstance(student(batch).output, torch.Tensor)
    assert student.served.asked == []


def test_closed_it_runs_again() -> None:
    teacher, batch = net()
    teacher.close()
    assert isinstance(teacher(batch).output, torch.Tensor)
