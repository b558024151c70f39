"""Malformed experiments by the thousand: `python -m tests.fuzz.malformed --count 2000`; one by `--seed N`.

`malformed(seed)` is a good experiment with its files, damaged in one to three places. `outcome` gives it to
the command line and says what came of it: "ran" where the damage left a good file, "refused" for exit code 2
with one sentence and nothing left behind, else a fault. Runs are cut short: everything is checked, the energy
at the start is taken and, of one experiment in four, the first steps.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import re
import signal
import sys
import tempfile
import warnings
from collections import Counter
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import numpy as np

import jko.cli.commands
import jko.experiment.run_settings
from jko.cli import main as command

EXAMPLES = Path(__file__).parents[2] / "examples"
SECONDS = 30  # of the processor; no file takes longer to be refused, or a good one to be checked
SENTENCE = 600  # letters

MORE = {
    "plane": """
[grid]
lower = [-2.0, -2.0]
upper = [2.0, 2.0]
cells = [8, 9]
periodic = [false, true]

[initial]
kind = "expression"
density = "exp(-x1^2) * (2 + cos(1.5*x2))"

[[functional]]
name = "kl"
mean = [0.1, 0.0]
covariance = [[1.0, 0.2], [0.2, 1.5]]

[[functional]]
name = "interaction"
kernel = "gaussian"
strength = 0.5
width = 0.8

[runs.PDE]
scheme = "limits.FiniteVolume"
tau = 0.01
n_steps = 4
store_every = 2
""",
    "data": """
title = "Data ☃"

[grid]
lower = -2.0
upper = 2.0
cells = 16

[initial]
kind = "gridded"
file = "values.npz"
key = "rho"

[[functional]]
name = "internal"
U = "s^2 + s*log(s)"
weight = 0.3

[[functional]]
name = "potential"
file = "values.npy"
normalise = true
scale = 0.5
lower = -3.0
upper = 3.0

[runs."A b"]
scheme = "FiniteVolume"
tau = 1e-3
t_final = 4e-3

[runs.Q]
scheme = "steps.Quantile"
tau = 1e-3
n_steps = 4

[output]
folder = "there"
plots = ["energy"]
animate = false
""",
    "picture": """
[grid]
lower = [0.0, 0.0]
upper = [1.0, 1.0]
cells = [6, 7]

[initial]
kind = "image"
file = "picture.png"
invert = true

[[functional]]
name = "entropy"

[[functional]]
name = "cap"
cap = "9 + x1"

[[functional]]
name = "potential"
sample = "jacksboro_fault_dem.npz"
key = "elevation"
crop = [[0, 40], [0, 40]]
coarsen = 2
rows_down = true
normalise = true

[runs.S]
scheme = "Entropic"
epsilon = 0.05
tau = 0.01
n_steps = 2
""",
    "cloud": """
[initial]
kind = "points"
file = "points.csv"
columns = [0, 1]

[[functional]]
name = "mmd"
mean = [0.0, 0.0]
std = 1.0
kernel = "gaussian"
width = 1.0

[[functional]]
name = "reward"
reward = "-r^2"
strength = 0.4
mean = [0.0, 0.0]
std = 2.0

[runs.E]
scheme = "Langevin"
particles = 30
seed = 3
tau = 0.01
n_steps = 3
""",
    "gaussian": """
[initial]
kind = "gaussian"
mean = [0.0, 1.0]
covariance = [[1.0, 0.3], [0.3, 2.0]]

[[functional]]
name = "entropy"

[[functional]]
name = "potential"
potential = "quadratic"
stiffness = [[2.0, 0.0], [0.0, 1.0]]
center = [0.5, 0.0]

[runs.G]
scheme = "steps.Gaussian"
tau = 0.1
t_final = 0.4
""",
    "box": """
[grid]
lower = -2.0
upper = 2.0
cells = 20

[initial]
kind = "indicator"
lower = -0.5
upper = 0.5

[[functional]]
name = "power"
m = 2.0

[[functional]]
name = "potential"
potential = "double_well"
height = 1.0

[runs.JKO]
scheme = "Cvxpy"
tau = 0.01
n_steps = 2

