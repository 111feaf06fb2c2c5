"""Sections of two networks that belong together."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from torch import nn

from limbeck.core.errors import MethodError
from limbeck.core.sections import Section, proposed_sections
from little_vision import colour_batch, network


def found(student: nn.Module, teacher: nn.Module) -> tuple[Section, ...]:
    models = {"student": student, "teacher": teacher}
    return proposed_sections(models, lambda net: net(colour_batch(2)[0]))


def test_stages_of_residual_networks_run_from_their_first_activation_to_their_end() -> None:
    ends = [(f"layer{stage}.0.relu1", f"layer{stage}") for stage in (1, 2, 3)]
    assert found(network("resnet20"), network("resnet56")) == tuple(Section(student=e, teacher=e) for e in ends)


def test_sections_of_each_network_have_its_own_names() -> None:
    (_, second, _) = found(network("resnet20"), network("vgg13"))
    assert second.student == ("layer2.0.relu1", "layer2")
    assert second.teacher == ("layer2.relu1", "layer2")
    assert (second.of("student"), second.of("teacher")) == (second.student, second.teacher)


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_a_stage_of_a_single_layer_has_no_flow(role: str) -> None:
    bare = nn.Sequential(nn.Conv2d(3, 4, 2, stride=2), nn.Conv2d(4, 4, 2, stride=2))
    models = {"student": network("resnet20"), "teacher": network("resnet20")} | {role: bare}
    with pytest.raises(MethodError, match=f"a single layer in the stage of the {role} that ends at '0'.*name the taps"):
        found(**models)


def test_a_network_without_features_is_told_as_for_pairs() -> None:
    with pytest.raises(MethodError, match=r"in the teacher \(Mlp\); name the taps"):
        found(network("resnet20"), network("mlp", hidden=[8]))


@pytest.mark.parametrize("ends", [("a",), ("a", "b", "c"), "a"])
def test_a_section_has_two_ends(ends: object) -> None:
    with pytest.raises(ValidationError):
        Section(student=ends, teacher=("a", "b"))
