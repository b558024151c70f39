"""What a command says as it goes on, and of what failed."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable

from jko.cli import LONGEST
from jko.errors import shortened


def complain(failures: dict[str, Exception], options: argparse.Namespace) -> int:
    """One sentence for each thing that failed; the exit code."""
    for what, error in failures.items():
        sentence = shortened(error, LONGEST)
        print(sentence if sentence.startswith(f"{what}.") else f"{what}: {sentence}", file=sys.stderr)
        if options.traceback:
            traceback.print_exception(error)
    return 1 if failures else 0


def say_unless(quiet: bool) -> Callable[[str], None]:
    """Print at once, or nothing."""
    return (lambda text: None) if quiet else (lambda text: print(text, flush=True))
