from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.core.errors import DataError
from limbeck.data.files import fingerprint, first_folder, root_folder


def test_root_wins_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_DATA", str(tmp_path))
    assert root_folder(None) == tmp_path
    (tmp_path / "own").mkdir()
    assert root_folder(str(tmp_path / "own")) == tmp_path / "own"


def test_without_a_root_both_ways_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIMBECK_DATA", raising=False)
    with pytest.raises(DataError, match=r"data\.root.*LIMBECK_DATA"):
        root_folder(None)


def test_a_root_that_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"data\.root is .*none"):
        root_folder(str(tmp_path / "none"))
    monkeypatch.setenv("LIMBECK_DATA", str(tmp_path / "none"))
    with pytest.raises(DataError, match=r"LIMBECK_DATA is .*none"):
        root_folder(None)


def test_the_first_folder_with_a_file(tmp_path: Path) -> None:
    (tmp_path / "a" / "x.bin").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.bin").touch()
    assert first_folder(tmp_path, ["a", "b"], holding=["x.*"], what="set") == tmp_path / "b"
    with pytest.raises(DataError, match=r"set not found: expected y\.bin in one of .*LIMBECK_DATA"):
        first_folder(tmp_path, ["a", "b"], holding=["y.bin"], what="set")


def written(folder: Path, content: dict[str, bytes]) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in content}


def test_a_fingerprint_does_not_depend_on_the_place(tmp_path: Path) -> None:
    content = {"a": b"1", "b": b"23"}
    first, second = (fingerprint(written(tmp_path / name, content)) for name in ("x", "y"))
    assert first == second


@pytest.mark.parametrize(
    "other", [{"a": b"1", "b": b"24"}, {"a": b"12", "b": b"3"}, {"a": b"1"}, {"a": b"1", "c": b"23"}]
)
def test_a_fingerprint_sees_contents_names_and_borders(tmp_path: Path, other: dict[str, bytes]) -> None:
    base = fingerprint(written(tmp_path / "x", {"a": b"1", "b": b"23"}))
    assert fingerprint(written(tmp_path / "y", other)) != base


def test_large_sets_are_read_at_both_ends(tmp_path: Path) -> None:
    data = bytearray(300_000)
    prints = {}
    for place in (None, 0, 150_000, 299_999):
        changed = bytearray(data)
        if place is not None:
            changed[place] = 1
        files = written(tmp_path, {"a": bytes(changed)})
        prints[place] = fingerprint(files, whole_limit=1000)
    assert len(set(prints.values())) == 3
    assert prints[None] == prints[150_000]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone"):
        fingerprint({"gone": tmp_path / "gone"})
