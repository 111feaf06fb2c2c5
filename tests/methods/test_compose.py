"""Several methods at once cost one forward per network, and add one label term."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from contract.methods import Critic, Hint, Momentum, Peers, Staged
from limbeck.core.distiller import Distiller
from limbeck.core.errors import MethodError
from limbeck.core.method import Method
from limbeck.core.plan import Stage, Turn
from limbeck.core.settings import settings
from limbeck.core.task import HasRows
from limbeck.methods.compose import Compose
from limbeck.methods.dml import DML
from limbeck.methods.kd import KD
from limbeck.methods.supervised import Supervised
from limbeck.tasks.classification import Classification
from little import conv_net, image_batch, steps_by_hand


def models() -> dict[str, torch.nn.Module]:
    return {"student": conv_net(4), "teacher": conv_net(6, seed=5)}


def distiller(method: Method, found: dict[str, torch.nn.Module] | None = None) -> Distiller:
    return Distiller(method, Classification(), models() if found is None else found, image_batch(4))


@settings
class Slow(Hint):
    """Trains the student at a tenth of the rate, and its regressor's bias only."""

    def plan(self) -> tuple[Stage, ...]:
        return (Stage("slow", (Turn("terms", {"student": 0.1, "adapters.regressor.bias": 1.0}),)),)


@settings
class Watching(Hint):
    """Says which turn it sees."""

    def plan(self) -> tuple[Stage, ...]:
        return (Stage("own", (Turn("own_terms", ("student",)),)),)

    def own_terms(self, nets, batch, at):
        assert at.turn == Turn("own_terms", ("student",))
        return {"seen": nets["student"](batch).output.sum() * 0}


def test_peers_that_are_like_the_student_stay_so() -> None:
    assert Compose(methods=(DML(peers=3, updates="simultaneous"), KD())).alike() == {
        "peer1": "student",
        "peer2": "student",
    }


def test_each_network_runs_once_and_the_label_term_is_added_once() -> None:
    method = Compose(methods=(KD(temperature=3), Hint(), Hint(at="5"), Supervised()), task_weight=0.5)
    found, batch = distiller(method), image_batch()
    terms = found(batch)
    assert {role: found[role].calls for role in found.nets} == {"student": 1, "teacher": 1}
    assert set(terms) == {"task", "kd/kd", "methods/hint", "methods2/hint"}
    alone = distiller(Supervised(), {"student": conv_net(4)})(batch)
    torch.testing.assert_close(terms["task"], 0.5 * alone["task"])


def test_a_member_gives_what_it_gives_alone() -> None:
    batch = image_batch()
    alone = distiller(KD(temperature=3, hard_weight=0.2))(batch)
    terms = distiller(Compose(methods=(KD(temperature=3, hard_weight=0.2),), task_weight=0.2))(batch)
    torch.testing.assert_close(terms, {"task": alone["task"], "kd/kd": alone["kd"]})


def test_without_a_task_weight_there_is_no_label_term() -> None:
    assert set(distiller(Compose(methods=(KD(),), task_weight=0))(image_batch())) == {"kd/kd"}


def test_members_have_scopes_of_their_own() -> None:
    found = distiller(Compose(methods=(Hint(), KD(), Hint(at="5"))))
    assert set(found.method.members()) == {"methods", "kd", "methods2"}
    assert {name for name, _ in found.adapters.named_parameters()} == {
        f"{scope}.regressor.{name}" for scope in ("methods", "methods2") for name in ("weight", "bias")
    }
    before = {name: p.detach().clone() for name, p in found.adapters.named_parameters()}
    steps_by_hand(found, [image_batch()], 2)
    assert all(not torch.equal(before[name], p) for name, p in found.adapters.named_parameters())


def test_roles_taps_and_needs_are_united() -> None:
    method = Compose(methods=(KD(), Hint(), Hint(at="5"), Hint()))
    assert method.tapped() == {"student": ("2", "5"), "teacher": ("2", "5")}
    assert method.capabilities() == (HasRows,)
    assert set(Compose(methods=(KD(), Momentum())).roles()) == {"student", "teacher", "copy"}


def test_networks_and_after_step_of_every_member_are_called() -> None:
    found = distiller(Compose(methods=(KD(), Momentum())))
    before = found["copy"].model[0].weight.clone()
    steps_by_hand(found, [image_batch()], 1)
    assert not torch.equal(found["copy"].model[0].weight, before)


def test_a_member_trains_only_what_it_would_train_alone() -> None:
    found = distiller(Compose(methods=(KD(), Watching())))
    assert len(list(found.adapters.parameters())) == 2
    assert not any(parameter.requires_grad for parameter in found.adapters.parameters())


def test_a_member_sees_its_own_turn() -> None:
    assert "test_compose/seen" in distiller(Compose(methods=(KD(), Watching())))(image_batch())


def test_rates_are_kept_and_two_rates_for_one_path_are_refused() -> None:
    found = distiller(Compose(methods=(Slow(),)))
    groups = {group["path"]: group["rate"] for group in found.param_groups(found.method.plan()[0])}
    assert groups == {"student": 0.1, "adapters.test_compose.regressor.bias": 1.0}
    with pytest.raises(MethodError, match=r"test_compose trains 'student' at the rate 0\.1, another member at 1\.0"):
        distiller(Compose(methods=(KD(), Slow())))


@pytest.mark.parametrize("method", [Staged(), Critic(joint=False)])
def test_a_method_of_several_turns_cannot_be_composed(method: Method) -> None:
    with pytest.raises(MethodError, match="has 2 turns; only methods with one turn can be composed"):
        distiller(Compose(methods=(KD(), method)))


def test_a_role_of_two_kinds_is_refused() -> None:
    @settings
    class Reversed(Peers):
        def names(self) -> tuple[str, ...]:
            return ("student", "teacher")

    with pytest.raises(MethodError, match="wants the role 'teacher' trained, another member frozen"):
        distiller(Compose(methods=(KD(), Reversed(simultaneous=True))))


def test_a_file_whose_name_torch_has_for_itself_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watching, "__module__", "my_package.train")
    with pytest.raises(MethodError, match=r"a file called train\.py.*rename the file"):
        distiller(Compose(methods=(KD(), Watching())))


def test_it_may_contain_itself() -> None:
    inner = Compose(methods=(Hint(), KD()), task_weight=3.0)
    terms = distiller(Compose(methods=(inner, Hint(at="5"))))(image_batch())
    assert set(terms) == {"task", "compose/methods/hint", "compose/kd/kd", "methods/hint"}


def test_there_is_at_least_one_member() -> None:
    with pytest.raises(ValidationError):
        Compose(methods=())


def test_samples_of_a_teacher_serve_only_members_that_share_its_temperature() -> None:
    def at(*methods: Method) -> float | None:
        return Compose(methods=methods).linear_at("teacher")

    assert KD(temperature=3.0).linear_at("teacher") == 3.0
    assert at(KD(temperature=3.0), KD(temperature=3.0, hard_weight=0), Supervised()) == 3.0
    assert at(KD(temperature=3.0), KD(temperature=2.0)) is None
    assert at(KD(temperature=3.0), Hint()) is None
    assert at(Supervised()) is None
