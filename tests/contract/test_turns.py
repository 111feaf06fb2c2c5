"""Contract of every method: who is trained in each turn, and what must never move."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from contract.cases import CASES, Case
from limbeck.core.errors import MethodError
from limbeck.core.method import Method
from limbeck.core.net import Kind, digest
from limbeck.core.plan import At
from limbeck.methods.compose import Compose
from little import changed, image_batch, steps_by_hand, values

every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@every
def test_gradient_reaches_all_that_a_turn_trains_and_nothing_else(case: Case) -> None:
    found = case.distiller().train()
    for phase in range(len(case.method.plan())):
        for at in found.turns(0, 4, phase=phase, epoch=0.0):
            found.zero_grad(set_to_none=True)
            sum(found(image_batch(), at).values()).backward()
            reached = {id(p) for p in found.parameters() if p.grad is not None and p.grad.any()}
            trained = {path: [id(p) for p in found.parameters_of(path)] for path in at.turn.rates}
            assert reached <= {number for numbers in trained.values() for number in numbers}
            for path, numbers in trained.items():
                assert not numbers or reached & set(numbers), f"{path} is trained but gets no gradient"


@every
def test_a_step_changes_no_trained_network_but_the_ones_of_its_turn(case: Case) -> None:
    found = case.distiller().train()
    for phase, stage in enumerate(case.method.plan()):
        optimizer = torch.optim.SGD(found.param_groups(stage), lr=0.1, momentum=0.9, weight_decay=0.1)
        for step in range(2):
            for at in found.turns(step, 2, phase=phase, epoch=step / 2):
                before = values(found)
                sum(found(image_batch(), at).values()).backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                heads = {path.partition(".")[0] for path in at.turn.rates}
                momentum = {f"nets.{role}" for role in found.nets if found[role].kind is Kind.MOMENTUM}
                allowed = (*(h if h == "adapters" else f"nets.{h}" for h in heads), *momentum)
                assert {name for name in changed(before, found) if not name.startswith(allowed)} == set()


@every
def test_frozen_networks_keep_every_bit_and_their_mode(case: Case) -> None:
    models = case.models()
    frozen = [role for role, kind in case.method.roles().items() if kind is Kind.FROZEN]
    for role in frozen:
        models[role][1].eval()
    before = {role: (digest(models[role]), [m.training for m in models[role].modules()]) for role in frozen}
    found = case.distiller(models)
    steps_by_hand(found, [image_batch()], 4, lr=1.0)
    assert not any(module.training for role in frozen for module in models[role].modules())
    found.close()
    assert {role: (digest(models[role]), [m.training for m in models[role].modules()]) for role in frozen} == before


class Noted(At):
    """Notes what a method asks it."""

    def __getattribute__(self, name: str) -> Any:
        if name in POSITION:
            asked.add(name)
        return super().__getattribute__(name)


POSITION = {"step", "epoch", "fraction", "rng"}
asked: set[str] = set()


@every
def test_a_method_says_what_it_asks_of_its_place_in_training(case: Case) -> None:
    """So a loop that does not say where it is can be refused, instead of staying at the beginning for ever."""
    found = case.distiller().train()
    asked.clear()
    stages = case.method.plan()
    for phase in range(len(stages)):
        for at in found.turns(2, 4, phase=phase, epoch=1.0):
            noted = Noted(**{field.name: getattr(at, field.name) for field in fields(at)})
            found(image_batch(), noted)
            with torch.no_grad():
                case.method.after_step(found, noted)
    if not isinstance(case.method, Compose):  # which hands all of it on to its members
        assert asked <= set(case.method.looks_at()) <= POSITION
    if case.method.looks_at() and sum(len(stage.turns) for stage in stages) == 1:
        with pytest.raises(MethodError, match=r"looks at where in training it is \(.*\): write `for at in"):
            found(image_batch())
    if "epoch" in case.method.looks_at():
        with pytest.raises(MethodError, match=r"looks at the epoch: turns\(step, steps, epoch=...\)"):
            next(found.turns(0, 4))


@every
def test_each_network_runs_at_most_once_per_turn(case: Case) -> None:
    found = case.distiller().train()
    for phase in range(len(case.method.plan())):
        for at in found.turns(0, 4, phase=phase, epoch=0.0):
            before = {role: found[role].calls for role in found.nets}
            found(image_batch(), at)
            assert all(found[role].calls - before[role] <= 1 for role in found.nets)


def test_all_methods_of_one_turn_together_still_run_each_network_once() -> None:
    single = [
        case.method
        for case in CASES
        if sum(len(stage.turns) for stage in case.method.plan()) == 1 and case.method.composable
    ]
    plain = [method for method in single if type(method).deliver is Method.deliver]
    others = [method for method in single if method not in plain and not isinstance(method, Compose)]
    assert len(plain) > 5
    assert len(others) > 2
    for other in others:  # of those that deliver a network of their own there can be one
        check_all_together([other, *plain])


def check_all_together(methods: list[Method]) -> None:
    found = Case("all", Compose(methods=(*methods[:-2], Compose(methods=tuple(methods[-2:]))))).distiller().train()
    (at,) = found.turns(0, 4, epoch=0.0)
    terms = found(image_batch(), at)
    assert {found[role].calls for role in found.nets} == {1}
    of_student = [name for name in terms if not name.startswith("methods") and "/peer" not in name]
    assert sum(name.rpartition("/")[2] == "task" for name in of_student) == 1


@every
def test_terms_are_finite_in_bfloat16_and_close_to_single_precision(case: Case) -> None:
    found, exact = case.distiller().train(), case.distiller().train()
    for phase in range(len(case.method.plan())):
        for at, other in zip(
            found.turns(0, 4, phase=phase, epoch=0.0), exact.turns(0, 4, phase=phase, epoch=0.0), strict=True
        ):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                terms = found(image_batch(), at)
            expected = exact(image_batch(), other)
            for name, value in terms.items():
                assert value.shape == ()
                assert value.item() == pytest.approx(expected[name].item(), rel=0.1, abs=0.05)
            sum(terms.values()).backward()
        assert all(p.grad is None or torch.isfinite(p.grad).all() for p in found.parameters())


@every
def test_what_is_delivered_runs_alone_after_close(case: Case) -> None:
    found = case.distiller()
    delivered = found.deliver([image_batch()], [image_batch()])
    found.close()
    assert delivered.eval()(image_batch()[0]).shape == (8, 3)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in delivered.modules())


@pytest.mark.parametrize("case", [case for case in CASES if case.name != "compose"], ids=lambda case: case.name)
def test_hyper_parameters_survive_json(case: Case) -> None:
    adapter = TypeAdapter(type(case.method))
    assert adapter.validate_json(adapter.dump_json(case.method), strict=True) == case.method
