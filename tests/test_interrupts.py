"""The stop button: the first press waits for the step's end, the second does not."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from course_lib.interrupts import HeldInterrupts

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no SIGINT to oneself on Windows")


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_press_is_held_and_the_second_is_not():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), HeldInterrupts() as interrupts:
        press()
        assert interrupts.asked
        press()
    assert signal.getsignal(signal.SIGINT) is before


def test_without_holding_the_first_press_interrupts():
    with pytest.raises(KeyboardInterrupt):
        press()
        press()


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with HeldInterrupts() as interrupts:
            press()
            assert not interrupts.asked
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_leaves_the_handler_alone():
    before, found = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with HeldInterrupts():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before]
