"""Entropic transport, bridges, power cells. `python benchmarks/entropic_transport.py [--smoke] [row ...]`.

Each prints what it measured: medians of three calls after one that compiles, one thread.
"""

from functools import partial

import numpy as np
from rows import row, run, seconds, sized
from transport_problems import TILTED, unit_square

import jko
from jko import Density, Gaussian, Grid

SINKHORN = (
    Gaussian([0.3, 0.4], [[0.01, 0.004], [0.004, 0.008]]),
    Gaussian([0.6, 0.6], [[0.012, -0.004], [-0.004, 0.01]]),
)


@row
def sinkhorn_on_grids():
    """Two Gaussians in the unit square, to an L1 error of 1e-3 in the marginal: plan and divergence."""
    for cells in sized((256, 512), (32,)):
        mu, nu = (m.on(unit_square(cells)) for m in SINKHORN)
        for epsilon in sized((1e-3, 1e-4), (1e-2,)):
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
    cells = sized(128, 32)
    for epsilon in sized((4.0, 0.4, 0.04), (4.0,)):
        mu, nu = (m.on(Grid.uniform((-6.0, -6.0), (6.0, 6.0), (cells, cells))) for m in TILTED)
        found = jko.transport.sinkhorn(mu, nu, epsilon, tolerance=1e-6)
        exact = jko.transport.sinkhorn(*TILTED, epsilon)
        squared = float(jko.wasserstein(*TILTED)) ** 2
        print(
            f"divergence {cells}², ε = {epsilon:g}: {found.value / exact.value - 1:+.1e} from closed form, "
            f"{exact.value / squared - 1:+.1e} from W₂², without de-biasing {exact.cost / squared - 1:+.1e}"
        )


@row
def sinkhorn_between_clouds():
    generator = np.random.default_rng(0)
    for n in sized((1000, 2000), (50,)):
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
    mu, nu = (m.on(Grid.uniform(-9.0, 9.0, sized(400, 100))) for m in pair)
    half, slope = 0.5 * float(jko.wasserstein(*pair)) ** 2, -np.log(1.0 / 0.7)
    for epsilon in sized((1.0, 0.1, 0.04, 0.02, 0.01, 0.005), (1.0,)):
        exact = jko.transport.schrodinger_bridge(*pair, epsilon)
        spent, found = seconds(partial(jko.transport.schrodinger_bridge, mu, nu, epsilon))
        print(
            f"bridge ε = {epsilon:g}: {spent:.3f} s, static {found.cost / exact.cost - 1:+.0e}, dynamic "
            f"{found.dynamic_cost() / exact.cost - 1:+.0e}, cost - W₂²/2 {exact.cost - half:+.2e}, less "
            f"ε(∫ν log ν - ∫μ log μ) {exact.cost - half - slope * epsilon:+.2e}"
        )


@row
def schrodinger_in_the_plane():
    for cells, epsilon in sized(((128, 0.05), (256, 0.05), (256, 0.005)), ((32, 1.0),)):
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
    cells = sized(256, 32)
    mu = Density.mixture(unit_square(cells), [(0.3, 0.3), (0.7, 0.6)], [0.1, 0.15])
    for n in sized((100, 1000, 10_000), (10,)):
        for name, points in (
            ("drawn from it", mu.sample(n, 1)),
            ("uniform", jko.Particles(generator.random((n, 2)))),
        ):
            spent, found = seconds(partial(jko.transport.semi_discrete, mu, points), 1)
            print(
                f"{cells}² to {n} points {name}: {spent:.2f} s, {found.iterations} Newton steps, "
                f"masses {found.marginal_error:.0e}, gap {found.gap / found.value:.0e}"
            )


if __name__ == "__main__":
    run()
