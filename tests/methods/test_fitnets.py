"""What FitNets trains in each stage, and when; its values are checked in `tests/reference`."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from limbeck.adapters.ensemble import Ensemble
from limbeck.adapters.maxout import Maxout
from limbeck.core.distiller import Distiller
from limbeck.core.errors import MethodError
from limbeck.core.pairs import Pair
from limbeck.core.task import HasRows
from limbeck.losses.divergence import soft_target_kl
from limbeck.methods.compose import Compose
from limbeck.methods.fitnets import FitNets
from limbeck.methods.kd import KD
from limbeck.tasks.classification import Classification
from little import changed, conv_net, image_batch, values
from little_vision import colour_batch, network
from stages import Counting, terms_at, train_stage

TAPS = Pair(student="2", teacher="5")
"""Of 4×4 places in the student and 2×2 in the teacher."""


def models() -> dict[str, nn.Module]:
    return {"student": conv_net(4), "teacher": conv_net(6, seed=5)}


def distiller(method: FitNets, found: dict[str, nn.Module] | None = None) -> Distiller:
    return Distiller(method, Classification(), models() if found is None else found, image_batch(4))


@pytest.mark.parametrize(
    "wrong",
    [
        {"hint_share": 0},
        {"hint_share": 1},
        {"temperature": 0},
        {"soft_start": -1},
        {"soft_end": -1},
        {"anneal": 0},
        {"anneal": 1.1},
        {"regressor": "linear"},
        {"taps": (TAPS,)},
    ],
)
def test_ranges(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FitNets(**wrong)


def test_it_needs_rows_and_has_two_stages_that_share_the_training() -> None:
    assert FitNets().capabilities() == (HasRows,)
    assert [(stage.name, stage.share) for stage in FitNets(hint_share=0.25).plan()] == [
        ("hint", 0.25),
        ("soft targets", 0.75),
    ]


def test_auto_takes_the_middle_stage_and_the_method_given_stays_open() -> None:
    method = FitNets(temperature=5.0)
    networks = {"student": network("resnet8"), "teacher": network("resnet14")}
    found = Distiller(method, Classification(), networks, colour_batch(2))
    assert found.method == FitNets(temperature=5.0, taps=Pair(student="layer2", teacher="layer2"))
    assert method.taps == "auto"
    # Of an even number of stages, the earlier one in the middle.
    assert distiller(FitNets()).method.taps == Pair(student="2", teacher="2")
    named = FitNets(taps=TAPS)
    assert distiller(named).method is named
    with pytest.raises(MethodError, match="auto is decided when a Distiller is made"):
        method.tapped()


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_stage_one_moves_the_student_up_to_its_guided_layer_and_no_bit_above(
    optimizer: type[torch.optim.Optimizer],
) -> None:
    found = distiller(FitNets(taps=TAPS))
    student, adapters = values(found["student"].model), values(found.adapters)
    train_stage(found, image_batch(), phase=0, optimizer=optimizer)
    assert changed(student, found["student"].model) == {name for name in student if name.startswith(("0.", "1."))}
    assert changed(adapters, found.adapters) == {"regressor.convolution.weight", "regressor.convolution.bias"}


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_stage_two_moves_the_whole_student_and_not_the_regressor(optimizer: type[torch.optim.Optimizer]) -> None:
    found = distiller(FitNets(taps=TAPS))
    train_stage(found, image_batch(), phase=0, optimizer=optimizer)
    student, adapters = values(found["student"].model), values(found.adapters)
    train_stage(found, image_batch(), phase=1, optimizer=optimizer)
    assert changed(student, found["student"].model) == set(student)
    assert changed(adapters, found.adapters) == set()
    assert not any(parameter.requires_grad for parameter in found.adapters.parameters())


def test_in_stage_one_neither_network_runs_above_its_layer() -> None:
    given = models()
    given["student"].insert(3, Counting())
    given["teacher"].insert(6, Counting())
    found = distiller(FitNets(taps=TAPS), given)
    student, teacher = given["student"][3], given["teacher"][6]
    student.calls = teacher.calls = 0
    terms_at(found, image_batch(), phase=0)
    assert (student.calls, teacher.calls) == (0, 0)
    terms_at(found, image_batch(), phase=1)
    assert (student.calls, teacher.calls) == (1, 1)


@pytest.mark.parametrize(
    ("anneal", "expected"),
    [(1.0, [4.0, 3.25, 2.5, 1.75]), (0.5, [4.0, 2.5, 1.0, 1.0]), (0.75, [4.0, 3.0, 2.0, 1.0])],
)
def test_the_weight_of_the_soft_targets_falls_on_a_line_and_then_stays(anneal: float, expected: list[float]) -> None:
    found, batch = distiller(FitNets(temperature=2.0, anneal=anneal)), image_batch()
    logits = [found[role].model(batch[0]) for role in ("student", "teacher")]
    divergence = soft_target_kl(*logits, temperature=2.0) / 2.0**2
    weights = [(terms_at(found, batch, phase=1, step=step)["kd"] / divergence).item() for step in range(4)]
    assert weights == pytest.approx(expected, rel=1e-5)


def test_labels_weigh_the_same_at_every_step() -> None:
    found, batch = distiller(FitNets()), image_batch()
    first, last = (terms_at(found, batch, phase=1, step=step) for step in (0, 3))
    assert set(first) == {"task", "kd"}
    assert first["task"].item() == last["task"].item()
    assert set(terms_at(found, batch, phase=0)) == {"hint"}


def test_soft_targets_are_zero_when_the_student_is_the_teacher() -> None:
    same = {role: conv_net(batch_norm=False) for role in ("student", "teacher")}
    assert terms_at(distiller(FitNets(), same), image_batch(), phase=1)["kd"].item() == 0.0


def test_a_student_whose_map_is_smaller_needs_the_pointwise_regressor() -> None:
    taps = Pair(student="5", teacher="2")
    with pytest.raises(MethodError, match=r"student's map 2×2 is smaller than the teacher's 4×4.*regressor: pointwise"):
        distiller(FitNets(taps=taps))
    found = distiller(FitNets(taps=taps, regressor="pointwise"))
    terms_at(found, image_batch())["hint"].backward()
    assert found.adapters["regressor"].convolution.kernel_size == (1, 1)
    assert found["student"].model[3].weight.grad.any()


def test_the_regressor_has_the_non_linearity_of_the_hint_layer() -> None:
    given = models()
    given["teacher"][5] = Maxout(2)
    given["teacher"][9] = nn.Linear(3, 3)
    maxout = distiller(FitNets(taps=TAPS), given).adapters["regressor"]
    assert isinstance(maxout.activation, Maxout)
    assert maxout.convolution.weight.shape == (6, 4, 3, 3)  # two pieces for each of three channels
    kinds = {tap: distiller(FitNets(taps=Pair(student="2", teacher=tap))).adapters["regressor"] for tap in "45"}
    assert [type(kinds[tap].activation) for tap in "45"] == [nn.Identity, nn.ReLU]
    asked = distiller(FitNets(taps=TAPS, activation="none")).adapters["regressor"]
    assert isinstance(asked.activation, nn.Identity)


def test_the_regressor_is_left_behind_and_stages_cannot_be_composed() -> None:
    given = models()
    found = distiller(FitNets(), given)
    assert found.deliver() is given["student"]
    assert not any("regressor" in name for name, _ in found.deliver().named_modules())
    with pytest.raises(MethodError, match="fitnets has 2 turns"):
        distiller(Compose(methods=(KD(), FitNets())))


def test_members_of_an_ensemble_are_averaged_at_the_temperature_at_which_they_teach() -> None:
    """The mean of the members' softened distributions, not the softened mean of their distributions."""
    members = [conv_net(6, seed=seed) for seed in (5, 6)]
    for member in members:
        member[-1].weight.data.mul_(20)  # sharp, so that the two differ
    batch, student = image_batch(4), conv_net(4)
    teacher = Ensemble(members)
    method = FitNets(taps=Pair(student="2", teacher="members.0.5"), soft_start=1, soft_end=1)
    made = Distiller(method, Classification(), {"student": student, "teacher": teacher}, batch)
    loss = terms_at(made, batch, phase=1)["kd"]
    targets = sum(torch.softmax(member(batch[0]) / 3, 1) for member in members) / 2
    expected = (targets * (targets.log() - torch.log_softmax(student(batch[0]) / 3, 1))).sum(1).mean()
    torch.testing.assert_close(loss.detach(), expected.detach(), rtol=1e-4, atol=1e-6)


def test_maps_that_no_valid_convolution_joins_are_named() -> None:
    with pytest.raises(MethodError, match=r"fitnets, '5' of the student and '2' of the teacher: the student's map"):
        distiller(FitNets(taps=Pair(student="5", teacher="2")))
