"""`FSP`'s two stages equal the equations of Yim et al., value and gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from limbeck.core.sections import Section
from limbeck.methods.fsp import FSP
from reference import equations as eq
from reference import feature_equations as fe
from reference.given import LABELS, Array, check, distilled, given, objective, values


def section(first: int, last: int) -> Section:
    ends = f"layers.{first}", f"layers.{last}"
    return Section(student=ends, teacher=ends)


# The first section shrinks; the second grows on one side and shrinks on the other; both use the layer between them.
SECTIONS = (section(0, 1), section(1, 2))
STUDENT = [(2, 4, 4), (3, 2, 4), (2, 4, 2)]
TEACHER = [(2, 4, 4), (3, 2, 2), (2, 1, 2)]


def expected_flows(v: tuple[Array, ...]) -> list[Array]:
    return [fe.flow(v[0], v[1]), fe.flow(v[1], v[2])]


@pytest.mark.parametrize("weight", [1.0, 0.05])
def test_stage_one_equals_the_equations(weight: float) -> None:
    student, teacher = given(STUDENT, seed=1), given(TEACHER, seed=2)
    found = distilled(FSP(taps=SECTIONS, weight=weight), student, teacher)
    flows = expected_flows(tuple(values(teacher)))

    def expected(*v: Array) -> float:
        return weight * fe.flow_loss(expected_flows(v), flows)

    check(objective(found, phase=0), student.features, expected)


def test_with_shuffled_channels_rows_and_columns_of_the_teachers_matrices_change_places() -> None:
    student, teacher = given(STUDENT, seed=1), given(TEACHER, seed=2)
    found = distilled(FSP(taps=SECTIONS, shuffle=True), student, teacher)
    orders = [found.adapters["orders"].order(f"layers.{layer}").numpy() for layer in range(3)]
    assert any((order != np.arange(len(order))).any() for order in orders)
    plain = expected_flows(tuple(values(teacher)))
    flows = [plain[0][:, orders[0]][:, :, orders[1]], plain[1][:, orders[1]][:, :, orders[2]]]

    def expected(*v: Array) -> float:
        return fe.flow_loss(expected_flows(v), flows)

    check(objective(found, phase=0), student.features, expected)


def test_one_section_alone_is_its_part_of_the_sum() -> None:
    student, teacher = given(STUDENT, seed=1), given(TEACHER, seed=2)
    both = FSP(taps=SECTIONS)
    alone = [objective(distilled(replace(both, taps=(one,)), student, teacher)).item() for one in SECTIONS]
    assert objective(distilled(both, student, teacher)).item() == pytest.approx(sum(alone), rel=1e-12)


def test_stage_two_is_the_loss_on_the_labels() -> None:
    student, teacher = given(STUDENT, seed=1), given(TEACHER, seed=2)
    found = distilled(FSP(taps=SECTIONS), student, teacher)
    check(objective(found, phase=1), [student.logits], lambda z: eq.hard_term(z, LABELS).mean())
