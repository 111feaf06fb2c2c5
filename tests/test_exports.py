"""The tables of names and the lists of exports agree with the files that are there."""

from __future__ import annotations

import dataclasses
import pkgutil
from importlib import import_module

import pytest

import limbeck
from limbeck.core.method import Method
from limbeck.core.task import Task
from limbeck.data import DATA
from limbeck.methods import METHODS
from limbeck.tasks import TASKS

TABLES = {"methods": METHODS, "data": DATA, "tasks": TASKS}
ENTRIES = [(room, name) for room, table in TABLES.items() for name in table]


def files(room: str) -> set[str]:
    return {module.name for module in pkgutil.iter_modules(import_module(f"limbeck.{room}").__path__)}


def named(room: str, name: str) -> type:
    file, _, title = TABLES[room][name].partition(":")
    return getattr(import_module(f"limbeck.{room}.{file}"), title)


@pytest.mark.parametrize("room", TABLES)
def test_tables_are_sorted_and_name_files_that_exist(room: str) -> None:
    assert list(TABLES[room]) == sorted(TABLES[room])
    assert {entry.partition(":")[0] for entry in TABLES[room].values()} <= files(room)


@pytest.mark.parametrize("room", ["methods", "tasks"])
def test_every_file_is_in_its_table_under_its_own_name(room: str) -> None:
    assert {file for file in files(room) if not file.startswith("_")} == set(TABLES[room])
    assert all(entry.partition(":")[0] == name for name, entry in TABLES[room].items())


@pytest.mark.parametrize(("room", "name"), ENTRIES)
def test_every_entry_is_a_closed_and_frozen_description_with_a_docstring(room: str, name: str) -> None:
    found = named(room, name)
    assert found.__module__ == f"limbeck.{room}.{TABLES[room][name].partition(':')[0]}"
    assert dataclasses.is_dataclass(found)
    assert found.__dataclass_params__.frozen
    assert found.__pydantic_config__["extra"] == "forbid"
    assert (found.__doc__ or "").strip()


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_a_method(name: str) -> None:
    assert issubclass(named("methods", name), Method)


def test_methods_can_be_imported_by_their_names() -> None:
    from limbeck import methods

    assert {entry.partition(":")[2] for entry in METHODS.values()} == {*methods.__all__} - {"METHODS"}
    for name, entry in METHODS.items():
        assert getattr(methods, entry.partition(":")[2]) is named("methods", name)
    with pytest.raises(AttributeError, match="no attribute 'FitNet'"):
        methods.FitNet  # noqa: B018


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_a_task(name: str) -> None:
    assert isinstance(named("tasks", name)(), Task)


@pytest.mark.parametrize(
    "room", ["", *(f".{room.name}" for room in pkgutil.iter_modules(limbeck.__path__) if room.ispkg)]
)
def test_a_list_of_exports_is_true(room: str) -> None:
    module = import_module(f"limbeck{room}")
    exported = list(getattr(module, "__all__", ()))  # ruff keeps it sorted
    assert len(set(exported)) == len(exported)
    for name in exported:
        getattr(module, name)
