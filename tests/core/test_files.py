"""Files are written whole or not at all, whatever goes wrong in between."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import BinaryIO

import pytest
import torch

from limbeck.core.errors import RunError
from limbeck.core.files import append_line, atomic_path, write_atomically, write_json


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_bytes_and_writers_replace_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "a.bin"
    write_atomically(path, b"first")
    assert path.read_bytes() == b"first"
    write_atomically(str(path), lambda file: file.write(b"second"))
    assert path.read_bytes() == b"second"
    assert names(path.parent) == ["a.bin"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_torch_state_passes_through(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.pt", lambda file: torch.save({"x": torch.arange(3)}, file))
    assert torch.load(tmp_path / "a.pt")["x"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("failure", [ValueError("wrong"), KeyboardInterrupt()])
def test_a_failing_writer_leaves_the_old_file_and_no_temporary(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "a.bin"
    write_atomically(path, b"old")

    def broken(file: BinaryIO) -> None:
        file.write(b"half")
        raise failure

    with pytest.raises(type(failure)):
        write_atomically(path, broken)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_says_which_file_and_what_to_do(tmp_path: Path, code: int) -> None:
    path = tmp_path / "state.pt"
    write_atomically(path, b"old")

    def full(file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError(code, os.strerror(code))

    with pytest.raises(RunError, match=r"state\.pt.*free space .* and run the same command again"):
        write_atomically(path, full)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["state.pt"]


def test_a_full_disk_behind_the_writers_own_exception_is_recognised(tmp_path: Path) -> None:
    def wrapped(file: BinaryIO) -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise RuntimeError("the stream failed") from error

    with pytest.raises(RunError, match="free space"):
        write_atomically(tmp_path / "a", wrapped)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device that is always full")
def test_torch_save_on_a_full_disk_is_a_run_error(tmp_path: Path) -> None:
    def full(_: BinaryIO) -> None:
        with Path("/dev/full").open("wb", buffering=0) as device:
            torch.save({"x": torch.zeros(100_000)}, device)

    with pytest.raises(RunError, match="free space"):
        write_atomically(tmp_path / "a.pt", full)
    assert names(tmp_path) == []


def test_a_full_disk_found_at_the_flush_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(tmp_path / "a", b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="free space"):
        write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_the_bytes_are_on_the_disk_before_the_name_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def watched_fsync(handle: int) -> None:
        events.append("fsync")
        fsync(handle)

    def watched_replace(self: Path, target: Path) -> Path:
        events.append("replace")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "replace", watched_replace)
    write_atomically(tmp_path / "a", b"x")
    assert events == ["fsync", "replace", "fsync"]


def test_a_folder_that_is_a_file_is_a_run_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="choose another"):
        write_atomically(tmp_path / "file" / "a", b"x")


def test_an_error_of_the_writer_about_another_file_is_not_blamed_on_this_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "a", lambda file: file.write((tmp_path / "missing").read_bytes()))
    assert names(tmp_path) == []


def test_the_longest_name_a_file_may_have(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    write_atomically(path, b"x")
    assert path.read_bytes() == b"x"


def test_a_library_that_wants_a_path(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("hello")
        assert not (tmp_path / "a.txt").exists()
        assert temporary.parent == tmp_path
    assert names(tmp_path) == ["a.txt"]


def test_json_is_readable_and_refuses_what_json_has_not(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"accuracy": 0.5, "name": "é", "none": None})
    assert json.loads(path.read_text(encoding="utf-8")) == {"accuracy": 0.5, "name": "é", "none": None}
    assert path.read_text(encoding="utf-8").endswith("}\n")
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"loss": float("nan")})
    with pytest.raises(TypeError):
        write_json(path, {"path": tmp_path})
    assert json.loads(path.read_text(encoding="utf-8"))["accuracy"] == 0.5


def test_lines_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "log" / "steps.jsonl"
    append_line(path, '{"step": 1}')
    append_line(path, '{"step": 2, "name": "é"}')
    assert [json.loads(line)["step"] for line in path.read_text(encoding="utf-8").splitlines()] == [1, 2]
    with pytest.raises(ValueError, match="line break"):
        append_line(path, "a\nb")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device that is always full")
def test_appending_on_a_full_disk_is_a_run_error() -> None:
    with pytest.raises(RunError, match=r"/dev/full.*free space"):
        append_line("/dev/full", "x")


def test_half_a_line_is_taken_back_when_the_disk_fills_up(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "log"
    append_line(path, "whole")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(RunError, match="free space"):
            append_line(path, "this line is too long for the rest of the disk")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "whole\n"


def test_a_place_that_takes_no_folders_says_what_to_do() -> None:
    with pytest.raises(RunError, match=r"cannot write /proc/limbeck/a.bin: .*make the folder writable, or choose"):
        write_atomically("/proc/limbeck/a.bin", b"")
