"""What FSP trains in each stage, and which teachers fit; its values are checked in `tests/reference`."""

from __future__ import annotations

import copy

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from limbeck.core.distiller import Distiller
from limbeck.core.errors import MethodError
from limbeck.core.sections import Section
from limbeck.methods.fsp import FSP
from limbeck.tasks.classification import Classification
from little import changed, conv_net, image_batch, values
from little_vision import colour_batch, network
from stages import Counting, terms_at, train_stage

BETWEEN = (Section(student=("2", "5"), teacher=("2", "5")),)
"""From the first activation to the second."""
LOWER = (Section(student=("0", "2"), teacher=("0", "2")),)


def models() -> dict[str, nn.Module]:
    return {"student": conv_net(6), "teacher": conv_net(6, seed=5)}


def distiller(method: FSP, found: dict[str, nn.Module] | None = None, *, seed: int = 0) -> Distiller:
    return Distiller(method, Classification(), models() if found is None else found, image_batch(4), seed=seed)


@pytest.mark.parametrize(
    "wrong", [{"flow_share": 0}, {"flow_share": 1}, {"flow_rate": 0}, {"weight": 0}, {"taps": ()}, {"taps": "all"}]
)
def test_ranges(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FSP(**wrong)


def test_auto_is_settled_in_the_distiller_and_the_method_given_stays_open() -> None:
    method = FSP(weight=2.0)
    networks = {"student": network("resnet8"), "teacher": network("resnet14")}
    found = Distiller(method, Classification(), networks, colour_batch(2))
    ends = [(f"layer{stage}.0.relu1", f"layer{stage}") for stage in (1, 2, 3)]
    assert found.method == FSP(weight=2.0, taps=tuple(Section(student=e, teacher=e) for e in ends))
    assert method.taps == "auto"
    with pytest.raises(MethodError, match="auto is decided when a Distiller is made"):
        method.tapped()
    named = FSP(taps=BETWEEN)
    assert distiller(named).method is named


def test_the_stages_share_the_training_and_the_first_has_a_rate_of_its_own() -> None:
    found = distiller(FSP(flow_share=0.25, flow_rate=0.5))
    flow, task = found.method.plan()
    assert (flow.share, task.share) == (0.25, 0.75)
    assert [group["rate"] for group in found.param_groups(flow)] == [0.5]
    assert [group["rate"] for group in found.param_groups(task)] == [1.0]


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_stage_one_moves_the_student_up_to_its_last_section_and_no_bit_above(
    optimizer: type[torch.optim.Optimizer],
) -> None:
    for taps, lower in ((BETWEEN, ("0.", "1.", "3.", "4.")), (LOWER, ("0.", "1."))):
        found = distiller(FSP(taps=taps))
        before = values(found)
        train_stage(found, image_batch(), phase=0, optimizer=optimizer)
        below = {name for name in before if name.startswith(tuple(f"nets.student.model.{path}" for path in lower))}
        assert changed(before, found) == below


def test_stage_two_trains_the_whole_student_on_labels_and_never_runs_the_teacher() -> None:
    given = models()
    given["teacher"].insert(0, Counting())
    given["teacher"].insert(6, nn.Identity())
    taps = (Section(student=("2", "5"), teacher=("3", "7")),)
    found = distiller(FSP(taps=taps), given)
    counting = given["teacher"][0]
    counting.calls, before = 0, values(given["student"])
    assert set(terms_at(found, image_batch(), phase=1)) == {"task"}
    train_stage(found, image_batch(), phase=1, optimizer=torch.optim.SGD)
    assert changed(before, given["student"]) == set(before)
    assert (counting.calls, found["teacher"].calls) == (0, 0)
    assert set(terms_at(found, image_batch(), phase=0)) == {"flow"}
    assert counting.calls == 1


def test_in_stage_one_neither_network_runs_above_its_last_section() -> None:
    given = models()
    for model in given.values():
        model.insert(6, Counting())
    found = distiller(FSP(taps=BETWEEN), given)
    for model in given.values():
        model[6].calls = 0
    terms_at(found, image_batch())
    assert [model[6].calls for model in given.values()] == [0, 0]


def test_it_is_zero_when_the_student_is_the_teacher() -> None:
    same = {role: conv_net(6, batch_norm=False) for role in ("student", "teacher")}
    assert terms_at(distiller(FSP(), same), image_batch())["flow"].item() == 0.0


def test_unequal_numbers_of_channels_name_both_shapes_and_all_four_layers() -> None:
    given = models() | {"teacher": conv_net(8)}
    taps = (Section(student=("2", "5"), teacher=("0", "3")),)
    message = r"flow of section 1 is 6×6 in the student \(2 to 5\) and 8×8 in the teacher \(0 to 3\).*`hint`"
    with pytest.raises(MethodError, match=message):
        distiller(FSP(taps=taps), given)


def test_the_section_that_does_not_fit_is_counted() -> None:
    networks = {"student": network("resnet8"), "teacher": network("resnet", depth=8, widths=[16, 16, 32, 48])}
    with pytest.raises(MethodError, match=r"flow of section 3 is 64×64 in the student .* and 48×48 in the teacher"):
        Distiller(FSP(), Classification(), networks, colour_batch(2))


def test_maps_of_student_and_teacher_may_differ_in_size() -> None:
    given = models()
    given["teacher"][0].stride = (1, 1)
    found = distiller(FSP(taps=BETWEEN), given)
    terms_at(found, image_batch())["flow"].backward()
    assert given["student"][0].weight.grad.any()


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_sections_from_deep_to_shallow_are_refused(role: str) -> None:
    ends = {"student": ("2", "5"), "teacher": ("2", "5")} | {role: ("0", "2")}
    message = "expected layers from shallow to deep, but '2', the last one, comes before '5'"
    with pytest.raises(MethodError, match=message):
        distiller(FSP(taps=(*BETWEEN, Section(**ends))))


def test_a_layer_without_a_map_is_named() -> None:
    given = {"student": conv_net(8), "teacher": conv_net(8, seed=5)}
    given["teacher"].insert(6, nn.Flatten(2))
    given["teacher"][7] = nn.AdaptiveAvgPool1d(1)
    distiller(FSP(taps=BETWEEN), given)
    taps = (Section(student=("2", "5"), teacher=("2", "6")),)
    with pytest.raises(MethodError, match=r"tap '6' of the teacher: features of shape \(4, 8, 4\) of an image of 8×8"):
        distiller(FSP(taps=taps), given)


def test_shuffling_draws_from_the_seed_of_the_distiller() -> None:
    method = FSP(taps=BETWEEN, shuffle=True)
    same, again, other = distiller(method), distiller(method), distiller(method, seed=1)
    orders = [tuple(found.adapters["orders"].order("2").tolist()) for found in (same, again, other)]
    assert orders[0] == orders[1] != orders[2]
    losses = [terms_at(found, image_batch())["flow"].item() for found in (same, again, other)]
    assert losses[0] == losses[1] != losses[2]
    assert list(distiller(FSP(taps=BETWEEN)).adapters) == []


def test_shuffling_is_another_teacher_with_the_same_answers() -> None:
    given, batch = models(), image_batch()
    shuffled = distiller(FSP(taps=BETWEEN, shuffle=True), given)
    first, second = (shuffled.adapters["orders"].order(tap) for tap in ("2", "5"))
    loss = terms_at(shuffled, batch)["flow"]
    assert abs(loss - terms_at(distiller(FSP(taps=BETWEEN), models()), batch)["flow"]) > 1e-4
    # The same order put into the weights of the teacher: each layer's outputs, and the inputs of the layer above it.
    moved = copy.deepcopy(given["teacher"]).eval()
    with torch.no_grad():
        for layer, order in ((0, first), (1, first), (3, second), (4, second)):
            for name, tensor in moved[layer].state_dict().items():
                if name != "num_batches_tracked":
                    tensor.copy_(tensor[order])
        moved[3].weight.copy_(moved[3].weight[:, first])
        moved[9].weight.copy_(moved[9].weight[:, second])
    torch.testing.assert_close(moved(batch[0]), given["teacher"](batch[0]))
    equivalent = distiller(FSP(taps=BETWEEN), models() | {"teacher": moved})
    torch.testing.assert_close(terms_at(equivalent, batch)["flow"], loss)


def test_orders_are_in_checkpoints_and_not_in_what_is_delivered() -> None:
    method, given = FSP(taps=BETWEEN, shuffle=True), models()
    found, other = distiller(method, given), distiller(method, seed=1)
    assert found.deliver() is given["student"]
    assert set(found.deliver().state_dict()) == set(conv_net(6).state_dict())
    other.load_state(found.state())
    assert torch.equal(other.adapters["orders"].order("2"), found.adapters["orders"].order("2"))


def test_a_flow_lies_between_two_layers() -> None:
    with pytest.raises(MethodError, match=r"section 1 begins and ends at '2' of the teacher"):
        distiller(FSP(taps=(Section(student=("2", "5"), teacher=("2", "2")),)))
