"""The rows of a table of measurements: one function a row, all of them or those named on the command line."""

import sys
import time

import numpy as np

ROWS = []


def row(function):
    """Adds a function to the table under its name."""
    ROWS.append(function)
    return function


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
    for function in ROWS:
        if len(sys.argv) < 2 or function.__name__ in sys.argv[1:]:
            function()
