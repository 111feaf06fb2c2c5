from __future__ import annotations

import io

from rich.console import Console

from limbeck.train.progress import TrainingProgress


def progress(*, terminal: bool, visible: bool = True, start: int = 0) -> tuple[TrainingProgress, io.StringIO]:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=120)
    return TrainingProgress("digits-kd", 10, start=start, visible=visible, console=console), text


def test_elsewhere_than_on_a_terminal_the_end_is_a_line() -> None:
    bar, text = progress(terminal=False)
    with bar:
        bar.advance(1)
        bar.show({"task": 0.25, "kd": 1.5}, samples_per_second=1234.5)
        bar.advance(10)
    assert text.getvalue() == "digits-kd: step 10 of 10  task 0.2500  kd 1.5000  1,234 samples/s\n"


def test_a_line_comes_now_and_then() -> None:
    bar, text = progress(terminal=False)
    with bar:
        bar._shown -= 20
        bar.advance(1)
        bar.advance(2)
    assert text.getvalue().splitlines() == ["digits-kd: step 1 of 10  "]


def test_a_terminal_shows_a_bar_with_terms_throughput_and_time_left() -> None:
    bar, text = progress(terminal=True, start=3)
    with bar:
        bar.show({"task": 0.25}, samples_per_second=1000.0)
        bar.advance(10)
    shown = text.getvalue()
    for part in ("digits-kd", "10/10", "task 0.2500", "1,000 samples/s", "0:00:0"):
        assert part in shown


def test_other_processes_are_silent() -> None:
    bar, text = progress(terminal=True, visible=False)
    with bar:
        bar.advance(10)
    assert text.getvalue() == ""
