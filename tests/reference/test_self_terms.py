"""Terms of `born_again`, `dml` and `one` equal the papers' equations, value and gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from limbeck.core.distiller import Distiller
from limbeck.core.method import Method
from limbeck.losses.divergence import with_others_permuted
from limbeck.methods.born_again import BornAgain
from limbeck.methods.dml import DML
from limbeck.methods.one import ONE
from limbeck.tasks.classification import Classification
from reference import self_equations as eq
from reference.given import CLASSES, LABELS, Given, batch, check, distilled, given, objective


def pair() -> tuple[Given, Given]:
    return given((), seed=1), given((), seed=2)


def test_born_again_learns_from_the_teacher_s_distribution_alone() -> None:
    student, teacher = pair()
    v = teacher.logits.detach().numpy()
    check(objective(distilled(BornAgain(), student, teacher)), [student.logits], lambda z: eq.born_again(z, v))


def test_ban_l_adds_the_label_term() -> None:
    student, teacher = pair()
    v = teacher.logits.detach().numpy()
    total = objective(distilled(BornAgain(variant="ban+l"), student, teacher))
    check(total, [student.logits], lambda z: eq.born_again(z, v) + eq.label_losses(z, LABELS).mean())


def test_cwtm_weighs_label_losses_by_confidence_normalised_over_the_batch() -> None:
    student, teacher = pair()
    v = teacher.logits.detach().numpy()
    total = objective(distilled(BornAgain(variant="cwtm"), student, teacher))
    check(total, [student.logits], lambda z: eq.weighted_by_confidence(z, v, LABELS))


def test_dkpp_is_born_again_with_the_other_classes_permuted() -> None:
    student, teacher = pair()
    found = distilled(BornAgain(variant="dkpp"), student, teacher)
    torch.manual_seed(5)
    total = objective(found)
    torch.manual_seed(5)
    permuted = with_others_permuted(teacher.logits.detach()).numpy()
    assert not np.allclose(permuted, teacher.logits.detach().numpy())
    check(total, [student.logits], lambda z: eq.born_again(z, permuted))


def peers(method: Method, count: int) -> tuple[Distiller, list[Given]]:
    networks = [given((), seed=seed) for seed in range(count)]
    roles = dict(zip(method.roles(), networks, strict=True))
    return Distiller(method, Classification(), roles, batch()).double(), networks


@pytest.mark.parametrize(("target", "equation"), [("each", eq.mutual), ("mean", eq.mutual_with_mean)])
def test_mutual_learning_of_three_at_once_with_peers_held_fixed(target: str, equation: object) -> None:
    found, networks = peers(DML(peers=3, updates="simultaneous", target=target), 3)
    fixed = [network.logits.detach().numpy().copy() for network in networks]

    def expected(*z: np.ndarray) -> float:
        return sum(equation(own, fixed[:k] + fixed[k + 1 :], LABELS) for k, own in enumerate(z))

    check(objective(found), [network.logits for network in networks], expected)
    assert found.observed["peer1/entropy"].item() == pytest.approx(eq.entropy(fixed[1]), rel=1e-12)


def test_a_sequential_turn_has_the_terms_of_its_network_alone() -> None:
    found, networks = peers(DML(), 2)
    for at, own, name in zip(found.turns(0, 4), (0, 1), ("", "peer1/"), strict=True):
        terms = found(batch(), at)
        assert list(terms) == [f"{name}task", f"{name}kl"]
        other = networks[1 - own].logits.detach().numpy().copy()
        total = torch.stack(list(terms.values())).sum()
        check(total, [networks[own].logits], lambda z, other=other: eq.mutual(z, [other], LABELS))


@pytest.mark.parametrize("ramp", [None, 8.0])
def test_a_native_ensemble_teaches_its_branches_through_its_gate(ramp: float | None) -> None:
    torch.manual_seed(3)
    network = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, CLASSES)).double()
    images, labels = torch.randn(len(LABELS), 3, dtype=torch.float64), torch.from_numpy(LABELS)
    method = ONE(at="1", branches=3, temperature=3.0, ramp=ramp)
    found = Distiller(method, Classification(), {"student": network}, (images, labels)).double().train()
    trunk, tails = found["student"].model[0], found["student"].model[1].copies
    gate = found.adapters["gate"]
    weights = [trunk.weight, *(tail.weight for tail in tails), gate.linear.weight]
    x, biases = images.numpy(), [layer.bias.detach().numpy() for layer in (trunk, *tails, gate.linear)]

    def forward(first: np.ndarray, *rest: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        feature = x @ first.T + biases[0]
        branches = [feature @ w.T + b for w, b in zip(rest[:3], biases[1:4], strict=True)]
        return branches, eq.gate(feature, rest[3], biases[4])

    target = eq.joined(*forward(*(w.detach().numpy().copy() for w in weights)))
    share = 1.0 if ramp is None else np.exp(-5 * (1 - 2.0 / ramp) ** 2)

    def expected(*arrays: np.ndarray) -> float:
        return eq.native_ensemble(*forward(*arrays), target, LABELS, temperature=3.0, ramp=share)

    (at,) = found.turns(0, 4, epoch=2.0)
    terms = found((images, labels), at)
    assert list(terms) == ["task", "ensemble", "one"]
    check(torch.stack(list(terms.values())).sum(), weights, expected)
