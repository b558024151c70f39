"""Errors from the PDE, and orders in τ, of steps.SecondOrder and steps.VariationalBDF2 beside the plain step:

python benchmarks/second_order.py [--smoke] [line] [gaussian] [plane] [front] [halving] [mixture]
"""

import time
from functools import partial

import jax.numpy as jnp
import numpy as np
from rows import row, run, sized

import functionals as fn
from jko import Gaussian, Grid, exact, flow, steps, wasserstein

CONFINED = fn.Entropy() + fn.Potential(lambda x: 0.5 * jnp.sum(x**2))
LINES = {
    "Ornstein-Uhlenbeck": (CONFINED, exact.OrnsteinUhlenbeck(), 8.0, 0.8),
    "heat, two Gaussians": (
        fn.Entropy(), exact.GaussianMixture([-1.0, 1.0], [0.8, 0.6], stiffness=0.0), 9.0, 0.4,
    ),
    "Barenblatt": (fn.Power(2.0), exact.Barenblatt(2.0, start_time=0.1), 2.5, 0.4),
    "far mixture": (CONFINED, exact.GaussianMixture([-2.0, 1.5], [0.3, 0.4]), 8.0, 0.8),
}  # fmt: skip


def plain(scheme):
    return scheme


SCHEMES = {"plain": plain, "SecondOrder": steps.SecondOrder, "VariationalBDF2": steps.VariationalBDF2}
COUNTS = sized((4, 8, 16, 32, 64), (2, 4))


@row
def line():
    for name, (F, solution, reach, end) in LINES.items():
        grid = Grid.uniform(-reach, reach, sized(3000, 150))
        for label, wrap in SCHEMES.items():
            start, errors, fallbacks = time.process_time(), [], []
            for n in COUNTS:
                moved = flow(F, solution.on(grid), wrap(steps.Quantile()), tau=end / n, n_steps=n)
                errors.append(wasserstein(moved.final, solution.on(grid, end)))
                fallbacks.append(sum(map(bool, moved.info.detail("plain_steps", 0))))
            report(name, label, errors, fallbacks, (time.process_time() - start) / sum(COUNTS))


@row
def gaussian():
    stiffness, S = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[0.5, -0.3], [-0.3, 1.2]])
    F = fn.Entropy() + fn.Potential("quadratic", stiffness=stiffness)
    limit = exact.OrnsteinUhlenbeck([1.0, 0.0], stiffness=stiffness, covariance=S).at(0.8)
    for label, wrap in SCHEMES.items():
        runs = [
            flow(F, Gaussian([1.0, 0.0], S), wrap(steps.Gaussian()), tau=0.8 / n, n_steps=n) for n in COUNTS
        ]
        report("Gaussian", label, [wasserstein(one.final, limit) for one in runs])


@row
def plane(end=0.8):
    """A Gaussian under Ornstein–Uhlenbeck on a grid: smooth and positive, so that the order is τ's alone."""
    cells = sized(256, 32)
    solution = exact.OrnsteinUhlenbeck((1.0, 0.5), 0.7)
    mu = solution.on(Grid.uniform((-6.0, -6.0), (6.0, 6.0), (cells, cells)), 0.0)
    for label, wrap in {"plain": plain, "SecondOrder": partial(steps.SecondOrder, plain_steps=0)}.items():
        errors = []
        for n in COUNTS[:4]:
            moved = flow(CONFINED, mu, wrap(steps.MongeAmpere()), tau=end / n, n_steps=n)
            errors.append(distance(moved.final, solution, end))
        report(f"plane {cells}x{cells}", label, errors)


@row
def front():
    cells = sized(512, 48)
    solution = exact.Barenblatt(2.0, dimension=2, start_time=1.5708e-4)
    mu = solution.on(Grid.uniform((-0.5, -0.5), (0.5, 0.5), (cells, cells)))
    for label in ("plain", "SecondOrder"):
        scheme, new = SCHEMES[label](steps.BackAndForth()), mu
        problem = scheme.prepare(fn.Power(2.0), new)
        state = problem.start
        scheme.step(problem, new, 0.0, 5e-4, state)  # compiles
        errors, seconds, falls = [], [], []
        for k in range(1, sized(6, 3)):
            start = time.process_time()
            new, state, info = scheme.step(problem, new, 0.0, 5e-4, state)
            seconds.append(time.process_time() - start)
            errors.append(distance(new, solution, 5e-4 * k))
            falls.append(info.dissipation)
        print(f"front {cells}x{cells} {label:12s} L1 from the PDE, steps 1-5", *(f"{e:.4f}" for e in errors),
              " CPU s", *(f"{t:.2f}" for t in seconds), f" least dissipation {min(falls):.1e}")  # fmt: skip


