"""Memory of a process that runs many functionals, one after another. `python benchmarks/memory.py`

Each functional is a new function with another constant, so that each is compiled. Prints the resident memory
beyond that after the first ten, and the processor time. Names of engines as arguments run those alone;
`--count` says how many functionals (1000), `--smoke` takes 12.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import jax.numpy as jnp

sys.path.insert(0, str(Path(__file__).parent.parent))

import functionals as fn
import jko

WARM = 10
GRID = jko.Grid.uniform(-3.0, 3.0, 100)
ENGINES = {
    "Quantile": (jko.steps.Quantile(), True),
    "FiniteVolume": (jko.limits.FiniteVolume(), True),
    "Langevin": (jko.descent.Langevin(seed=0), True),
    "BackwardEuler": (jko.descent.BackwardEuler(), False),
    "interactions": (jko.descent.ForwardEuler(), False),
}


def resident() -> float:
    """The memory of this process in MB, as Linux counts it."""
    with open("/proc/self/status", encoding="ascii") as lines:
        return next(float(line.split()[1]) / 1024.0 for line in lines if line.startswith("VmRSS"))


def run_one(name, number):
    """One step under a functional that no other has."""
    scheme, with_entropy = ENGINES[name]
    k = 0.1 + 1e-3 * number
    F = fn.Potential(lambda x: k * jnp.sum(x**4) + jnp.cos(k * x[0]))
    if name == "interactions":
        F = F + fn.Interaction(lambda z: k * jnp.exp(-k * jnp.sum(z**2)))
    start = jko.Gaussian.of(0.0, 1.0)
    on_grid = name in ("Quantile", "FiniteVolume")
    mu = start.on(GRID) if on_grid else start.sample(50, seed=0)
    jko.flow(F + fn.Entropy() if with_entropy else F, mu, scheme, tau=1e-3, n_steps=1)


def growth(name, count):
    """(MB beyond the first ten functionals, seconds of processor time) of so many functionals."""
    for number in range(min(WARM, count)):
        run_one(name, number)
    before, start = resident(), time.process_time()
    for number in range(WARM, count):
        run_one(name, number)
    return resident() - before, time.process_time() - start


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engines", nargs="*", default=list(ENGINES))
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--smoke", action="store_true")
    arguments = parser.parse_args()
    count = 12 if arguments.smoke else arguments.count
    for engine in arguments.engines:
        more, seconds = growth(engine, count)
        print(f"{engine:14s} {count:5d} functionals   + {more:6.1f} MB   {seconds:7.1f} s", flush=True)
