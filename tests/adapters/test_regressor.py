"""Regressors give the form of the teacher's features, and the non-linearity of its layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.adapters.maxout import Maxout
from limbeck.adapters.regressor import Activation, ConvolutionalRegressor, Regressor, activation_for
from limbeck.core.errors import MethodError
from limbeck.core.method import Shape
from limbeck.core.net import Kind, Net
from limbeck.models.fitnet import maxout_mnist

FORMS = [(2, 3, 8, 6), (2, 3, 2, 2), (2, 17, 3), (2, 3)]
"""Maps, tokens and vectors, all with three channels."""


@pytest.mark.parametrize("activation", ["relu", "maxout", "none"])
@pytest.mark.parametrize("teacher", [(2, 5, 4, 4), (2, 17, 5), (2, 5)])
@pytest.mark.parametrize("student", FORMS)
def test_any_form_becomes_the_teachers_map(
    student: tuple[int, ...], teacher: tuple[int, ...], activation: Activation
) -> None:
    regressor = Regressor(student, teacher, activation=activation)
    assert regressor.convolution.kernel_size == (1, 1)
    places = (1, 1) if len(teacher) == 2 else (4, 4)
    assert regressor(torch.randn(3, *student[1:])).shape == (3, 5, *places)


@pytest.mark.parametrize(
    ("student", "teacher", "kernel"),
    [
        ((2, 3, 8, 6), (2, 5, 4, 6), (5, 1)),
        ((2, 3, 4, 4), (2, 5, 4, 4), (1, 1)),
        ((2, 3, 8, 8), (2, 17, 5), (5, 5)),
        ((2, 17, 3), (2, 5, 3, 2), (2, 3)),
        ((2, 3, 4, 3), (2, 5), (4, 3)),
    ],
)
@pytest.mark.parametrize("activation", ["relu", "maxout", "none"])
def test_a_kernel_without_padding_makes_the_map_as_small_as_the_teachers(
    student: tuple[int, ...], teacher: tuple[int, ...], kernel: tuple[int, int], activation: Activation
) -> None:
    regressor = ConvolutionalRegressor(student, teacher, activation=activation)
    assert regressor.convolution.kernel_size == kernel
    assert (
        regressor(torch.randn(3, *student[1:])).shape
        == Regressor(student, teacher, activation=activation)(torch.randn(3, *student[1:])).shape
    )


@pytest.mark.parametrize("teacher", [(2, 5, 8, 4), (2, 5, 4, 8)])
def test_a_student_with_a_smaller_map_on_either_side_is_told_what_to_do(teacher: tuple[int, ...]) -> None:
    sides = f"{teacher[2]}×{teacher[3]}"
    message = rf"student's map 4×4 is smaller than the teacher's {sides}.*an earlier layer.*regressor: pointwise"
    with pytest.raises(MethodError, match=message):
        ConvolutionalRegressor((2, 3, 4, 4), teacher, activation="none")


def test_the_activation_is_the_last_step() -> None:
    features = torch.randn(4, 3, 5, 5)
    for kind in (Regressor, ConvolutionalRegressor):
        made = {name: kind((4, 3, 5, 5), (4, 2, 5, 5), activation=name) for name in ("relu", "maxout", "none")}
        assert made["relu"](features).min() == 0.0
        assert made["none"](features).min() < 0
        assert made["none"].convolution.out_channels == 2
        before = made["maxout"].convolution(features)
        largest = torch.maximum(before[:, ::2], before[:, 1::2])
        torch.testing.assert_close(made["maxout"](features), largest)


@pytest.mark.parametrize(
    ("module", "lowest", "expected"),
    [
        (nn.ReLU(), 0.0, "relu"),
        (nn.Conv2d(1, 1, 1), 0.0, "relu"),
        (nn.ReLU(), -1.0, "none"),
        (nn.GELU(), -0.1, "none"),
        (Maxout(2), 0.0, "maxout"),
        (Maxout(2), -1.0, "maxout"),
    ],
)
def test_auto_follows_the_layer_and_what_it_gives(module: nn.Module, lowest: float, expected: Activation) -> None:
    shape = Shape.of(torch.tensor([lowest, 2.0]))
    assert activation_for("auto", around(module), "0", shape) == expected


def around(module: nn.Module) -> Net:
    return Net(nn.Sequential(module), lambda network, batch: network(batch), taps=["0"], kind=Kind.FROZEN)


def test_auto_looks_through_sequences_and_pooling_and_not_at_what_comes_before_an_input() -> None:
    signed = Shape.of(torch.tensor([-1.0, 2.0]))
    layer = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Sequential(Maxout(2), nn.MaxPool2d(2)), nn.AvgPool2d(2))
    assert activation_for("auto", around(layer), "0", signed) == "maxout"
    assert activation_for("auto", around(nn.Sequential(Maxout(2), nn.Conv2d(2, 2, 1))), "0", signed) == "none"
    assert activation_for("auto", around(nn.Sequential(nn.MaxPool2d(2))), "0", signed) == "none"
    assert activation_for("auto", around(Maxout(2)), "0:input", signed) == "none"


def test_the_hint_of_the_paper_s_teacher_has_a_maxout_regressor() -> None:
    signed = Shape.of(torch.tensor([-1.0, 2.0]))
    network = Net(maxout_mnist(classes=10), lambda one, batch: one(batch), taps=["layer2"], kind=Kind.FROZEN)
    assert activation_for("auto", network, "layer2", signed) == "maxout"


@pytest.mark.parametrize("asked", ["relu", "maxout", "none"])
def test_what_is_asked_for_wins(asked: Activation) -> None:
    for module, lowest in ((Maxout(2), -1.0), (nn.ReLU(), 0.0)):
        assert activation_for(asked, around(module), "0", Shape.of(torch.tensor([lowest]))) == asked
