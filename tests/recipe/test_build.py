from __future__ import annotations

from typing import Any

import pytest

from limbeck.methods.kd import KD
from limbeck.methods.supervised import Supervised
from limbeck.recipe.build import Builder, is_nested
from limbeck.recipe.names import Table, path_of
from limbeck.recipe.yaml import Mark, node_of, parse

from .fakes import Bare, Fast, Inner, Loud, Outer, Slow


def built(text: str) -> tuple[Any, list[str]]:
    builder = Builder()
    value = builder.settings(Outer, parse(text, file="f", problems=[]), ())
    return value, [str(problem) for problem in builder.problems]


def value_of(text: str) -> Any:
    value, problems = built(text)
    assert problems == []
    return value


def test_every_way_of_building() -> None:
    value = value_of(
        """
        needed: 3
        inner: {count: 2}
        speed: {name: fast, betas: [0, 1]}
        maybe: slow
        auto: {label: x}
        speeds: {a: fast, b: {name: slow, rate: 1}}
        method: {name: kd, temperature: 2}
        methods: [supervised, {name: kd}]
        share: 1
        """
    )
    assert value == Outer(
        needed=3,
        inner=Inner(count=2),
        speed=Fast(betas=(0.0, 1.0)),
        maybe=Slow(),
        auto=Inner(label="x"),
        speeds={"a": Fast(), "b": Slow(rate=1.0)},
        method=KD(temperature=2.0),
        methods=(Supervised(), KD()),
        share=1,
    )


def test_options_and_literals() -> None:
    value = value_of("{needed: 1, maybe: null, auto: none}")
    assert value.maybe is None
    assert value.auto == "none"


def test_what_the_class_itself_refuses_sees_all_values() -> None:
    assert value_of("{needed: 1, flag: true, speed: fast}").flag
    assert built("{needed: 1, flag: true}")[1] == ["f:1:1: flag needs the fast speed"]
    assert built("{needed: 1, share: 13}")[1] == ["f:1:1: 13 fits nothing"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}", "f:1:1: the key 'needed' is missing"),
        ("[1]", "f:1:1: expected a mapping of Outer's keys, came [1]"),
        ("{needed: true}", "f:1:10: needed: expected a whole number, came true"),
        ("{needed: 1.5}", "f:1:10: needed: expected a whole number, came 1.5"),
        ("{needed: '1'}", "f:1:10: needed: expected a whole number, came '1'"),
        ("{needed: 1, sped: 1}", "f:1:13: sped: no such key; close: speed, speeds"),
        ("{needed: 1, inner: {cuont: 1}}", "f:1:21: inner.cuont: no such key; close: count"),
        ("{needed: 1, inner: 3}", "f:1:20: inner: expected a mapping of Inner's keys, came 3"),
        ("{needed: 1, inner: {name: x}}", "f:1:21: inner.name: no such key"),
        ("{needed: 1, flag: 'on'}", "f:1:19: flag: expected true or false, came 'on'"),
        ("{needed: 1, share: x}", "f:1:20: share: expected a number or a whole number, came 'x'"),
        ("{needed: 1, words: [a, 2]}", "f:1:24: words.1: expected text, came 2"),
        ("{needed: 1, words: a}", "f:1:20: words: expected a list, came 'a'"),
        (
            "{needed: 1, auto: noen}",
            "f:1:19: auto: expected 'auto' or 'none' or {count, label}, came 'noen'; close",
        ),
        ("{needed: 1, speed: {name: fats}}", "f:1:27: speed.name: unknown name 'fats'; close: fast"),
        ("{needed: 1, speed: fats}", "f:1:20: speed.name: unknown name 'fats'; close: fast"),
        ("{needed: 1, speed: {rate: 1}}", "f:1:20: speed: the key 'name' of the choice is expected; known: slow, fast"),
        ("{needed: 1, speed: 3}", "f:1:20: speed: expected a choice {name: ...}, came 3; known: slow, fast"),
        ("{needed: 1, speed: {name: slow, rate: 0}}", "f:1:39: speed.rate: expected a number greater than 0, came 0"),
        ("{needed: 1, speeds: {a: {name: fast, betas: [1]}}}", "f:1:45: speeds.a.betas"),
        ("{needed: 1, speeds: [slow]}", 'f:1:21: speeds: expected a mapping, came ["slow"]'),
        ("{needed: 1, speeds: [1]}", "f:1:21: speeds: expected a mapping, came [1]"),
        ("{needed: 1, method: {name: kdd}}", "f:1:28: method.name: no method is called 'kdd'; close: kd"),
        ("{needed: 1, method: {name: 3}}", "f:1:28: method: the key 'name' of the method is expected, came 3"),
        (
            "{needed: 1, method: {name: kd, temprature: 1}}",
            "f:1:32: method.temprature: no such key; close: temperature",
        ),
        ("{needed: 1, methods: kd}", "f:1:22: methods: expected a list, came 'kd'"),
        (
            "{needed: 1, methods: [kd, {name: kd, hard_weight: 2}]}",
            "f:1:51: methods.1.hard_weight: expected a number less",
        ),
        (
            "{needed: 1, method: {name: hint, taps: layer2}}",
            "f:1:40: method.taps: expected 'auto' or a list of {student, teacher}, came 'layer2'",
        ),
        (
            "{needed: 1, method: {name: fitnets, taps: [{student: a, teacher: b}]}}",
            """f:1:43: method.taps: expected 'auto' or {student, teacher}, came [{"student": "a", "teacher": "b"}]""",
        ),
        ("{needed: 1, methods: [kd, kd, kd]}", "f:1:22: methods: expected at most 2 item(s), came"),
    ],
)
def test_one_problem(text: str, problem: str) -> None:
    value, problems = built(text)
    assert value is None
    assert len(problems) == 1
    assert problems[0].startswith(problem)


def test_all_problems_at_once() -> None:
    wrong = "{speed: fats, inner: {count: x, cuont: 2}, methods: [{name: kd, temperature: 0}], flag: 3, foo: 1}"
    _, problems = built(wrong)
    assert [p.split(": ")[1] for p in problems] == [
        "foo",
        "speed.name",
        "inner.cuont",
        "inner.count",
        "methods.0.temperature",
        "the key 'needed' is missing",
        "flag",
    ]


def test_a_class_from_elsewhere_is_remembered_by_its_path() -> None:
    builder = Builder()
    node = node_of({"needed": 1, "method": {"name": path_of(Loud), "volume": 9}}, Mark())
    assert builder.settings(Outer, node, ()).method == Loud(volume=9)
    assert builder.names[Loud] == path_of(Loud)


def test_a_class_without_settings_takes_no_keys() -> None:
    table, builder = Table("thing", "limbeck.methods", "METHODS"), Builder()
    assert isinstance(builder.chosen(table, node_of(path_of(Bare), Mark()), ()), Bare)
    builder.chosen(table, node_of({"name": path_of(Bare), "a": 1}, Mark()), ())
    assert [str(p) for p in builder.problems] == ["a: no such key; Bare has none"]


def test_which_annotations_hold_settings() -> None:
    assert is_nested(list[Inner | None])
    assert is_nested(dict[str, Slow | Fast])
    assert not is_nested(dict[str, tuple[int, ...]] | None)
