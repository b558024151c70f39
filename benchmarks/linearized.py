"""steps.Linearized on a Fokker-Planck equation with a boundary, and its distance from the exact step.

    python benchmarks/linearized.py [--smoke] [box] [share] [step]

The first table: exact.FokkerPlanckBoundary(1.0) on n² cells to T = 0.25, the error L1 in space and time, by
the right ends of the steps and the trapezoidal rule, and what of it is left on finer cells. The last: one
step from N(0.5, 0.8²), entropy + ½x², 1600 cells, how far it is from the exact JKO iterate, that from the
PDE, and that from the start.
"""

import time

import numpy as np
from rows import row, run, sized

import functionals as fn
import jko

RUNS = sized(5, 1)  # of which the median of all steps' times is taken


def errors_in_the_box(cells, tau, scheme, last=0.25):
    """(errors by both rules, median CPU seconds a step)."""
    answer = jko.exact.FokkerPlanckBoundary(1.0)
    F = fn.Entropy() + fn.Potential(lambda x: -x[0])
    grid = jko.Grid.uniform((0.0, 0.0), (1.0, 1.0), (cells, cells))
    start = answer.on(grid, 0.0)
    problem = scheme.prepare(F, start)
    state = problem.start
    seconds = []
    for _ in range(RUNS):
        mu, after, found = start, state, []
        for _ in range(round(last / tau)):
            clock = time.process_time()
            mu, after, _ = scheme.step(problem, mu, 0.0, tau, after)
            seconds.append(time.process_time() - clock)
            found.append(mu.values.ravel())
    errors = [
        np.abs(values - answer.density(k * tau, grid.points)).mean() for k, values in enumerate(found, 1)
    ]
    right = tau * sum(errors)
    return right, right - 0.5 * tau * errors[-1], np.median(seconds)


def distances(tau):
    """L1 (from the exact step, of that from the PDE, of that from the start)."""
    grid = jko.Grid.uniform(-6.0, 6.0, sized(1600, 200))
    F = fn.Entropy() + fn.Potential("quadratic", stiffness=1.0)
    iterate, flow = jko.exact.GaussianJKO(0.5, 0.8, tau), jko.exact.OrnsteinUhlenbeck(0.5, 0.8)
    mu = iterate.on(grid, 0.0)
    scheme = jko.steps.Linearized()
    new = jko.flow(F, mu, scheme, tau=tau, n_steps=1).final
    step, exact = iterate.on(grid, tau), flow.on(grid, tau)
    return [
        np.abs(a.values - b.values).sum() * grid.cell_volume
        for a, b in ((new, step), (step, exact), (step, mu))
    ]


LINEARIZED = jko.steps.Linearized()


@row
def box():
    head = f"{'cells':>8s}{'tau':>10s}{'L1(L1)':>11s}{'trapezoid':>11s}{'CPU s':>9s}"
    print(f"{head}, then by reflected half-steps")
    sizes = (5, 0.05), (10, 0.025), (20, 0.0125), (40, 0.00625), (15, 0.003125), (30, 7.8125e-4)
    for cells, tau in sized(sizes, sizes[:1]):
        both = (LINEARIZED, jko.steps.SecondOrder(LINEARIZED))
        shown = ("{:11.3e}{:11.3e}{:9.5f}".format(*errors_in_the_box(cells, tau, s)) for s in both)
        print(f"{cells:6d}^2{tau:10.6f}{''.join(shown)}")


@row
def share():
    cells = sized(60, 10)
    print(f"the plain step's share of tau: L1(L1) at the same tau on {cells}^2 cells")
    for tau in sized((0.05, 0.025, 0.0125, 0.00625), (0.05,)):
        print(f"{cells:6d}^2{tau:10.6f}{errors_in_the_box(cells, tau, LINEARIZED)[0]:11.3e}")


@row
def step():
    print(f"{'tau':>8s}{'exact step':>12s}{'its PDE error':>15s}{'moved':>10s}")
    for tau in sized((0.1, 0.05, 0.025, 0.0125), (0.1,)):
        print("{:8.4f}{:12.2e}{:15.2e}{:10.2e}".format(tau, *distances(tau)))


if __name__ == "__main__":
    run()
