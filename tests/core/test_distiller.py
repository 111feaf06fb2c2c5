"""All state in one module: what it refuses, what it trains, what it saves."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from contract.methods import Critic, Hint, Momentum, Peers, Ragged, Staged
from limbeck.adapters.exit_head import ExitHead
from limbeck.adapters.exits import Exits
from limbeck.core.bridge import Bridge
from limbeck.core.distiller import Distiller
from limbeck.core.errors import MethodError, TapError
from limbeck.core.method import Method
from limbeck.core.net import Kind, digest
from limbeck.core.pairs import Pair
from limbeck.core.plan import Stage, Turn
from limbeck.core.settings import settings
from limbeck.core.task import CanSample
from limbeck.methods.as_is import AsIs
from limbeck.methods.byot import BYOT
from limbeck.methods.dml import DML
from limbeck.methods.fsp import FSP
from limbeck.methods.kd import KD
from limbeck.methods.netaug import NetAug
from limbeck.methods.one import ONE
from limbeck.methods.similarity_preserving import SimilarityPreserving
from limbeck.tasks.classification import Classification
from little import CLASSES, changed, conv_net, image_batch, steps_by_hand, values


def pair(**arguments: object) -> dict[str, nn.Module]:
    return {"student": conv_net(4, **arguments), "teacher": conv_net(6, seed=5, **arguments)}


def distiller(method: Method, models: dict[str, nn.Module] | None = None, **arguments: int) -> Distiller:
    return Distiller(method, Classification(), pair() if models is None else models, image_batch(4), **arguments)


def trainable(found: Distiller) -> set[str]:
    return {name for name, parameter in found.named_parameters() if parameter.requires_grad}


def under(found: Distiller, *prefixes: str) -> set[str]:
    return {name for name, _ in found.named_parameters() if name.startswith(prefixes)}


@settings
class Plan(Hint):
    """`Hint` with the plan that a test wants."""

    trains: tuple[dict[str, float], ...]

    def plan(self) -> tuple[Stage, ...]:
        return (Stage("mine", tuple(Turn("terms", rates) for rates in self.trains)),)


def test_a_capability_that_the_task_lacks_is_an_error() -> None:
    @settings
    class Samples(KD):
        needs = (CanSample,)

    with pytest.raises(MethodError, match="Samples needs a task with CanSample; Classification has no such"):
        distiller(Samples())


def test_a_role_without_a_network_and_a_network_without_a_role_are_errors() -> None:
    with pytest.raises(MethodError, match="KD needs a network for the role 'teacher'; given: student"):
        distiller(KD(), {"student": conv_net()})
    with pytest.raises(MethodError, match="KD has no role 'teecher'; close: teacher"):
        distiller(KD(), {**pair(), "teecher": conv_net()})
    with pytest.raises(MethodError, match="no role 'tutor'"):
        distiller(KD())["tutor"]


def test_a_wrong_tap_and_a_tap_that_is_overwritten_are_found_before_training() -> None:
    with pytest.raises(TapError, match="'nowhere' is not a module"):
        distiller(Hint(at="nowhere"))
    models = pair()
    models["teacher"][2] = nn.ReLU(inplace=True)
    distiller(Hint(at="2"), models)
    with pytest.raises(TapError, match=r"tap '1'.*in place"):
        distiller(Hint(at="1"), {"student": conv_net(), "teacher": models["teacher"]})


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("student.nine", r"'student.nine', which has no parameters; "),
        ("teacher", "the role 'teacher' is frozen"),
        ("tutor", "no role 'tutor'"),
        ("adapters.regresor", "close: regressor"),
    ],
)
def test_a_path_in_the_plan_that_names_nothing_is_an_error(path: str, message: str) -> None:
    with pytest.raises(MethodError, match=message):
        distiller(Plan(trains=({path: 1.0},)))


def test_building_changes_nothing_in_the_networks() -> None:
    models = pair()
    before = {role: digest(model) for role, model in models.items()}
    found = distiller(Hint(), models)
    assert {role: digest(model) for role, model in models.items()} == before
    assert [found[role].calls for role in models] == [0, 0]


def test_adapters_have_probed_shapes_and_are_seeded_apart_from_the_global_generator() -> None:
    first, second, other = distiller(Hint()), distiller(Hint()), distiller(Hint(), seed=1)
    assert tuple(first.adapters["regressor"].weight.shape) == (6, 4, 1, 1)
    assert digest(first.adapters) == digest(second.adapters)
    assert digest(first.adapters) != digest(other.adapters)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    distiller(Hint())
    assert torch.equal(torch.rand(3), expected)


def test_all_that_any_turn_trains_is_open_after_building() -> None:
    found = distiller(Critic(joint=False))
    assert trainable(found) == under(found, "nets.student", "adapters.critic")


def test_a_turn_opens_exactly_what_it_trains_and_makes_the_other_networks_guests() -> None:
    found = distiller(Critic(joint=False))
    turns = found.turns(0, 1)
    next(turns)
    assert trainable(found) == under(found, "nets.student")
    assert not found["student"].guest
    next(turns)
    assert trainable(found) == under(found, "adapters.critic")
    assert found["student"].guest
    found.open_all()
    assert trainable(found) == under(found, "nets.student", "adapters.critic")


def test_a_network_that_is_trained_in_part_is_no_guest() -> None:
    found = distiller(Plan(trains=({"student.9": 1.0},)))
    assert not found["student"].guest
    assert trainable(found) == {"nets.student.model.9.weight", "nets.student.model.9.bias"}


def test_terms_do_not_need_a_position_when_there_is_one_turn() -> None:
    found = distiller(KD())
    assert set(found(image_batch())) == {"task", "kd"}
    assert found["student"]._memo == []


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (Critic(joint=False), r"has 2 turns: write `for at in distiller.turns"),
        (Staged(), r"has 2 stages, hint, kd: write `for phase, stage in enumerate\(distiller.method.plan"),
        (AsIs(), "AsIs trains nothing"),
    ],
)
def test_several_turns_or_none_cannot_be_called_without_a_position(method: Method, message: str) -> None:
    given = {"student": conv_net()} if isinstance(method, AsIs) else None
    with pytest.raises(MethodError, match=message):
        distiller(method, given)(image_batch())


@pytest.mark.parametrize(
    ("step", "steps", "phase", "message"),
    [
        (4, 4, 0, r"turns\(4, 4\): expected a step from 0 on that is less"),
        (0, 0, 0, r"turns\(0, 0\)"),
        (-1, 4, 0, r"turns\(-1, 4\)"),
        (0, 4, 2, "phase 2 of a plan of 2 stages, which are counted from 0"),
    ],
)
def test_a_position_outside_the_plan_is_refused(step: int, steps: int, phase: int, message: str) -> None:
    with pytest.raises(MethodError, match=message):
        next(distiller(Staged()).turns(step, steps, phase=phase))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("method", ["kd", KD])
def test_what_is_no_method_is_refused(method: object) -> None:
    with pytest.raises(MethodError, match=r"expected a method such as KD\(temperature=4\), got "):
        Distiller(method, Classification(), {"student": conv_net()}, image_batch())  # type: ignore[arg-type]


@pytest.mark.parametrize("method", [KD(), ONE(), NetAug(), DML(), BYOT(), FSP()])
def test_a_role_without_a_network_is_named_whatever_the_method_does_with_it(method: Method) -> None:
    name = type(method).__name__
    with pytest.raises(MethodError, match=f"{name} needs a network for the role 'student'; given: tutor"):
        Distiller(method, Classification(), {"tutor": conv_net()}, image_batch())


def test_the_memory_is_emptied_even_when_a_term_raises() -> None:
    found, (images, _, _) = distiller(KD()), image_batch()
    with pytest.raises((IndexError, RuntimeError)):
        found((images, torch.full((8,), 99)))
    assert [found[role]._memo for role in ("student", "teacher")] == [[], []]


def test_after_step_runs_once_after_the_last_turn_without_gradient() -> None:
    found = distiller(Momentum(), {"student": conv_net(batch_norm=False)}).train()
    copy, student = found["copy"].model, found["student"].model
    nn.init.zeros_(student[0].weight)
    before = copy[0].weight.clone()
    for _ in found.turns(0, 1):
        assert torch.equal(copy[0].weight, before)
    torch.testing.assert_close(copy[0].weight, 0.9 * before)
    assert not copy[0].weight.requires_grad


def test_the_generator_of_a_step_is_equal_in_every_turn_and_differs_between_steps() -> None:
    found = distiller(Ragged())

    def draws(step: int, seed: int) -> list[float]:
        return [at.rng.random() for at in found.turns(step, 9, seed=seed)]

    assert len(set(draws(3, 0))) == 1
    assert draws(3, 0) == draws(3, 0)
    assert draws(3, 0) != draws(4, 0)
    assert draws(3, 0) != draws(3, 1)


def test_a_position_says_where_training_is() -> None:
    (at,) = distiller(Staged()).turns(3, 12, phase=1, epoch=2.5)
    assert (at.stage, at.phase, at.step, at.fraction, at.epoch) == ("kd", 1, 3, 0.25, 2.5)


def test_the_longest_path_that_covers_a_parameter_sets_its_rate() -> None:
    found = distiller(Plan(trains=({"student": 1.0, "student.9": 0.5, "student.9.bias": 0.1, "adapters": 2.0},)))
    groups = {group["path"]: group for group in found.param_groups(found.method.plan()[0])}
    model = found["student"].model
    assert groups["student.9.bias"]["params"] == [model[9].bias]
    assert groups["student.9"]["params"] == [model[9].weight]
    assert {path: group["rate"] for path, group in groups.items()}["adapters"] == 2.0
    everything = [id(p) for group in groups.values() for p in group["params"]]
    assert len(everything) == len(set(everything)) == len(list(model.parameters())) + 2


def test_one_path_has_one_rate_in_a_stage() -> None:
    found = distiller(Plan(trains=({"student": 1.0}, {"student": 0.5})))
    with pytest.raises(MethodError, match=r"stage 'mine' trains 'student' at two rates: 1.0 and 0.5"):
        found.param_groups(found.method.plan()[0])


def test_a_tied_weight_is_found_under_all_its_names_and_once() -> None:
    student = conv_net()
    student[8].add_module("again", student[9])  # a second name for the last layer: the same weights
    found = distiller(Plan(trains=({"student.9": 1.0},)), {**pair(), "student": student})
    assert (
        found.parameters_of("student.8.again")
        == found.parameters_of("student.9")
        == [student[9].weight, student[9].bias]
    )
    assert len(found.parameters_of("student")) == len(list(student.parameters()))


def test_paths_look_through_a_bridge() -> None:
    models = {role: Bridge(model, mean=[0.5], std=[0.5]) for role, model in pair().items()}
    found = distiller(Plan(trains=({"student.9": 1.0},)), models)
    assert found.parameters_of("student.9.bias") == [models["student"].network[9].bias]


def test_the_state_holds_all_but_the_frozen_networks() -> None:
    found = distiller(Hint())
    assert {name.split(".")[1] for name in found.state()} == {"student", "regressor"}
    momentum = distiller(Momentum(), {"student": conv_net()})
    assert {name.split(".")[1] for name in momentum.state()} == {"student", "copy"}


def test_a_state_is_copied_back_into_place() -> None:
    first, second = distiller(Hint()), distiller(Hint(), seed=1)
    steps_by_hand(first, [image_batch()], 2)
    weight = second["student"].model[0].weight
    second.load_state(first.state())
    assert changed(values(first), second) == set()
    assert second["student"].model[0].weight is weight


def test_a_state_of_another_distiller_is_refused() -> None:
    found = distiller(Hint())
    with pytest.raises(MethodError, match=r"missing \['adapters.regressor.bias', .*unexpected \[\]"):
        found.load_state(distiller(KD()).state())
    with pytest.raises(MethodError, match=r"missing \[\], unexpected \['x'\]"):
        found.load_state({**found.state(), "x": torch.zeros(1)})


def test_the_method_chooses_what_is_delivered() -> None:
    models = pair()
    assert distiller(KD(), models).deliver() is models["student"]
    assert isinstance(distiller(Ragged()).deliver(), nn.Sequential)


def test_after_close_the_networks_are_the_users_own_again() -> None:
    models = pair()
    models["teacher"].train()
    found = distiller(Hint(), models)
    assert not models["teacher"].training
    found.close()
    assert models["teacher"].training
    assert all(parameter.requires_grad for parameter in models["teacher"].parameters())
    assert not any(module._forward_hooks for model in models.values() for module in model.modules())


@pytest.mark.parametrize(
    "taps",
    [
        (Pair(student="5", teacher="5"), Pair(student="2", teacher="2")),  # from deep to shallow
        (Pair(student="2", teacher="nowhere"),),
        (Pair(student="nowhere", teacher="2"),),
    ],
)
def test_what_cannot_be_built_leaves_the_networks_as_they_came(taps: tuple[Pair, ...]) -> None:
    models = pair()
    models["teacher"].train()
    with pytest.raises((MethodError, TapError)):
        distiller(SimilarityPreserving(taps=taps), models)
    assert models["teacher"].training
    assert all(parameter.requires_grad for model in models.values() for parameter in model.parameters())
    assert not any(module._forward_hooks for model in models.values() for module in model.modules())


def test_gather_is_the_identity_on_one_process() -> None:
    tensor = torch.ones(2)
    assert distiller(KD()).gather(tensor) is tensor


def test_teaching_by_oneself_in_two_roles_over_shared_weights() -> None:
    student = conv_net()
    found = distiller(Peers(peers=2, simultaneous=True), {"student": student, "peer1": nn.Sequential(student)})
    (group,) = found.param_groups(found.method.plan()[0])
    assert len(group["params"]) == len(list(student.parameters()))
    sum(found(image_batch()).values()).backward()
    assert student[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", [Kind.FROZEN, Kind.MOMENTUM])
def test_a_role_that_is_not_trained_shares_no_parameter_with_one_that_is(kind: Kind) -> None:
    class Pair(Method):
        def roles(self) -> dict[str, Kind]:
            return {"student": Kind.TRAINED, "teacher": kind}

    shared = conv_net()
    with pytest.raises(MethodError, match=r"'teacher'.*'student'.*share parameters.*deepcopy"):
        Distiller(Pair(), Classification(), {"student": shared, "teacher": shared}, image_batch())


def test_a_tap_that_never_runs_is_named() -> None:
    class Partly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(4, 3), nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.used(x)

    method = SimilarityPreserving(taps=(Pair(student="unused", teacher="used"),))
    models = {"student": Partly(), "teacher": Partly()}
    with pytest.raises(TapError, match="'unused' is a module of the student, but does not run"):
        Distiller(method, Classification(), models, (torch.rand(2, 4), torch.zeros(2, dtype=torch.int64)))


@pytest.mark.parametrize(("method", "role", "what"), [(KD(), "student", "trained"), (Hint(), "teacher", "tapped")])
def test_a_network_that_samples_leave_early_is_neither_trained_nor_tapped(method: Method, role: str, what: str) -> None:
    networks = pair()
    networks[role] = early(networks[role])
    with pytest.raises(MethodError, match=f"'{role}' has early exits: .* so it cannot be {what}"):
        distiller(method, networks)


def test_a_network_that_samples_leave_early_can_teach_by_its_answers() -> None:
    networks = pair()
    plain = distiller(KD(), networks)
    expected = {name: term.item() for name, term in plain(image_batch(4)).items()}
    plain.close()
    found = distiller(KD(), networks | {"teacher": early(networks["teacher"])})
    terms = found(image_batch(4))
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected)  # its exits are closed
    found.close()


def early(network: nn.Module) -> Exits:
    """With one exit, which is closed."""
    width = network[0].out_channels
    return Exits(network, [ExitHead((width, 4, 4), (width, 2, 2), classes=CLASSES)], at=["2"])