[runs.B]
scheme = "BackAndForth"
tau = 0.01
n_steps = 2
""",
}

VALUES = (
    "nan", "inf", "-inf", "-1", "0", "-0.0", "1e308", "-1e308", "5e-324", "1e-12", "1e300",
    "1_000_000_000_000", "9223372036854775807", "9223372036854775808", "1" + "0" * 400, "true", "false",
    '""', '" "', '"x"', '"nan"', "[]", "[[]]", "[1]", "[1, 2]", "[1, 2, 3, 4]", "[[1, 2], [3]]",
    '[1, "a"]', "[true]", "{}", "{a = 1}", "1979-05-27", "07:32:00", "0.5", "2", "3", '"☃"', r'"\u0000"',
    r'"\ud7ff"', '"../../etc/passwd"', '"/dev/zero"', '"."', '"x1"', '"exp(exp(exp(exp(x1))))"', '"1/0"',
    '"log(-1)"', '"x1^x1^x1"', '"' + "(" * 3000 + '"', '"' + "-" * 3000 + 'x1"',
    '"' + "x1+" * 3000 + 'x1"', '"' + "a" * 6000 + '"', "[" * 200 + "]" * 200, "[" + "1," * 3000 + "]",
    '"__import__(\'os\')"', '"x1 x2"', '"1e400"', '"9" ', '"^"', '"r"', '"z1"', "0x10", "1e9",
)  # fmt: skip
ROWS = ("nan,1\n2,3", "a,b\n", "1,2\n3\n", "1e999,2\n", "1;2\n3;4", "\n\n\n", "1," * 5000, "x" * 5000)
KEYS = (
    "scheme",
    "name",
    "kind",
    "file",
    "lower",
    "tau",
    "seed",
    "runs",
    "grid",
    "weight",
    "key",
    "é",
    "",
    "a b",
)


def malformed(seed: int) -> dict[str, bytes]:
    """The files of a damaged experiment, by name; "experiment.toml" is the experiment."""
    rng = random.Random(seed)
    good = {path.stem: path.read_text() for path in sorted(EXAMPLES.glob("*.toml"))} | MORE
    text = small(good[rng.choice(sorted(good))])
    files = {"experiment.toml": text.encode()} | companions()
    for _ in range(rng.choice((1, 1, 2, 3))):
        target = rng.choice([name for name in files if name == "experiment.toml" or name in text])
        if target != "experiment.toml" and rng.random() < 0.4:
            files[target] = _other_content(rng)
        elif target != "experiment.toml" or rng.random() < 0.25:
            files[target] = damaged(rng, files[target])
        else:
            files[target] = _edited(rng, files[target].decode(errors="replace")).encode(errors="replace")
    return files


def small(text: str) -> str:
    """An experiment with fewer cells and particles, which is checked as soon."""
    text = re.sub(r"cells = \d+\n", "cells = 12\n", text)
    return re.sub(r"particles = [\d_]+\n", "particles = 40\n", text)


def companions() -> dict[str, bytes]:
    """The files that the experiments name."""
    from PIL import Image

    rng, archive, values, picture = np.random.default_rng(0), io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.savez(archive, rho=rng.uniform(0.5, 1.0, 16), other=np.arange(3))
    np.save(values, np.cos(np.linspace(-3.0, 3.0, 24)))
    Image.fromarray(rng.integers(0, 255, (9, 11), dtype=np.uint8)).save(picture, "PNG")
    points = "\n".join(",".join(f"{x:.6g}" for x in row) for row in rng.normal(size=(60, 2)))
    return {
        "values.npz": archive.getvalue(),
        "values.npy": values.getvalue(),
        "picture.png": picture.getvalue(),
        "points.csv": points.encode(),
    }


def damaged(rng: random.Random, content: bytes) -> bytes:
    """Bytes of which some are other, missing, zero, repeated, exchanged, or new."""
    content = bytearray(content or b"\0")
    start = rng.randrange(len(content))
    length = rng.choice((1, 4, 16, 64, 512, 4096))
    kind = rng.randrange(9)
    if kind == 0:
        content[start] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del content[start:]
    elif kind == 2:
        content[start : start + length] = bytes(len(content[start : start + length]))
    elif kind == 3:
        content[start : start + length] = rng.randbytes(len(content[start : start + length]))
    elif kind == 4:
        for _ in range(rng.choice((2, 10, 100))):
            content[rng.randrange(len(content))] = rng.randrange(256)
    elif kind == 5:
        del content[start : start + rng.randrange(1, 200)]
    elif kind == 6:
        del content[len(content) * rng.randrange(16) // 16 :]
    elif kind == 7:  # two blocks, as a disk or a transfer may order them
        block = max(1, min(length, len(content) // 2))
        i, j = (block * rng.randrange(len(content) // block) for _ in range(2))
        content[i : i + block], content[j : j + block] = content[j : j + block], content[i : i + block]
    else:
        content[start:start] = rng.choice((rng.randbytes(length), bytes(content[start : start + length])))
    return bytes(content)


def _other_content(rng) -> bytes:
    """A file that is none of its kind, or is one with odd numbers."""
    array = np.array(rng.choice(([], [np.nan], [np.inf, 1.0], [1e308] * 16, [-1.0] * 16, 3.0)))
    buffer, kind = io.BytesIO(), rng.randrange(8)
    if kind == 0:
        np.save(buffer, array)
    elif kind == 1:
        np.savez(buffer, rho=array, key=np.array(["a"]))
    elif kind == 2:
        np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    elif kind == 3:
        np.savez(buffer, rho=np.ones((4, 4, 4)), other=np.zeros(16, dtype=complex))
    elif kind == 4:
        buffer.write(rng.choice(ROWS).encode())
    elif kind == 5:
        header = "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999,), }"
        buffer.write(b"\x93NUMPY\x01\x00\x76\x00" + header.ljust(117).encode() + b"\n")
    elif kind == 6:
        buffer.write(rng.randbytes(rng.choice((0, 1, 100, 3000))))
    else:
        buffer.write(b"P5 99999 99999 255\n")
    return buffer.getvalue()


def _edited(rng, text: str) -> str:
    """An experiment with another value, key, table, line or sign somewhere."""
    lines = text.split("\n")
    entries = [i for i, line in enumerate(lines) if re.match(r"[\w\"]+ *=", line)]
    tables = [i for i, line in enumerate(lines) if line.startswith("[")]
    kind = rng.randrange(10)
    if kind <= 3 and entries:
        i = rng.choice(entries)
        lines[i] = f"{lines[i].split('=')[0].strip()} = {rng.choice(VALUES)}"
    elif kind == 4 and entries:
        i, j = rng.choice(entries), rng.choice(entries)
        lines[i] = f"{rng.choice((*KEYS, lines[j].split('=')[0].strip()))} = {lines[i].partition('=')[2]}"
    elif kind == 5 and entries:
        i, j = rng.choice(entries), rng.choice(entries)
        lines[i] = f"{lines[i].split('=')[0]}= {lines[j].partition('=')[2]}"
    elif kind == 6 and tables:
        lines[rng.choice(tables)] = rng.choice(
            ("[runs]", "[runs.A.B]", "[[grid]]", '[runs."../x"]', "[x]", "[initial]", "")
        )
    elif kind == 7:
        del lines[rng.randrange(len(lines))]
    elif kind == 8:
        lines.insert(rng.randrange(len(lines)), f"{rng.choice(KEYS)} = {rng.choice(VALUES)}")
    else:
        i = rng.randrange(len(lines))
        lines[i : i + rng.choice((1, 5))] = rng.choice(
            ([], lines[i : i + 1] * 2, [lines[i][::-1]], ["[" * 2000])
        )
    return "\n".join(lines)


def outcome(seed: int) -> str:
    """What the command line made of `malformed(seed)`."""
    return of_files(malformed(seed), first_steps=seed % 4 == 0)


def of_files(
    files: dict[str, bytes], arguments=("compare", "experiment.toml", "--quiet"), first_steps=False
) -> str:
    """What the command line made of these files: "ran", "refused", or what is wrong."""
    with tempfile.TemporaryDirectory() as folder, _inside(folder):
        for name, content in files.items():
            Path(name).write_bytes(content)
        before = _content()
        with _cut_short(first_steps):
            code, said, printed = _said(lambda: command(list(arguments)))
        if isinstance(code, BaseException):
            return f"fault: {type(code).__name__}: {code}"[:300]
        if code == 0:
            return "ran"
        if code != 2:
            return f"fault: exit code {code}: {said[:300]}"
        if said.count("\n") != 1 or not said.strip() or "Traceback" in said or len(said) > SENTENCE + 1:
            return f"fault: no sentence: {said[:300]!r}"
        if printed:
            return f"fault: more than a sentence: {printed[:300]!r}"
        if _content() != before:
            return f"fault: left behind {sorted(set(_content()) ^ set(before))}"
        return "refused"


def _content() -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in Path().rglob("*")}


@contextmanager
def _inside(folder):
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _cut_short(first_steps: bool):
    """Everything is checked, and nothing is run after that."""

    def try_out(run):
        run.store_initial()

    patches = [mock.patch.object(jko.cli.commands, "_finish", return_value=0)]
    patches += [] if first_steps else [mock.patch.object(jko.experiment.run_settings, "try_out", try_out)]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


class TookTooLong(BaseException):
    """No refusal takes so long."""


def _said(call) -> tuple:
    """(exit code or what was raised, standard error, all else that came out)."""
    out, error = io.StringIO(), io.StringIO()

    def ring(*_):
        raise TookTooLong(f"more than {SECONDS} s")

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    with tempfile.TemporaryFile() as raw, redirect_stdout(out), redirect_stderr(error):
        kept = os.dup(2)
        os.dup2(raw.fileno(), 2)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("default")
                code = call()
        except BaseException as raised:
            code = raised
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0.0)
            signal.signal(signal.SIGPROF, before)
            os.dup2(kept, 2)
            os.close(kept)
        raw.seek(0)
        printed = out.getvalue() + raw.read().decode(errors="replace")
    return code, error.getvalue(), printed


def main(arguments=None) -> int:
    """Print the seeds of failures, then how many there were of each outcome."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.malformed", description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--seed", type=int, help="one of them: its files and what was said")
    asked = parser.parse_args(arguments)
    if asked.seed is not None:
        files = malformed(asked.seed)
        print(files["experiment.toml"].decode(errors="replace"))
        print(outcome(asked.seed))
        return 0
    outcomes = Counter()
    for seed in range(asked.start, asked.start + asked.count):
        what = outcome(seed)
        outcomes[what.partition(":")[0]] += 1
        if what.startswith("fault"):
            print(f"seed {seed}: {what}", flush=True)
    print(f"{asked.count} malformed experiments: {dict(outcomes)}")
    return 1 if outcomes["fault"] else 0


if __name__ == "__main__":
    sys.exit(main())
