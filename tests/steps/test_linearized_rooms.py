"""steps.Linearized in rooms: the box in disguise, parts with masses of their own, and finite volumes."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import label

import functionals as fn
import jko
from jko.steps import Linearized, SecondOrder

F = fn.Entropy() + fn.Potential(lambda x: 3.0 * x[0] ** 2 + jnp.sum(x[1:]))


@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("scheme", [Linearized(tolerance=1e-13), SecondOrder(Linearized(tolerance=1e-13))])
def test_a_room_that_is_a_box_is_the_box(dimension, scheme):
    box = jko.Grid.uniform((0.0,) * dimension, (1.0,) * dimension, 16)
    room = jko.Grid.uniform(
        (-0.25,) * dimension, (1.25,) * dimension, 24, inside=lambda x: jnp.all((x > 0.0) & (x < 1.0))
    )
    mu = jko.Density.from_function(box, lambda x: 1.0 + jnp.cos(3.0 * jnp.sum(x)) ** 2)
    values = np.zeros(room.cells)
    values[room.inside] = mu.values.ravel()
    runs = [jko.flow(F, start, scheme, tau=0.02, n_steps=3) for start in (mu, jko.Density(room, values))]
    assert (
        np.abs(runs[0].final.values.ravel() - runs[1].final.values[room.inside]).max() < 3e-7
    )  # as the square root of the tolerance
    assert np.all(runs[1].final.values[~room.inside] == 0.0)
    assert runs[1].info.mass_error.max() < 1e-13
    assert np.abs(runs[0].info.iterations - runs[1].info.iterations).max() <= 1


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_parts_of_a_room_come_to_gibbs_with_their_own_masses(scale):
    grid = jko.Grid.uniform(
        (0.0, 0.0), (scale, scale), 14, inside=lambda x: jnp.abs(x[0] / scale - 0.4) > 0.07
    )
    parts, number = label(grid.inside)
    assert number == 2
    V = lambda x: 3.0 * (x[0] / scale) ** 2 + x[1] / scale  # noqa: E731
    start = jko.Density.from_function(grid, lambda x: 1.0 + 2.0 * x[0] / scale)
    scheme = Linearized(tolerance=1e-11)
    run = jko.flow(fn.Entropy() + fn.Potential(V), start, scheme, tau=0.5 * scale**2, n_steps=6)
    gibbs = jko.Density.from_function(grid, lambda x: jnp.exp(-V(x))).values
    for part in (1, 2):
        held = parts == part
        mass = start.values[held].sum()
        assert run.final.values[held].sum() == pytest.approx(mass, rel=1e-6)
        expected = gibbs[held] * mass / gibbs[held].sum()
        assert np.abs(run.final.values[held] - expected).max() < 2e-5 * expected.max()
    assert np.all(np.diff(run.energy) <= 1e-12)


def test_round_a_corner_it_agrees_with_finite_volumes():
    errors = []
    for n, steps in ((12, 4), (24, 8)):
        room = jko.Grid.uniform((0.0, 0.0), (1.0, 1.0), n, inside=lambda x: (x[0] < 0.5) | (x[1] < 0.5))
        start = jko.Density.from_function(room, lambda x: 1.0 + 0.5 * jnp.cos(jnp.pi * (x[0] - x[1])))
        ends = [
            jko.flow(F, start, scheme, tau=0.1 / steps, n_steps=steps).final.values
            for scheme in (SecondOrder(Linearized()), jko.limits.FiniteVolume())
        ]
        errors.append(np.abs(ends[0] - ends[1]).sum() / ends[1].sum())
    assert errors[0] < 6e-3
    assert errors[0] / errors[1] > 2.0  # a solution that a corner bends has h^{4/3} at the most


def u_shaped(length):
    return jko.Grid.uniform(
        (0.0, 0.0),
        (length, length),
        14,
        inside=lambda x: (jnp.abs(x[0] / length - 0.5) > 0.15) | (x[1] < 0.35 * length),
    )


@pytest.mark.parametrize("steep", [3.0, 30.0])
@pytest.mark.parametrize("time", [0.1, 1.0, 10.0])
def test_a_long_step_round_a_bend_is_one_in_every_unit(time, steep):
    """Newton's method from φ = 0 diverges there, and came back by chance in one unit of length or another."""
    found = []
    for length in (1.0, 1e-3):
        V = lambda x, length=length: steep * jnp.cos(4.0 * x[0] / length) + 2.0 * x[1] / length  # noqa: E731
        at = np.array([0.15, 0.8]) * length
        bump = lambda x, at=at, length=length: jnp.exp(-20.0 * jnp.sum((x - at) ** 2) / length**2)  # noqa: E731
        start = jko.Density.from_function(u_shaped(length), bump).normalized()
        G = fn.Entropy() + fn.Potential(V)
        run = jko.flow(G, start, Linearized(), tau=time * length**2, n_steps=1)
        found.append(run.final.values * length**2)
        info = run.info.row(0)
        assert info.gap <= 1e-5 * info.transport_cost
        assert info.dissipation > 0.0
        assert info.details["floor"] == 1e-9
    assert np.abs(found[1] - found[0]).max() < 1e-5 * found[0].max()


def test_a_step_without_end_round_a_bend_is_gibbs():
    grid = u_shaped(1.0)
    V = lambda x: 3.0 * jnp.cos(4.0 * x[0]) + 2.0 * x[1]  # noqa: E731
    start = jko.Density.from_function(grid, lambda x: jnp.exp(-20.0 * jnp.sum((x - 0.15) ** 2))).normalized()
    run = jko.flow(fn.Entropy() + fn.Potential(V), start, Linearized(), tau=1e6, n_steps=1)
    gibbs = jko.Density.from_function(grid, lambda x: jnp.exp(-V(x))).normalized().values
    assert np.abs(run.final.values - gibbs).max() < 1e-4 * gibbs.max()


@pytest.mark.parametrize("length", [1.0, 1e-3])
@pytest.mark.parametrize("dimension", [1, 2])
def test_a_step_without_end_is_gibbs_under_sixty_temperatures(length, dimension):
    """Newton's method in fluxes divided what rounding had left of a flux by what an emptied cell holds."""
    if dimension == 2:
        grid = u_shaped(length)
    else:
        grid = jko.Grid.uniform((0.0,), (length,), 40, inside=lambda x: x[0] > 0.1 * length)
    V = lambda x: 30.0 * jnp.cos(4.0 * x[0] / length) + 6.0 * x[-1] / length  # noqa: E731
    bump = lambda x: jnp.exp(-300.0 * jnp.sum((x / length - 0.25) ** 2))  # noqa: E731
    start = jko.Density.from_function(grid, bump).normalized()
    run = jko.flow(fn.Entropy() + fn.Potential(V), start, Linearized(), tau=1e7 * length**2, n_steps=1)
    gibbs = jko.Density.from_function(grid, lambda x: jnp.exp(-V(x))).normalized().values
    assert run.info.row(0).details["floor"] == 1e-9
    assert np.abs(run.final.values - gibbs).max() < 1e-4 * gibbs.max()
