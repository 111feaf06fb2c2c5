from __future__ import annotations

import pytest
import torch

from limbeck.core.errors import TrainingError
from limbeck.train.devices import open_accelerator


def test_precisions_follow_each_other_in_one_process() -> None:
    assert open_accelerator("fp32").mixed_precision == "no"
    assert open_accelerator("bf16").mixed_precision == "bf16"
    assert open_accelerator("fp32").mixed_precision == "no"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_fp16_needs_a_gpu() -> None:
    with pytest.raises(TrainingError, match="fp16 needs a GPU; on a CPU use bf16 or fp32"):
        open_accelerator("fp16")


def test_processes_that_do_not_find_each_other_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    open_accelerator("fp32")  # Accelerate's state now says one process
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match=r"expected 2 processes \(WORLD_SIZE\), Accelerate found 1"):
        open_accelerator("fp32")
