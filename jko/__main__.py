"""The process of a command: `python -m jko`, and the script `jko`."""

import gc
import sys

from jko.cli import main

_OBJECTS, _ROUNDS = 100_000, 50  # of Python's search for garbage, by default every 700 objects


def process() -> int:
    """A command in a process of its own; returns its exit code.

    The libraries' 300 000 objects live as long as the process: to search them for garbage as often as Python
    does, at the end once more, takes a fifth of a short command's time.
    """
    gc.set_threshold(_OBJECTS, _ROUNDS, _ROUNDS)
    code = main()
    gc.freeze()
    return code


if __name__ == "__main__":
    sys.exit(process())
