"""Long steps of internal energies on slopes: where mass comes to rest, from either side, in any unit."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.limits.nonlinear_diffusion import NonlinearDiffusion
from jko.limits.upwind_stage import UpwindStage
from tests.first_step import first_step

FV = jko.limits.FiniteVolume()


def rough(cells, seed):
    """Densities of mean 1, two of three cells empty."""
    generator = np.random.default_rng(seed)
    values = generator.random(cells) ** 3 * (generator.random(cells) > 2 / 3)
    return values / values.mean()


def stepped(m, c, height, values, tau, mirrored=False, unit=(1.0, 1.0), steps=1):
    """ρ after τ in units of 1 under c∫ρᵐ/(m − 1) + ∫V, V a function of places in [0, 1]ᵈ; and F."""
    length, energy = unit
    d = values.ndim
    grid = jko.Grid.uniform((0.0,) * d, (length,) * d, values.shape)

    def V(x):
        place = x / length
        return energy * height(1.0 - place if mirrored else place)

    F = c * energy * length ** (d * (m - 1.0)) * fn.Power(m) + fn.Potential(V)
    flip = (slice(None, None, -1),) * d if mirrored else ()
    mu = jko.Density(grid, values[flip] / length**d)
    run = jko.flow(F, mu, FV, tau=tau * length**2 / energy / steps, n_steps=steps, store_every=steps)
    assert run.energy[-1] <= run.energy[0]
    return run.final.values[flip] * length**d, run.energy[-1] / energy


def at_rest(m, c, V):
    """ρ of mean 1 with cm/(m − 1) ρ^{m−1} + V one number where ρ > 0, by bisection."""
    low, high = V.min(), V.max() + c * m / (m - 1.0) * V.size ** (m - 1.0)
    for _ in range(200):
        level = 0.5 * (low + high)
        rho = (np.maximum(level - V, 0.0) * (m - 1.0) / (c * m)) ** (1.0 / (m - 1.0))
        low, high = (level, high) if rho.mean() < 1.0 else (low, level)
    return rho


def centers(n):
    return (np.arange(n) + 0.5) / n


def valley(x):
    return 40.0 * (x[0] - 0.3) ** 2 + 3.0 * jnp.abs(x[0] - 0.7)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("m", "tau", "mirrored", "unit"),
    [
        (2.0, 1e1, False, (1.0, 1.0)),
        (3.0, 1e2, True, (3.0, 7.0)),
        (1.5, 1e6, False, (1e-3, 50.0)),
        (5.0, 1e9, True, (1.0, 1.0)),
        (2.0, 1e12, False, (1.0, 1.0)),
    ],
)
def test_a_valley_is_filled_to_one_level(m, tau, mirrored, unit):
    height = fn.Potential(valley).values(centers(26)[:, None])
    found, _ = stepped(m, 0.1, valley, rough((26,), 1), tau, mirrored, unit)
    np.testing.assert_allclose(found, at_rest(m, 0.1, height), atol=1e-6)


def slopes(x):
    """Several basins on rough slopes."""
    nodes = jnp.array([0.0, 3.0, -6.0, 2.0, -9.0, 4.0, 1.0, 8.0, -2.0])
    return jnp.interp(x[0], jnp.linspace(0.0, 1.0, 9), nodes)


@pytest.mark.slow
@pytest.mark.parametrize(("m", "tau"), [(2.0, 3e1), (3.0, 1e5), (2.0, 1e9)])
def test_rough_slopes_from_either_side_and_in_other_units(m, tau):
    """And F is as low as by many shorter steps: their basins hold as much."""
    values = rough((26,), 3)
    one, energy = stepped(m, 0.3, slopes, values, tau)
    for mirrored, unit in ((True, (1.0, 1.0)), (False, (3.0, 7.0))):
        other = stepped(m, 0.3, slopes, values, tau, mirrored, unit)[0]
        np.testing.assert_allclose(other, one, atol=1e-9)
    many, lowest = stepped(m, 0.3, slopes, values, tau, steps=16)
    assert abs(energy - lowest) < 1e-3 * abs(lowest)
    assert np.abs(one - many).mean() < 1e-2


def ridge(x):
    """A valley of depth 1 beside one of depth 3."""
    return jnp.where(x[0] < 0.4, jnp.abs(x[0] - 0.2) / 0.2, 1.0 - 3.0 * jnp.minimum((x[0] - 0.4) / 0.4, 1.0))


@pytest.mark.slow
@pytest.mark.parametrize("tau", [1e4, 1e8])
def test_what_a_basin_does_not_hold_runs_over_its_ridge(tau):
    """Filled to the ridge U′(ρ) + V = V(ridge), and no further: the rest has gone down on the other side."""
    V = fn.Potential(ridge).values(centers(40)[:, None])
    values = np.where(centers(40) < 0.4, 2.5, 0.0)
    found, _ = stepped(2.0, 0.1, ridge, values, tau)
    brink = V[:17].max()
    np.testing.assert_allclose(found[:15], (brink - V[:15]) / 0.2, atol=1e-3)
    level = 0.2 * found[20:] + V[20:]
    assert np.ptp(level[found[20:] > 1e-3]) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("tau", [1e3, 1e8])
def test_a_bowl_in_the_plane(tau):
    """By Strang's splitting, which leaves less than a thousandth at rest."""

    def bowl(x):
        return 30.0 * (x[0] - 0.3) ** 2 + 10.0 * (x[1] - 0.6) ** 2 + 8.0 * x[0] * x[1]

    x = np.stack(np.meshgrid(centers(9), centers(8), indexing="ij"), axis=-1)
    V = fn.Potential(bowl).values(x.reshape(-1, 2)).reshape(9, 8)
    values = rough((9, 8), 5)
    found, _ = stepped(2.0, 0.5, bowl, values, tau)
    np.testing.assert_allclose(found, at_rest(2.0, 0.5, V), atol=1e-4)
    other, _ = stepped(2.0, 0.5, bowl, values, tau, True, (3.0, 7.0))
    np.testing.assert_allclose(other, found, atol=1e-6)


