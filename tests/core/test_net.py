"""One network in one role: when it runs, in which mode, and what of it may change."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.core.bridge import Bridge
from limbeck.core.errors import MethodError
from limbeck.core.net import Kind, Net, digest, held, still
from little import changed, conv_net, image_batch, run, values


def net(kind: Kind = Kind.TRAINED, **arguments: object) -> Net:
    return Net(conv_net(**arguments), run, taps=("2", "5"), kind=kind)


def test_a_batch_object_runs_once_however_often_it_is_asked_for() -> None:
    student, batch = net(), image_batch()
    assert student(batch) is student(batch)
    assert student.calls == 1


def test_an_equal_batch_that_is_another_object_runs_again() -> None:
    student, batch = net(), image_batch()
    assert student((batch[0], batch[1])) is not student((batch[0], batch[1]))
    assert student.calls == 2


def test_an_early_stop_does_not_run_later_modules_and_has_no_output() -> None:
    student, ran = net(), []
    student.model[3].register_forward_hook(lambda *_: ran.append(3))
    early = student(image_batch(), until="2")
    assert early.output is None
    assert set(early.taps) == {"2"}
    assert ran == []


def test_a_whole_pass_also_answers_an_early_stop_but_not_the_other_way_round() -> None:
    student, batch = net(), image_batch()
    early = student(batch, until="2")
    whole = student(batch)
    assert whole is not early
    assert student.calls == 2
    student.forget()
    whole = student(batch)
    assert student(batch, until="2") is whole
    assert student(batch, until="5") is whole


def test_a_pass_without_gradient_does_not_serve_a_term_that_trains() -> None:
    student, batch = net(), image_batch()
    with torch.no_grad():
        assert not student(batch).output.requires_grad
    assert student(batch).output.requires_grad
    assert student.calls == 2
    with torch.no_grad():
        student(batch)
    assert student.calls == 2


def test_a_frozen_pass_under_no_grad_serves_everybody() -> None:
    teacher, batch = net(Kind.FROZEN), image_batch()
    with torch.no_grad():
        seen = teacher(batch)
    assert teacher(batch) is seen


def test_forget_frees_the_batch() -> None:
    student, batch = net(), image_batch()
    first = student(batch)
    student.forget()
    assert student(batch) is not first


@pytest.mark.parametrize("wrap", [lambda n: n, nn.Sequential, lambda n: nn.Sequential(nn.Sequential(n))])
def test_a_frozen_network_stays_in_eval_mode_whatever_its_wrapper_is_put_in(wrap) -> None:
    teacher = net(Kind.FROZEN)
    wrap(teacher).train()
    assert not any(module.training for module in teacher.model.modules())


def test_a_frozen_network_gives_no_gradient_and_moves_nothing() -> None:
    teacher = net(Kind.FROZEN).train()
    before = values(teacher.model)
    seen = teacher(image_batch())
    assert not seen.output.requires_grad
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert changed(before, teacher.model) == set()


def test_gradient_passes_through_a_frozen_network_when_the_batch_carries_it() -> None:
    teacher, (images, labels, _) = net(Kind.FROZEN), image_batch()
    generated = images.clone().requires_grad_()
    teacher((generated, labels)).output.sum().backward()
    assert generated.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_a_momentum_network_runs_in_train_mode_without_gradient_and_moves_its_own_buffers() -> None:
    key = net(Kind.MOMENTUM).train()
    before = values(key.model)
    assert key.model.training
    assert not key(image_batch()).output.requires_grad
    assert changed(before, key.model) == {
        f"{layer}.{name}" for layer in (1, 4) for name in ("running_mean", "running_var", "num_batches_tracked")
    }


def test_a_guest_uses_batch_statistics_but_all_its_buffers_stand_still() -> None:
    guest, batch = net().train(), image_batch()
    trained = guest(batch).output
    guest.forget()
    before = values(guest.model)
    guest.guest = True
    seen = guest(batch)
    torch.testing.assert_close(seen.output, trained.detach())
    assert not seen.output.requires_grad
    assert changed(before, guest.model) == set()


def test_gradient_passes_through_a_guest_when_the_batch_carries_it() -> None:
    guest, (images, labels, _) = net().train(), image_batch()
    guest.guest, before = True, values(guest.model)
    generated = images.clone().requires_grad_()
    guest((generated, labels)).output.square().sum().backward()
    assert generated.grad.abs().sum() > 0
    assert changed(before, guest.model) == set()


def test_still_restores_buffers_that_are_shared_and_keeps_their_identity() -> None:
    norm = nn.BatchNorm1d(2)
    model = nn.Sequential(norm, norm)
    mean = norm.running_mean
    with still(model):
        model(torch.randn(4, 2) + 3)
        assert norm.num_batches_tracked == 2
    assert norm.running_mean is mean
    assert norm.num_batches_tracked == 0
    assert not mean.any()


def test_still_restores_after_an_early_stop() -> None:
    guest = net().train()
    guest.guest, before = True, values(guest.model)
    guest(image_batch(), until="2")
    assert changed(before, guest.model) == set()


@pytest.mark.parametrize("tap", ["2", "2:input", "2#0", "2:input#0"])
def test_the_module_at_a_tap_is_found_whatever_of_it_is_tapped(tap: str) -> None:
    bridge = Bridge(conv_net(), mean=[0.5], std=[0.5])
    student = Net(bridge, run, taps=(tap,), kind=Kind.TRAINED)
    assert student.at(tap) is bridge.network[2]


def test_the_probe_changes_nothing_and_is_not_remembered() -> None:
    student = net().train()
    student.model[4].eval()
    before = values(student.model)
    student.probe(image_batch())
    assert changed(before, student.model) == set()
    assert student.calls == 0
    assert student.model.training
    assert not student.model[4].training


def test_the_probe_notes_the_shape_of_the_output_if_it_is_a_tensor() -> None:
    net = Net(conv_net(), run, kind=Kind.TRAINED)
    assert net.output_shape is None
    net.probe(image_batch(5))
    assert net.output_shape == (5, 3)
    pair = Net(conv_net(), lambda model, batch: (run(model, batch),), kind=Kind.TRAINED)
    pair.probe(image_batch())
    assert pair.output_shape is None


def test_close_gives_a_frozen_network_its_mode_and_requires_grad_back() -> None:
    model = conv_net()
    model[4].eval()
    model[0].weight.requires_grad_(False)
    modes = [module.training for module in model.modules()]
    teacher = Net(model, run, taps=("2",), kind=Kind.FROZEN)
    teacher.train()
    teacher.close()
    assert [module.training for module in model.modules()] == modes
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["0.weight"]
    assert not model[2]._forward_hooks


def test_held_takes_no_gradient_for_its_own_parameters_but_passes_it_to_its_input() -> None:
    critic, x = nn.Linear(2, 1), torch.randn(3, 2, requires_grad=True)
    held(critic)(x).sum().backward()
    torch.testing.assert_close(x.grad, critic.weight.detach().expand(3, 2))
    assert critic.weight.grad is None
    assert critic.weight.requires_grad


def test_digest_sees_every_bit_of_parameters_and_buffers_but_not_the_mode() -> None:
    model = conv_net()
    before = digest(model)
    assert digest(model.eval()) == before
    for tensor in (model[0].weight, model[1].running_mean, model[1].num_batches_tracked):
        with torch.no_grad():
            tensor.view(-1)[0] += 1
        assert digest(model) != before
        with torch.no_grad():
            tensor.view(-1)[0] -= 1
    model[1].register_buffer("extra", torch.zeros(1), persistent=False)
    assert digest(model) != before


def test_digest_takes_any_type_and_tells_types_apart() -> None:
    linear = nn.Linear(2, 2)
    kinds = {digest(linear.to(kind)) for kind in (torch.float32, torch.float64, torch.bfloat16)}
    assert len(kinds) == 3
    linear.register_buffer("flags", torch.tensor([True, False]))
    linear.register_buffer("empty", torch.zeros(0))
    assert len(digest(linear)) == 64


def test_batch_norm_on_a_single_value_per_channel_says_what_to_do() -> None:
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64))
    student = Net(model, run, kind=Kind.TRAINED).train()
    with pytest.raises(MethodError, match=r"BatchNorm in Sequential needs a batch of at least 2.*data\.batch"):
        student(image_batch(1))
    student(image_batch(2))


def test_another_error_inside_a_network_stays_as_it_is() -> None:
    def broken(model: nn.Module, batch: object) -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        Net(nn.Identity(), broken, kind=Kind.TRAINED)(image_batch())
