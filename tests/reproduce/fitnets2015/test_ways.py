"""What the stages of FitNets are compared with has the very terms of these stages."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.core.distiller import Distiller
from limbeck.core.pairs import Pair
from limbeck.methods.fitnets import FitNets
from limbeck.reproduce.fitnets2015.ways import Joint, SoftTargets
from limbeck.tasks.classification import Classification
from little import changed, conv_net, image_batch, values
from stages import Counting, terms_at, train_stage

TAPS = Pair(student="2", teacher="5")
"""Of 4×4 places in the student and 2×2 in the teacher."""
SETTING = {"taps": TAPS, "temperature": 2.0, "soft_start": 3.0, "soft_end": 0.5, "anneal": 0.75}


def models() -> dict[str, nn.Module]:
    return {"student": conv_net(4), "teacher": conv_net(6, seed=5)}


def distiller(method: FitNets, found: dict[str, nn.Module] | None = None) -> Distiller:
    return Distiller(method, Classification(), models() if found is None else found, image_batch(4))


@pytest.mark.parametrize("step", range(4))
def test_soft_targets_have_the_terms_of_the_second_stage(step: int) -> None:
    found, expected = distiller(SoftTargets(**SETTING)), distiller(FitNets(**SETTING))
    terms, staged = (terms_at(*one, step=step) for one in ((found, image_batch()), (expected, image_batch())))
    assert set(terms) == {"task", "kd"}
    assert set(staged) == {"hint"}  # the first stage is what it leaves out
    torch.testing.assert_close(terms, terms_at(expected, image_batch(), phase=1, step=step), rtol=0, atol=0)


def test_soft_targets_have_one_stage_and_look_at_no_layer() -> None:
    found = distiller(SoftTargets(**SETTING))
    (stage,) = found.method.plan()
    assert (stage.name, stage.share) == ("main", 1.0)
    assert stage.turns[0].rates == {"student": 1.0}
    assert [found[role].taps for role in ("student", "teacher")] == [(), ()]
    assert not list(found.adapters.parameters())


def test_soft_targets_need_no_features() -> None:
    """FitNets would look for a stage in networks that have none; the method stays as it was given."""
    flat = {role: nn.Sequential(nn.Flatten(), nn.Linear(64, 3)) for role in ("student", "teacher")}
    method = SoftTargets()
    found = distiller(method, flat)
    assert found.method is method
    assert set(terms_at(found, image_batch())) == {"task", "kd"}


@pytest.mark.parametrize("step", range(4))
def test_both_at_once_have_the_terms_of_both_stages(step: int) -> None:
    found, expected = distiller(Joint(**SETTING)), distiller(FitNets(**SETTING))
    found.adapters.load_state_dict(expected.adapters.state_dict())
    terms = terms_at(found, image_batch(), step=step)
    hint = terms_at(expected, image_batch(), phase=0, step=step)
    soft = terms_at(expected, image_batch(), phase=1, step=step)
    assert set(terms) == {"task", "kd", "hint"}
    torch.testing.assert_close(terms, soft | hint, rtol=0, atol=0)


def test_both_at_once_have_one_stage_and_the_taps_and_the_regressor_of_fitnets() -> None:
    found, expected = (distiller(method(**SETTING)) for method in (Joint, FitNets))
    (stage,) = found.method.plan()
    assert (stage.name, stage.share) == ("main", 1.0)
    assert stage.turns[0].rates == {"student": 1.0, "adapters.regressor": 1.0}
    assert found.method.tapped() == expected.method.tapped() == {"student": ("2",), "teacher": ("5",)}
    shapes = [{name: p.shape for name, p in one.adapters.named_parameters()} for one in (found, expected)]
    assert shapes[0] == shapes[1]


def test_both_at_once_find_their_layers_themselves() -> None:
    assert distiller(Joint()).method == Joint(taps=distiller(FitNets()).method.taps)


def test_each_network_runs_once_and_to_its_end() -> None:
    given = models()
    given["student"].insert(9, Counting())
    given["teacher"].insert(9, Counting())
    found = distiller(Joint(**SETTING), given)
    given["student"][9].calls = given["teacher"][9].calls = 0
    terms_at(found, image_batch())
    assert (given["student"][9].calls, given["teacher"][9].calls) == (1, 1)


@pytest.mark.parametrize("method", [SoftTargets, Joint])
def test_the_whole_student_learns_and_no_bit_of_the_teacher(method: type[FitNets]) -> None:
    found = distiller(method(**SETTING))
    before = {role: values(found[role].model) for role in ("student", "teacher")}
    regressor = values(found.adapters)
    train_stage(found, image_batch(), phase=0, optimizer=torch.optim.SGD)
    assert changed(before["student"], found["student"].model) == set(before["student"])
    assert changed(before["teacher"], found["teacher"].model) == set()
    assert changed(regressor, found.adapters) == set(regressor)


def test_the_hint_reaches_what_lies_below_its_layer_and_the_regressor() -> None:
    found = distiller(Joint(**SETTING))
    terms_at(found, image_batch())["hint"].backward()
    reached = {name for name, p in found["student"].model.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached - {"0.bias"} == {"0.weight", "1.weight", "1.bias"}  # BatchNorm leaves that bias rounding errors
    assert all(parameter.grad.any() for parameter in found.adapters.parameters())
    assert all(parameter.grad is None for parameter in found["teacher"].model.parameters())
