from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from pydantic import ValidationError

from limbeck.train.settings import (
    LARS,
    NOT_DETERMINING,
    OPTIMIZERS,
    SCHEDULES,
    SGD,
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
