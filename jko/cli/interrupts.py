"""Ctrl-C that is not lost."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager


@contextmanager
def interrupts():
    """A function that raises KeyboardInterrupt if Ctrl-C was pressed since the block began.

    An exception raised by a signal inside a library's callback, such as one of a garbage collection, is
    printed and dropped by Python: asked between two runs, this one is not.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    pressed = False

    def note(signum, frame):
        nonlocal pressed
        pressed = True
        raise KeyboardInterrupt

    def heed():
        if pressed:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield heed
    finally:
        signal.signal(signal.SIGINT, before)
