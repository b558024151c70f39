"""Transport: distances, maps, curves. One function a row; `python benchmarks/transport.py [name ...]`.

Each prints what it measured: medians of three calls after one that compiles, one thread unless said.
"""

import sys
import time
from functools import partial

import numpy as np

import jko
from jko import Density, Gaussian, Grid
from jko.transport import benamou_brenier, grid_transport

ROWS = []
TILTED = Gaussian([-1.0, 0.0], [[0.3, 0.1], [0.1, 0.2]]), Gaussian([1.0, 0.5], [[0.3, -0.1], [-0.1, 0.5]])


def row(function):
    """Adds a function to the table under its name."""
    ROWS.append(function)
    return function


def seconds(call, repetitions=3):
    """(the median time of a call, what it returned), after one that compiles."""
    call()
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        found = call()
        times.append(time.perf_counter() - start)
    return float(np.median(times)), found


def unit_square(cells):
    return Grid.uniform((0.0, 0.0), (1.0, 1.0), (cells, cells))


def bump(grid, centre, radius):
    away = grid.centers - np.asarray(centre)
    return Density(grid, np.maximum(radius**2 - np.sum(away**2, axis=-1), 0.0)).normalized()


def translated_and_dilated(cells):
    """Parabola bumps; W₂² = |shift|² + (change of radius)²/3."""
    grid = unit_square(cells)
    return bump(grid, (0.3, 0.3), 0.15), bump(grid, (0.65, 0.7), 0.25), 0.35**2 + 0.4**2 + 0.1**2 / 3.0


def from_the_line(cells):
    """Products of marginals, a parabola to two bumps with a gap between; W₂² by quantile functions."""
    fine, line = Grid.uniform(0.0, 1.0, 2**17), Grid.uniform(0.0, 1.0, cells)

    def one(x):
        return np.maximum(0.04 - (x - 0.35) ** 2, 0.0)

    def two(x):
        return np.maximum(0.01 - (x - 0.3) ** 2, 0.0) + 0.5 * np.maximum(0.0225 - (x - 0.7) ** 2, 0.0)

    along = jko.wasserstein(*(Density(fine, f(fine.axes[0])).normalized() for f in (one, two)))
    x, plane = line.axes[0], unit_square(cells)
    return *(Density(plane, np.outer(f(x), f(x))).normalized() for f in (one, two)), 2.0 * float(along) ** 2


def tilted_gaussians(cells):
    grid = Grid.uniform((-6.0, -6.0), (6.0, 6.0), (cells, cells))
    return *(m.on(grid) for m in TILTED), float(jko.wasserstein(*TILTED)) ** 2


def _back_and_forth(name, problem, sizes=(256, 512)):
    for cells in sizes:
        mu, nu, exact = problem(cells)
        for threads in (1, 2):

            def solve(mu=mu, nu=nu, threads=threads):
                grid_transport._solved.clear()
                found = jko.wasserstein(mu, nu, threads=threads)
                return found, found.gap

            spent, (found, gap) = seconds(solve)
            error = float(found) ** 2 / exact - 1.0
            print(
                f"{name} {cells}², threads {threads}: {spent:.3f} s, off {error:+.1e}, gap {gap / exact:.1e}"
            )


@row
def back_and_forth_bumps():
    _back_and_forth("bumps, translated and dilated", translated_and_dilated)


@row
def back_and_forth_cold():
    """The same without the affine start and without moving one over the other: what the ascent alone does."""
    from jko.transport import back_and_forth
    from jko.transport.overlap import Overlap

    for cells in (256, 512):
        mu, nu, exact = translated_and_dilated(cells)
        zero = np.zeros(2)
        lower = np.array(mu.grid.lower) + 0.5 * np.array(mu.grid.spacing)
        overlap = Overlap(mu.grid.spacing, mu.values / mu.mass, nu.values / nu.mass, lower, zero, 0.0)
        affine, back_and_forth._Level.affine = (
            back_and_forth._Level.affine,
            lambda level: np.zeros(level.mu.shape),
        )
        try:
            spent, found = seconds(lambda overlap=overlap: back_and_forth.solve(overlap))
        finally:
            back_and_forth._Level.affine = affine
        error = 2.0 * found.value / exact - 1.0
        print(
            f"bumps, cold start {cells}²: {spent:.3f} s, error {error:+.1e}, gap {2 * found.gap / exact:.1e}"
        )


@row
def back_and_forth_split():
    _back_and_forth("bump to four bumps", from_the_line)


