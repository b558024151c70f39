"""Ctrl-C pressed where Python drops the exception is heeded all the same."""

import os
import signal

import pytest

from jko.cli.interrupts import interrupts


class PressedWhileItIsThrownAway:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_dropped_interrupt_is_raised_when_asked():
    before = signal.getsignal(signal.SIGINT)
    with interrupts() as heed:
        heed()
        thrown = PressedWhileItIsThrownAway()
        del thrown
        with pytest.raises(KeyboardInterrupt):
            heed()
    assert signal.getsignal(signal.SIGINT) is before
