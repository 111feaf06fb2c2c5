from __future__ import annotations

import errno
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from limbeck.core.errors import RunError
from limbeck.train.checkpoints import Position, load_checkpoint, save_checkpoint


def state(value: float = 1.0) -> dict[str, Any]:
    return {"distiller": {"weight": torch.full((4,), value)}, "optimizers": [{"lr": 0.1}], "ema": {}}


def saved(folder: Path, *totals: int) -> list[Path]:
    return [save_checkpoint(folder, Position(total=total), state(total)) for total in totals]


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    position = Position(1, 2, 12, 3.5, 400, {"accuracy": 0.5}, (0.5, -1.0), 10)
    save_checkpoint(tmp_path, position, state())
    found, document = load_checkpoint(tmp_path) or (None, {})
    assert found == position
    torch.testing.assert_close(document, state())


def test_there_may_be_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "absent") is None


def test_the_newest_counts_and_two_are_kept(tmp_path: Path) -> None:
    saved(tmp_path, 9, 99, 1000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000099.pt", "step-000001000.pt"]
    position, document = load_checkpoint(tmp_path) or (None, {})
    assert position is not None
    assert position.total == 1000
    assert document["distiller"]["weight"][0] == 1000


@pytest.mark.parametrize("kept", [0, 10, 1000, -10])
def test_a_truncated_one_is_named_with_the_remedy(tmp_path: Path, kept: int) -> None:
    _, newest = saved(tmp_path, 1, 2)
    newest.write_bytes(newest.read_bytes()[:kept])
    with pytest.raises(RunError, match=r"Delete this file \(training then resumes from step-000000001.pt\)") as caught:
        load_checkpoint(tmp_path)
    assert str(newest) in str(caught.value)
    assert "--fresh" in str(caught.value)
    newest.unlink()
    position, _ = load_checkpoint(tmp_path) or (Position(), {})
    assert position.total == 1


@pytest.mark.parametrize("place", [0.3, 0.5, 0.7])
def test_a_flipped_byte_is_found(tmp_path: Path, place: float) -> None:
    (path,) = saved(tmp_path, 5)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        weight = max(archive.infolist(), key=lambda one: one.file_size)
        start = weight.header_offset + 30 + len(weight.filename)
    data[start + int(place * weight.compress_size)] ^= 0x40
    path.write_bytes(bytes(data))
    with pytest.raises(RunError, match="cannot be read"):
        load_checkpoint(tmp_path)


def test_the_only_one_truncated(tmp_path: Path) -> None:
    (only,) = saved(tmp_path, 1)
    only.write_bytes(only.read_bytes()[:100])
    with pytest.raises(RunError, match="training then starts again"):
        load_checkpoint(tmp_path)


class Harmful:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, legacy: bool) -> None:
    (path,) = saved(tmp_path / "checkpoints", 1)
    harm = tmp_path / "harm"
    document = {"position": {}, "threads": 1, "distiller": Harmful(harm)}
    if legacy:
        path.write_bytes(pickle.dumps(document, protocol=2))
    else:
        torch.save(document, path)
    with pytest.raises(RunError, match="Delete this file") as caught:
        load_checkpoint(path.parent)
    assert str(path) in str(caught.value)
    assert not harm.exists()


def test_a_document_of_something_else_is_refused(tmp_path: Path) -> None:
    tmp_path.joinpath("step-000000001.pt").write_bytes(b"")
    torch.save({"model": torch.zeros(1)}, tmp_path / "step-000000001.pt")
    with pytest.raises(RunError, match=r"step-000000001.pt cannot be read .*position"):
        load_checkpoint(tmp_path)


def test_another_number_of_threads_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path, 1)
    threads = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 1)
    with pytest.raises(RunError, match=f"Set OMP_NUM_THREADS={threads}, or use --fresh"):
        load_checkpoint(tmp_path)


def test_a_full_disk_leaves_the_older_ones_and_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (older,) = saved(tmp_path, 1)

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No space left on device; free space on the disk") as caught:
        saved(tmp_path, 2)
    assert "step-000000002.pt" in str(caught.value)
    assert list(tmp_path.iterdir()) == [older]
