"""steps.PrimalDual on crowds with known answers, and round a pillar; `--smoke` takes small grids.

    python benchmarks/primal_dual.py [--smoke] [ellipse] [corridor] [random] [pillar] [slices] [metrics]

ellipse: the Hele-Shaw flow ab = ½, sinh log(a/b) = ¾e^{−2t}, covariance at t = ½. corridor: full on [0, t],
half full on [t, 1 − t]. random: how many random problems agree with Cvxpy to both gaps. pillar: a crowd round
a pillar to a door, seconds of all steps and the largest relative gap. slices: entropy and potential in four
slices, seconds a step over the cells, and beside Cvxpy. metrics: random problems on tori, with sources and
under an exclusion, beside Cvxpy.
"""

import time

import numpy as np
from rows import SMOKE, row, run

import functionals as fn
import jko
from jko.steps import Cvxpy, PrimalDual


def steps(F, mu, scheme, tau, n):
    """(the last density, CPU seconds a step, records)."""
    problem = scheme.prepare(F, mu)
    state, infos, seconds = problem.start, [], []
    for _ in range(n):
        clock = time.process_time()
        mu, state, info = scheme.step(problem, mu, 0.0, tau, state)
        seconds.append(time.process_time() - clock)
        infos.append(info)
    return mu, seconds, infos


def indicator(grid, inside, parts=4):
    """The indicator of inside(x, y), averaged over parts² points of each cell."""
    values, shifts = np.zeros(grid.cells), (np.arange(parts) + 0.5) / parts - 0.5
    for i in shifts:
        for j in shifts:
            values += inside(*np.moveaxis(grid.centers + np.array([i, j]) * grid.spacing, -1, 0)) / parts**2
    return jko.Density(grid, values)


def told(infos):
    failed = sum(not info.converged for info in infos)
    mean = np.mean([info.iterations for info in infos])
    return f"{mean:.0f} iterations a step, {failed} of {len(infos)} not converged"


@row
def ellipse():
    ratio = np.exp(np.arcsinh(0.75 * np.exp(-1.0)))
    exact = 0.125 * np.array([ratio, 1.0 / ratio])
    for n, count in ((32, 5),) if SMOKE else ((96, 10), (96, 20), (192, 20)):
        grid = jko.Grid.uniform((-1.25, -1.25), (1.25, 1.25), (n, n))
        mu = indicator(grid, lambda x, y: x**2 + (y / 0.5) ** 2 < 1.0)
        F = fn.Cap(1.0) + fn.Potential("quadratic")
        mu, seconds, infos = steps(F, mu, PrimalDual(), 0.5 / count, count)
        error = np.abs(np.diag(mu.covariance()) / exact - 1.0).max()
        cost = f"{np.median(seconds):.3f} s a step, {told(infos)}"
        print(f"ellipse {n}², {count} steps: covariance off {error:.2%}, {cost}")


@row
def corridor():
    for slices in (1, 2, 4):
        errors = []
        for n in (75, 150) if SMOKE else (75, 150, 300, 600):
            grid = jko.Grid.uniform(0.0, 1.5, n)
            mu = jko.Density(grid, np.where(grid.axes[0] < 1.0, 0.5, 0.0))
            F = fn.Cap(1.0) + fn.Potential(lambda x: x[0])
            mu, _, infos = steps(F, mu, PrimalDual(slices=slices), 0.0125, 20)
            edges = grid.edges[0]
            filled = np.minimum(edges, 0.25) + 0.5 * np.clip(edges - 0.25, 0.0, 0.5)
            errors.append(np.abs(mu.values * grid.spacing[0] - np.diff(filled)).sum())
        found = " ".join(f"{e:.4f}" for e in errors)
        print(f"corridor, {slices} slices: L1 {found}, last: {told(infos)}")


@row
def slices():
    F, tau, spent = fn.Entropy() + fn.Potential("quadratic"), 0.1, []
    sizes = (12, 24) if SMOKE else (32, 64, 128)
    for n in sizes:
        mu = jko.Density.gaussian(jko.Grid.uniform((-4.0, -4.0), (4.0, 4.0), n), mean=(1.0, 0.0), std=0.6)
        _, seconds, infos = steps(F, mu, PrimalDual(slices=4), tau, 4)
        spent.append(np.median(seconds[1:]))
        gap = max(info.relative_gap for info in infos)
        print(f"four slices, {n}²: {spent[-1]:.2f} s a step, relative gap {gap:.1e}, {told(infos)}")
    growth = np.log(spent[-1] / spent[0]) / np.log((sizes[-1] / sizes[0]) ** 2)
    print(f"four slices: seconds grow as cells^{growth:.2f}")
    n = 12 if SMOKE else 48
    mu = jko.Density.gaussian(jko.Grid.uniform((-4.0, -4.0), (4.0, 4.0), n), mean=(1.0, 0.0), std=0.6)
    _, ours, (one,) = steps(F, mu, PrimalDual(slices=4), tau, 1)
    _, theirs, (two,) = steps(F, mu, Cvxpy(formulation="eulerian", slices=4), tau, 1)
    missed = two.dissipation - one.dissipation
    print(
        f"four slices, {n}²: {missed:.1e} above Cvxpy, gaps {one.gap:.1e} and {two.gap:.1e}, {ours[0]:.2f} s "
        f"and {theirs[0]:.2f} s"
    )


