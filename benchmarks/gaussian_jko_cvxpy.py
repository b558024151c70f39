"""steps.Cvxpy against exact JKO steps: accuracy, gaps, and its time beside that of the conic solver in it.

`python benchmarks/gaussian_jko_cvxpy.py [--smoke] [line] [plane] [front] [order] [overhead]`, all by default.
Times are medians of CPU seconds of one thread.
"""

from __future__ import annotations

import statistics
import time
from typing import ClassVar

import clarabel
import numpy as np
from rows import row, run, sized

import functionals as fn
import jko

OU = fn.Entropy() + fn.Potential("quadratic")
TAU, STEPS = 0.1, sized(20, 2)
CELLS = sized(200, 40)
CVXPY = jko.steps.Cvxpy
LAGRANGIAN, EULERIAN = CVXPY(formulation="lagrangian"), CVXPY(formulation="eulerian")
FOUR_SLICES = CVXPY(formulation="eulerian", slices=4)


def l1(mu, nu):
    return float(np.abs(mu.values - nu.values).sum() * mu.grid.cell_volume)


def iterates(scheme, grid, mean, std, steps=STEPS):
    """Worst and last L1 distance, worst error of σ and relative gap, median CPU seconds a step."""
    exact = jko.exact.GaussianJKO(mean=mean, std=std, tau=TAU)
    mu = jko.Density.gaussian(grid, mean=mean, std=std)
    problem = scheme.prepare(OU, mu)
    state, distance, width, gap, seconds = problem.start, [], [], [], []
    for k in range(1, steps + 1):
        clock = time.process_time()
        mu, state, info = scheme.step(problem, mu, 0.0, TAU, state)
        seconds.append(time.process_time() - clock)
        answer = exact.on(grid, TAU * k)
        distance.append(l1(mu, answer))
        deviations = [np.sqrt(np.diag(m.covariance())) for m in (mu, answer)]
        width.append(float(np.abs(deviations[0] - deviations[1]).max()))
        gap.append(info.gap / max(info.gap / info.relative_gap, 1e-3))
    return max(distance), distance[-1], max(width), max(gap), statistics.median(seconds)


def show(label, result):
    worst, last, width, gap, seconds = result
    print(f"{label:42s} {worst:9.1e} {last:9.1e} {width:9.1e} {gap:9.1e} {seconds:8.4f}")


@row
def line():
    print(f"\nGaussian iterates, [-6, 6], tau={TAU}, {STEPS} steps, mean 1.5")
    print(f"{'':42s} {'L1 worst':>9s} {'L1 last':>9s} {'sigma':>9s} {'gap/W':>9s} {'s/step':>8s}")
    for std in (1.0, 0.5):
        for scheme, n in (
            (LAGRANGIAN, CELLS),
            (LAGRANGIAN, 4 * CELLS),
            (EULERIAN, CELLS),
            (FOUR_SLICES, CELLS),
        ):
            label = f"std {std:g}, {scheme.formulation}, K={scheme.slices}, n={n}"
            show(label, iterates(scheme, jko.Grid.uniform(-6.0, 6.0, n), 1.5, std))


@row
def plane():
    print(f"\nGaussian iterates, [-5, 5]^2, tau={TAU}, {STEPS} steps, mean (1, 0.5), std 1")
    for n in sized((24, 48), (8,)):
        grid = jko.Grid.uniform((-5.0, -5.0), (5.0, 5.0), (n, n))
        show(f"eulerian, K=1, {n}^2", iterates(EULERIAN, grid, (1.0, 0.5), 1.0))


@row
def front():
    print(f"\nBarenblatt m=2, one step tau=0.01, n={CELLS} on [-1.5, 1.5], by its start time: L1, gap/W")
    grid = jko.Grid.uniform(-1.5, 1.5, CELLS)
    for start_time in (0.03, 0.06, 0.1):
        start = jko.exact.Barenblatt(2, 1, start_time=start_time)
        answer = start.jko_step(0.01).on(grid, 0.0)
        for scheme in (LAGRANGIAN, EULERIAN, CVXPY(formulation="eulerian", slices=2), FOUR_SLICES):
            step = jko.flow(fn.Power(2), start.on(grid, 0.0), scheme, tau=0.01, n_steps=1)
            radius = start.radius(0.0)
            label = f"start {start_time:g} (radius {radius:.2f}), {scheme.formulation}, K={scheme.slices}"
            print(f"{label:42s} {l1(step.final, answer):9.1e} {step.info.relative_gap[0]:9.1e}")


