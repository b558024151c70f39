"""Damaged results by the hundred: `python -m tests.fuzz.damaged --count 500`; one by `--seed N`.

A saved run, a checkpoint or a results folder, some of whose bytes are other, missing or new: it is refused in
one sentence, or what comes of it is the same to the last bit. A saved run that another tool has written again
without its checksum, other than it was: it is refused in one sentence, or what comes of it is a run.
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

import numpy as np

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
        return rng.choice((_netcdf, _rewritten, _checkpoint, _results))(rng, Path(folder))


def _netcdf(rng, folder) -> str:
    number = rng.randrange(len(_runs()))
    path, run = folder / "run.nc", _runs()[number]
    path.write_bytes(damaged(rng, _saved(number)))
    return _judged(lambda: _everything(jko.Trajectory.load(path)), _everything(run), ValueError)


def _rewritten(rng, folder) -> str:
    """A run's file as another tool may have left it: no checksum, and a part that is missing, renamed, of
    another kind or length, or holds no numbers."""
    import h5py

    number = rng.randrange(len(_runs()))
    path, whole = folder / "run.nc", _everything(_runs()[number])
    _runs()[number].to_xarray().to_netcdf(path, engine="h5netcdf")
    with h5py.File(path, "r+") as file:
        done = _changed(rng, file)
    found, said, printed = _said(lambda: jko.Trajectory.load(path))
    if isinstance(found, ValueError):
        return _judged_refusal(found, said, printed)
    if isinstance(found, BaseException):
        return f"fault: {done}: {type(found).__name__}: {found}"[:300]
    if _everything(found) == whole:
        return "same"
    wrong = _no_run(found)
    return f"fault: {done}: {wrong}" if wrong else "another run"


def _changed(rng, file) -> str:
    """Change one part of an HDF5 file, and say which."""
    import h5py

    name, kind = rng.choice(sorted(file)), rng.randrange(9)
    values = file[name][()]
    if kind == 0:
        attribute = rng.choice(sorted(file.attrs))
        del file.attrs[attribute]
        return f"no attribute {attribute}"
    if kind == 1:
        attribute = rng.choice(sorted(file.attrs))
        value = rng.choice(("", "x", "json: {", -1, 3.5, float("nan"), [1.0, 2.0, 3.0], [], b"\xff", True))
        file.attrs[attribute] = value
        return f"{attribute} = {value!r}"
    if kind == 2:
        other = rng.choice((f"{name}_", f"group/{name}", f"step_{name}", "times"))
        file.move(name, other)
        return f"{name} is {other}"
    if kind == 3 and values.dtype.kind in "iuf" and values.size:
        values = values.astype(float)
        values.flat[rng.randrange(values.size)] = rng.choice((float("nan"), float("inf"), -1.0, 1e300))
    elif kind == 4:
        values = values[: rng.randrange(len(values))] if values.ndim and len(values) else values
    elif kind == 5:
        values = np.concatenate([values, values[-1:]]) if values.ndim else values
    elif kind == 6:
        texts = np.array([str(v) for v in np.ravel(values)], dtype=h5py.string_dtype())
        values = rng.choice(
            (texts.reshape(values.shape), np.ones(values.shape, complex), np.zeros(values.shape, "i1"))
        )
    elif kind == 7:
        values = rng.choice(
            (np.float64(3.0), np.zeros((0,) * max(values.ndim, 1)), values[None], np.ravel(values))
        )
    del file[name]
    if kind == 8:
        if rng.random() < 0.5:
            file.create_group(name)
        return f"{name} deleted"
    file[name] = values
    return f"{name} changed ({kind})"


def _no_run(run) -> str:
    """Why what was loaded is no run, "" where it is one."""
    steps, stored = run.info.n_steps, len(run.measures)
    if not (np.all(np.isfinite(run.times)) and np.all(np.diff(run.times) > 0.0)):
        return f"times {run.times}"
    if not run.times.shape == run.energy.shape == run.energy_uncertainty.shape == (stored,):
        return f"{stored} measures, times {run.times.shape}, energies {run.energy.shape}"
    if not (stored and run.tau > 0.0 and all(len(column) == steps for column in run.info.values())):
        return f"tau {run.tau}, columns {[column.shape for column in run.info.values()]}"
    for index in range(steps):
        run.info.row(index)
    repr(run), run._repr_html_(), run.error_bound, run.flow_error_bound
    return ""


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
        return _judged_refusal(found, said, printed)
    if isinstance(found, BaseException):
        return f"fault: {type(found).__name__}: {found}"[:300]
    return "same" if found == whole else "fault: other numbers"


def _judged_refusal(found, said: str, printed: str) -> str:
    sentence = str(found)
    good = "\n" not in sentence and len(sentence) <= SENTENCE and not said and not printed
    return "refused" if good else f"fault: no sentence: {sentence[:300]!r} {said[:300]!r} {printed[:300]!r}"


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
    return _walk(), heat, gaussian, *(_standing(mu) for mu in _measures())


def _measures() -> list:
    """One of each other kind of measure that files know."""
    torus = jko.Grid.uniform((-1.0, 0.0), (1.0, 3.0), (4, 3), periodic=(True, False))
    inside = np.arange(12).reshape(4, 3) != 5
    doors = np.arange(12).reshape(4, 3) == 11
    room = jko.Grid.uniform((-1.0, 0.0), (1.0, 3.0), (4, 3), inside=inside, doors=doors)
    values = np.random.default_rng(0).uniform(0.5, 1.0, (4, 3))
    densities = jko.Density(torus, values), jko.Density(room, np.where(inside & ~doors, values, 0.0))
    lines = jko.Grid.from_edges([0.0, 0.5, 0.7, 2.0]), jko.Grid.radial([0.0, 0.5, 0.7, 2.0], 3)
    cloud = np.random.default_rng(1).uniform(-0.9, 0.9, (5, 2))
    box = jko.Grid.uniform((-1.0, -1.0), (1.0, 1.0), (3, 3))
    return [
        *densities,
        *(grid.density(np.array([1.0, 0.5, 0.2])) for grid in lines),
        jko.ConfinedParticles(cloud, box),
        jko.Population(cloud, mass=0.7),
        jko.Species(a=densities[0], b=densities[0]),
    ]


def _standing(mu):
    """A run in which nothing moves, with records of every kind."""
    columns = {"single": np.float32([0.1, 3.0]), "taken": np.array([True, False])}
    records = jko.Records.constant(2, note="σ ≤ ∞", details={"cells": 3}).with_columns(**columns)
    return jko.trajectory.Trajectory([0.0, 0.5, 1.0], [1.0, np.inf, np.nan], [mu] * 3, records, 0.5)


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
