"""One table for all grid JKO solvers: seconds, the same in cosine transforms, certificates and errors.

    python benchmarks/grid_jko.py                              every problem, every scheme that takes it
    python benchmarks/grid_jko.py gaussian-512 barenblatt-512  some problems
    python benchmarks/grid_jko.py --schemes BackAndForth       some schemes
    python benchmarks/grid_jko.py mixture-512                  orders in τ of the schemes of second order
    python benchmarks/grid_jko.py --smoke                      the same on small grids

`dct` is the CPU time in units of one scipy.fft.dctn and idctn of the same size, timed in the same run. Times
are medians of three repetitions of each step after one that compiles, what `prepare` does left out. L1 is the
distance from the exact JKO iterate after as many exact steps, for schemes of second order from the PDE's
solution, where it is known; `mass` the change of mass. Of problems in several sizes the growth follows: CPU
time of the first step ∝ cells^exponent, fitted.
"""

import argparse
import time
from dataclasses import dataclass
from functools import partial

import jax.numpy as jnp
import numpy as np
from rows import sized
from scipy import fft

import functionals as fn
import jko

SCHEMES = {  # a new solver adds its line here
    name: getattr(jko.steps, name)
    for name in ("BackAndForth", "Linearized", "MongeAmpere", "Entropic", "PrimalDual")
    if hasattr(jko.steps, name)
}


def second_order(inner):
    """steps.SecondOrder of a step with given settings, its first steps no exception."""
    return lambda **settings: jko.steps.SecondOrder(getattr(jko.steps, inner)(**settings), plain_steps=0)


SCHEMES |= {f"2nd({name})": second_order(name) for name in ("BackAndForth", "Linearized", "MongeAmpere")}
REPETITIONS = sized(3, 1)
ORDERS = "mixture-512"


@dataclass
class Problem:
    """A functional, a start, a step, and after k steps the exact iterate and the PDE's solution where they
    are known."""

    F: object
    start: jko.Density
    tau: float
    steps: int = 1
    exact: object = None
    limit: object = None
    settings: dict | None = None


