"""Long steps of crowds under a cap alone: they end at rest, with all of τ done."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko


def least(V, mass, cap):
    """min ΣVρ over 0 ≤ ρ ≤ cap: cells are filled from the lowest."""
    V = np.sort(V.ravel())
    return V @ np.clip(mass - cap * np.arange(V.size), 0.0, cap)


def after(F, rho, tau):
    """One step, which is done: flow raises else."""
    return jko.flow(F, rho, jko.limits.FiniteVolume(), tau=tau, n_steps=1)


@pytest.mark.parametrize(("length", "force"), [(1.0, 1.0), (7.3, 0.013)])
@pytest.mark.parametrize("tau", [1e2, 1e6, 1e9])
def test_a_crowd_on_a_line_rests_at_the_least_energy(length, force, tau):
    grid = jko.Grid.uniform(0.0, 4.0 * length, 40)
    x = grid.axes[0] / length
    F = fn.Cap(0.8 / length) + fn.Potential(lambda y: 10.0 * force * jnp.abs(y[0] / length - 1.31))
    run = after(F, jko.Density(grid, np.where(x > 2.0, 0.5, 0.0) / length), tau * length**2 / force)
    exact = 0.1 * force * least(10.0 * np.abs(x - 1.31), 10.0, 0.8)
    assert abs(run.energy[-1] / exact - 1.0) < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize(("length", "force"), [(1.0, 1.0), (7.3, 0.013)])
def test_a_crowd_in_the_plane_rests_at_the_least_energy(length, force):
    grid = jko.Grid.uniform((0.0, 0.0), (2.0 * length, 1.5 * length), (16, 12))
    x = grid.points / length

    def well(y):
        return 3.0 * (y[0] - 0.83) ** 2 + 2.0 * (y[1] - 0.61) ** 2

    V = well(x.T)
    values = np.where(x[:, 0] > 1.1, 0.6, 0.0)
    rho = jko.Density(grid, values.reshape(grid.cells) / length**2)
    run = after(
        fn.Cap(0.9 / length**2) + fn.Potential(lambda y: force * well(y / length)),
        rho,
        1e6 * length**2 / force,
    )
    exact = force * least(V, values.sum(), 0.9) / 64.0
    assert abs(run.energy[-1] / exact - 1.0) < 1e-12


@pytest.mark.parametrize(("tau", "bound"), [(0.9e6, 1e-12), (1.5e6, 0.005)])
def test_a_crowd_that_creeps_arrives_at_its_time(tau, bound):
    """V = 1e-6 x moves it by 1e-6 τ: over 180 cells in substeps of half a cell, over 300 to a cell."""
    grid = jko.Grid.uniform(0.0, 4.0, 800)
    x = grid.axes[0]
    rho = jko.Density(grid, 0.5 * ((x > 3.0) & (x < 3.5)))
    values = after(fn.Cap(1.0) + fn.Potential("linear", slope=1e-6), rho, tau).final.values
    assert abs(values @ x / values.sum() - 3.25 + 1e-6 * tau) < bound