@row
def order():
    print("\nOrder in h of one step, tau=0.02, n doubled")
    for scheme in (LAGRANGIAN, CVXPY(formulation="eulerian", slices=2)):
        errors = []
        for n in sized((40, 80, 160, 320), (20, 40)):
            grid = jko.Grid.uniform(-6.0, 6.0, n)
            exact = jko.exact.GaussianJKO(mean=0.5, std=0.7, tau=0.02)
            step = jko.flow(OU, exact.on(grid, 0.0), scheme, tau=0.02, n_steps=1)
            errors.append(l1(step.final, exact.on(grid, 0.02)))
        print(f"{scheme.formulation:12s}", " ".join(f"{e:.1e}" for e in errors), "orders", _orders(errors))
    print("\nOrder in tau against the PDE, n=300")
    cases = {
        "Ornstein-Uhlenbeck": (OU, jko.exact.OrnsteinUhlenbeck(mean=1.0, std=0.6), 6.0, 0.4, 0.1),
        "heat": (fn.Entropy(), jko.exact.Heat(mean=0.0, std=0.6), 6.0, 0.4, 0.1),
        "Barenblatt": (fn.Power(2), jko.exact.Barenblatt(2, 1, start_time=0.05), 2.5, 0.2, 0.025),
    }
    for name, (F, exact, reach, duration, tau) in cases.items():
        grid = jko.Grid.uniform(-reach, reach, sized(300, 40))
        for scheme in (LAGRANGIAN, EULERIAN):
            errors = []
            for step in sized((tau, tau / 2, tau / 4), (tau, tau / 2)):
                found = jko.flow(F, exact.on(grid, 0.0), scheme, tau=step, n_steps=round(duration / step))
                errors.append(l1(found.final, exact.on(grid, duration)))
            print(
                f"{name:20s} {scheme.formulation:12s}", " ".join(f"{e:.1e}" for e in errors), _orders(errors)
            )


def _orders(errors):
    return " ".join(f"{o:.2f}" for o in np.log2(np.divide(errors[:-1], errors[1:])))


class TimedSolver:
    """clarabel.DefaultSolver, its set-up and solve timed."""

    spent: ClassVar[list[float]] = []
    solver = clarabel.DefaultSolver

    def __init__(self, *arguments):
        clock = time.process_time()
        self._solver = self.solver(*arguments)
        self.spent.append(time.process_time() - clock)

    def solve(self):
        clock = time.process_time()
        result = self._solver.solve()
        self.spent.append(time.process_time() - clock)
        return result


@row
def overhead():
    print(
        "\nOverhead over Clarabel, n=200: CPU s of the first step, of a later one, share that is not Clarabel"
    )
    clarabel.DefaultSolver = TimedSolver
    grid = jko.Grid.uniform(-6.0, 6.0, CELLS)
    start = jko.Density.gaussian(grid, mean=1.5, std=1.0)
    jko.flow(OU, start, CVXPY(), tau=TAU, n_steps=1)  # imports, jax
    for scheme in (LAGRANGIAN, EULERIAN, FOUR_SLICES):
        problem = scheme.prepare(OU, start)
        mu, state, total, inner = start, problem.start, [], []
        for _ in range(STEPS):
            TimedSolver.spent.clear()
            clock = time.process_time()
            mu, state, _ = scheme.step(problem, mu, 0.0, TAU, state)
            total.append(time.process_time() - clock)
            inner.append(sum(TimedSolver.spent))
        share = statistics.median(1.0 - b / a for a, b in zip(total[1:], inner[1:], strict=True))
        print(
            f"{scheme.formulation:12s} K={scheme.slices}  first {total[0]:.3f} s  later "
            f"{statistics.median(total[1:]):.4f} s  overhead {share:.0%}"
        )
    clarabel.DefaultSolver = TimedSolver.solver


if __name__ == "__main__":
    run()
