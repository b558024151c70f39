"""The rows of a table of measurements: one function a row, all of them or those named on the command line.

With `--smoke` every row takes its small sizes, which show in seconds that it still runs.
"""

import sys
import time

import numpy as np

ROWS = []
SMOKE = "--smoke" in sys.argv
NAMED = [argument for argument in sys.argv[1:] if argument != "--smoke"]


def row(function):
    """Adds a function to the table under its name."""
    ROWS.append(function)
    return function


def sized(whole, smoke):
    """What a row takes, and what it takes with `--smoke`."""
    return smoke if SMOKE else whole


def seconds(call, repetitions=3):
    """(the median time of a call, what it returned), after one that compiles."""
    call()
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        found = call()
        times.append(time.perf_counter() - start)
    return float(np.median(times)), found


def run():
    """Prints the rows named on the command line, or all."""
    known = {function.__name__: function for function in ROWS}
    unknown = [name for name in NAMED if name not in known]
    if unknown:
        print(f"row: expected some of {', '.join(known)}, got {', '.join(unknown)}", file=sys.stderr)
        raise SystemExit(2)
    for name in NAMED or known:
        known[name]()
