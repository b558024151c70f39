"""Bounds of runs over their true errors, W₂ to the flow and to the exact iterates, where these are known:

python benchmarks/error_bounds.py [--smoke] [gaussian] [line] [fronts] [wells] [crowd] [particles] ...

The ratio is that at the end, the worst the least over the stored times: a bound holds where it is 1 or more.
Errors below 1e-9 are those of measuring: W₂ sees the root of a rounded mass. Grids add errors of their own.
"""

import sys
import time

import numpy as np

import functionals as fn
from jko import Density, Gaussian, Grid, Particles, descent, exact, flow, steps, wasserstein

SMOKE = "--smoke" in sys.argv
CONFINED = fn.Entropy() + fn.Potential("quadratic")
ROWS = []
_MEASURED = 1e-9  # W₂ between densities is not known closer


def row(function):
    ROWS.append(function)
    return function


def show(name, run, flow_at=None, iterates=None, seconds=None):
    """A line: true error, bound, ratio at the end and the least of all, for the flow and the iterates."""
    cells = [f"{name:44s} {run.info.n_steps:4d} steps"]
    cells.append(_cell("flow", run, flow_at, run.flow_error_bound, run.flow_error_bound_kind))
    cells.append(_cell("iterates", run, iterates, run.error_bound, run.error_bound_kind))
    print(" | ".join(cells) + ("" if seconds is None else f" | {seconds:.2f} s"), flush=True)


def _cell(what, run, truth, bound, kind):
    if truth is None:
        return f"{what}: bound {bound[-1]:.2e} ({kind})"
    pairs = zip(run.measures[1:], run.times[1:], strict=True)
    errors = np.array([float(wasserstein(mu, truth(t))) for mu, t in pairs])
    text = f"{what}: {errors[-1]:.2e} bound {bound[-1]:.2e}"
    if errors[-1] > _MEASURED:
        ratios = bound[1:] / np.maximum(errors, _MEASURED)
        text += f" ratio {ratios[-1]:.2f} worst {ratios.min():.2f}"
    return f"{text} ({kind})"


def timed(*arguments, **options):
    start = time.process_time()
    run = flow(*arguments, **options)
    return run, time.process_time() - start


@row
def gaussian():
    solution = exact.OrnsteinUhlenbeck(mean=1.5, std=0.5)
    for end in (0.2, 1.0, 3.0, 6.0):
        for n in (8,) if SMOKE else (8, 64):
            run, seconds = timed(CONFINED, solution.at(0.0), steps.Gaussian(), tau=end / n, n_steps=n)
            show(f"Gaussian, OU to t = {end}", run, solution.at, None, seconds)
    start = Gaussian([1.0, 0.0], [[1.0, 0.6], [0.6, 0.5]])
    turning = exact.OrnsteinUhlenbeck([1.0, 0.0], covariance=start.covariance(), stiffness=[1.0, 3.0])
    F = fn.Entropy() + fn.Potential("quadratic", stiffness=[1.0, 3.0])
    show("Gaussian, turning axes", flow(F, start, steps.Gaussian(), tau=0.1, n_steps=10), turning.at)


@row
def line():
    grid, solution = Grid.uniform(-8.0, 8.0, 400), exact.OrnsteinUhlenbeck(mean=1.5, std=0.5)
    schemes = [steps.Quantile(), steps.MongeAmpere(), steps.BackAndForth(), steps.Cvxpy()]
    for n in (8,) if SMOKE else (8, 32):
        iterates = exact.GaussianJKO(mean=1.5, std=0.5, tau=1.0 / n)
        for scheme in schemes:
            run, seconds = timed(CONFINED, solution.on(grid, 0.0), scheme, tau=1.0 / n, n_steps=n)
            on_grid = (lambda t: solution.on(grid, t)), (lambda t, its=iterates: its.at(t).on(grid))
            show(f"{type(scheme).__name__}, OU", run, *on_grid, seconds)
    heat = exact.OrnsteinUhlenbeck(mean=0.0, std=0.5, stiffness=0.0)
    for scheme in schemes[:2]:
        _simple("heat", fn.Entropy(), heat, grid, scheme)


def _simple(name, F, solution, grid, scheme):
    run, seconds = timed(F, solution.on(grid, 0.0), scheme, tau=0.025, n_steps=16)
    show(f"{type(scheme).__name__}, {name}", run, lambda t: solution.on(grid, t), None, seconds)


