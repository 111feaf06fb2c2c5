"""Several networks answer as one, at the temperature at which they teach."""

from __future__ import annotations

import pytest
import torch

from limbeck.adapters.ensemble import Ensemble
from limbeck.core.distiller import Distiller
from limbeck.methods.kd import KD
from limbeck.tasks.classification import Classification
from little import conv_net, image_batch


def members() -> list[torch.nn.Module]:
    networks = [conv_net(seed=seed).eval() for seed in range(3)]
    for network in networks:
        network[9].weight.data *= 20  # confident enough for the two means to differ
    return networks


@pytest.mark.parametrize("temperature", [1.0, 5.0])
def test_the_arithmetic_mean_is_that_of_the_softened_distributions(temperature: float) -> None:
    images, networks = image_batch()[0], members()
    found = Ensemble(networks, temperature=temperature)(images)
    expected = sum(torch.softmax(network(images) / temperature, -1) for network in networks) / 3
    torch.testing.assert_close(torch.softmax(found / temperature, -1), expected)


def test_the_geometric_mean_is_the_mean_of_the_logits() -> None:
    images, networks = image_batch()[0], members()
    found = Ensemble(networks, mean="geometric")(images)
    torch.testing.assert_close(found, sum(network(images) for network in networks) / 3)
    assert (found.softmax(-1) - Ensemble(networks)(images).softmax(-1)).abs().max() > 1e-3


def test_at_another_temperature_the_members_are_the_same_objects() -> None:
    ensemble = Ensemble(members(), mean="geometric")
    other = ensemble.at(3.0)
    assert (other.temperature, other.mean) == (3.0, "geometric")
    assert [a is b for a, b in zip(ensemble.members, other.members, strict=True)] == [True] * 3
    assert ensemble.temperature == 1.0


def test_as_a_teacher_it_is_averaged_at_the_methods_temperature() -> None:
    batch, networks = image_batch(), members()
    student = conv_net(seed=9)
    models = {"student": student, "teacher": Ensemble(networks, temperature=1.0)}
    found = Distiller(KD(temperature=5.0, hard_weight=0), Classification(), models, batch)
    mean = sum(torch.softmax(network(batch[0]) / 5, -1) for network in networks) / 3
    log_q = torch.log_softmax(student.train()(batch[0]) / 5, -1)
    expected = 25 * (mean * (mean.log() - log_q)).sum(-1).mean()
    torch.testing.assert_close(found(batch)["kd"], expected)