@row
def metrics():
    for name, settings in (
        ("tori", {}),
        ("sources", {"length": 0.8}),
        ("exclusion", {"mobility": "exclusion"}),
    ):
        agree, count = 0, 3 if SMOKE else 40
        for seed in range(count):
            rng = np.random.default_rng(seed)
            grid = [
                jko.Grid.uniform(-3.0, 3.0, 24, periodic=True),
                jko.Grid.uniform((-3.0, -2.0), (3.0, 2.0), (10, 8), periodic=(True, False)),
            ][rng.integers(2)]
            mu = jko.Density.gaussian(
                grid, mean=rng.uniform(-1, 1, grid.dimension), std=rng.uniform(0.5, 1.2)
            )
            F = rng.uniform(0.1, 2.0) * fn.Potential("quadratic")
            F = F + rng.uniform(0.1, 2.0) * (fn.Entropy() if rng.random() < 0.5 else fn.Power(2.0))
            tau, slices = float(10.0 ** rng.uniform(-2.0, -0.5)), int(rng.integers(1, 4))
            _, _, (ours,) = steps(F, mu, PrimalDual(slices=slices, **settings), tau, 1)
            _, _, (theirs,) = steps(F, mu, Cvxpy(formulation="eulerian", slices=slices, **settings), tau, 1)
            missed = theirs.dissipation - ours.dissipation
            agree += -theirs.gap - 1e-10 <= missed <= ours.gap + 1e-10 and ours.converged
        print(f"{name}: {agree} of {count} converged and agree with Cvxpy to both gaps")


@row
def random():
    agree, count = 0, 5 if SMOKE else 100
    for seed in range(count):
        rng = np.random.default_rng(seed)
        grid = [
            jko.Grid.uniform(-3.0, 3.0, 40),
            jko.Grid.uniform((-3.0, -2.0), (3.0, 2.0), (14, 10)),
            jko.Grid.uniform((-2.0,) * 3, (2.0,) * 3, (6, 5, 7)),
        ][rng.integers(3)]
        mu = jko.Density.gaussian(grid, mean=rng.uniform(-1, 1, grid.dimension), std=rng.uniform(0.4, 1.2))
        F = rng.uniform(0.1, 2.0) * fn.Potential("quadratic")
        if rng.random() < 0.5:
            F = F + rng.uniform(0.05, 2.0) * fn.Entropy()
        if rng.random() < 0.5:
            F = F + rng.uniform(0.1, 2.0) * fn.Power(float(rng.choice([0.6, 1.5, 2.0, 3.0])))
        if rng.random() < 0.6:
            F = F + fn.Cap(float(mu.values.max() * rng.uniform(1.0, 1.5)))
        tau, slices = float(10.0 ** rng.uniform(-2.5, 0.0)), int(rng.integers(1, 3))
        _, _, (ours,) = steps(F, mu, PrimalDual(slices=slices), tau, 1)
        _, _, (theirs,) = steps(F, mu, Cvxpy(formulation="eulerian", slices=slices), tau, 1)
        missed = theirs.dissipation - ours.dissipation
        good = -theirs.gap - 1e-10 <= missed <= ours.gap + 1e-10 and ours.converged
        agree += good
        if not good:
            print(
                f"  seed {seed}: missed {missed:.1e}, gaps {ours.gap:.1e} and {theirs.gap:.1e}, {ours.note}"
            )
    print(f"random problems: {agree} of {count} converged and agree with Cvxpy to both gaps")


@row
def pillar():
    n, count = (48, 4) if SMOKE else (256, 100)
    grid = jko.Grid.uniform((-1.0, -1.0), (1.0, 1.0), (n, n))
    x, y = grid.centers[..., 0], grid.centers[..., 1]
    obstacle = (x - 0.05) ** 2 + y**2 < 0.04
    V = np.hypot(x - 0.75, y)
    F = fn.Cap(1.6) + fn.Potential.gridded(V, grid.lower, grid.upper)
    mu = jko.Density.uniform(grid, lower=(-0.95, -0.55), upper=(-0.25, 0.55))
    mu, seconds, infos = steps(F, mu, PrimalDual(obstacle=obstacle), 0.02, count)
    gap = max(info.relative_gap for info in infos)
    print(
        f"pillar {n}²: {sum(seconds):.1f} s for {count} steps, relative gaps up to {gap:.1e}, {told(infos)}"
    )


if __name__ == "__main__":
    run()
