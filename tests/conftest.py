"""What all tests share: one thread, checked shapes and types, seeds, clean global state, and the real data's folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# Before torch is imported: several processes with several threads each are many times slower than one thread each.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from jaxtyping import install_import_hook

# Before limbeck is imported: every annotation of a tensor's axes and types is executed while the tests run.
install_import_hook("limbeck", "typing_check.check")

import torch  # noqa: E402 - after the threads and the hook

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Every test draws the same numbers, alone or in any order."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _clean_accelerator() -> Iterator[None]:
    """Accelerate keeps its state in the process: a second Accelerator with another precision would raise."""
    yield
    import sys

    if "accelerate.state" in sys.modules:
        from accelerate.state import AcceleratorState, GradientState

        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with the public data sets; a test that needs it is skipped where there is none."""
    root = os.environ.get("LIMBECK_DATA")
    if not root:
        pytest.skip("LIMBECK_DATA is not set: it names the folder with the public data sets")
    if not Path(root).is_dir():
        pytest.skip(f"LIMBECK_DATA={root} is not a folder")
    return Path(root)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Annotations are not executed: they would refuse what the code itself has to, and rows that are no image's."""
    from jaxtyping import config

    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
