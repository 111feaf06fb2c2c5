from __future__ import annotations

import subprocess
import sys
import time

import pytest

from limbeck.train.idle import ProcessorTime, covered


def spin(seconds: float) -> None:
    """Use the processor for so long, in processor time: on a busy machine that takes longer."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_who_sleeps_is_idle_and_who_computes_is_not() -> None:
    asleep = ProcessorTime()
    time.sleep(0.2)
    assert asleep.idle() > 0.9
    both = ProcessorTime()
    began = time.perf_counter()
    spin(0.1)
    time.sleep(0.1)
    wall = time.perf_counter() - began
    assert both.idle() == pytest.approx(1 - 0.1 / (wall * both.threads), abs=0.1)


def test_processes_that_have_ended_are_counted_apart() -> None:
    processor = ProcessorTime()
    assert processor.of_workers() == 0
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", burn], check=True)
    assert processor.of_workers() > 0.2
    assert processor.idle() > 0.5


@pytest.mark.parametrize(
    ("spans", "length"),
    [([], 0), ([(1, 2)], 1), ([(3, 4), (0, 2)], 3), ([(0, 10), (2, 3), (9, 12)], 12), ([(0, 1), (0, 1)], 1)],
)
def test_the_union_of_intervals(spans: list[tuple[float, float]], length: float) -> None:
    assert covered(spans) == length
