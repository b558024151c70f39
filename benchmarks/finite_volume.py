"""Finite volumes against exact answers, and their structure on random problems.

Times are medians of CPU seconds after one warm-up run; `dctn` is one pair of scipy.fft.dctn and idctn of
the same size in the same process, so that a noisy machine can be read.

    python benchmarks/finite_volume.py [--smoke] [row ...]
"""

from __future__ import annotations

import collections
import statistics
import sys
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from rows import row, run, sized
from scipy import fft

import functionals as fn
import jko

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
REPEATS = sized(5, 1)
N_PROBLEMS = sized(500, 3)
FV = jko.limits.FiniteVolume()


def measured(function):
    """(result, median CPU seconds, median wall seconds)."""
    result, cpu, wall = function(), [], []
    for _ in range(REPEATS):
        c, w = time.process_time(), time.perf_counter()
        result = function()
        cpu.append(time.process_time() - c)
        wall.append(time.perf_counter() - w)
    return result, statistics.median(cpu), statistics.median(wall)


def case(name, F, exact, lower, upper, cells, end, n_steps):
    """One line of the table: jko.flow from the exact start to `end`, against point values at the centres."""
    dimension = exact.dimension
    grid = jko.Grid.uniform((lower,) * dimension, (upper,) * dimension, cells)
    rho = exact.on(grid, 0.0)
    found, cpu, wall = measured(
        lambda: jko.flow(F, rho, FV, tau=end / n_steps, n_steps=n_steps, store_every=n_steps, progress=False)
    )
    reference = exact.density(end, grid.points).reshape(grid.cells)
    difference = found.final.values - reference
    relative = np.linalg.norm(difference) / np.linalg.norm(reference)
    l1 = np.abs(difference).sum() * grid.cell_volume
    _, dctn, _ = measured(lambda: fft.idctn(fft.dctn(rho.values)))
    print(
        f"{name:34s} {cells:4d}^{dimension} {n_steps:4d} {relative:9.2e} {l1:9.2e} {cpu:8.3f} {wall:8.3f} "
        f"{cpu / dctn:8.0f} {found.info.mass_error.max():8.1e} {found.info.min_density.min():8.1e}"
    )


@row
def random_problems():
    """Mass, sign and decay of energy at every step of the tests' random problems, 500 of them."""
    from tests.limits.test_structure import random_problem

    worst_mass, least, rises, ways = 0.0, np.inf, 0, collections.Counter()
    for seed in range(N_PROBLEMS):
        F, rho, tau = random_problem(seed)
        steps = jko.flow(F, rho, FV, tau=tau, n_steps=2, progress=False)
        worst_mass = max(worst_mass, *(abs(mu.mass / rho.mass - 1.0) for mu in steps.measures))
        least = min(least, *(mu.values.min() for mu in steps.measures))
        rises += int(np.sum(np.diff([F(mu) for mu in steps.measures]) > 0.0))
        for k in range(2):
            ways.update(steps.info.row(k).details or ["as planned"])
    print(
        f"{N_PROBLEMS} random problems, 2 steps each: mass to {worst_mass:.1e}, least cell {least:.1e}, ",
        end="",
    )
    print(f"  energy rose in {rises} steps; ways taken: {dict(ways)}")


def heading():
    widths = {"problem": 34, "cells": 6, "steps": 4, "rel. L2": 9, "L1": 9, "CPU s": 8, "wall s": 8}
    widths |= {"/ dctn": 8, "mass": 8, "min": 8}
    print(" ".join(f"{name:>{width}s}" for name, width in widths.items()))


@row
def ornstein_uhlenbeck():
    F = fn.Entropy() + fn.Potential("quadratic")
    exact = jko.exact.OrnsteinUhlenbeck(mean=(1.5, 1.5), std=0.5)
    sizes = sized(((64, 5), (128, 5), (256, 7), (256, 10), (256, 20), (512, 20)), ((24, 2),))
    for cells, n_steps in sizes:
        case("Ornstein-Uhlenbeck, t=.1", F, exact, -6.0, 6.0, cells, 0.1, n_steps)


@row
def heat():
    exact = jko.exact.Heat(mean=(0.0, 0.0), std=0.6)
    for cells in sized((64, 128, 256), (32,)):
        case("heat, t=.1", fn.Entropy(), exact, -5.0, 5.0, cells, 0.1, cells // 16)


@row
def walls():
    exact = jko.exact.FokkerPlanckBoundary(drift=1.0, dimension=2)
    F = fn.Entropy() + fn.Potential("linear", slope=[-1.0, 0.0])
    for cells in sized((32, 64, 128), (8,)):
        case("Fokker-Planck with walls, t=.25", F, exact, 0.0, 1.0, cells, 0.25, cells // 2)


@row
def barenblatt():
    line = jko.exact.Barenblatt(exponent=2.0, dimension=1, start_time=0.1)
    for cells in sized((50, 100, 200, 400, 800), (50,)):
        case("Barenblatt m=2, t=.2", fn.Power(2), line, -2.5, 2.5, cells, 0.2, cells // 4)
    plane = jko.exact.Barenblatt(exponent=2.0, dimension=2, start_time=0.1)
    for cells in sized((32, 64, 128), (16,)):
        case("Barenblatt m=2, t=.1", fn.Power(2), plane, -2.0, 2.0, cells, 0.1, cells // 8)


@row
def fast_diffusion():
    exact = jko.exact.Barenblatt(exponent=0.7, dimension=1, start_time=0.5)
    for cells in sized((100, 200, 400), (50,)):
        case("fast diffusion m=.7, t=.2", fn.Power(0.7), exact, -20.0, 20.0, cells, 0.2, cells // 4)


@row
def doors():
    """A crowd leaves a room through two doors round a pillar, as in examples/a_crowd_that_leaves.py."""
    n, count = sized((256, 100), (64, 3))

    def ways_out(x):
        right = (x[0] > 0.985) & (jnp.abs(x[1] - 0.55) < 0.07)
        return right | ((x[1] < 0.015) & (jnp.abs(x[0] - 0.62) < 0.045))

    def inside(x):
        hall = (jnp.abs(x[0] - 0.5) < 0.485) & (jnp.abs(x[1] - 0.5) < 0.485)
        return hall & (jnp.sum((x - jnp.array([0.84, 0.53])) ** 2) > 0.055**2) | ways_out(x)

    room = jko.Grid.uniform((0.0, 0.0), (1.0, 1.0), n, inside=inside, doors=ways_out)
    crowd = jko.Density.uniform(room, (0.45, 0.3), (0.75, 0.8))
    crowd = crowd.with_values(0.8 * crowd.values / crowd.values.max())
    F = fn.Potential.gridded(room.distance(), room.lower, room.upper) + fn.Cap(1.0)
    cpu = time.process_time()
    found = jko.flow(F, crowd, FV, tau=0.006, n_steps=count, progress=False)
    cpu, out = time.process_time() - cpu, sum(found.info.detail("out"))
    print(
        f"two doors and a pillar, {n}^2, {count} steps: {cpu:.1f} CPU s, {out / crowd.mass:.1%} out, "
        f"inside + out − start {found.final.mass + out - crowd.mass:.0e}, "
        f"most beyond the cap {max(mu.values.max() for mu in found.measures) - 1.0:.0e}"
    )


if __name__ == "__main__":
    heading()
    run()
