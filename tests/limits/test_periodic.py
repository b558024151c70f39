"""FiniteVolume on a torus: the exact mode, equilibria, turns, and what it leaves to others."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import functionals as fn
from jko import exact, flow
from jko.limits import FiniteVolume
from jko.limits.line_solves import Resolvent, limit_around
from jko.measures import Density, Grid

LENGTH = 2.0


def wave(x):
    return jnp.cos(2.0 * jnp.pi * x[0] / LENGTH)


def attraction(z):
    return 1.0 - jnp.cos(2.0 * jnp.pi * z[0] / LENGTH)


def rough(grid, seed=0):
    values = np.random.default_rng(seed).uniform(0.05, 1.0, grid.cells) ** 4
    return Density(grid, values).normalized()


def test_a_fourier_mode_decays_at_its_rate_to_second_order():
    errors, time, amplitude = [], 0.1, 0.6
    for n in (16, 32, 64):
        grid = Grid.uniform(0.0, LENGTH, n, periodic=True)
        mode = np.cos(2.0 * np.pi * grid.axes[0] / LENGTH + 0.7)
        mu = Density(grid, (1.0 + amplitude * mode) / LENGTH)
        run = flow(fn.Entropy(), mu, FiniteVolume(), tau=0.8 * time / n * 10, n_steps=n // 8)
        left = amplitude * np.exp(-4.0 * np.pi**2 * time / LENGTH**2)
        errors.append(np.abs(run.final.values - (1.0 + left * mode) / LENGTH).sum() * grid.cell_volume)
        assert abs(run.final.mass - 1.0) < 1e-13
        assert np.all(np.diff(run.energy) <= 0.0)
    assert np.diff(np.log2(errors)) == pytest.approx(-2.0, abs=0.15)
    assert errors[-1] < 1e-3


def test_space_alone_is_of_second_order_or_better():
    """Advection and diffusion in V = cos, against the finest grid, τ kept: what is left is h."""
    F, finals = fn.Entropy() + fn.Potential(wave), []
    for n in (16, 32, 64, 128):
        grid = Grid.uniform(0.0, LENGTH, n, periodic=True)
        x = np.concatenate(
            [np.linspace(a, a + LENGTH / n, 9)[:-1] + LENGTH / n / 16 for a in grid.edges[0][:-1]]
        )
        averages = (1.0 + 0.8 * np.sin(2.0 * np.pi * x / LENGTH)).reshape(n, 8).mean(1) / LENGTH
        run = flow(F, Density(grid, averages), FiniteVolume(), tau=0.05, n_steps=2)
        finals.append(run.final.values.reshape(16, -1).mean(1))
    errors = [np.abs(a - b).sum() for a, b in itertools.pairwise(finals)]
    assert np.all(np.diff(np.log2(errors)) < -1.9)


@pytest.mark.parametrize(
    "F",
    [
        fn.Entropy() + fn.Interaction(attraction),
        fn.Interaction(attraction),
        fn.Entropy(),
    ],
    ids=["aggregation with diffusion", "aggregation", "heat"],
)
def test_turning_the_data_turns_the_result(F):
    grid = Grid.uniform(0.0, LENGTH, 30, periodic=True)
    mu = rough(grid)
    run, turned = (
        flow(F, start, FiniteVolume(), tau=0.01, n_steps=4)
        for start in (mu, mu.with_values(np.roll(mu.values, 11)))
    )
    assert np.abs(np.roll(run.final.values, 11) - turned.final.values).max() < 1e-12
    assert np.abs(run.final.values - mu.values).max() > 1e-2
    assert run.final.values.min() >= 0.0
    assert abs(run.final.mass - 1.0) < 1e-13
    assert np.all(np.diff(run.energy) <= 0.0)


def test_one_axis_may_turn_and_the_other_have_walls():
    F = fn.Entropy()
    grid = Grid.uniform((0.0, 0.0), (LENGTH, 1.0), (16, 12), periodic=(True, False))
    mu = rough(grid)
    run = flow(F, mu, FiniteVolume(), tau=0.01, n_steps=3)
    turned = flow(F, mu.with_values(np.roll(mu.values, 5, axis=0)), FiniteVolume(), tau=0.01, n_steps=3)
    assert np.abs(np.roll(run.final.values, 5, axis=0) - turned.final.values).max() < 1e-12
    # a density of x₂ alone is that of the line between walls, one of x₁ alone that of the torus
    for axis, periodic in ((0, True), (1, False)):
        line = rough(Grid.uniform(0.0, grid.upper[axis], grid.cells[axis], periodic=periodic))
        values = line.values[:, None] if axis == 0 else line.values[None, :]
        wide = Density(grid, np.broadcast_to(values, grid.cells)).normalized()
        two = flow(F, wide, FiniteVolume(), tau=0.01, n_steps=2).final
        halves = 2 - axis  # Strang's splitting goes along the first axis in two half steps
        one = flow(F, line, FiniteVolume(), tau=0.01 / halves, n_steps=2 * halves).final
        assert np.abs(np.take(two.values, 0, 1 - axis) / two.values.sum() * two.grid.cells[1 - axis]
                      - one.values / one.values.sum()).max() < 1e-12  # fmt: skip


def test_a_gibbs_state_stays_and_is_reached():
    grid = Grid.uniform(0.0, LENGTH, 40, periodic=True)
    F = 0.5 * fn.Entropy() + fn.Potential(wave)
    gibbs = Density(grid, np.exp(-2.0 * np.cos(2.0 * np.pi * grid.axes[0] / LENGTH))).normalized()
    assert (
        np.abs(flow(F, gibbs, FiniteVolume(), tau=0.3, n_steps=3).final.values - gibbs.values).max() < 1e-13
    )
    reached = flow(F, rough(grid), FiniteVolume(), tau=0.3, n_steps=30).final
    assert np.abs(reached.values - gibbs.values).max() < 1e-7  # where the energy is at its least to rounding


def test_vacuum_fills_across_the_ends():
    grid = Grid.uniform(0.0, LENGTH, 64, periodic=True)
    values = np.zeros(64)
    values[:3] = 1.0
    run = flow(fn.Entropy(), Density(grid, values).normalized(), FiniteVolume(), tau=1e-3, n_steps=3)
    after = run.final.values
    assert after.min() >= 0.0
    assert np.abs(after[[0, -1, -2]] - after[[2, 3, 4]]).max() < 1e-12
    assert not any("not solved" in note for note in run.info.note)


def test_transport_alone_is_carried_round():
    """Along characteristics, away from the ends of the box on both sides."""
    errors = []
    for n in (64, 128):
        grid = Grid.uniform(0.0, LENGTH, n, periodic=True)
        mode = 1.0 + 0.5 * np.cos(2.0 * np.pi * grid.axes[0] / LENGTH)
        run = flow(fn.Potential(wave), Density(grid, mode / LENGTH), FiniteVolume(), tau=0.01, n_steps=5)
        errors.append(_carried(run.final, grid, mode))
    assert np.log2(errors[0] / errors[1]) > 1.5
    assert errors[1] < 2e-3


def _carried(final, grid, mode, time=0.05):
    """L1 from the exact solution along characteristics x′ = −V′: tan(kx/2) grows as e^{k²t}."""
    k = 2.0 * np.pi / LENGTH
    x = grid.axes[0]
    start = 2.0 / k * np.arctan2(np.sin(k * x / 2) * np.exp(-0.5 * k * k * time),
                                 np.cos(k * x / 2) * np.exp(0.5 * k * k * time))  # fmt: skip
    slope = 1.0 / (
        np.exp(k * k * time) * np.cos(k * x / 2) ** 2 + np.exp(-k * k * time) * np.sin(k * x / 2) ** 2
    )
    exact = (1.0 + 0.5 * np.cos(k * start)) * slope / LENGTH
    return np.abs(final.values - exact).sum() * grid.cell_volume


def test_the_cyclic_resolvent_is_the_inverse_of_the_matrix():
    generator = np.random.default_rng(3)
    for n in (2, 3, 9):
        right, left, rhs = (generator.exponential(5.0, (n, 4)) for _ in range(3))
        found = Resolvent(right, left, True)(rhs.copy(), False)
        for line in range(4):
            matrix = np.eye(n)
            for i in range(n):
                j = (i + 1) % n
                for a, b, rate in ((i, j, right[i, line]), (j, i, left[i, line])):
                    matrix[a, a] += rate
                    matrix[b, a] -= rate
            assert np.allclose(found[:, line], np.linalg.solve(matrix, rhs[:, line]), rtol=1e-12)


def test_limited_fluxes_round_a_torus_keep_mass_and_sign():
    generator = np.random.default_rng(4)
    low = generator.exponential(1.0, (12, 3)) ** 3
    high = low + generator.normal(size=(12, 3))
    high += (low.sum(0) - high.sum(0)) / 12
    out = np.empty_like(low)
    limit_around(low, high, 1e-3, out)
    assert out.min() >= 0.0
    assert np.allclose(out.sum(0), low.sum(0), rtol=1e-14)
    limit_around(low, low + 1e-9 * (high - low), 1e-3, out)
    assert np.allclose(out, low + 1e-9 * (high - low), atol=1e-15)


def porous_medium_by_lines(values, length, time, slope):
    """∂ₜρ = ∂ₓ(∂ₓρ² + ρ∂ₓV) round a circle by central differences in conservative form and a stiff solver."""
    n = len(values)
    h = length / n
    faces = (np.arange(n) + 1.0) * h

    def rate(t, rho):
        after = np.roll(rho, -1)
        flux = (after**2 - rho**2) / h + 0.5 * (after + rho) * slope(faces)
        return (flux - np.roll(flux, 1)) / h

    return solve_ivp(rate, (0.0, time), values, method="BDF", rtol=1e-9, atol=1e-12).y[:, -1]


@pytest.mark.slow
@pytest.mark.parametrize("unit", [1.0, 1e3])
def test_a_porous_medium_goes_round_to_second_order(unit):
    """Against a method of lines of this test's own on 512 cells, on a circle of length 2 in two units."""
    length, errors = LENGTH * unit, []
    F = unit**3 * fn.Power(2) + unit**2 * fn.Potential(lambda x: 0.3 * jnp.cos(2.0 * jnp.pi * x[0] / length))
    fine = (np.arange(512) + 0.5) / 512
    known = porous_medium_by_lines(
        (1.0 + 0.9 * np.sin(2.0 * np.pi * fine)) / LENGTH,
        LENGTH,
        0.05,
        lambda x: -0.3 * np.pi * np.sin(np.pi * x),
    )
    for n in (16, 32, 64):
        means = (1.0 + 0.9 * np.sin(2.0 * np.pi * fine)).reshape(n, -1).mean(1) / length
        mu = Density(Grid.uniform(0.0, length, n, periodic=True), means)
        run = flow(F, mu, FiniteVolume(), tau=0.8 * 0.05 / n * 10, n_steps=n // 8)
        errors.append(np.abs(unit * run.final.values - known.reshape(n, -1).mean(1)).mean())
        assert abs(run.final.mass - 1.0) < 1e-13
        assert np.all(np.diff(run.energy) <= 0.0)
    assert np.all(np.diff(np.log2(errors)) < -1.8)


@pytest.mark.slow
def test_a_front_crosses_the_seam_as_it_does_the_middle():
    grid, box = (Grid.uniform(-1.0, 1.0, 50, periodic=turns) for turns in (True, False))
    front = exact.Barenblatt(2.0, start_time=2e-3)
    mu = front.on(box, 0.0)
    runs = [
        flow(fn.Power(2), Density(grid, np.roll(mu.values, k)), FiniteVolume(), tau=1e-3, n_steps=8)
        for k in (0, 25)
    ]
    assert np.abs(np.roll(runs[0].final.values, 25) - runs[1].final.values).max() < 1e-11
    known = front.on(box, 8e-3).values
    assert np.abs(runs[0].final.values - known).sum() * grid.cell_volume < 0.02
    assert runs[0].final.values.min() >= 0.0


def test_in_the_plane_a_density_of_one_axis_moves_as_on_the_line():
    grid = Grid.uniform((0.0, 0.0), (LENGTH, 1.0), (20, 6), periodic=True)
    F, line = fn.Entropy() + fn.Power(3), rough(Grid.uniform(0.0, LENGTH, 20, periodic=True))
    wide = Density(grid, np.broadcast_to(line.values[:, None], grid.cells))
    one, two = (flow(F, mu, FiniteVolume(), tau=0.01, n_steps=3).final for mu in (line, wide))
    np.testing.assert_allclose(two.values, np.broadcast_to(one.values[:, None], grid.cells), rtol=1e-8)
