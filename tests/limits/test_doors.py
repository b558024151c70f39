"""Doors: the rate at which heat is lost through them, crowds that leave, and the count of what has left."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.errors import UnsupportedFunctional
from jko.limits import FiniteVolume


def line(n, scale=1.0):
    """[0, 1] between a wall and a door behind 1, in cells of 1/n."""
    return jko.Grid.uniform(0.0, scale * (1.0 + 1.0 / n), n + 1, doors=lambda x: x[0] > scale)


def lost(grid, mu, F, tau, n_steps):
    """(mass at the end over that at the start, the run), checked for what left at every step."""
    run = jko.flow(F, mu, FiniteVolume(), tau=tau, n_steps=n_steps)
    out = np.array(run.info.detail("out"))
    masses = np.array([rho.mass for rho in run.measures])
    assert np.abs(masses + np.concatenate([[0.0], np.cumsum(out)]) - mu.mass).max() < 1e-12 * mu.mass
    assert run.info.mass_error.max() < 1e-13 * mu.mass
    assert np.all(out >= 0.0)
    assert all(np.all(rho.values[grid.doors] == 0.0) for rho in run.measures[1:])
    return masses[-1] / masses[0], run


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_heat_leaves_through_a_door_at_the_rate_of_its_eigenvalue(scale):
    # cos πx/2, no flux at 0 and 0 at 1, decays as e^{−π²t/4}
    errors = []
    for n in (8, 16):
        grid = line(n, scale)
        start = jko.Density.from_function(
            grid, lambda x: jnp.maximum(jnp.cos(0.5 * jnp.pi * x[0] / scale), 0.0)
        )
        start = jko.Density(grid, np.where(grid.doors, 0.0, start.values)).normalized()
        share, run = lost(grid, start, fn.Entropy(), 1e-3 * scale**2, 100)
        errors.append(-np.log(share) / (run.times[-1] / scale**2) - np.pi**2 / 4.0)
    assert abs(errors[1]) < 3e-6
    assert abs(errors[0]) / abs(errors[1]) > 8.0  # of order 4, less what τ adds


def test_drift_to_a_door_leaves_at_the_rate_of_the_exact_eigenvalue():
    # ∂_tρ = ρ″ + (ρ V′)′, V = −gx: ρ = e^{gx/2} sin(k(1 − x)), no flux at 0: tan k = −2k/g, rate k² + g²/4
    from scipy.optimize import brentq

    g = 3.0
    k = brentq(lambda k: np.sin(k) + 2.0 * k / g * np.cos(k), 0.5 * np.pi + 1e-9, np.pi)
    errors = []
    for n in (16, 32):
        grid = line(n)
        x = grid.axes[0]
        values = np.where(grid.doors, 0.0, np.exp(0.5 * g * x) * np.sin(k * (1.0 - x)))
        start = jko.Density(grid, np.maximum(values, 0.0)).normalized()
        F = fn.Entropy() + fn.Potential(lambda x: -g * x[0])
        share, run = lost(grid, start, F, 2e-3, 40)
        errors.append(abs(-np.log(share) / run.times[-1] - (k**2 + g**2 / 4.0)))
    assert errors[1] < 5e-3 * k**2
    assert errors[0] / errors[1] > 3.4  # of order 2


def test_a_door_of_a_square_takes_heat_as_that_of_the_line():
    n = 12
    # along the last axis, which Strang's splitting takes in whole steps
    square = jko.Grid.uniform((0.0, 0.0), (1.0, 1.0 + 1.0 / n), (6, n + 1), doors=lambda x: x[1] > 1.0)
    flat, plane = line(n), jko.Density.uniform(square)
    along = jko.flow(fn.Entropy(), jko.Density.uniform(flat), FiniteVolume(), tau=0.01, n_steps=5)
    both = jko.flow(fn.Entropy(), plane, FiniteVolume(), tau=0.01, n_steps=5)
    assert np.abs(both.final.values - along.final.values).max() < 1e-12
    assert both.final.mass == pytest.approx(along.final.mass, abs=1e-13)


def test_a_wind_blows_all_mass_out_of_a_door_and_nothing_back():
    grid = jko.Grid.uniform(0.0, 1.0, 20, doors=lambda x: jnp.abs(x[0] - 0.725) < 0.02)
    start = jko.Density.uniform(grid, 0.1, 0.4)
    share, run = lost(grid, start, fn.Potential(lambda x: -x[0]), 0.02, 60)
    assert share < 1e-5  # the tail of the upwind flux
    assert run.final.values[15:].sum() == 0.0


@pytest.mark.long
def test_a_crowd_in_a_corridor_leaves_at_walking_speed():
    # ρ = 1 on [0, ½] walks to the door at speed 1 and is out at t = 1
    grid = line(50)
    start = jko.Density(grid, np.where(grid.axes[0] < 0.5, 1.0, 0.0))
    F = fn.Potential(lambda x: -x[0]) + fn.Cap(1.0)
    share, run = lost(grid, start, F, 0.02, 40)
    assert share == pytest.approx(0.4, abs=0.02)  # a cell
    assert max(rho.values.max() for rho in run.measures) <= 1.0 + 1e-12
    assert lost(grid, start, F, 0.02, 55)[0] < 1e-3


@pytest.mark.long
def test_a_narrow_door_lets_no_more_than_the_cap_through():
    # Hele–Shaw: the crowd stays at the cap as it leaves
    grid = jko.Grid.uniform(
        (0.0, 0.0),
        (1.0, 1.0),
        24,
        inside=lambda x: x[0] < 0.96,
        doors=lambda x: (jnp.abs(x[0] - 0.935) < 0.02) & (jnp.abs(x[1] - 0.5) < 0.1),
    )
    start = jko.Density.uniform(grid, (0.3, 0.1), (0.8, 0.9))
    start = start.with_values(0.9 * start.values / start.values.max())
    F = fn.Potential.gridded(grid.distance(), grid.lower, grid.upper) + fn.Cap(1.0)
    share, run = lost(grid, start, F, 0.02, 20)
    assert 0.2 < share < 0.95
    assert max(rho.values.max() for rho in run.measures) <= 1.0 + 1e-12


def test_a_reaction_counts_beside_a_door():
    grid = line(12)
    scheme = FiniteVolume(reaction=lambda x, rho: 1.0 - rho)
    run = jko.flow(fn.Entropy(), jko.Density.uniform(grid), scheme, tau=0.02, n_steps=10)
    balance = [sum(run.info.detail(name)) for name in ("made", "left", "out")]
    assert run.final.mass == pytest.approx(1.0 + balance[0] - balance[1] - balance[2], abs=1e-12)
    assert run.info.mass_error.max() < 1e-13


def test_what_knows_no_doors_says_so():
    mu = jko.Density.uniform(line(8))
    with pytest.raises(UnsupportedFunctional, match="through doors the entropy, or a cap without"):
        jko.flow(fn.Power(2.0), mu, FiniteVolume(), tau=0.1, n_steps=1)
    with pytest.raises(ValueError, match=r"steps.BackAndForth does not take doors.*limits.FiniteVolume"):
        jko.flow(fn.Entropy(), mu, jko.steps.BackAndForth(), tau=0.1, n_steps=1)
    with pytest.raises(ValueError, match="does not take doors"):
        jko.flow(fn.Entropy(), mu, jko.steps.Adaptive(FiniteVolume()), tau=0.1, n_steps=1)


def test_a_run_through_doors_resumes_to_the_last_bit(tmp_path):
    grid = line(12)
    mu, F = jko.Density.uniform(grid), fn.Entropy()
    whole = jko.flow(F, mu, FiniteVolume(), tau=0.01, n_steps=6)
    jko.flow(F, mu, FiniteVolume(), tau=0.01, n_steps=3, checkpoint=tmp_path / "run")
    resumed = jko.flow(F, mu, FiniteVolume(), tau=0.01, n_steps=6, checkpoint=tmp_path / "run")
    assert np.array_equal(whole.final.values, resumed.final.values)
    assert whole.info.detail("out") == resumed.info.detail("out")
    again = jko.Trajectory.load(whole.save(tmp_path / "run.nc"))
    assert again.final.grid == grid
    assert again.info.detail("out") == whole.info.detail("out")
