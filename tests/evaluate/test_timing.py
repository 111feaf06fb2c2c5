"""Times of calls, with a clock that the test turns."""

from __future__ import annotations

import time

import pytest

from limbeck.evaluate.timing import time_calls, time_in_turns


class Clock:
    """Time passes only when something is called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


def test_warming_calls_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, durations = Clock(monkeypatch), iter([9.0, 9.0, 0.001, 0.002, 0.003])
    result = time_calls(lambda: clock.pass_by(next(durations)), repeats=3, warmup=2)
    assert result.median_ms == pytest.approx(2)
    assert result.p95_ms == pytest.approx(2.9)
    assert result.calls == 3


def test_waiting_counts_and_drawing_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, told = Clock(monkeypatch), []

    def draw() -> None:
        told.append(clock.now)
        clock.pass_by(1.0)

    result = time_calls(lambda: None, repeats=4, warmup=1, wait=lambda: clock.pass_by(0.5), on_call=draw)
    assert result.median_ms == pytest.approx(500)
    assert result.p95_ms == pytest.approx(500)
    assert len(told) == 5


def test_a_slow_call_is_not_repeated_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    assert time_calls(lambda: clock.pass_by(4.0), repeats=50, warmup=0, at_most_seconds=10.0).calls == 3
    assert time_calls(lambda: clock.pass_by(60.0), repeats=50, warmup=0, at_most_seconds=10.0).p95_ms == 60_000


def test_no_repeats_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        time_calls(lambda: None, repeats=0)


def test_several_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, order = Clock(monkeypatch), []

    def call(name: str, seconds: float) -> None:
        order.append(name)
        clock.pass_by(seconds * len(order))  # a machine that gets slower

    one, other = time_in_turns([lambda: call("a", 1e-3), lambda: call("b", 1e-3)], repeats=3, warmup=1)
    assert "".join(order) == "abababab"
    assert (one.median_ms, other.median_ms) == pytest.approx((5, 6))
    assert one.calls == other.calls == 3
