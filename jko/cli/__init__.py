"""The command line: jko compare, run, plot, resume, learn, film, functionals, schemes."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from contextlib import contextmanager
from importlib import import_module

LONGEST = 600  # letters of a sentence
_MOST_WARNINGS = 5  # lines of warnings beside a result; more of them would hide it
# exit codes: a failure, an input refused, and 128 + SIGINT as shells say it
_ERROR, _BAD_INPUT, _INTERRUPTED = 1, 2, 130
_REFUSALS = (ValueError, TypeError, OSError, MemoryError, RecursionError, ArithmeticError, ImportError)


class _Parser(argparse.ArgumentParser):
    """One sentence for a bad argument."""

    def error(self, message: str):
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(_BAD_INPUT)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns its exit code.

    0; 1 where a run, a picture or a write failed; 2 for a bad file or argument; 130 after Ctrl-C.
    """
    try:
        options = parser().parse_args(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a console without these letters shows others rather than failing
            stream.reconfigure(errors="replace")
    try:
        with quiet_libraries(options.traceback) as say_warnings:
            code = options.command(options) or 0
            say_warnings()
        return code
    except KeyboardInterrupt as stop:
        print(f"interrupted: {stop or 'nothing was written'}", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _ERROR
    except _REFUSALS as error:
        if options.traceback:
            raise
        from jko.errors import NotWritten, shortened

        print(shortened(error, LONGEST), file=sys.stderr)
        return _ERROR if isinstance(error, NotWritten) else _BAD_INPUT


@contextmanager
def quiet_libraries(as_they_are: bool = False):
    """Keep the warnings of libraries from a refusal's one sentence; the function says them, a line each."""
    with warnings.catch_warnings(record=not as_they_are) as caught:

        def say():
            lines = dict.fromkeys(" ".join(str(entry.message).split()) for entry in caught or ())
            for line in list(lines)[:_MOST_WARNINGS]:
                print(f"warning: {line[:LONGEST]}", file=sys.stderr)

        yield say


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = _Parser(prog="jko", description="Wasserstein gradient flows from an experiment file.")
    top.add_argument("--version", action="version", version=_version())
    top.add_argument("--traceback", action="store_true", help="show where an error came from")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    compare = _command(commands, "compare", "run every run of an experiment and lay them side by side")
    compare.add_argument("file", metavar="FILE", help="the experiment, a TOML file")
    _results(compare)

    run = _command(commands, "run", "run an experiment, or some of its runs, without comparing them")
    run.add_argument("file", metavar="FILE", help="the experiment, a TOML file")
    run.add_argument("--run", metavar="NAME", action="append", help="only this run; may be repeated")
    _results(run)

    resume = _command(commands, "resume", "go on with an experiment that was stopped or killed")
    resume.add_argument("path", metavar="PATH", help="its results folder, or the experiment that was run")
    resume.add_argument("--quiet", action="store_true", help="print errors only")

    plot = _command(commands, "plot", "compare and plot runs that were saved")
    plot.add_argument("paths", metavar="PATH", nargs="+", help="a results folder, or netCDF files of runs")
    plot.add_argument("--out", metavar="DIR", help="folder for the pictures (default: where the runs lie)")
    plot.add_argument("--animate", action="store_true", help="also animate every run as a GIF")
    plot.add_argument("--quiet", action="store_true", help="print errors only")

    learn = _command(commands, "learn", "learn a functional from a table of points seen at several times")
    learn.add_argument("file", metavar="FILE", help="what to learn from what, a TOML file")
    learn.add_argument("--out", metavar="DIR", help="folder of the results (default: results/<name of FILE>)")
    learn.add_argument("--quiet", action="store_true", help="print errors only")

    film = _command(commands, "film", "make the film of the theorem of Benamou and Brenier, in five scenes")
    film.add_argument(
        "--output",
        metavar="PATH",
        default="film",
        help="file, .mp4 or .gif (default: film.mp4; .gif without the extra)",
    )
    film.add_argument("--scenes", metavar="N,N", default="1,2,3,4,5", help="which scenes (default: all five)")
    film.add_argument(
        "--seconds", metavar="S", type=float, help="how long all of it lasts (default: about 63)"
    )
    film.add_argument("--size", metavar="WxH", help="pixels (default: 1280x720, a GIF 480x270)")
    film.add_argument("--fps", metavar="N", type=float, help="frames a second (default: 30, a GIF 10)")
    film.add_argument("--stills", metavar="DIR", help="also write a PNG of each scene into this folder")
    film.add_argument("--quiet", action="store_true", help="print errors only")

    listed = _command(commands, "functionals", "list the functionals, potentials and kernels known by name")
    listed.add_argument("name", metavar="NAME", nargs="?", help="only this one, with all that is said of it")
    listed = _command(commands, "schemes", "list the schemes and their settings")
    listed.add_argument("name", metavar="NAME", nargs="?", help="only this one, with all that is said of it")
    return top


def _results(command: _Parser):
    command.add_argument(
        "--out", metavar="DIR", help="folder of the results (default: results/<name of FILE>)"
    )
    command.add_argument(
        "--overwrite", action="store_true", help="discard the checkpoints of an earlier experiment there"
    )
    command.add_argument(
        "--checkpoint",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep checkpoints, from which a killed run is resumed (default: yes)",
    )
    command.add_argument("--no-plots", dest="plots", action="store_false", help="write data and table only")
    command.add_argument("--animate", action="store_true", help="also animate every run as a GIF")
    command.add_argument("--quiet", action="store_true", help="print errors only")


def _command(commands, name: str, help: str):
    command = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")

    def call(options):
        rooms = {"functionals": "listing", "schemes": "listing", "learn": "learning", "film": "theorem"}
        return getattr(import_module(f"jko.cli.{rooms.get(name, 'commands')}"), name)(options)

    command.set_defaults(command=call)
    return command


def _version() -> str:
    from jko import __version__

    return f"jko {__version__}"
