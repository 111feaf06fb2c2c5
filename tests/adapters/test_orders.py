"""Orders of channels are permutations, drawn once, and kept in checkpoints."""

from __future__ import annotations

import torch

from limbeck.adapters.orders import Orders

CHANNELS = {"layer1.0.relu": 16, "layer1": 16, "fc": 5}


def orders(seed: int) -> Orders:
    torch.manual_seed(seed)
    return Orders(CHANNELS)


def drawn(found: Orders) -> dict[str, list[int]]:
    return {layer: found.order(layer).tolist() for layer in CHANNELS}


def test_each_layer_has_a_permutation_of_its_own() -> None:
    found = drawn(orders(0))
    assert {layer: sorted(order) for layer, order in found.items()} == {
        layer: list(range(count)) for layer, count in CHANNELS.items()
    }
    assert found["layer1.0.relu"] != found["layer1"]
    assert found["layer1"] != sorted(found["layer1"])


def test_the_same_seed_draws_the_same_and_another_seed_another() -> None:
    assert drawn(orders(0)) == drawn(orders(0))
    assert drawn(orders(0)) != drawn(orders(1))


def test_they_survive_a_state_dict_and_are_not_trained() -> None:
    first, second = orders(0), orders(1)
    second.load_state_dict(first.state_dict())
    assert drawn(second) == drawn(first)
    assert len(first.state_dict()) == len(CHANNELS)
    assert list(first.parameters()) == []


def test_features_are_put_in_the_order_of_their_layer() -> None:
    found, features = orders(0), torch.randn(2, 16, 3, 3)
    for layer in ("layer1.0.relu", "layer1"):
        moved = found(layer, features)
        assert all(torch.equal(moved[:, new], features[:, old]) for new, old in enumerate(drawn(found)[layer]))