def small(cells):
    """Cells an axis: a sixteenth with `--smoke`, no fewer than 16."""
    return sized(cells, max(cells // 16, 16))


def gaussian(cells, dimension=2):
    """Entropy + ½|x|², from N(1.5 e₁, 0.5²)."""
    cells = small(cells)
    grid = jko.Grid.uniform((-6.0,) * dimension, (6.0,) * dimension, (cells,) * dimension)
    mean = 1.5 * np.eye(dimension)[0]
    iterates = jko.exact.GaussianJKO(mean=mean, std=0.5, tau=0.1)
    F = fn.Entropy() + fn.Potential(lambda x: 0.5 * jnp.sum(x**2))
    flow = jko.exact.OrnsteinUhlenbeck(mean=mean, std=0.5)
    return Problem(
        F,
        iterates.at(0.0).on(grid),
        0.1,
        exact=lambda k: iterates.at(0.1 * k).on(grid),
        limit=lambda k: flow.on(grid, 0.1 * k),
    )


def wrapped(cells, periodic):
    """Entropy, from a wrapped Gaussian of std an eighth of the torus astride its seams, or between walls in
    the middle of the box."""
    cells = small(cells)
    grid = jko.Grid.uniform((-6.0, -6.0), (6.0, 6.0), (cells, cells), periodic)
    away = (np.abs(grid.axes[0])[:, None] - 6.0 if periodic else grid.axes[0][:, None]) + 12.0 * np.arange(
        -1, 2
    )
    line = np.exp(-(away**2) / 4.5).sum(axis=1)
    return Problem(fn.Entropy(), jko.Density(grid, np.outer(line, line)).normalized(), 0.1)


def barenblatt(cells, exponent=2.0, dimension=2, tau=5e-4, start=1.5708e-4, steps=5):
    """∫ρ^m on the unit box, mass 1, radius 0.2 at the start for m = 2 in the plane."""
    cells, steps = small(cells), sized(steps, 1)
    grid = jko.Grid.uniform((-0.5,) * dimension, (0.5,) * dimension, (cells,) * dimension)

    def exact(k):
        solution = jko.exact.Barenblatt(exponent, dimension, 1.0, start)
        for _ in range(k):
            solution = solution.jko_step(tau)
        return solution.on(grid)

    flow = jko.exact.Barenblatt(exponent, dimension, 1.0, start)
    return Problem(fn.Power(exponent), exact(0), tau, steps, exact, lambda k: flow.on(grid, k * tau))


def double_well(cells, tau, height=20.0):
    """Entropy + height(x² − 1)² + 10y², from a Gaussian on the ridge."""
    cells = small(cells)
    grid = jko.Grid.uniform((-2.0, -2.0), (2.0, 2.0), (cells, cells))
    F = fn.Entropy() + fn.Potential(lambda x: height * (x[0] ** 2 - 1.0) ** 2 + 0.5 * height * x[1] ** 2)
    return Problem(F, jko.Density.gaussian(grid, mean=(0.0, 0.2), std=0.3), tau)


def opening(cells):
    """∫ρ² and a potential with its least value on a ring: a hole opens in a bump."""
    cells = small(cells)
    grid = jko.Grid.uniform((-1.0, -1.0), (1.0, 1.0), (cells, cells))
    F = fn.Power(2.0) + fn.Potential(
        lambda x: -2.0 * jnp.sqrt(jnp.sum(x**2) + 0.01) + 3.0 * jnp.sum(x**2) ** 2
    )
    bump = jko.Density.from_function(grid, lambda x: jnp.maximum(0.16 - jnp.sum(x**2), 0.0))
    return Problem(F, bump, 0.1)


def crowd(cells):
    """A cap and the distance to a point, round an obstacle, ten steps."""
    cells = small(cells)
    grid = jko.Grid.uniform((-1.0, -1.0), (1.0, 1.0), (cells, cells))
    pillar = (grid.centers[..., 0] - 0.1) ** 2 + grid.centers[..., 1] ** 2 < 0.04
    F = fn.Cap(2.5) + fn.Potential(lambda x: jnp.sqrt((x[0] - 0.5) ** 2 + x[1] ** 2 + 1e-3))
    start = jko.Density.uniform(grid, (-0.8, -0.4), (-0.1, 0.4))
    return Problem(F, start, 0.02, sized(10, 1), settings={"obstacle": pillar})


PROBLEMS = {
    **{f"gaussian-{n}": partial(gaussian, n) for n in (128, 256, 512, 1024)},
    "wrapped-512": partial(wrapped, 512, True),
    "unwrapped-512": partial(wrapped, 512, False),
    **{f"barenblatt-{n}": partial(barenblatt, n) for n in (128, 256, 512, 1024)},
    "gaussian-3d-64": partial(gaussian, 64, dimension=3),
    "barenblatt-3d-64": partial(barenblatt, 64, dimension=3, tau=1e-4, start=3e-5, steps=1),
    "double-well-512-.01": partial(double_well, 512, 0.01),
    "double-well-512-.1": partial(double_well, 512, 0.1, height=5.0),
    "steep-well-512-.1": partial(double_well, 512, 0.1),
    "opening-512": partial(opening, 512),
    "crowd-128": partial(crowd, 128),
}
HEADER = f"{'problem':20s}{'scheme':18s}{'step':>5s}{'wall s':>8s}{'CPU s':>8s}{'dct':>7s}{'iter':>6s}"
HEADER += f"{'gap':>9s}{'rel.gap':>9s}{'L1':>9s}{'mass':>8s}  status"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("problems", nargs="*", default=[*PROBLEMS, ORDERS], metavar="problem")
    parser.add_argument("--smoke", action="store_true", help="small grids, once")
    parser.add_argument("--schemes", nargs="*", choices=SCHEMES, default=list(SCHEMES))
    arguments = parser.parse_args()
    print(HEADER)
    seconds = {}
    for name in arguments.problems:
        if name == ORDERS:
            orders(int(name.rsplit("-", 1)[1]))
            continue
        problem = PROBLEMS[name]()
        unit = cosine_pair(problem.start.grid.cells)
        for scheme in arguments.schemes:
            for line, cpu in rows(name, scheme, problem, unit):
                print(line, flush=True)
                if cpu is not None:
                    family = name.rsplit("-", 1)[0], scheme
                    seconds.setdefault(family, {}).setdefault(problem.start.grid.size, cpu)
    for (family, scheme), by_size in seconds.items():
        if len(by_size) > 2:
            exponent, _ = np.polyfit(np.log(list(by_size)), np.log(list(by_size.values())), 1)
            sizes = f"{min(by_size)} to {max(by_size)} cells"
            print(f"{family} {scheme}: CPU time of the first step ∝ cells^{exponent:.2f}, {sizes}")


def rows(name, scheme_name, problem, unit):
    """A line and its CPU seconds a step, or a line that says why the scheme does not take the problem."""
    try:
        scheme = SCHEMES[scheme_name](**(problem.settings or {}))
        prepared = scheme.prepare(problem.F, problem.start)
        state = prepared.start
    except (TypeError, ValueError) as refusal:
        yield f"{name:20s}{scheme_name:18s} {refusal}", None
        return
    mu = problem.start
    scheme.step(prepared, mu, 0.0, problem.tau, state)
    for k in range(1, problem.steps + 1):
        wall, cpu = [], []
        for _ in range(REPETITIONS):
            clock, processor = time.perf_counter(), time.process_time()
            new, after, info = scheme.step(prepared, mu, 0.0, problem.tau, state)
            wall.append(time.perf_counter() - clock)
            cpu.append(time.process_time() - processor)
        mu, state = new, after
        distance = error(mu, problem.exact if scheme.order == 1 else problem.limit, k)
        line = row(name, scheme_name, k, np.median(wall), np.median(cpu), unit, info, distance)
        yield line, np.median(cpu)


def error(mu, answer, k):
    """L1 from the exact iterate, or the PDE's solution; NaN where none is known."""
    if answer is None:
        return np.nan
    return np.abs(mu.values - answer(k).values).sum() * mu.grid.cell_volume


def orders(cells, end=0.4):
    """Three Gaussians under Ornstein–Uhlenbeck, exact: L1 from the PDE at time 0.4, τ = .1 … .0125."""
    cells = small(cells)
    solution = jko.exact.GaussianMixture([[-1.5, 0], [1, 1], [0.5, -1.2]], [0.6, 0.5, 0.7], [0.4, 0.35, 0.25])
    F = fn.Entropy() + fn.Potential(lambda x: 0.5 * jnp.sum(x**2))
    mu = solution.on(jko.Grid.uniform((-6.0, -6.0), (6.0, 6.0), (cells, cells)))
    for scheme in (jko.steps.MongeAmpere(), jko.steps.SecondOrder(jko.steps.MongeAmpere())):
        errors, dissipated, start, counts = [], [], time.process_time(), sized((4, 8, 16, 32), (2, 4))
        for n in counts:
            run = jko.flow(F, mu, scheme, tau=end / n, n_steps=n)
            errors.append(error(run.final, lambda _: solution.on(mu.grid, end), n))
            dissipated.append(run.info.dissipation.min())
        seconds = (time.process_time() - start) / sum(counts)
        rates = np.log2(np.divide(errors[:-1], errors[1:]))
        print(
            f"mixture {cells}x{cells} {scheme.scheme_name():18s} L1",
            *(f"{e:.2e}" for e in errors),
            " orders",
            *(f"{r:.2f}" for r in rates),
            f" least dissipation {min(dissipated):.1e} {seconds:.2f} CPU s a step",
            flush=True,
        )


def row(name, scheme, k, wall, cpu, unit, info, distance):
    times = f"{k:5d}{wall:8.3f}{cpu:8.3f}{cpu / unit:7.1f}{info.iterations:6d}"
    quality = f"{info.gap:9.1e}{info.relative_gap:9.1e}{distance:9.1e}{info.mass_error:8.0e}"
    return f"{name:20s}{scheme:18s}{times}{quality}  {info.status}"


def cosine_pair(cells):
    """CPU seconds of one scipy.fft.dctn and idctn in double precision, the median of nine."""
    field, seconds = np.random.default_rng(0).random(cells), []
    for _ in range(9):
        start = time.process_time()
        fft.idctn(fft.dctn(field))
        seconds.append(time.process_time() - start)
    return float(np.median(seconds))


if __name__ == "__main__":
    main()
