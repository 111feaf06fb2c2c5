from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from limbeck.core.errors import TrainingError
from limbeck.train.metrics import MetricsFile, TermSums


def test_means_are_over_steps_and_micro_batches_add_up() -> None:
    sums = TermSums()
    for value in (1.0, 2.0):  # two steps of two micro-batches, with a quarter and three quarters of the samples
        sums.add({"task": torch.tensor(value)}, weight=0.25, counts=False)
        sums.add({"task": torch.tensor(value + 4)}, weight=0.75, counts=True)
    assert sums.read(where="here") == {"task": pytest.approx((0.25 * 1 + 0.75 * 5 + 0.25 * 2 + 0.75 * 6) / 2)}
    assert sums.read(where="here") == {}


def test_a_term_of_some_steps_only_is_a_mean_over_those() -> None:
    sums = TermSums()
    sums.add({"hint": torch.tensor(4.0)}, weight=1, counts=True)
    sums.add({"task": torch.tensor(1.0)}, weight=1, counts=True)
    sums.add({"task": torch.tensor(3.0)}, weight=1, counts=True)
    assert sums.read(where="here") == {"hint": 4.0, "task": 2.0}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_term_that_is_no_number_once_is_found_later(value: float) -> None:
    sums = TermSums()
    for one in (1.0, value, 1.0):
        sums.add({"task": torch.tensor(1.0), "kd": torch.tensor(one)}, weight=1, counts=True)
    with pytest.raises(TrainingError, match=r"digits, step 3: the loss term 'kd' is .*Lower train.optimizer.lr"):
        sums.read(where="digits, step 3")


def test_half_precision_sums_are_read() -> None:
    sums = TermSums()
    sums.add({"task": torch.tensor(1.5, dtype=torch.bfloat16)}, weight=1, counts=True)
    assert sums.read(where="here") == {"task": 1.5}


def test_lines_after_the_checkpoint_are_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    first = MetricsFile(path)
    assert first.bytes == 0
    first.write({"step": 1})
    kept = first.bytes
    first.write({"step": 2})
    second = MetricsFile(path, keep_bytes=kept)
    second.write({"step": 2, "again": True})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"step": 1}, {"step": 2, "again": True}]
    assert second.bytes == path.stat().st_size


def test_a_file_shorter_than_the_checkpoint_says_is_not_filled_up(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n')
    MetricsFile(path, keep_bytes=1000)
    assert path.read_text() == '{"step": 1}\n'


def test_without_a_path_nothing_is_written() -> None:
    file = MetricsFile(None)
    file.write({"step": 1})
    assert file.bytes == 0