@row
def back_and_forth_gaussians():
    _back_and_forth("tilted Gaussians", tilted_gaussians)


@row
def back_and_forth_in_space():
    mean, covariance = [1.0, 0.5, 0.0], np.array([[0.5, 0.2, 0.0], [0.2, 0.4, 0.1], [0.0, 0.1, 0.3]])
    pair = Gaussian(np.zeros(3), 0.25 * np.eye(3)), Gaussian(mean, covariance)
    exact = float(jko.wasserstein(*pair)) ** 2
    for cells in (32, 64):
        grid = Grid.uniform((-5.0,) * 3, (5.0,) * 3, (cells,) * 3)
        mu, nu = (m.on(grid) for m in pair)

        def solve(mu=mu, nu=nu):
            grid_transport._solved.clear()
            return jko.wasserstein(mu, nu)

        spent, found = seconds(solve, 1)
        error, gap = float(found) ** 2 / exact - 1.0, found.gap / exact
        print(f"Gaussians in space {cells}³: {spent:.2f} s, off {error:+.1e}, gap {gap:.1e}")


@row
def static_and_dynamic():
    """Benamou-Brenier beside back-and-forth and the closed form, with the mesh."""
    for cells, times in ((32, 8), (64, 16), (128, 32)):
        grid = Grid.uniform((-4.0, -4.0), (4.0, 4.0), (cells, cells))
        mu, nu = (m.on(grid) for m in TILTED)
        spent, run = seconds(
            lambda mu=mu, nu=nu, times=times: benamou_brenier(mu, nu, times, tolerance=1e-6), 1
        )
        static, exact = float(jko.wasserstein(mu, nu)) ** 2, float(jko.wasserstein(*TILTED)) ** 2
        print(
            f"tilted Gaussians {cells}² x {times}: dynamic {run.value / exact - 1.0:+.1e} from closed form, "
            f"{run.value / static - 1.0:+.1e} from back-and-forth, {spent:.1f} s"
        )


@row
def static_and_dynamic_compact():
    for cells, times in ((32, 8), (64, 16), (128, 32)):
        mu, nu, exact = from_the_line(cells)
        spent, run = seconds(lambda mu=mu, nu=nu, times=times: benamou_brenier(mu, nu, times), 1)
        static = float(jko.wasserstein(mu, nu)) ** 2
        print(
            f"bump to four {cells}² x {times}: dynamic {run.value / static - 1.0:+.1e} from back-and-forth, "
            f"that {static / exact - 1.0:+.1e} from the closed form, {spent:.1f} s"
        )


@row
def geodesics():
    """L1 from the closed form half-way between Gaussians, and the map's mean square error."""
    for cells in (64, 128, 256):
        mu, nu, _ = tilted_gaussians(cells)
        T, exact = jko.transport.brenier_map(mu, nu), jko.transport.brenier_map(*TILTED)
        x = TILTED[0].sample(2000, 0).positions
        error = np.sqrt(np.mean(np.sum((T(x) - exact(x)) ** 2, axis=1)))
        middle = jko.transport.interpolate(*TILTED, 0.5).on(mu.grid)
        found = jko.transport.interpolate(mu, nu, 0.5)
        away = np.abs(found.values - middle.values).sum() * mu.grid.cell_volume
        print(
            f"geodesic {cells}²: L1 {away:.1e}, map {error:.1e}, "
            f"T_#mu {T.pushforward_error:.1e} from nu, convex up to {T.convexity_defect:.1e}"
        )


SINKHORN = (
    Gaussian([0.3, 0.4], [[0.01, 0.004], [0.004, 0.008]]),
    Gaussian([0.6, 0.6], [[0.012, -0.004], [-0.004, 0.01]]),
)


@row
def sinkhorn_on_grids():
    """Two Gaussians in the unit square, to an L1 error of 1e-3 in the marginal: plan and divergence."""
    for cells in (256, 512):
        mu, nu = (m.on(unit_square(cells)) for m in SINKHORN)
        for epsilon in (1e-3, 1e-4):
            call = partial(jko.transport.sinkhorn, mu, nu, epsilon, tolerance=1e-3)
            plain, found = seconds(partial(call, debias=False))
            both, _ = seconds(call)
            print(
                f"Sinkhorn {cells}², ε = {epsilon:g}: {plain:.3f} s ({both:.3f} s de-biased), "
                f"{found.iterations} rounds on it, marginal {found.marginal_error:.1e}, "
                f"gap {found.gap / found.cost:.1e}"
            )


