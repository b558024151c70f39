"""Finite volumes on edges of one's own: laws on lines and in shells, orders, in two systems of units."""

from __future__ import annotations

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.errors import UnsupportedFunctional

FV = jko.limits.FiniteVolume()
UNITS = pytest.mark.parametrize(
    ("length", "energy"), [(1.0, 1.0), pytest.param(40.0, 3e-3, marks=pytest.mark.long)]
)


def l1(grid, first, second):
    return float(np.abs(first.values - second.values) @ grid.cell_volume)


def orders(errors):
    return np.log2(np.array(errors[:-1]) / np.array(errors[1:]))


def graded(n, reach):
    """Radii closer at the centre, that are no images of equal ones by a power."""
    s = np.linspace(0.0, 1.0, n + 1)
    return reach * (0.4 * s + 0.6 * s**2)


def errors_in_shells(exact, F, d, reach, time, cells, edges=graded):
    found = []
    for n in cells:
        grid = jko.Grid.radial(edges(n, reach), d)
        run = jko.flow(F, exact.on(grid), FV, tau=time / (n // 2), n_steps=n // 2, store_every=n // 2)
        assert run.info.mass_error.max() < 1e-13
        assert run.final.values.min() > 0.0 or not F.parts.temperature
        found.append(l1(grid, run.final, exact.on(grid, time)))
    return found


@pytest.mark.parametrize(
    ("d", "stiffness", "length", "energy"),
    [
        (2, 0.0, 1.0, 1.0),
        (3, 0.0, 40.0, 3e-3),
        pytest.param(2, 1.0, 40.0, 3e-3, marks=pytest.mark.long),
        (3, 1.0, 1.0, 1.0),
    ],
)
def test_gaussians_in_shells(d, stiffness, length, energy):
    """Heat, variance 2θt an axis, and Ornstein–Uhlenbeck."""
    F = energy * fn.Entropy()
    if stiffness:
        F = F + fn.Potential("quadratic", stiffness=stiffness * energy / length**2)
    exact = jko.exact.OrnsteinUhlenbeck(
        mean=[0.0] * d, std=1.2 * length, temperature=energy, stiffness=stiffness * energy / length**2
    )
    errors = errors_in_shells(exact, F, d, 9.0 * length, 0.5 * length**2 / energy, (40, 80, 160))
    assert np.all(np.abs(orders(errors) - 2.0) < 0.25), errors
    assert errors[-1] < 6e-4


def averages(exact, grid, t, length):
    """Cell averages of a solution in units of `length`, over 64 thin shells a cell."""
    edges, parts = grid.edges[0], np.linspace(0.0, 1.0, 65)
    thin = (edges[:-1, None] + np.diff(edges)[:, None] * parts).T
    middle = 0.5 * (thin[1:] + thin[:-1])
    points = np.pad(middle.reshape(-1, 1) / length, [(0, 0), (0, grid.dimension - 1)])
    values = exact.density(t, points).reshape(middle.shape) / length**grid.dimension
    return grid.density((values * np.diff(grid.volume_within(thin), axis=0)).sum(axis=0) / grid.cell_volume)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("d", "length", "energy"), [(2, 40.0, 3e-3), pytest.param(3, 1.0, 1.0, marks=pytest.mark.long)]
)
def test_barenblatt_in_shells(d, length, energy):
    """Order 2 away from the front; in L1 the front's cell, met anywhere, leaves about 2 over many grids."""
    exact = jko.exact.Barenblatt(2.0, d, start_time=0.1)
    sizes, errors, inside = np.array([50, 66, 80, 100, 132, 160]), [], []
    for n in sizes:
        grid, steps = jko.Grid.radial(graded(n, 1.25 * length * exact.radius(0.2)), d), int(n) // 4
        F = energy * length**d * fn.Power(2.0)  # of ρ a mass over length^d
        tau = 0.2 * length**2 / energy / steps
        run = jko.flow(F, averages(exact, grid, 0.0, length), FV, tau=tau, n_steps=steps, store_every=steps)
        error = np.abs(run.final.values - averages(exact, grid, 0.2, length).values)
        errors.append(error @ grid.cell_volume)
        inside.append(error[grid.axes[0] < 0.5 * length * exact.radius(0.0)].max())
    fits = [-np.polyfit(np.log(sizes), np.log(found), 1)[0] for found in (errors, inside)]
    assert fits[0] > 1.7, errors
    assert fits[1] == pytest.approx(2.0, abs=0.1), inside
    assert errors[-1] < 1e-3


def maxwell(grid, s, length):
    """The law of |x| of N(0, s²) in three dimensions, as a density on a line."""
    r = grid.axes[0] / length
    values = r**2 * np.exp(-(r**2) / (2.0 * s**2))
    return grid.density(values / (values @ grid.cell_volume))


def half_line(n, length=1.0):
    return jko.Grid.from_edges(length * np.append(0.0, np.geomspace(2e-2, 8.0, n)))


@UNITS
def test_log_spaced_half_line(length, energy):
    """V = r²/2 − 2 log r, infinite at 0: |x| of an Ornstein–Uhlenbeck process in space."""
    V = fn.Potential(lambda x: energy * (0.5 * (x[0] / length) ** 2 - 2.0 * jnp.log(x[0] / length)))
    F, time, errors = energy * fn.Entropy() + V, 0.5 * length**2 / energy, []
    for n in (40, 80, 160):
        grid = half_line(n, length)
        run = jko.flow(F, maxwell(grid, 0.55, length), FV, tau=time / n, n_steps=n, store_every=n)
        s = np.sqrt(1.0 + (0.55**2 - 1.0) * np.exp(-1.0))
        errors.append(l1(grid, run.final, maxwell(grid, s, length)))
    assert np.all(np.abs(orders(errors) - 2.0) < 0.2), errors
    rest = jko.flow(F, maxwell(grid, 1.0, length), FV, tau=time, n_steps=3).final
    assert l1(grid, rest, maxwell(grid, 1.0, length)) < 1e-12


@pytest.mark.long
def test_order_in_tau_alone():
    grid = jko.Grid.radial(graded(30, 8.0), 3)
    mu = jko.Gaussian.of(0.0, 1.5, dimension=3).on(grid)
    F = fn.Entropy() + fn.Power(2.0) + fn.Potential("quadratic")
    finals = [jko.flow(F, mu, FV, tau=0.4 / n, n_steps=n, store_every=n).final for n in (16, 32, 64, 128)]
    changes = [l1(grid, a, b) for a, b in itertools.pairwise(finals)]
    assert np.all(np.abs(orders(changes) - 2.0) < 0.3), changes


@pytest.mark.parametrize("d", [3, pytest.param(1, marks=pytest.mark.long)])
def test_transport_without_diffusion(d):
    """ρ(t, r) = e^{dt}ρ₀(e^t r) under V = r²/2."""
    errors = []
    for n in (50, 100, 200):
        grid = jko.Grid.radial(np.linspace(0.0, 6.0, n + 1), d)
        mu = jko.Gaussian.of(0.0, 1.0, dimension=d).on(grid)
        run = jko.flow(fn.Potential("quadratic"), mu, FV, tau=0.5 / n, n_steps=n, store_every=n)
        errors.append(l1(grid, run.final, jko.Gaussian.of(0.0, np.exp(-0.5), dimension=d).on(grid)))
    assert np.all(np.abs(orders(errors) - 2.0) < 0.25), errors


def test_structure_on_rough_edges():
    """Random widths, a factor of ten apart: mass, positivity, decay and rest do not ask for smooth ones."""
    widths = 10.0 ** np.random.default_rng(3).uniform(-1.0, 0.0, 60)
    edges = np.append(0.0, np.cumsum(widths)) * (6.0 / widths.sum())
    F = fn.Entropy() + fn.Potential("quadratic")
    for grid in (jko.Grid.radial(edges, 2), jko.Grid.from_edges(edges - 3.0)):
        start = jko.Density.uniform(grid, 1.0, 2.0)
        run = jko.flow(F, start, FV, tau=0.5, n_steps=40)
        assert np.all(np.diff(run.energy) <= 0.0)
        assert abs(run.final.mass - 1.0) < 1e-13
        rest = jko.Density.from_function(grid, lambda x: jnp.exp(-0.5 * jnp.sum(x**2)))
        assert l1(grid, run.final, rest) < 1e-8  # where rounding of F ends it


def test_a_cap_in_shells():
    """At rest the Fermi-like profile min(cap, e^{c − V}) of an entropy under a cap."""
    grid = jko.Grid.radial(np.linspace(0.0, 5.0, 121), 2)
    mu = jko.Gaussian.of(0.0, 1.5, dimension=2).on(grid)
    F = fn.Entropy() + fn.Potential("quadratic", stiffness=4.0) + fn.Cap(0.3)
    run = jko.flow(F, mu, FV, tau=0.2, n_steps=40, store_every=40)
    assert run.final.values.max() <= 0.3 * (1.0 + 1e-12)
    free = run.final.values < 0.299
    level = np.log(run.final.values[free]) + 2.0 * grid.axes[0][free] ** 2
    held = free & (run.final.values > 1e-9)
    level = level[held[free]]
    assert np.ptp(level) < 1e-3
    assert abs(run.final.mass - 1.0) < 1e-13


@pytest.mark.parametrize(("share", "length", "energy"), [(0.5, 1.0, 1.0), (1.0, 40.0, 3e-3), (1.5, 1.0, 1.0)])
def test_keller_segel_in_the_plane(share, length, energy):
    """d/dt∫|x|²ρ = 4θ(1 − χ/χ_c): shells attract as the mass that they enclose, at the centre."""
    grid = jko.Grid.radial(length * np.append(0.0, np.geomspace(2e-2, 30.0, 100)), 2)
    F = energy * (fn.Entropy() + fn.Interaction("logarithmic", strength=-4.0 * share))
    mu = jko.Gaussian.of(0.0, length, dimension=2).on(grid)
    run = jko.flow(F, mu, FV, tau=0.02 * length**2 / energy, n_steps=10, store_every=10)
    moments = [np.trace(nu.covariance()) for nu in run.measures]
    rate = (moments[1] - moments[0]) / (run.times[1] - run.times[0])
    assert abs(rate / energy - 4.0 * (1.0 - share)) < 0.02


@pytest.mark.parametrize("d", [1, 2, 3, 4])
def test_a_smooth_kernel_in_shells(d):
    """A Gaussian W convolved with a Gaussian, in closed form, to second order."""
    W, errors = fn.Interaction("gaussian", width=0.8), []
    for n in (30, 60):
        grid = jko.Grid.radial(np.linspace(0.0, 7.0, n + 1), d)
        mu = jko.Gaussian.of(0.0, 1.0, dimension=d).on(grid)
        spread = 1.0 + 0.8**2
        exact = (0.8**2 / spread) ** (0.5 * d) * np.exp(-(grid.axes[0] ** 2) / (2.0 * spread))
        errors.append(np.abs(W.first_variation(mu) - exact).max())
    assert d == 1 or orders(errors)[0] > 1.8  # equal cells of the whole line err by nothing
    assert errors[-1] < 1e-3


@pytest.mark.long
def test_a_radial_run_is_the_plane_s():
    """V = |x|⁴/4 and Power(2) on a square grid, counted in radial bins."""
    F = 0.3 * fn.Power(2.0) + fn.Potential(lambda x: 0.25 * jnp.sum(x**2) ** 2)
    grid, plane = jko.Grid.radial(np.linspace(0.0, 2.4, 61), 2), jko.Grid.uniform((-1.8,) * 2, (1.8,) * 2, 72)
    mu = jko.Gaussian.of(0.0, 0.4, dimension=2).on(grid)
    ours = jko.flow(F, mu, FV, tau=0.05, n_steps=6, store_every=6).final
    theirs = jko.flow(F, mu.on(plane), FV, tau=0.05, n_steps=6, store_every=6).final
    assert np.abs(ours.on(plane).values - theirs.values).sum() * plane.cell_volume < 5e-3
    bins = np.linspace(0.0, 1.8, 7)
    radii = np.linalg.norm(plane.points, axis=1)
    counted, _ = np.histogram(radii, bins=bins, weights=np.asarray(theirs.masses))
    within = np.interp(bins, grid.edges[0], np.append(0.0, np.cumsum(ours.masses)))
    assert np.abs(np.diff(within) - counted).max() < 0.01


def test_growth_in_shells():
    """A reaction g = 1/2 beside the flow: mass e^{t/2}."""
    grid = jko.Grid.radial(np.linspace(0.0, 6.0, 41), 3)
    mu = jko.Gaussian.of(0.0, 1.0, dimension=3).on(grid)
    scheme = jko.limits.FiniteVolume(reaction=lambda x, rho: 0.5)
    run = jko.flow(fn.Entropy(), mu, scheme, tau=0.1, n_steps=4)
    assert abs(run.final.mass - np.exp(0.2)) < 1e-7


@pytest.mark.parametrize(
    ("F", "why"),
    [
        (fn.Dirichlet(), "edges of one's own"),
        (fn.Cap(0.5) + fn.Potential("quadratic"), "edges of one's own"),
        (fn.Potential(lambda x: x[0] ** 2), r"no function of \|x\| alone"),
        (fn.Entropy() + fn.Interaction("logarithmic"), "singular at 0"),
        (fn.Entropy() + fn.Interaction(lambda z: z[0] ** 2), r"no function of \|z\|"),
    ],
)
def test_refusals(F, why):
    mu = jko.Gaussian.of(0.0, 1.0, dimension=3).on(jko.Grid.radial(np.linspace(0.0, 6.0, 21), 3))
    with pytest.raises((UnsupportedFunctional, ValueError), match=why):
        jko.flow(F, mu, FV, tau=0.1, n_steps=1)
    with pytest.raises(UnsupportedFunctional, match="mobility"):
        jko.flow(fn.Entropy(), mu, jko.limits.FiniteVolume(mobility="exclusion"), tau=0.1, n_steps=1)
