from __future__ import annotations

import os
import signal
import threading

import pytest

from limbeck.train.interrupts import Interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Interrupts() as interrupts:
        assert not interrupts.asked
        os.kill(os.getpid(), number)
        assert interrupts.asked
    assert signal.getsignal(number) is before


def test_the_second_acts_as_usual() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        _asks_twice()
    finally:
        signal.signal(signal.SIGINT, before)


def _asks_twice() -> None:
    with Interrupts():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_handlers_come_back_after_an_error() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError), Interrupts():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_may_train_too() -> None:
    asked = []

    def train() -> None:
        with Interrupts() as interrupts:
            asked.append(interrupts.asked)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert asked == [False]
