"""Damaged results by the hundred: `python -m tests.fuzz.damaged --count 500`; one by `--seed N`.

A saved run, a checkpoint or a results folder, some of whose bytes are other, missing or new: it is refused in
one sentence, or what comes of it is the same to the last bit.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path

import functionals as fn
import jko
import jko.cli
from jko.errors import CheckpointMismatch
from jko.fingerprint import fingerprint
from tests import own_schemes, problems
from tests.fuzz.malformed import SENTENCE, _said, damaged

EXPERIMENT = """
[initial]
kind = "gaussian"
mean = 0.5
std = 1.0
[[functional]]
name = "potential"
potential = "quadratic"
[runs.A]
scheme = "Langevin"
particles = 8
tau = 0.1
n_steps = 3
"""


def outcome(seed: int) -> str:
    """What came of damaged results: "refused", "same", or what is wrong."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        return rng.choice((_netcdf, _netcdf, _checkpoint, _results))(rng, Path(folder))


def _netcdf(rng, folder) -> str:
    number = rng.randrange(3)
    path, run = folder / "run.nc", _runs()[number]
    path.write_bytes(damaged(rng, _saved(number)))
    return _judged(lambda: _everything(jko.Trajectory.load(path)), _everything(run), ValueError)


def _checkpoint(rng, folder) -> str:
    path, (content, whole) = folder / "run", _checkpointed()
    path.write_bytes(_without_a_part(rng, content) if rng.random() < 0.3 else damaged(rng, content))
    return _judged(lambda: _everything(_walk(path)), whole, CheckpointMismatch)


def _results(rng, folder) -> str:
    """A results folder of which one file is damaged, resumed by the command line."""
    files, whole = _finished()
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    name = rng.choice(sorted(files))
    (folder / name).write_bytes(damaged(rng, files[name]))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    code, said, printed = _said(lambda: jko.cli.main(["resume", str(folder), "--quiet"]))
    if code == 0:
        kept = name == "experiment.toml" or _everything(jko.Trajectory.load(folder / "A.nc")) == whole
        return "same" if kept else f"fault: other numbers, {name} was damaged"
    if code != 2 or said.count("\n") != 1 or len(said) > SENTENCE + 1 or printed:
        return f"fault: {name}: {code!r}: {said[:300]!r} {printed[:300]!r}"
    if {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} != before:
        return f"fault: {name}: refused, but something was written"
    return "refused"


def _judged(call, whole, refusal) -> str:
    found, said, printed = _said(call)
    if isinstance(found, refusal):
        sentence = str(found)
        good = "\n" not in sentence and len(sentence) <= SENTENCE and not said and not printed
        return (
            "refused" if good else f"fault: no sentence: {sentence[:300]!r} {said[:300]!r} {printed[:300]!r}"
        )
    if isinstance(found, BaseException):
        return f"fault: {type(found).__name__}: {found}"[:300]
    return "same" if found == whole else "fault: other numbers"


def _everything(run) -> str:
    """A digest of all that a run holds, but the clock."""
    kept = {
        name: value for name, value in vars(run).items() if name not in ("measures", "attributes", "_bounds")
    }
    attributes = {name: value for name, value in run.attributes.items() if name != "seconds"}
    kept["info"] = dict(run.info)
    return fingerprint([kept, attributes, [mu.packed() for mu in run.measures]])


def _walk(path=None, scheme=None):
    mu, F = problems.particles(2), fn.Potential("quadratic")
    scheme = scheme or own_schemes.Noise()
    return jko.flow(F, mu, scheme, tau=0.1, n_steps=5, store_every=2, checkpoint=path)


@cache
def _runs() -> tuple:
    heat = jko.flow(fn.Entropy(), problems.density(1), own_schemes.Smoothing(), tau=0.125, n_steps=3)
    gaussian = jko.flow(fn.Entropy(), problems.gaussian(2), own_schemes.HeatOnLine(), tau=0.125, n_steps=3)
    return _walk(), heat, gaussian


@cache
def _saved(number: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return _runs()[number].save(Path(folder) / "run.nc").read_bytes()


@cache
def _checkpointed() -> tuple[bytes, str]:
    """The checkpoint of a run, a chunk a step, and the digest of the run."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        before, jko.driver._CHECKPOINT_SECONDS = jko.driver._CHECKPOINT_SECONDS, 0.0
        clock, jko.driver.monotonic = jko.driver.monotonic, lambda: 0.0
        try:
            whole = _walk(path)
        finally:
            jko.driver._CHECKPOINT_SECONDS, jko.driver.monotonic = before, clock
        return path.read_bytes(), _everything(whole)


def _without_a_part(rng, content: bytes) -> bytes:
    """A checkpoint without some chunk, with two exchanged, or with one written twice."""
    head, ends = jko.checkpoint._HEAD, [len(jko.checkpoint._MAGIC)]
    while ends[-1] < len(content):
        ends.append(ends[-1] + head.size + head.unpack_from(content, ends[-1])[0])
    parts = [content[a:b] for a, b in pairwise(ends)]
    i, j = rng.randrange(len(parts)), rng.randrange(len(parts))
    kind = rng.randrange(3)
    if kind == 0:
        del parts[i]
    elif kind == 1:
        parts[i], parts[j] = parts[j], parts[i]
    else:
        parts.insert(i, parts[j])
    return content[: ends[0]] + b"".join(parts)


@cache
def _finished() -> tuple[dict[str, bytes], str]:
    """The files of a results folder, and the digest of its run."""
    with tempfile.TemporaryDirectory() as folder:
        path, results = Path(folder) / "a.toml", Path(folder) / "results"
        path.write_text(EXPERIMENT)
        arguments = ["run", str(path), "--out", str(results), "--quiet", "--no-plots"]
        assert jko.cli.main(arguments) == 0
        whole = _everything(jko.Trajectory.load(results / "A.nc"))
        return {str(p.relative_to(results)): p.read_bytes() for p in results.rglob("*") if p.is_file()}, whole


def main(arguments=None) -> int:
    """Print the seeds of failures, then how many there were of each outcome."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.damaged", description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--seed", type=int, help="only this one")
    asked = parser.parse_args(arguments)
    seeds = range(asked.start, asked.start + asked.count) if asked.seed is None else [asked.seed]
    outcomes = Counter()
    for seed in seeds:
        what = outcome(seed)
        outcomes[what.partition(":")[0]] += 1
        if what.startswith("fault") or asked.seed is not None:
            print(f"seed {seed}: {what}", flush=True)
    print(f"{len(seeds)} damaged results: {dict(outcomes)}")
    return 1 if outcomes["fault"] else 0


if __name__ == "__main__":
    sys.exit(main())
