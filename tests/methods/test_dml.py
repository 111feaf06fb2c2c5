"""Mutual learning: who is trained when, what is delivered; its values are checked in `tests/reference`."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from limbeck.adapters.ensemble import Ensemble
from limbeck.core.distiller import Distiller
from limbeck.core.errors import MethodError
from limbeck.methods.dml import DML
from limbeck.tasks.classification import Classification
from limbeck.train.batches import Cycle
from limbeck.train.fit import fit
from limbeck.train.settings import AdamW, Train
from little import conv_net, image_batch, values


def distiller(method: DML, **arguments: object) -> tuple[Distiller, dict[str, nn.Module]]:
    models = {role: conv_net(seed=seed, **arguments) for seed, role in enumerate(method.roles())}
    return Distiller(method, Classification(), models, image_batch()).train(), models


def test_there_are_at_least_two_and_peers_are_like_the_student() -> None:
    with pytest.raises(ValidationError):
        DML(peers=1)
    assert list(DML(peers=4).roles()) == ["student", "peer1", "peer2", "peer3"]
    assert DML(peers=3).alike() == {"peer1": "student", "peer2": "student"}


def test_one_turn_for_all_or_one_each() -> None:
    assert [turn.trains for turn in DML(peers=3).plan()[0].turns] == [("student",), ("peer1",), ("peer2",)]
    (turn,) = DML(peers=3, updates="simultaneous").plan()[0].turns
    assert turn.trains == ("student", "peer1", "peer2")


def test_the_second_network_sees_the_first_one_after_its_update() -> None:
    found, _ = distiller(DML(), batch_norm=False)
    seen = []
    for at in found.turns(0, 1):
        terms = found(image_batch(), at)
        seen.append({name: float(value.detach()) for name, value in terms.items()})
        sum(terms.values()).backward()
        torch.optim.SGD(found.parameters_of(at.turn.trains[0]), lr=0.5).step()
        found.zero_grad()
    once, _ = distiller(DML(updates="simultaneous"), batch_norm=False)
    together = once(image_batch())
    assert seen[0]["kl"] == pytest.approx(float(together["kl"].detach()))
    assert seen[1]["peer1/task"] == pytest.approx(float(together["peer1/task"].detach()))
    assert abs(seen[1]["peer1/kl"] - float(together["peer1/kl"].detach())) > 1e-3


def test_a_peer_that_answers_keeps_its_running_statistics() -> None:
    found, models = distiller(DML())
    at = next(found.turns(0, 1))
    before = {role: values(model) for role, model in models.items()}
    found(image_batch(), at)
    assert not torch.equal(models["student"][1].running_mean, before["student"]["1.running_mean"])
    assert torch.equal(models["peer1"][1].running_mean, before["peer1"]["1.running_mean"])


def test_equal_networks_have_no_divergence() -> None:
    method = DML(updates="simultaneous")
    models = {role: conv_net(seed=seed, batch_norm=False) for seed, role in enumerate(method.roles())}
    found = Distiller(method, Classification(), models, image_batch())
    models["peer1"].load_state_dict(models["student"].state_dict())
    terms = found(image_batch())
    assert terms["kl"].item() == terms["peer1/kl"].item() == 0.0


def test_the_best_network_by_validation_is_delivered() -> None:
    found, models = distiller(DML(peers=3))
    with torch.no_grad():
        for number, model in enumerate(models.values()):
            model[9].bias[number] += 100.0  # always answers its own number
    images, labels, ids = image_batch()
    held_out = [(images, torch.full_like(labels, 2), ids)]
    assert DML().uses_validation()
    assert found.deliver((), held_out) is models["peer2"]
    told = {name: value.item() for name, value in found.observed.items() if "accuracy" in name}
    assert told == {"student/validation/accuracy": 0, "peer1/validation/accuracy": 0, "peer2/validation/accuracy": 1}
    assert found.deliver() is models["student"]
    with pytest.raises(MethodError, match="DML delivers the best peer by validation, and there is no validation split"):
        found.deliver([image_batch()], [])


def test_every_network_on_the_validation_split_is_in_the_metrics_of_a_training(tmp_path: Path) -> None:
    found, _ = distiller(DML(peers=3))
    train = Train(length="4 steps", optimizer=AdamW(lr=0.01), evaluate="2 steps", log="1 steps")
    fit(found, Cycle([image_batch()]), train, folder=tmp_path, validation=[image_batch(seed=2)], progress=False)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    looks = [line for line in lines if "validation" in line]
    assert [line["step"] for line in looks] == [2, 4]
    for line in looks:
        each = [line["observed"][f"{role}/validation/accuracy"] for role in ("student", "peer1", "peer2")]
        assert line["validation"]["accuracy"] == pytest.approx(max(each))
    assert all("student/validation/accuracy" not in line["observed"] for line in lines if "terms" in line)


def test_peers_that_could_not_teach_each_other_are_refused() -> None:
    network = conv_net()
    for peer, problem in ((network, "share parameters"), (copy.deepcopy(network), "begin with equal weights")):
        with pytest.raises(MethodError, match=f"DML: 'student' and 'peer1' {problem}"):
            Distiller(DML(), Classification(), {"student": network, "peer1": peer}, image_batch())


def test_peers_of_different_answers_are_refused_before_the_first_step() -> None:
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 7))
    with pytest.raises(MethodError, match=r"must answer in one shape.*: student \[3\], peer1 \[7\]"):
        Distiller(DML(), Classification(), {"student": conv_net(), "peer1": other}, image_batch())


def test_all_together_are_an_ensemble() -> None:
    method = DML(delivers="ensemble")
    assert not method.uses_validation()
    found, models = distiller(method)
    delivered = found.eval().deliver()
    assert isinstance(delivered, Ensemble)
    images = image_batch()[0]
    mean = sum(model(images).softmax(-1) for model in models.values()) / 2
    torch.testing.assert_close(delivered(images).softmax(-1), mean)
