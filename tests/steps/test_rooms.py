"""JKO steps in rooms: walls are obstacles, and the way round them is what is paid."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import label

import functionals as fn
import jko
from jko.steps import BackAndForth, Cvxpy, PrimalDual

L_SHAPE = lambda x: (x[0] < 0.5) | (x[1] < 0.5)  # noqa: E731
BARRIER = lambda x: jnp.where(L_SHAPE(x), 2.0 * x[0] - x[1], jnp.inf)  # noqa: E731


def l_shape(cells, scale=1.0):
    return jko.Grid.uniform((0.0, 0.0), (scale, scale), cells, inside=lambda x: L_SHAPE(x / scale))


@pytest.mark.long
def test_a_room_is_the_box_with_its_walls_as_an_obstacle_to_the_last_bit():
    room, box = l_shape(12), jko.Grid.uniform((0.0, 0.0), (1.0, 1.0), 12)
    values = jko.Density.gaussian(room, (0.3, 0.3), 0.2).values
    F = fn.Entropy() + fn.Potential(lambda x: 2.0 * x[0] - x[1])
    for scheme, other in (
        (PrimalDual(), PrimalDual(obstacle=~room.inside)),
        (BackAndForth(), BackAndForth(obstacle=~room.inside)),
    ):
        got = jko.flow(F, jko.Density(room, values), scheme, tau=0.05, n_steps=1)
        expected = jko.flow(F, jko.Density(box, values), other, tau=0.05, n_steps=1)
        assert np.abs(got.final.values - expected.final.values).max() < 1e-13
        assert np.all(got.final.values[~room.inside] == 0.0)


def test_a_potential_may_be_infinite_in_walls():
    start = jko.Density.uniform(l_shape(16))
    F, same = fn.Entropy() + fn.Potential(BARRIER), fn.Entropy() + fn.Potential(lambda x: 2.0 * x[0] - x[1])
    for scheme in (PrimalDual(), jko.limits.FiniteVolume()):
        ends = [jko.flow(G, start, scheme, tau=0.05, n_steps=2).final.values for G in (F, same)]
        assert np.array_equal(*ends)


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_parts_of_a_room_come_to_gibbs_with_their_own_masses(scale):
    wall = lambda x: jnp.abs(x[0] / scale - 0.4) > 0.07  # noqa: E731
    grid = jko.Grid.uniform((0.0, 0.0), (scale, scale), 14, inside=wall)
    parts, number = label(grid.inside)
    assert number == 2
    V = lambda x: 3.0 * (x[0] / scale) ** 2 + x[1] / scale  # noqa: E731
    start = jko.Density.from_function(grid, lambda x: 1.0 + 2.0 * x[0] / scale)
    run = jko.flow(
        fn.Entropy() + fn.Potential(V), start, PrimalDual(tolerance=1e-4), tau=0.5 * scale**2, n_steps=6
    )
    gibbs = jko.Density.from_function(grid, lambda x: jnp.exp(-V(x))).values
    for part in (1, 2):
        held = parts == part
        mass = start.values[held].sum()
        assert run.final.values[held].sum() == pytest.approx(mass, rel=1e-12)
        expected = gibbs[held] * mass / gibbs[held].sum()
        assert np.abs(run.final.values[held] - expected).sum() < 4e-3 * mass


def test_it_agrees_with_the_convex_program_in_a_room():
    grid = l_shape(8)
    start = jko.Density.gaussian(grid, (0.2, 0.75), 0.15)
    F = fn.Entropy() + fn.Potential(lambda x: 3.0 * x[0] - x[1])
    for slices in (1, 2):
        one = jko.flow(F, start, PrimalDual(slices=slices, tolerance=1e-5), tau=0.05, n_steps=1, throw=False)
        two = jko.flow(
            F, start, Cvxpy(formulation="eulerian", slices=slices), tau=0.05, n_steps=1, throw=False
        )
        assert np.all(two.final.values[~grid.inside] == 0.0)
        values = [run.energy[-1] + run.info.transport_cost[-1] for run in (one, two)]
        gaps = sum(float(run.info.gap[-1]) for run in (one, two))
        assert abs(values[0] - values[1]) <= gaps
        assert gaps < 1e-3
