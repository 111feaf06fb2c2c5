"""Files of rows: readable by safetensors, mapped, whole or absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from limbeck.core.errors import RunError
from limbeck.train.rowfile import mapped, written

TYPES = (torch.bool, torch.float16, torch.int64, torch.bfloat16, torch.float32, torch.int32, torch.uint8)


def test_safetensors_reads_what_was_written_in_pieces(tmp_path: Path) -> None:
    tensors = {str(dtype): (torch.arange(15).view(5, 3) * 7 % 4).to(dtype) for dtype in TYPES}
    layout = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
    with written(tmp_path / "rows.safetensors", layout) as rows:
        for name, tensor in tensors.items():
            rows[name][:2], rows[name][2:] = tensor[:2], tensor[2:]
    for found in (load_file(tmp_path / "rows.safetensors"), mapped(tmp_path / "rows.safetensors")):
        assert found.keys() == tensors.keys()
        assert all(torch.equal(found[name], tensors[name]) for name in tensors)
        assert all(found[name].dtype == tensors[name].dtype for name in tensors)


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "rows.safetensors"
    path.write_bytes(b"old")

    def half() -> None:
        with written(path, {"a": (torch.float32, (4, 2))}) as rows:
            rows["a"][:2] = 1.0
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_found_before_the_rows_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "posix_fallocate", full)
    refused = pytest.raises(RunError, match=r"rows.safetensors: No space left .* free space")
    with refused, written(tmp_path / "rows.safetensors", {"a": (torch.float32, (4,))}):
        raise AssertionError("the body must not run")
    assert not list(tmp_path.iterdir())


def test_reading_does_not_bring_a_file_into_memory(tmp_path: Path) -> None:
    """64 MB are mapped and 100 rows read; the process grows by far less."""
    with written(tmp_path / "rows.safetensors", {"a": (torch.float16, (1 << 15, 1 << 10))}):
        pass
    before = resident()
    rows = mapped(tmp_path / "rows.safetensors")["a"].index_select(0, torch.arange(100))
    assert rows.abs().max() == 0
    assert resident() - before < 20e6


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
