from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from limbeck.core.errors import DataError
from limbeck.data.unpickling import read_arrays


class Harmful:
    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(5))
def test_arrays_lists_and_text_come_back(tmp_path: Path, protocol: int) -> None:
    content = {"data": np.arange(12, dtype=np.uint8).reshape(3, 4), "labels": [1, 2], "names": ["a", "é"], "n": 3}
    (tmp_path / "a").write_bytes(pickle.dumps(content, protocol=protocol))
    got = read_arrays(tmp_path / "a")
    assert np.array_equal(got.pop("data"), content["data"])
    assert got == {key: content[key] for key in ("labels", "names", "n")}


def test_what_python_2_wrote(tmp_path: Path) -> None:
    # protocol 2 of a str in Python 2: SHORT_BINSTRING, with bytes above 127
    (tmp_path / "a").write_bytes(b"\x80\x02}U\x04nameU\x02a\xe9s.")
    assert read_arrays(tmp_path / "a") == {"name": "a\xe9"}


@pytest.mark.parametrize("call", [(os.system, "touch harmed"), (eval, "1"), (getattr, 1, "real"), (np.load, "x")])
def test_calls_are_refused_before_they_happen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: tuple) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_bytes(pickle.dumps({"data": Harmful(*call)}))
    with pytest.raises(DataError, match="which is no array"):
        read_arrays(tmp_path / "a")
    assert not (tmp_path / "harmed").exists()


def test_other_codecs_are_refused(tmp_path: Path) -> None:
    import codecs

    (tmp_path / "a").write_bytes(pickle.dumps({"x": Harmful(codecs.encode, "a", "rot13")}))
    with pytest.raises(DataError, match="rot13"):
        read_arrays(tmp_path / "a")


@pytest.mark.parametrize("data", [b"", b"<html>", pickle.dumps({"a": 1})[:-3], pickle.dumps([1])])
def test_damage_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "batch").write_bytes(data)
    with pytest.raises(DataError, match="batch"):
        read_arrays(tmp_path / "batch")