@row
def fronts():
    solution, grid = exact.Barenblatt(2.0, start_time=0.1), Grid.uniform(-2.5, 2.5, 1000)
    for scheme in (steps.Quantile(),) if SMOKE else (steps.Quantile(), steps.BackAndForth()):
        _simple("Barenblatt", fn.Power(2.0), solution, grid, scheme)


@row
def wells():
    grid = Grid.uniform(-2.2, 2.2, 400 if SMOKE else 1000)
    start = Gaussian([0.4], [[0.35**2]]).on(grid)
    F = 0.5 * fn.Entropy() + fn.Potential("double_well", height=0.25)
    n = 128 if SMOKE else 512
    fine = flow(F, start, steps.SecondOrder(steps.Quantile()), tau=0.4 / n, n_steps=n)
    for n in (8,) if SMOKE else (8, 16, 32, 64):
        for name, scheme in (("Quantile", steps.Quantile()), ("MongeAmpere", steps.MongeAmpere())):
            sharp = flow(F, start, steps.Quantile(tolerance=1e-13), tau=0.4 / n, n_steps=n)
            run, seconds = timed(F, start, scheme, tau=0.4 / n, n_steps=n, throw=False)
            show(f"{name}, double well", run, fine.at, sharp.at if name == "MongeAmpere" else None, seconds)


@row
def crowd():
    """The corridor: cap 1, V = x, ρ₀ = ½ on [0, 1]; τ's own error is 0 but at the wall."""
    F = fn.Potential("linear") + fn.Cap(1.0)
    for cells in (150,) if SMOKE else (150, 600):
        grid = Grid.uniform(0.0, 1.5, cells)
        x = grid.axes[0]

        def at(t, grid=grid, x=x):
            values = np.where(x < t, 1.0, np.where(x < 1.0 - t, 0.5, 0.0))
            return Density(grid, values * (0.5 / (values.sum() * grid.cell_volume)))

        for scheme in (steps.Quantile(), steps.PrimalDual()):
            run, seconds = timed(F, at(0.0), scheme, tau=0.0125, n_steps=20, throw=False)
            show(f"{type(scheme).__name__}, corridor, {cells} cells", run, at, None, seconds)


@row
def particles():
    wells, cloud = fn.Potential("double_well", height=0.25), Particles(np.linspace(-1.3, 1.1, 50)[:, None])
    fine = flow(wells, cloud, descent.BackwardEuler(), tau=1.0 / 2048, n_steps=2048, store_every=128)
    sharp = flow(wells, cloud, descent.BackwardEuler(tolerance=1e-12), tau=1.0 / 16, n_steps=16)
    for tolerance in (1e-9, 3e-2):
        scheme = descent.BackwardEuler(tolerance=tolerance)
        run, seconds = timed(wells, cloud, scheme, tau=1.0 / 16, n_steps=16)
        iterates = sharp.at if tolerance > 1e-3 else None
        show(f"BackwardEuler({tolerance:g}), double well", run, fine.at, iterates, seconds)


@row
def aggregation():
    """W = |z|²/2 with noise: the mean stays, the variance is that of Ornstein–Uhlenbeck."""
    grid, F = Grid.uniform(-6.0, 6.0, 300), fn.Interaction("quadratic") + 0.2 * fn.Entropy()
    spread = exact.OrnsteinUhlenbeck(mean=0.0, std=1.2, temperature=0.2)

    def at(t):
        return Gaussian([0.3], spread.at(t).covariance()).on(grid)

    run, seconds = timed(F, at(0.0), steps.Quantile(), tau=0.125, n_steps=8)
    show("Quantile, aggregation", run, at, None, seconds)


@row
def plane():
    cells = 32 if SMOKE else 64
    grid = Grid.uniform((-5.0, -5.0), (5.0, 5.0), (cells, cells))
    solution = exact.OrnsteinUhlenbeck(mean=[1.0, 0.5], std=[0.6, 0.9])
    schemes = [steps.MongeAmpere(), steps.BackAndForth(), steps.PrimalDual()]
    for scheme in schemes[:1] if SMOKE else schemes:
        run, seconds = timed(CONFINED, solution.on(grid, 0.0), scheme, tau=0.125, n_steps=8, throw=False)
        moments = [(mu.mean(), mu.covariance()) for mu in run.measures]
        at = dict(zip(run.times, moments, strict=True))
        run.measures = [Gaussian(*at[t]) for t in run.times]  # a Gaussian stays one: W₂ from its moments
        show(f"{type(scheme).__name__}, OU in the plane", run, solution.at, None, seconds)


if __name__ == "__main__":
    named = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    for function in ROWS:
        if not named or function.__name__ in named:
            function()