def test_a_long_step_takes_substeps_as_long_as_it_takes_to_come_to_rest():
    grid = jko.Grid.uniform(0.0, 1.0, 20)
    F = 0.05 * fn.Power(2.0) + fn.Potential(lambda x: 6.0 * x[0])
    mu = jko.Density(grid, rough((20,), 0))
    record = first_step(FV, F, mu, 1e9)[2]
    assert record.converged
    assert record.iterations < 150


@pytest.mark.parametrize("step", [1e-2, 1.0, 30.0])
@pytest.mark.parametrize("m", [1.5, 2.0, 4.0])
def test_an_upwind_stage_keeps_order_and_contracts(m, step):
    """Of two densities with ρ ≤ σ, ρ′ ≤ σ′; and of any two, ‖ρ′ − σ′‖₁ ≤ ‖ρ − σ‖₁."""
    n = 30
    psi = 20.0 * np.random.default_rng(7).random((n, 1))
    solver = NonlinearDiffusion((0.2 * fn.Power(m)).parts.internal_energy, np.full((n, 1), np.inf))

    def after(rho):
        answer, solved = UpwindStage(solver, rho, psi, solver.cap, step).solve()
        assert solved.all()
        assert answer.sum() == pytest.approx(rho.sum(), rel=1e-11)
        energy = [float(np.sum(solver.energy(r) + psi * r)) for r in (rho, answer)]
        assert energy[1] < energy[0]
        return answer

    one, two = rough((n, 1), 1), rough((n, 1), 2)
    found = [after(rho) for rho in (one, two, one + two)]
    assert np.all(found[2] >= np.maximum(found[0], found[1]) - 1e-10)
    assert np.abs(found[0] - found[1]).sum() <= np.abs(one - two).sum() + 1e-10
