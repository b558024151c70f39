"""steps.PrimalDual through doors: who walks out, what porous media lose, and the count of what has left."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

import functionals as fn
import jko
from jko.errors import UnsupportedFunctional
from jko.steps import PrimalDual


def line(n, scale=1.0):
    """[0, 1] between a wall and a door behind 1, in cells of 1/n."""
    return jko.Grid.uniform(0.0, scale * (1.0 + 1.0 / n), n + 1, doors=lambda x: x[0] > scale)


def left(grid, mu, F, scheme, tau, n_steps):
    """The share of the mass that is still inside, checked for what left at every step."""
    run = jko.flow(F, mu, scheme, tau=tau, n_steps=n_steps)
    masses = np.array([rho.mass for rho in run.measures])
    out = np.array(run.info.detail("out"))
    assert np.abs(masses + np.concatenate([[0.0], np.cumsum(out)]) - mu.mass).max() < 1e-12 * mu.mass
    assert run.info.mass_error.max() < 1e-13 * mu.mass
    assert all(np.all(rho.values[grid.doors] == 0.0) for rho in run.measures[1:])
    return run.final.mass / mu.mass, run


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_a_crowd_in_a_corridor_leaves_at_walking_speed(scale):
    # ρ = 1 on [0, ½] walks to the door at speed 1 and is out at t = 1
    grid = line(50, scale)
    start = jko.Density(grid, np.where(grid.axes[0] < 0.5 * scale, 1.0, 0.0))
    F = fn.Potential(lambda x: 3.0 - x[0] / scale) + fn.Cap(1.0)
    share, run = left(grid, start, F, PrimalDual(), 0.04 * scale**2, 20)
    assert max(rho.values.max() for rho in run.measures) <= 1.0 + 1e-12
    assert abs(share - 0.4) < 1.3 / 50  # a cell


@pytest.mark.slow
def test_a_porous_medium_decays_as_its_profile():
    # ∂_tρ = (ρ²)″ with ρ = 0 at 1: ρ = √Y/(t₀ + t), Y″ = −√Y, Y′(0) = Y(1) = 0, so that M = M₀t₀/(t₀ + t)
    # of Y(0) = 1 first, whose zero is then moved to 1: Y(x)/λ⁴ at λx
    whole = solve_ivp(
        lambda x, y: [y[1], -np.sqrt(max(y[0], 0.0))], (0.0, 2.0), [1.0, 0.0], rtol=1e-9, dense_output=True
    )
    zero = brentq(lambda x: whole.sol(x)[0], 1.0, 2.0)
    grid, errors = line(25), []
    shape = np.sqrt(np.maximum(whole.sol(np.minimum(zero * grid.axes[0], zero))[0], 0.0)) / zero**2
    start = jko.Density(grid, np.where(grid.doors, 0.0, shape) / 0.1)
    for tau in (0.01, 0.0025):
        share, _ = left(grid, start, fn.Power(2.0), PrimalDual(slices=4), tau, round(0.1 / tau))
        errors.append(0.5 - share)
    assert 0.0 < errors[1] < 0.025
    assert errors[0] / errors[1] > 2.0  # of order ½ or more in τ: what is near a door is out at once


@pytest.mark.long
def test_a_crowd_leaves_a_room_as_by_finite_volumes():
    room = jko.Grid.uniform(
        (0.0, 0.0),
        (1.0, 1.0),
        16,
        inside=lambda x: x[0] < 0.94,
        doors=lambda x: (jnp.abs(x[0] - 0.9) < 0.04) & (jnp.abs(x[1] - 0.5) < 0.13),
    )
    start = jko.Density.uniform(room, (0.3, 0.1), (0.8, 0.9))
    start = start.with_values(0.9 * start.values / start.values.max())
    F = fn.Potential.gridded(room.distance(), room.lower, room.upper) + fn.Cap(1.0)
    mine, other = (
        left(room, start, F, scheme, 0.03, 10)[1] for scheme in (PrimalDual(), jko.limits.FiniteVolume())
    )
    assert 0.2 < other.final.mass / start.mass < 0.8
    assert abs(mine.final.mass - other.final.mass) < 0.03 * start.mass  # a cell of the way
    apart = np.abs(mine.final.values - other.final.values).sum() / start.values.sum()
    assert apart < 0.12


def test_the_gap_bounds_a_step_through_doors_with_everything_in_it():
    grid = jko.Grid.uniform(0.0, 2.0, 40, doors=lambda x: x[0] > 1.95)
    mu, V = jko.Density.uniform(grid, 1.0, 1.8), fn.Potential(lambda x: 2.0 - 2.0 * x[0])
    repulsion = fn.Interaction(lambda z: 0.3 * jnp.exp(-jnp.sum(z**2)), linearly_convex=True)
    F = 0.2 * fn.Power(2.0) + fn.Cap(1.5) + V + repulsion
    price = (V.first_variation(mu) + repulsion.first_variation(mu))[-1]
    values, gaps = [], []
    for tolerance in (1e-2, 1e-5):
        run = jko.flow(F, mu, PrimalDual(slices=2, tolerance=tolerance), tau=0.1, n_steps=1)
        info = run.info.row(0)
        values.append(F(run.final) + info.transport_cost + price * info.details["out"])
        assert info.dissipation == pytest.approx(F(mu) - F(run.final) - info.transport_cost, abs=1e-12)
        gaps.append(info.gap)
    assert run.final.mass < 0.9
    assert -gaps[1] <= values[0] - values[1] <= gaps[0]
    assert gaps[1] < 1e-5


def test_what_a_door_cannot_take_is_refused():
    mu = jko.Density.uniform(line(8))
    with pytest.raises(UnsupportedFunctional, match=r"finite slope where there is no mass.*FiniteVolume"):
        jko.flow(fn.Entropy(), mu, PrimalDual(), tau=0.1, n_steps=1)
    with pytest.raises(UnsupportedFunctional, match="doors without a length"):
        jko.flow(fn.Power(2.0), mu, PrimalDual(length=1.0), tau=0.1, n_steps=1)
