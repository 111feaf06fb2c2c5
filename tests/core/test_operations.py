"""Operations of a call; networks are counted in `tests/evaluate/test_cost.py`."""

from __future__ import annotations

import torch
from torch import nn

from limbeck.core.operations import operations


def test_a_product_counts_twice_its_multiplications_and_nothing_counts_nothing() -> None:
    left, right = torch.rand(3, 4), torch.rand(4, 5)
    assert operations(lambda: left @ right) == 2 * 3 * 4 * 5
    assert operations(lambda: left + 1) == 0


def test_a_pass_that_ends_early_counts_up_to_there() -> None:
    class Stopped(Exception):
        pass

    def stop(*_: object) -> None:
        raise Stopped

    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))

    def call() -> None:
        handle = model[0].register_forward_hook(stop)
        try:
            model(torch.rand(1, 4))
        except Stopped:
            pass
        finally:
            handle.remove()

    assert operations(call) == 2 * 4 * 8
    assert operations(lambda: model(torch.rand(1, 4))) == 2 * (4 * 8 + 8 * 2)
