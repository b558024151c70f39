"""Langevin: speed, constant memory, two devices, ensembles. `python benchmarks/langevin.py [--smoke] [NAME]`

Names: speed, memory, devices, ensemble, observables. Rates are particle-steps per second of wall-clock time.
"""

from __future__ import annotations

import resource
import time

import jax
import jax.numpy as jnp
import numpy as np
from rows import NAMED, row, run, sized

import functionals as fn
import jko
from jko.descent import Langevin


def quadratic(x):
    return 0.5 * jnp.sum(x**2)


def tilted_well(x):
    return (x[0] ** 2 - 1.0) ** 2 + 0.5 * x[1] ** 2 + 0.3 * x[0] * x[1]


FUNCTIONALS = {"quadratic": fn.Entropy() + fn.Potential(quadratic)}
FUNCTIONALS["double well"] = fn.Entropy() + fn.Potential(tilted_well)
START = np.random.default_rng(0)


def cloud(n, dimension=2, dtype=np.float32):
    return jko.Particles(START.normal(size=(n, dimension)).astype(dtype))


def rate(F, mu, scheme, steps, repeats=3):
    """The median of particle-steps per second, after one step that compiles."""
    problem = scheme.prepare(F, mu)
    state = problem.start
    scheme.advance(problem, mu, 0.0, 0.01, 1, state)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        scheme.advance(problem, mu, 0.0, 0.01, steps, state)
        seconds.append(time.perf_counter() - start)
    return mu.n * steps / np.median(seconds)


def numpy_loop(mu, steps):
    tau, x = np.float32(0.01), mu.positions.copy()
    generator, size = np.random.Generator(np.random.SFC64(0)), np.sqrt(2 * tau)
    start = time.perf_counter()
    for _ in range(steps):
        x += size * generator.standard_normal(x.shape, dtype=np.float32) - tau * x
    return mu.n * steps / (time.perf_counter() - start)


@row
def speed():
    n, steps = sized((100_000, 1000), (100, 20))
    mu = cloud(n)
    base = numpy_loop(mu, steps // 10)
    print(f"\nLangevin, {n} particles x {steps} steps, 2D, float32")
    print(f"  numpy loop (SFC64)                   {base / 1e6:7.1f} M/s")
    for name, F in FUNCTIONALS.items():
        for noise in ("gaussian", "three-point"):
            found = rate(F, mu, Langevin(noise=noise), steps)
            print(f"  {name:12s} {noise:12s}            {found / 1e6:7.1f} M/s, {found / base:.1f} x numpy")


@row
def observables():
    n, steps = sized((100_000, 500), (100, 10))
    print(f"\nThe same with averages over the particles after every step, {steps} steps")
    F, mu = FUNCTIONALS["quadratic"], cloud(n)
    base = rate(F, mu, Langevin(), steps)
    print(f"  none                                 {base / 1e6:7.1f} M/s")
    for name, what in {"mean": "mean", "covariance": "covariance", "a function": tilted_well}.items():
        found = rate(F, mu, Langevin(observables={"seen": what}), steps)
        print(f"  {name:12s}                         {found / 1e6:7.1f} M/s, {found / base:.2f} x")


@row
def memory():
    """10⁷ particles: what a run adds to the peak, for few steps and for ten times as many."""
    n, steps = sized((10_000_000, 20), (1000, 2))
    F, mu, scheme = FUNCTIONALS["quadratic"], cloud(n), Langevin(observables={"spread": "covariance"})
    problem = scheme.prepare(F, mu)
    state = problem.start
    print(f"\n{n:.0e} particles in 2D, float32: positions {mu.positions.nbytes / 2**20:.0f} MiB")
    print(f"  peak before                          {peak():7.0f} MiB")
    for count in (steps, 10 * steps):
        start = time.perf_counter()
        moved, _, records = scheme.advance(problem, mu, 0.0, 0.01, count, state)
        seconds = time.perf_counter() - start
        print(
            f"  peak after {count:4d} steps                {peak():7.0f} MiB, "
            f"{n * count / seconds / 1e6:.0f} M/s, E x1^2 = {records['spread'][-1, 0, 0]:.5f}"
        )
        del moved


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


@row
def devices():
    """Two devices against one, for noise alone and for all pairs."""
    n, steps, many = sized((4000, 3, 100_000), (100, 2, 1000))
    pairs = FUNCTIONALS["quadratic"] + fn.Interaction(lambda z: jnp.exp(-0.5 * jnp.sum(z**2)))
    print("\nOne device and two, wall clock (a CPU device may use every core)")
    for name, F, mu, count in (
        ("noise", FUNCTIONALS["quadratic"], cloud(many), sized(500, 5)),
        (f"all pairs of {n}", pairs, cloud(n), steps),
    ):
        one = rate(F, mu, Langevin(), count)
        with jko.sharding.over(2):
            two = rate(F, mu, Langevin(), count)
        print(f"  {name:20s} one {one / 1e6:8.2f} M/s, two {two / 1e6:8.2f} M/s, {two / one:.2f} x")


@row
def ensemble():
    n, steps, seeds = sized((50, 2000, 32), (20, 10, 2))
    F, mu = FUNCTIONALS["quadratic"], cloud(n)
    over = {"seed": range(seeds), "temperature": [0.5, 1.0], "tau": [0.01, 0.02]}
    print(f"\nAn ensemble of {4 * seeds} runs of {n} particles x {steps} steps, estimates of energy included")
    jko.ensemble(F, mu, Langevin(), over=over, n_steps=steps)  # compiles
    start = time.perf_counter()
    together = jko.ensemble(F, mu, Langevin(), over=over, n_steps=steps)
    first = time.perf_counter() - start
    start = time.perf_counter()
    for seed in over["seed"]:
        jko.flow(F, mu, Langevin(seed=seed), tau=0.01, n_steps=steps, store_every=steps, progress=False)
    apart = 4 * (time.perf_counter() - start)
    print(f"  one call {first:.2f} s, one by one {apart:.2f} s ({apart / first:.1f} x)")
    assert np.all(together["failure"] == "")


if __name__ == "__main__":
    if not NAMED or "devices" in NAMED:  # before jax has looked for them
        jax.config.update("jax_num_cpu_devices", 2)
    run()
