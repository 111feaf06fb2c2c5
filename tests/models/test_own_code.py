from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.models.own_code import line_of


class Adds(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.zeros(3)


def test_the_innermost_line_outside_of_libraries() -> None:
    with pytest.raises(RuntimeError) as caught:
        nn.Sequential(nn.Identity(), Adds())(torch.zeros(2))
    assert line_of(caught.value) == " (test_own_code.py, line 12, in forward)"


def test_an_error_that_no_own_code_had_a_part_in() -> None:
    assert line_of(RuntimeError("never raised")) == ""
