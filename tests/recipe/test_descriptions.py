"""Delivered networks are built again from what `network.json` says of them."""

from __future__ import annotations

import json
from copy import deepcopy

import pytest
import torch
from torch import nn

from limbeck.adapters.ensemble import Ensemble
from limbeck.core.errors import MethodError, ModelError
from limbeck.data.dataset import Dataset
from limbeck.data.digits import Digits
from limbeck.recipe.descriptions import Description, Descriptions, bridged, rebuild


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return Digits().load()


def described(hidden: int, dataset: Dataset) -> Description:
    return {
        "name": "mlp",
        "arguments": {"hidden": [hidden]},
        "count": 10,
        "classes": list(dataset.classes),
        "mean": [0.3],
        "std": [0.4],
        "channels": 1,
        "height": 8,
        "width": 8,
    }


@pytest.fixture
def given(digits: Dataset) -> dict[str, tuple[nn.Module, Description]]:
    kinds = {"student": described(6, digits), "peer": described(9, digits)}
    return {role: (bridged(rebuild(one), one), one) for role, one in kinds.items()}


def test_a_given_network_and_one_like_it_have_its_description(
    given: dict[str, tuple[nn.Module, Description]], digits: Dataset
) -> None:
    known = Descriptions(given, digits)
    for role, (network, description) in given.items():
        assert known.of(network) == known.of(network.network) == {**description, "role": role}
        assert known.of(deepcopy(network)) == description


def test_another_network_is_refused(given: dict[str, tuple[nn.Module, Description]], digits: Dataset) -> None:
    with pytest.raises(MethodError, match=r"deliver\(\) gave a Linear, which could not be built again"):
        Descriptions(given, digits).of(nn.Linear(64, 10))


def test_an_ensemble_survives_being_written_and_read(
    given: dict[str, tuple[nn.Module, Description]], digits: Dataset
) -> None:
    ensemble = Ensemble([network for network, _ in given.values()], mean="geometric").eval()
    found = json.loads(json.dumps(Descriptions(given, digits).of(ensemble)))
    assert found["name"] == "Ensemble of mlp"
    again = rebuild(found).eval()
    again.load_state_dict(ensemble.state_dict())
    images = torch.rand(4, 1, 8, 8)
    torch.testing.assert_close(again(images), ensemble(images), rtol=0, atol=0)


def test_a_description_names_nothing_but_assembled_networks(digits: Dataset) -> None:
    base = {**described(6, digits), "facts": {}, "parts": {}}
    with pytest.raises(ModelError, match=r"assembled by torch\.nn:Linear, which assembles no networks"):
        rebuild({**base, "assembled": "torch.nn:Linear"})
    with pytest.raises(ModelError, match="assembled by no_such:Thing, which is not there"):
        rebuild({**base, "assembled": "no_such:Thing"})
