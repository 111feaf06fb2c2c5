from __future__ import annotations

import sys
from typing import Any

import pytest
import timm.optim
import torch

from limbeck.core.errors import MethodError, MissingPackage
from limbeck.train.optimizers import check_groups, make_optimizers
from limbeck.train.settings import LAMB, LARS, SGD, Adam, AdamW, RMSprop


def parameter(value: float = 1.0) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.full((3,), value))


def groups(*rates: float) -> list[dict[str, Any]]:
    return [{"params": [parameter(n + 1.0)], "path": f"student.{n}", "rate": r} for n, r in enumerate(rates)]


CASES = [
    (SGD(lr=0.1, momentum=0.9, weight_decay=0.01), torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    (Adam(lr=0.1, betas=(0.8, 0.9)), torch.optim.Adam, {"lr": 0.1, "betas": (0.8, 0.9)}),
    (AdamW(lr=0.1), torch.optim.AdamW, {"lr": 0.1, "weight_decay": 0.01}),
    (RMSprop(lr=0.1, momentum=0.5), torch.optim.RMSprop, {"lr": 0.1, "momentum": 0.5}),
    (LARS(lr=0.5, weight_decay=0.1), timm.optim.Lars, {"lr": 0.5, "momentum": 0.9, "weight_decay": 0.1}),
    (LAMB(lr=0.1), timm.optim.Lamb, {"lr": 0.1, "weight_decay": 0.01}),
]


@pytest.mark.parametrize(("description", "cls", "arguments"), CASES, ids=lambda value: getattr(value, "name", ""))
def test_each_is_the_library_s_own(description: Any, cls: type, arguments: dict[str, Any]) -> None:
    ours, theirs = parameter(), parameter()
    (made,) = make_optimizers([{"params": [ours], "path": "student", "rate": 1.0}], description, {})
    assert type(made) is cls
    by_hand = cls([theirs], **arguments)
    for step in range(4):
        for one, optimizer in ((ours, made), (theirs, by_hand)):
            one.grad = torch.tensor([1.0, -2.0, 0.5]) * (step + 1)
            optimizer.step()
    torch.testing.assert_close(ours, theirs)
    assert not torch.equal(ours, parameter())


def test_a_group_per_path_with_its_multiple_of_the_rate() -> None:
    (made,) = make_optimizers(groups(1.0, 0.1), SGD(lr=0.5), {})
    assert [(g["path"], g["lr"], g["base_lr"]) for g in made.param_groups] == [
        ("student.0", 0.5, 0.5),
        ("student.1", 0.05, 0.05),
    ]


def test_a_path_with_an_optimiser_of_its_own() -> None:
    shared, own = make_optimizers(groups(1.0, 0.5), SGD(lr=0.5), {"student.1": Adam(lr=0.2)})
    assert type(shared) is torch.optim.SGD
    assert type(own) is torch.optim.Adam
    assert [group["path"] for group in shared.param_groups] == ["student.0"]
    assert own.param_groups[0]["lr"] == pytest.approx(0.1)


def test_all_paths_with_optimisers_of_their_own_leave_none_shared() -> None:
    (own,) = make_optimizers(groups(1.0), SGD(), {"student.0": Adam()})
    assert type(own) is torch.optim.Adam


@pytest.mark.parametrize("description", [SGD(lr=0.1, momentum=0, weight_decay=0.5), AdamW(lr=0.1, weight_decay=0.5)])
def test_without_a_gradient_only_matrices_decay(description: SGD | AdamW) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Flatten())
    network.append(torch.nn.Linear(2, 2))
    before = {name: value.clone() for name, value in network.named_parameters()}
    group = {"params": list(network.parameters()), "path": "student", "rate": 0.5}
    (made,) = make_optimizers([group], description, {}, decay="matrices")
    assert [(part["path"], part["base_lr"], part["weight_decay"]) for part in made.param_groups] == [
        ("student", 0.05, 0.5),
        ("student", 0.05, 0.0),
    ]
    for value in network.parameters():
        value.grad = torch.zeros_like(value)
    made.step()
    for name, value in network.named_parameters():
        kept = 1 - 0.05 * 0.5 if value.ndim > 1 else 1.0
        torch.testing.assert_close(value, before[name] * kept, msg=name)


def test_paths_without_matrices_or_vectors_stay_one_group_and_own_optimisers_keep_both_parts() -> None:
    matrix, vector = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))
    given = [
        {"params": [vector], "path": "student.bias", "rate": 1.0},
        {"params": [matrix, parameter()], "path": "adapters", "rate": 1.0},
        {"params": [torch.nn.Parameter(torch.ones(2, 2))], "path": "student", "rate": 1.0},
    ]
    shared, own = make_optimizers(given, SGD(weight_decay=0.1), {"adapters": Adam(weight_decay=0.2)}, decay="matrices")
    assert [(part["path"], part["weight_decay"]) for part in shared.param_groups] == [
        ("student.bias", 0.0),
        ("student", 0.1),
    ]
    assert [(part["path"], part["weight_decay"]) for part in own.param_groups] == [("adapters", 0.2), ("adapters", 0.0)]


def test_a_path_that_no_stage_trains_is_refused() -> None:
    check_groups(["student", "adapters"], {"adapters": SGD()})
    with pytest.raises(MethodError, match=r"'adapter' is no trained path of this method; close: adapters"):
        check_groups(["student", "adapters"], {"adapter": SGD()})


def test_without_timm_the_install_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.delitem(sys.modules, "timm.optim")
    with pytest.raises(MissingPackage, match=r"pip install 'limbeck\[vision\]'"):
        make_optimizers(groups(1.0), LARS(), {})
