from __future__ import annotations

import sys
from pathlib import Path

import pytest

from limbeck.core.method import Method
from limbeck.methods.kd import KD
from limbeck.recipe.names import METHODS, TABLES, Table, UnknownName, load, path_of, table_of


def test_names_of_the_table() -> None:
    assert METHODS.find("kd") is KD
    assert METHODS.name_of(KD) == "kd"
    assert METHODS.name_of(Method) is None
    assert table_of(Method) is METHODS
    assert table_of(KD) is None
    assert path_of(KD) == "limbeck.methods.kd:KD"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("kdd", "no method is called 'kdd'; close: kd"),
        ("limbeck.methods.kd:KDD", "has no 'KDD'; close: KD"),
        ("limbeck.methods.nothing:KD", "cannot be imported: ModuleNotFoundError"),
        ("limbeck.core.errors:Problem", "is not a subclass of limbeck.core.method:Method"),
        ("limbeck.core.errors:close", "is not a subclass"),
        ("a b:c", "has not the form package.module:Name"),
        (":c", "has not the form"),
    ],
)
def test_unknown_names(name: str, words: str) -> None:
    with pytest.raises(UnknownName) as caught:
        METHODS.find(name)
    assert words in str(caught.value)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    return tmp_path


def test_modules_beside_the_current_folder(here: Path) -> None:
    (here / "my_own_method.py").write_text("from limbeck.methods.kd import KD\nclass Mine(KD): pass\n")
    assert issubclass(METHODS.find("my_own_method:Mine"), KD)


def test_a_module_that_fails_is_named(here: Path) -> None:
    (here / "my_broken_method.py").write_text("1 / 0\n")
    with pytest.raises(UnknownName, match=r"'my_broken_method' cannot be imported: ZeroDivisionError"):
        load("my_broken_method:Mine")


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.what)
def test_every_entry_exists_under_its_own_name(table: Table) -> None:
    for name in table.paths:
        assert table.name_of(table.find(name)) == name
