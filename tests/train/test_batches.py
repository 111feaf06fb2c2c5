from __future__ import annotations

import random
from itertools import islice
from typing import Any

import numpy
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
)

from limbeck import KD, Classification, Distiller, Train, fit
from limbeck.core.errors import DataError
from limbeck.train.batches import Batches, Cycle, Epochs, Repeatable, SameEpoch, seeded
from little import changed, conv_net, values


class Noisy(Dataset[Any]):
    """Twelve images on which a user's transform draws noise, from three generators."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        noise = torch.rand(1, 8, 8) + random.random() + float(numpy.random.rand())  # noqa: NPY002
        return noise + index, index % 3


def steps(loader: Any, start: int, count: int, **arguments: int) -> list[Any]:
    """The batches of some steps, each of which is seeded as `fit` does, and a number drawn after each."""
    stream, found = Epochs(loader, **arguments).batches(start), []
    for step in range(start, start + count):
        torch.manual_seed(step)
        random.seed(step)
        numpy.random.seed(step)  # noqa: NPY002
        group = next(stream)
        found.append(([batch[0] for batch in group], torch.rand(1), random.random()))
    return found


def same(one: list[Any], other: list[Any]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(
        len(a[0]) == len(b[0])
        and all(torch.equal(x, y) for x, y in zip(a[0], b[0], strict=True))
        and torch.equal(a[1], b[1])
        and a[2] == b[2]
        for a, b in pairs
    )


def loader(**arguments: Any) -> DataLoader[Any]:
    return DataLoader(Noisy(), batch_size=4, shuffle=True, **arguments)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("generator", [False, True])
def test_a_loader_gives_the_same_batches_from_any_step(workers: int, generator: bool) -> None:
    arguments = {"num_workers": workers, "generator": torch.Generator() if generator else None}
    whole = steps(loader(**arguments), 0, 7)
    for start in (0, 1, 3, 5):
        assert same(steps(loader(**arguments), start, 7 - start), whole[start:])
    assert not same(whole[:3], whole[3:6])  # every epoch has an order of its own
    assert not same(steps(loader(**arguments), 0, 7, seed=1), whole)


def test_batches_of_a_loader_are_grouped_into_steps() -> None:
    epochs = Epochs(loader(), accumulate=2)
    assert isinstance(epochs, Batches)
    assert epochs.steps_per_epoch == 2
    assert [len(group) for group in islice(epochs.batches(), 5)] == [2, 1, 2, 1, 2]
    assert same(steps(loader(), 1, 4, accumulate=2), steps(loader(), 0, 5, accumulate=2)[1:])


def test_generators_of_samplers_are_seeded() -> None:
    def own() -> DataLoader[Any]:
        return DataLoader(Noisy(), batch_size=4, sampler=RandomSampler(Noisy(), generator=torch.Generator()))

    whole = steps(own(), 0, 7)
    assert same(steps(own(), 4, 3), whole[4:])
    assert not same(whole[:3], whole[3:6])


def test_a_sampler_inside_a_batch_sampler_is_told_its_epoch() -> None:
    sampler = DistributedSampler(Noisy(), num_replicas=2, rank=0)
    next(Epochs(DataLoader(Noisy(), batch_sampler=BatchSampler(sampler, 3, drop_last=False))).batches(5))
    assert sampler.epoch == 2


def test_workers_that_are_kept_are_refused() -> None:
    with pytest.raises(ValueError, match="persistent_workers=False"):
        Epochs(loader(num_workers=1, persistent_workers=True))


@pytest.mark.parametrize("start", [0, 1, 2])
def test_a_pass_that_ends_too_soon_is_named(start: int) -> None:
    class Short(list[int]):
        def __iter__(self) -> Any:
            return iter([1, 2][: 1 if start < 2 else 2])

    with pytest.raises(DataError, match="epoch 0 of the batches ended before their length, 3"):
        list(islice(Epochs(Short([1, 2, 3])).batches(start), 3))


def test_a_stream_without_a_length_is_refused() -> None:
    class Stream(IterableDataset[int]):
        def __iter__(self) -> Any:
            return iter([1])

    with pytest.raises(ValueError, match="DataLoader without a length"):
        Epochs(DataLoader(Stream()))


def test_a_sampler_is_told_its_epoch() -> None:
    sampler = DistributedSampler(Noisy(), num_replicas=2, rank=0)
    epochs = Epochs(DataLoader(Noisy(), batch_size=3, sampler=sampler))
    next(epochs.batches(5))
    assert (epochs.steps_per_epoch, sampler.epoch) == (2, 2)


@pytest.mark.parametrize(("wrong", "came"), [([], "an empty one"), (iter([1]), "list_iterator without a length")])
def test_what_is_no_pass_over_the_data(wrong: Any, came: str) -> None:
    with pytest.raises(ValueError, match=f"such as a DataLoader; got {came}"):
        Epochs(wrong)


def test_generators_get_their_states_back() -> None:
    def drawn() -> tuple[float, float, float]:
        return float(torch.rand(1)), random.random(), float(numpy.random.rand())  # noqa: NPY002

    states = torch.get_rng_state(), random.getstate(), numpy.random.get_state()  # noqa: NPY002
    expected = drawn()
    torch.set_rng_state(states[0])
    random.setstate(states[1])
    numpy.random.set_state(states[2])  # noqa: NPY002
    with seeded("a") as number:
        first = drawn()
    assert drawn() == expected
    with seeded("a") as again:
        assert (drawn(), again) == (first, number)
    with seeded("b"):
        assert drawn() != first


def test_fit_takes_a_loader_as_it_is() -> None:
    models = {"teacher": conv_net(6, seed=5), "student": conv_net(4)}
    distiller, before = Distiller(KD(), Classification(), models, next(iter(loader()))), values(models["student"])
    fitted = fit(distiller, loader(), Train(length="2 epochs"), progress=False)
    assert fitted.steps == 6
    assert changed(before, models["student"])


def test_a_cycle_starts_at_any_step() -> None:
    cycle = Cycle(["a", "b", "c"])
    assert isinstance(cycle, Batches)
    assert cycle.steps_per_epoch == 3
    assert list(islice(cycle.batches(), 5)) == [["a"], ["b"], ["c"], ["a"], ["b"]]
    assert list(islice(cycle.batches(4), 2)) == [["b"], ["c"]]


def test_nothing_is_no_cycle() -> None:
    with pytest.raises(ValueError, match="expected at least one batch"):
        Cycle([])


def test_a_part_is_counted_in_epochs_of_the_whole() -> None:
    part = SameEpoch(Cycle(["a"]), 7)
    assert part.steps_per_epoch == 7
    assert list(islice(part.batches(3), 2)) == [["a"], ["a"]]


def test_a_repeatable_is_made_anew_each_time() -> None:
    again = Repeatable(lambda part: iter(range(part)), 3)
    assert list(again) == list(again) == [0, 1, 2]
