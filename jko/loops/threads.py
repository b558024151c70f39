"""Compiled loops on every thread.

A loop over the numbers from `begin` to `end`, compiled with `nogil=True`, is called for pieces of the whole
range by a pool of threads. It is compiled once and alone; numba's own parallel loops compile what they call a
second time, up to ten seconds for one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from itertools import pairwise

import numba

_PIECES = 4  # for each thread: one that is done early takes another
_most: ContextVar[int] = ContextVar("threads of the loops", default=numba.config.NUMBA_NUM_THREADS)


@contextmanager
def loop_threads(count: int):
    """At most `count` threads in the loops within; what held before is restored."""
    token = _most.set(min(count, numba.config.NUMBA_NUM_THREADS))
    try:
        yield
    finally:
        _most.reset(token)


def shared(loop: Callable, count: int, *arguments) -> None:
    """loop(begin, end, *arguments) over the numbers below `count`, in pieces that threads share.

    The pieces write to places of their own, so that the numbers do not depend on the threads.
    """
    threads = min(_most.get(), count)
    if threads <= 1:
        loop(0, count, *arguments)
        return
    pieces = min(count, _PIECES * threads)
    ends = [count * k // pieces for k in range(pieces + 1)]
    work = [_pool(os.getpid(), threads).submit(loop, begin, end, *arguments) for begin, end in pairwise(ends)]
    for piece in work:
        piece.result()


@lru_cache(maxsize=4)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    # a fork has none of its parent's threads
    return ThreadPoolExecutor(threads, thread_name_prefix="jko")
