from __future__ import annotations

import re
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from pydantic import ValidationError

from limbeck.recipe import shipped
from limbeck.train.settings import (
    LARS,
    NOT_DETERMINING,
    OPTIMIZERS,
    SCHEDULES,
    SGD,
    Cached,
    Cosine,
    Train,
    in_steps,
    parse_length,
)


@pytest.mark.parametrize(
    ("text", "number", "unit"),
    [
        ("60 epochs", 60, "epoch"),
        ("1 epoch", 1, "epoch"),
        ("0.5 epochs", 0.5, "epoch"),
        ("5000 steps", 5000, "step"),
        (" 12steps ", 12, "step"),
        ("2 minutes", 2, "minute"),
        ("30 seconds", 30, "second"),
    ],
)
def test_lengths_are_read(text: str, number: float, unit: str) -> None:
    assert parse_length(text) == (number, unit)


@pytest.mark.parametrize(
    "text", ["60", "epochs", "sixty epochs", "-1 epochs", "5 hours", "1e3 steps", "1 epochs more", ""]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="'60 epochs' or '5000 steps'"):
        parse_length(text)


def test_lengths_in_steps() -> None:
    assert in_steps("3 epochs", 7) == 21
    assert in_steps("0.5 epochs", 7) == 4  # rounded
    assert in_steps("3 steps", 7) == 3


def test_work_is_not_measured_in_time_but_checkpoints_may_be() -> None:
    assert Train(checkpoint="30 seconds").checkpoint == "30 seconds"
    for field in ("length", "evaluate", "log"):
        with pytest.raises(ValidationError, match="expected epochs or steps, got '2 minutes'"):
            Train(**{field: "2 minutes"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"lenght": "1 epochs"},
        {"precision": "fp8"},
        {"seed": -1},
        {"clip": 0.0},
        {"accumulate": 0},
        {"ema": 1.0},
        {"optimizer": {"name": "sgd", "lr": 0.0}},
        {"optimizer": {"name": "sgd", "lr": float("nan")}},
        {"optimizer": {"name": "sgd", "betas": (0.9, 0.999)}},
        {"optimizer": {"name": "adamwx"}},
        {"schedule": {"name": "step", "at": [1.5]}},
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Train(**wrong)


def test_a_description_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Train().seed = 1  # type: ignore[misc]


def test_tables_name_their_classes() -> None:
    for table in (OPTIMIZERS, SCHEDULES):
        assert {name: cls().name for name, cls in table.items()} == {name: name for name in table}
    assert Train(optimizer={"name": "lars"}, schedule={"name": "cosine"}) == Train(optimizer=LARS(), schedule=Cosine())
    assert Train(groups={"adapters.critic": {"name": "sgd", "lr": 0.5}}).groups == {"adapters.critic": SGD(lr=0.5)}


def test_what_is_said_not_to_determine_exists() -> None:
    assert set(NOT_DETERMINING) <= set(Train.__dataclass_fields__)


@pytest.mark.parametrize("field", ["length", "evaluate", "log", "checkpoint"])
@pytest.mark.parametrize("text", ["0 steps", "0.0 epochs"])
def test_an_amount_of_nothing_is_refused_but_for_the_warm_up(field: str, text: str) -> None:
    with pytest.raises(ValidationError, match=f"{field}\n.*expected more than 0, got '{text}'"):
        Train(**{field: text})
    assert Cosine(warmup=text).warmup == text.replace("0.0", "0")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("60 epoch", "60 epochs"),
        (" 60  epochs ", "60 epochs"),
        ("60.0epochs", "60 epochs"),
        ("060 epochs", "60 epochs"),
        ("0.50 epochs", "0.5 epochs"),
        ("0.00000001 epochs", "0.00000001 epochs"),
        ("1 epochs", "1 epochs"),
        ("1 step", "1 steps"),
        ("10000000 steps", "10000000 steps"),
    ],
)
def test_a_length_has_one_spelling(text: str, canonical: str) -> None:
    assert Train(length=text).length == Train(evaluate=text).evaluate == canonical
    assert Train(checkpoint=text).checkpoint == Cosine(warmup=text).warmup == canonical


def test_defaults_and_shipped_recipes_keep_their_spelling() -> None:
    made = Train()
    assert Train(**{name: getattr(made, name) for name in ("length", "evaluate", "checkpoint", "log")}) == made
    for path in shipped.root().rglob("*.yaml"):
        text = path.read_text()
        written = [*re.findall(r"length: ([^,}\n]+)", text), *re.findall(r"warmup: ([^,}\n]+)", text)]
        assert [Cosine(warmup=length).warmup for length in written] == written


def test_nesterov_needs_a_momentum() -> None:
    with pytest.raises(ValidationError, match="nesterov needs a momentum above 0"):
        SGD(nesterov=True, momentum=0.0)
    assert SGD(nesterov=True).nesterov


def test_two_ways_to_keep_less_of_outputs_exclude_each_other() -> None:
    assert Cached(sampled=12).kind == "float16, 12 sampled"
    assert Cached(top=3, dtype="float32").kind == "float32, top 3"
    with pytest.raises(ValidationError, match="top 3 and sampled 12 are two ways to keep less: set one of the two"):
        Cached(top=3, sampled=12)


@pytest.mark.parametrize("mode", ["reduce-overhead", "max-autotune"])
def test_recorded_memory_of_a_step_cannot_sum_gradients(mode: str) -> None:
    with pytest.raises(ValidationError, match=f"compile: {mode} records .* 2 micro-batches .* set compile: true"):
        Train(compile=mode, accumulate=2)
    Train(compile=mode)
    Train(compile=True, accumulate=2)
