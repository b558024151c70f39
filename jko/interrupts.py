"""Ctrl-C that is not lost."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager


@contextmanager
def interrupts():
    """A function that raises KeyboardInterrupt if Ctrl-C was pressed since the block began.

    An exception raised by a signal inside a library's callback, such as one of a garbage collection or of a
    compiled loop, is printed and dropped by Python: asked between two steps, this one is not. A program that
    handles the signal in its own way keeps its way.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield lambda: None
        return
    pressed = False

    def note(signum, frame):
        nonlocal pressed
        try:
            before(signum, frame)
        except KeyboardInterrupt:
            pressed = True
            raise

    def heed():
        if pressed:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, note)
    try:
        yield heed
    finally:
        signal.signal(signal.SIGINT, before)