@row
def halving(end=1.6e-3):
    """Order at a front, the error of τ apart from the grid's: reflections keep the Barenblatt family."""
    solution = exact.Barenblatt(2.0, dimension=2, start_time=1.5708e-4)
    for cells in sized((256, 512), (48,)):
        mu, found = solution.on(Grid.uniform((-0.5, -0.5), (0.5, 0.5), (cells, cells))), []
        after = solution.on(mu.grid, end)
        inner = after.values > 0.1 * after.values.max()
        for n in COUNTS[:4]:
            n //= 2
            moved = flow(fn.Power(2.0), mu, steps.SecondOrder(steps.BackAndForth()), tau=end / n, n_steps=n)
            off, ours = reflected(solution, end / n, n).on(mu.grid), moved.final
            found.append([
                l1(off, after), l1(ours, after), l1(ours, after, inner), l1(ours, off)
            ])  # fmt: skip
        for label, errors in zip(
            ("exact reflections", "grid", "inner", "grid - exact"), np.transpose(found), strict=True
        ):
            report(f"halving {cells}x{cells}", label, errors)
    line, grid = exact.Barenblatt(2.0, start_time=0.1), Grid.uniform(-2.5, 2.5, sized(20_000, 200))
    errors = []
    for n in sized((1, 2, 4, 8, 16, 32), (1, 2)):
        moved = flow(
            fn.Power(2.0), line.on(grid), steps.SecondOrder(steps.Quantile()), tau=0.4 / n, n_steps=n
        )
        errors.append([l1(moved.final, line.on(grid, 0.4)), wasserstein(moved.final, line.on(grid, 0.4))])
    for label, of_one in zip(("L1", "W2"), np.transpose(errors), strict=True):
        report("halving on the line", label, of_one)


def reflected(solution, tau, n):
    """The Barenblatt solution that n exact reflected half-steps lead to."""
    for _ in range(n):
        power = 1.0 / solution.beta
        scale = (
            2.0 * solution.jko_step(0.5 * tau).start_time ** solution.beta
            - solution.start_time**solution.beta
        )
        solution = exact.Barenblatt(2.0, solution.dimension, 1.0, scale**power)
    return solution


def l1(a, b, where=...):
    return np.abs(a.values - b.values)[where].sum() * a.grid.cell_volume


@row
def mixture(end=0.4):
    cells = sized(512, 32)
    solution = exact.GaussianMixture([[-1.5, 0], [1, 1], [0.5, -1.2]], [0.6, 0.5, 0.7], [0.4, 0.35, 0.25])
    mu = solution.on(Grid.uniform((-6.0, -6.0), (6.0, 6.0), (cells, cells)))
    for label in ("plain", "SecondOrder"):
        start, errors, falls = time.process_time(), [], []
        for n in COUNTS[:4]:
            moved = flow(CONFINED, mu, SCHEMES[label](steps.MongeAmpere()), tau=end / n, n_steps=n)
            errors.append(distance(moved.final, solution, end))
            falls.append(moved.info.dissipation.min())
        report(f"mixture {cells}x{cells}", label, errors, (), (time.process_time() - start) / sum(COUNTS[:4]))
        print(f"    L1 from the PDE; least dissipation {min(falls):.1e}")


def distance(found, solution, at):
    return np.abs(found.values - solution.on(found.grid, at).values).sum() * found.grid.cell_volume


def report(problem, label, errors, fallbacks=(), seconds=None):
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    numbers = [f"{e:.1e}" for e in errors], [f"{o:.2f}" for o in orders]
    timing = f" {1e3 * seconds:.0f} CPU ms a step" if seconds else ""
    print(f"{problem:20s} {label:16s} {' '.join(numbers[0])}  orders {' '.join(numbers[1])}{timing}", end=" ")
    print(f"fallbacks {fallbacks}" if any(fallbacks) else "")


if __name__ == "__main__":
    run()
