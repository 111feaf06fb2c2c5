"""What hints ask for, train and leave behind; their values are checked in `tests/reference`."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from limbeck.core.distiller import Distiller
from limbeck.core.errors import MethodError
from limbeck.core.method import Method
from limbeck.core.pairs import Pair
from limbeck.methods.attention_transfer import AttentionTransfer
from limbeck.methods.compose import Compose
from limbeck.methods.hint import Hint
from limbeck.methods.kd import KD
from limbeck.tasks.classification import Classification
from little import changed, conv_net, image_batch, steps_by_hand, values
from little_vision import colour_batch, network, vit
from stages import Counting, train_stage

BOTH = (Pair(student="2", teacher="2"), Pair(student="5", teacher="5"))


def models() -> dict[str, nn.Module]:
    return {"student": conv_net(4), "teacher": conv_net(6, seed=5)}


def distiller(method: Method, found: dict[str, nn.Module] | None = None) -> Distiller:
    return Distiller(method, Classification(), models() if found is None else found, image_batch(4))


@pytest.mark.parametrize(
    "wrong", [{"weight": 0}, {"hard_weight": -1}, {"activation": "gelu"}, {"taps": "all"}, {"taps": ()}]
)
def test_ranges(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Hint(**wrong)


def test_auto_is_settled_in_the_distiller_and_the_method_given_stays_open() -> None:
    method = Hint(weight=3.0)
    found = distiller(method)
    assert found.method == Hint(taps=BOTH, weight=3.0)
    assert method.taps == "auto"
    named = Hint(taps=BOTH[:1])
    assert distiller(named).method is named


def test_each_pair_has_a_regressor_with_the_non_linearity_of_its_teachers_layer() -> None:
    taps = (Pair(student="2", teacher="1"), Pair(student="2", teacher="2"), Pair(student="0", teacher="5"))
    found = distiller(Hint(taps=taps))
    assert [type(regressor.activation) for regressor in found.adapters.values()] == [nn.Identity, nn.ReLU, nn.ReLU]
    assert [tuple(r.convolution.weight.shape) for r in found.adapters.values()] == [(6, 4, 1, 1)] * 3
    asked = distiller(Hint(taps=taps, activation="none"))
    assert [type(regressor.activation) for regressor in asked.adapters.values()] == [nn.Identity] * 3


def test_student_and_regressors_learn_and_the_teacher_does_not() -> None:
    found = distiller(Hint())
    before = values(found)
    train_stage(found, image_batch(), phase=0, optimizer=torch.optim.SGD)
    moved = {name for name in changed(before, found) if not name.startswith("nets.student.")}
    assert moved == {f"adapters.{name}" for name, _ in found.adapters.named_parameters()}
    assert len(moved) == 4


def test_a_student_learns_to_guess_the_features() -> None:
    found, batch = distiller(Hint(taps=BOTH, weight=1.0, hard_weight=0)), image_batch()
    log = steps_by_hand(found, [batch], 60, lr=0.1)
    assert set(log[0]) == {"hint"}
    assert log[-1]["hint"] < 0.3 * log[0]["hint"]


def test_the_teacher_stops_at_its_last_hint_and_the_student_runs_to_its_end() -> None:
    given = models()
    for model in given.values():
        model.insert(6, Counting())
    found = distiller(Hint(taps=BOTH), given)
    student, teacher = given["student"][6], given["teacher"][6]
    student.calls = teacher.calls = 0
    found(image_batch())
    assert (student.calls, teacher.calls) == (1, 0)


def test_pairs_from_deep_to_shallow_are_refused() -> None:
    message = "expected layers from shallow to deep, but '2', the last one, comes before '5'"
    with pytest.raises(MethodError, match=message):
        distiller(Hint(taps=BOTH[::-1]))
    crossed = (Pair(student="5", teacher="2"), Pair(student="2", teacher="5"))
    distiller(Hint(taps=crossed))  # only the teacher stops early


def test_a_layer_without_a_map_is_named() -> None:
    given = models()
    given["teacher"] = nn.Sequential(nn.Flatten(2), nn.Conv1d(1, 7, 1), nn.Flatten(), nn.Linear(7 * 64, 3))
    with pytest.raises(MethodError, match=r"tap '1' of the teacher: features of shape \(4, 7, 64\) of an image"):
        distiller(Hint(taps=(Pair(student="2", teacher="1"),)), given)


@pytest.mark.parametrize("student", ["cnn", "vit"])
def test_maps_learn_from_tokens_and_tokens_from_maps(student: str) -> None:
    networks = {"cnn": network("cnn", width=4), "vit": vit()}
    models = {"student": networks.pop(student), "teacher": networks.popitem()[1]}
    batch = colour_batch()
    found = Distiller(Hint(hard_weight=0), Classification(), models, batch)
    stages, blocks = [f"layer{n}" for n in (1, 2, 3)], [f"blocks.{n}" for n in (0, 1, 2)]
    taps = zip(stages, blocks, strict=True) if student == "cnn" else zip(blocks, stages, strict=True)
    assert [(pair.student, pair.teacher) for pair in found.method.pairs] == list(taps)
    found(batch)["hint"].backward()
    assert all(regressor.convolution.weight.grad.any() for regressor in found.adapters.values())
    for pair in found.method.pairs:
        module = found["student"].at(pair.student)
        assert any(parameter.grad is not None and parameter.grad.any() for parameter in module.parameters())


def test_regressors_are_left_behind() -> None:
    given = models()
    names = set(given["student"].state_dict())
    found = distiller(Hint(), given)
    assert found.deliver() is given["student"]
    assert set(found.deliver().state_dict()) == names
    assert {name.partition(".")[0] for name in found.state()} == {"nets", "adapters"}


def test_with_soft_targets_and_attention_each_network_runs_once_and_each_term_is_that_of_its_method_alone() -> None:
    members = (KD(temperature=3.0, hard_weight=0), Hint(weight=2.0), AttentionTransfer(weight=10.0))
    found, batch = distiller(Compose(methods=members)), image_batch()
    terms = found(batch)
    assert {role: found[role].calls for role in found.nets} == {"student": 1, "teacher": 1}
    assert [method.taps for method in found.method.methods[1:]] == [BOTH, BOTH]
    alone = {"task": distiller(Hint())(batch)["task"], "kd/kd": distiller(members[0])(batch)["kd"]}
    alone["attention_transfer/attention"] = distiller(members[2])(batch)["attention"]
    by_itself = distiller(members[1])
    by_itself.adapters.load_state_dict(found.adapters["hint"].state_dict())
    alone["hint/hint"] = by_itself(batch)["hint"]
    assert set(terms) == set(alone)
    torch.testing.assert_close(terms, alone)
