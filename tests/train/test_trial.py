"""What a training could not do is found before it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from contract.cases import CASES, Case
from limbeck.core.distiller import Distiller
from limbeck.core.errors import LimbeckError, MethodError, TrainingError
from limbeck.core.method import Method, Nets
from limbeck.core.net import Kind
from limbeck.core.plan import At, Stage, Turn
from limbeck.core.settings import settings
from limbeck.methods.kd import KD
from limbeck.methods.supervised import Supervised
from limbeck.tasks.classification import Classification
from limbeck.train.trial import try_out
from little import changed, conv_net, image_batch, values


@settings
class Own(Method):
    """One stage as it should be, and one with a fault."""

    fault: str = ""

    def roles(self) -> Mapping[str, Kind]:
        return {"student": Kind.TRAINED}

    def adapters(self, nets: Nets, shapes: Any) -> Mapping[str, nn.Module]:
        return {"beside": nn.Linear(3, 3)}

    def plan(self) -> Sequence[Stage]:
        return (
            Stage("first", share=0.5, turns=(Turn("terms", {"student": 1.0}),)),
            Stage("second", share=0.5, turns=(Turn("faulty", {"student": 1.0, "adapters": 1.0}),)),
        )

    def terms(self, nets: Nets, batch: Any, at: At) -> dict[str, Tensor]:
        return {"task": nets.task.supervised(nets["student"](batch), batch)}

    def faulty(self, nets: Nets, batch: Any, at: At) -> Any:
        output = nets["student"](batch).output
        beside = nets.adapters["beside"](output)
        found: dict[str, Any] = {
            "": {"task": beside.square().mean(), "one": beside.mean().view(1)},
            "empty": {},
            "rows": {"task": beside.square().mean(1)},
            "detached": {"task": beside.detach().square().mean()},
            "unused": {"task": output.square().mean()},
        }
        if self.fault == "broken":
            return {"task": (beside @ batch[0]).mean()}
        if self.fault == "in place":
            answer = beside.exp()
            answer += 1
            return {"task": answer.mean()}
        return found[self.fault]


def own(fault: str) -> Distiller:
    return Distiller(Own(fault=fault), Classification(), {"student": conv_net()}, image_batch())


def test_what_works_is_let_through() -> None:
    assert try_out(own(""), image_batch()) == 2


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_method_can_be_tried(case: Case, precision: str) -> None:
    distiller = case.distiller(dropout=0.3)
    frozen = {role: values(distiller[role]) for role in distiller.nets if distiller[role].kind is Kind.FROZEN}
    try_out(distiller, image_batch(), precision=precision)
    for role, before in frozen.items():
        assert not changed(before, distiller[role])
    assert all(parameter.grad is None for parameter in distiller.parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_method_can_be_tried_on_a_gpu(case: Case) -> None:
    try_out(case.distiller().to("cuda"), tuple(part.to("cuda") for part in image_batch()))


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("empty", r"expected at least one named loss term.*got \{\}"),
        ("rows", r"expected a number as loss term 'task'.*a tensor of shape \[8\]"),
        ("detached", r"no loss term \(task\) depends on what is trained: 'student', 'adapters'"),
    ],
)
def test_terms_that_teach_nothing_are_refused_with_their_stage_and_turn(fault: str, text: str) -> None:
    with pytest.raises(MethodError, match=text) as told:
        try_out(own(fault), image_batch())
    assert told.value.__notes__ == ["in stage 'second', faulty"]


def test_a_part_may_begin_to_learn_later() -> None:
    """Only the loss itself has to depend on what is trained; an adapter may join after a warm-up."""
    assert try_out(own("unused"), image_batch()) == 2


def test_what_comes_after_a_step_is_tried_too() -> None:
    @settings
    class Stumbles(Supervised):
        def after_step(self, nets: Nets, at: At) -> None:
            raise ValueError("no queue")

    found = Distiller(Stumbles(), Classification(), {"student": conv_net()}, image_batch())
    with pytest.raises(ValueError, match="no queue") as told:
        try_out(found, image_batch())
    assert told.value.__notes__ == ["in stage 'main', after_step"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (None, "expected at least one named loss term.*got None"),
        ({"task": 0.3}, r"expected a number as loss term 'task', a tensor of shape \[\]; got 0.3"),
    ],
)
def test_terms_that_are_no_tensors_are_refused(given: Any, text: str) -> None:
    distiller = own("")
    distiller.forward = lambda _batch, _at: given  # annotations are checked in tests, not in runs
    with pytest.raises(MethodError, match=text):
        try_out(distiller, image_batch())


@pytest.mark.parametrize(("fault", "text"), [("broken", "cannot be multiplied"), ("in place", "inplace operation")])
def test_errors_of_others_keep_their_type_and_tell_their_place(fault: str, text: str) -> None:
    with pytest.raises(RuntimeError, match=text) as told:
        try_out(own(fault), image_batch())
    assert not isinstance(told.value, LimbeckError)
    assert told.value.__notes__ == ["in stage 'second', faulty"]


class Counts(nn.Module):
    """Changes itself in eval mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.seen += len(x)
        return x


def test_a_teacher_that_changes_itself_is_refused() -> None:
    teacher = nn.Sequential(Counts(), conv_net(seed=1))
    distiller = Distiller(KD(), Classification(), {"student": conv_net(), "teacher": teacher}, image_batch())
    with pytest.raises(TrainingError, match="frozen network of 'teacher' changes its own parameters or buffers"):
        try_out(distiller, image_batch())


def test_a_student_may_change_itself() -> None:
    network = nn.Sequential(Counts(), conv_net())
    try_out(Distiller(Supervised(), Classification(), {"student": network}, image_batch()), image_batch())