@row
def sinkhorn_divergence_of_gaussians():
    """Against the closed form, on a box that holds the tails."""
    for epsilon in (4.0, 0.4, 0.04):
        mu, nu = (m.on(Grid.uniform((-6.0, -6.0), (6.0, 6.0), (128, 128))) for m in TILTED)
        found = jko.transport.sinkhorn(mu, nu, epsilon, tolerance=1e-6)
        exact = jko.transport.sinkhorn(*TILTED, epsilon)
        squared = float(jko.wasserstein(*TILTED)) ** 2
        print(
            f"divergence 128², ε = {epsilon:g}: {found.value / exact.value - 1:+.1e} from its closed form, "
            f"{exact.value / squared - 1:+.1e} from W₂², without de-biasing {exact.cost / squared - 1:+.1e}"
        )


@row
def sinkhorn_between_clouds():
    generator = np.random.default_rng(0)
    for n in (1000, 2000):
        mu, nu = (jko.Particles(generator.normal(size=(n, 2)) * s + m) for s, m in ((0.3, 0.0), (0.4, 0.5)))
        exact = float(jko.wasserstein(mu, nu)) ** 2
        for epsilon in (0.1, 0.01):
            spent, found = seconds(partial(jko.transport.sinkhorn, mu, nu, epsilon), 1)
            print(
                f"clouds of {n}, ε = {epsilon:g}: {spent:.2f} s, divergence {found.value / exact - 1:+.1e} "
                f"and cost {found.cost / exact - 1:+.1e} from W₂²"
            )


@row
def schrodinger_on_the_line():
    """N(-1, .7²) to N(1.5, 1) on [-9, 9], 400 cells, against the closed form; and the limit of no noise."""
    pair = Gaussian.of(-1.0, 0.7), Gaussian.of(1.5, 1.0)
    mu, nu = (m.on(Grid.uniform(-9.0, 9.0, 400)) for m in pair)
    half, slope = 0.5 * float(jko.wasserstein(*pair)) ** 2, -np.log(1.0 / 0.7)
    for epsilon in (1.0, 0.1, 0.04, 0.02, 0.01, 0.005):
        exact = jko.transport.schrodinger_bridge(*pair, epsilon)
        spent, found = seconds(partial(jko.transport.schrodinger_bridge, mu, nu, epsilon))
        print(
            f"bridge ε = {epsilon:g}: {spent:.3f} s, static {found.cost / exact.cost - 1:+.0e}, dynamic "
            f"{found.dynamic_cost() / exact.cost - 1:+.0e}, cost - W₂²/2 {exact.cost - half:+.2e}, less "
            f"ε(∫ν log ν - ∫μ log μ) {exact.cost - half - slope * epsilon:+.2e}"
        )


@row
def schrodinger_in_the_plane():
    for cells, epsilon in ((128, 0.05), (256, 0.05), (256, 0.005)):
        mu, nu = (m.on(Grid.uniform((-5.0, -5.0), (5.0, 5.0), (cells, cells))) for m in TILTED)
        exact = jko.transport.schrodinger_bridge(*TILTED, epsilon)
        spent, found = seconds(partial(jko.transport.schrodinger_bridge, mu, nu, epsilon, tolerance=1e-6), 1)
        marginal = found.marginal(0.5).values - exact.marginal(0.5).on(mu.grid).values
        print(
            f"bridge {cells}², ε = {epsilon:g}: {spent:.2f} s, static {found.cost / exact.cost - 1:+.0e}, "
            f"ρ at ½ {np.abs(marginal).sum() * mu.grid.cell_volume:.0e} in L1"
        )


@row
def density_to_points():
    generator = np.random.default_rng(0)
    mu = Density.mixture(unit_square(256), [(0.3, 0.3), (0.7, 0.6)], [0.1, 0.15])
    for n in (100, 1000, 10_000):
        for name, points in (
            ("drawn from it", mu.sample(n, 1)),
            ("uniform", jko.Particles(generator.random((n, 2)))),
        ):
            spent, found = seconds(partial(jko.transport.semi_discrete, mu, points), 1)
            print(
                f"256² to {n} points {name}: {spent:.2f} s, {found.iterations} Newton steps, "
                f"masses {found.marginal_error:.0e}, gap {found.gap / found.value:.0e}"
            )


if __name__ == "__main__":
    for function in ROWS:
        if len(sys.argv) < 2 or function.__name__ in sys.argv[1:]:
            function()
