"""How many threads the parallel loops may use."""

from __future__ import annotations

from contextlib import contextmanager


@contextmanager
def loop_threads(count: int):
    """At most `count` threads in numba's parallel loops within; what held before is restored."""
    if count == 1:
        yield
        return
    import numba

    before = numba.get_num_threads()
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    try:
        yield
    finally:
        numba.set_num_threads(before)
