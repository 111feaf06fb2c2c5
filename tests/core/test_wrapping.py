"""A distiller inside compilers and data-parallel wrappers: the same terms, the same gradients, the same taps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from contract.methods import Critic, Hint, Staged
from limbeck.core.distiller import Distiller
from limbeck.core.method import Method
from limbeck.tasks.classification import Classification
from little import conv_net, image_batch, steps_by_hand


def distiller(method: Method) -> Distiller:
    models = {"student": conv_net(4), "teacher": conv_net(6, seed=5)}
    return Distiller(method, Classification(), models, image_batch(4)).train()


def networks_in_place(found: Distiller, backend: str) -> nn.Module:
    for role in found.nets:
        found[role].model.compile(backend=backend)
    return found


def whole_in_place(found: Distiller, backend: str) -> nn.Module:
    found.compile(backend=backend)
    return found


def whole(found: Distiller, backend: str) -> nn.Module:
    return torch.compile(found, backend=backend)


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("compiled", "backend"),
    [(networks_in_place, "eager"), (networks_in_place, "aot_eager"), (whole_in_place, "eager"), (whole, "aot_eager")],
)
def test_compiled_terms_and_gradients_equal_eager_ones(
    compiled: Callable[[Distiller, str], nn.Module], backend: str
) -> None:
    plain, found = distiller(Hint()), distiller(Hint())
    runner = compiled(found, backend)
    for seed in (1, 2):
        expected, terms = plain(image_batch(seed=seed)), runner(image_batch(seed=seed))
        assert float(terms["hint"].detach()) > 0
        torch.testing.assert_close(terms, expected)
        sum(expected.values()).backward()
        sum(terms.values()).backward()
    for one, other in zip(plain.parameters(), found.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad)
    torch.testing.assert_close(found.state_dict(), plain.state_dict())


@pytest.mark.parametrize("method", [Critic(joint=False), Staged()], ids=["turns", "early stop"])
def test_compiled_networks_follow_turns_and_early_stops(method: Method) -> None:
    plain, found = distiller(method), distiller(method)
    networks_in_place(found, "aot_eager")
    for one, other in zip(
        steps_by_hand(plain, [image_batch()], 4), steps_by_hand(found, [image_batch()], 4), strict=True
    ):
        assert other == pytest.approx(one, rel=1e-4)
    torch.testing.assert_close(found.state_dict(), plain.state_dict())


def test_evaluation_between_two_steps_leaves_nothing_in_compiled_taps() -> None:
    found = distiller(Hint())
    networks_in_place(found, "eager")
    student, batch = found["student"], image_batch()
    found(batch)
    with torch.no_grad():
        student.model(batch[0])
    assert student._taps.stop() == {}
    assert set(student(batch).taps) == {"2"}


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("method", [Hint(), Staged(), Critic(joint=False)], ids=["taps", "stages", "turns"])
def test_data_parallel_wrapping_keeps_taps_stages_and_turns(method: Method) -> None:
    plain, found = distiller(method), distiller(method)
    wrapped = DistributedDataParallel(found, find_unused_parameters=True, broadcast_buffers=False)
    expected = steps_by_hand(plain, [image_batch()], 4)
    assert steps_by_hand(found, [image_batch()], 4, runner=wrapped) == expected
    torch.testing.assert_close(found.state_dict(), plain.state_dict(), rtol=0, atol=0)
