"""Seconds a step of steps.Quantile, in units of one scipy banded solve of the same size, and its accuracy.

Gaussian JKO iterates of F = entropy + |x|²/2 from N(1.5, 0.5²) on [−8, 8], τ = 0.1, 20 steps:

    python benchmarks/quantile.py [--smoke] [cells ...]
"""

import time

import jax.numpy as jnp
import numpy as np
from rows import NAMED, sized
from scipy.linalg import solve_banded

import functionals as fn
from functionals import Power
from jko import Density, Grid, exact, steps, wasserstein

TAU, STEPS = 0.1, sized(20, 3)
F = fn.Entropy() + fn.Potential(lambda x: 0.5 * jnp.sum(x**2))


def main():
    cells = [int(n) for n in NAMED] or sized([1000, 10_000, 100_000], [100])
    print("   cells  wall ms   CPU ms  worst ms  solve ms  ratio  iterations  gap/cost  sigma error       L1")
    run(64)
    for n in cells:
        print(row(n, *run(n)))
    print("\n    cost  CPU ms a step  times the square's  iterations  gap/cost  W2 from the exact steps")
    square = costs(2.0)[0]
    for exponent in (1.5, 2.0, 3.0):
        spent, iterations, gap, error = costs(exponent)
        ratio = spent / square
        print(f"{exponent:8.1f}{1e3 * spent:15.2f}{ratio:20.2f}{iterations:12.0f}{gap:10.1e}{error:25.1e}")


def costs(exponent):
    """The median CPU seconds and iterations, largest gap and error of steps of ∫ρ² and a cost of this
    exponent."""
    law = step = exact.Barenblatt(2.0, start_time=0.1, cost_exponent=exponent)
    for _ in range(STEPS):
        step = step.jko_step(0.02)
    grid = Grid.uniform(-1.3 * step.radius(), 1.3 * step.radius(), sized(1000, 60))
    scheme, power, mu = steps.Quantile(cost_exponent=exponent), Power(2.0), law.on(grid)
    problem = scheme.prepare(power, mu)
    scheme.step(problem, mu, 0.0, 0.02, problem.start)
    state, spent, infos = problem.start, [], []
    for _ in range(STEPS):
        start = time.process_time()
        mu, state, info = scheme.step(problem, mu, 0.0, 0.02, state)
        spent.append(time.process_time() - start)
        infos.append(info)
    gap = max(info.relative_gap for info in infos)
    iterations = np.median([info.iterations for info in infos])
    return float(np.median(spent)), iterations, gap, wasserstein(mu, step.on(grid))


def run(n):
    """Wall and CPU seconds, iterations, gaps and errors of every step."""
    mu = Density.gaussian(Grid.uniform(-8.0, 8.0, n), mean=1.5, std=0.5)
    iterates, scheme = exact.GaussianJKO(1.5, 0.5, TAU), steps.Quantile()
    problem = scheme.prepare(F, mu)
    state, wall, cpu, infos, errors, distances = problem.start, [], [], [], [], []
    for k in range(1, STEPS + 1):
        start, start_cpu = time.perf_counter(), time.process_time()
        mu, state, info = scheme.step(problem, mu, 0.0, TAU, state)
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_cpu)
        infos.append(info)
        target = iterates.at(k * TAU)
        errors.append(abs(np.sqrt(mu.covariance()[0, 0]) - np.sqrt(target.covariance()[0, 0])))
        distances.append(np.abs(mu.values - iterates.on(mu.grid, k * TAU).values).sum() * mu.grid.cell_volume)
    return wall, cpu, infos, max(errors), max(distances)


def row(n, wall, cpu, infos, error, distance):
    unit = banded_solve(n)
    iterations = np.median([info.iterations for info in infos])
    gap = max(info.relative_gap for info in infos)
    times = (
        f"{1e3 * np.median(wall):9.2f}{1e3 * np.median(cpu):9.2f}{1e3 * max(wall):10.1f}{1e3 * unit:10.2f}"
    )
    ratio = np.median(cpu) / unit
    return f"{n:8d}{times}{ratio:7.1f}{iterations:12.0f}{gap:10.1e}{error:13.1e}{distance:9.1e}"


def banded_solve(n):
    """CPU seconds of one tridiagonal scipy.linalg.solve_banded, the mean of 20."""
    bands, right = np.ones((3, n)), np.random.default_rng(0).random(n)
    bands[1] = 4.0
    start = time.process_time()
    for _ in range(20):
        solve_banded((1, 1), bands, right)
    return (time.process_time() - start) / 20


if __name__ == "__main__":
    main()
