"""The entropic step in rooms: lengths of ways, a point's step in closed form, walls, and the dynamic step."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
from jko import Density, Grid, flow, steps
from jko.loops.grids.geodesics import squared_distances
from tests.steps.grid_steps import take_step


def walled(n, unit=1.0, thick=0.07):
    """A square with a wall across, open above .6."""
    return Grid.uniform(
        (0.0, 0.0),
        (unit, unit),
        (n, n),
        inside=lambda x: (jnp.abs(x[0] / unit - 0.5) > thick) | (x[1] / unit > 0.6),
    )


def lengths_from(grid, start):
    """The lengths of the ways from a cell to all."""
    d2 = squared_distances(grid.inside, grid.spacing)
    return np.sqrt(d2[np.count_nonzero(grid.inside.ravel()[: np.ravel_multi_index(start, grid.cells)])])


@pytest.mark.parametrize("n", [16, 24])
def test_the_lengths_of_ways(n):
    """Straight on the near side; from low to low round both corners of the wall; never less than straight."""
    grid, start = walled(n, 3.0), (n // 4, n // 3)
    h, walls, d = grid.spacing[0], np.argwhere(~grid.inside), lengths_from(grid, start)
    low, high, top = walls[:, 0].min() * h, (walls[:, 0].max() + 1) * h, (walls[:, 1].max() + 1) * h
    x, y = (np.array(start) + 0.5) * h, grid.points[grid.inside.ravel()]
    straight, near = np.hypot(*(y - x).T), y[:, 0] < low
    assert np.allclose(d[near], straight[near], atol=1e-12)
    assert np.all(d > straight - 1e-12)
    far = (y[:, 0] > high) & (y[:, 1] < top)
    bent = np.hypot(low - x[0], top - x[1]) + (high - low) + np.hypot(y[:, 0] - high, top - y[:, 1])
    assert np.allclose(d[far], bent[far], atol=1e-12)
    d2 = squared_distances(grid.inside, grid.spacing)
    assert np.array_equal(d2, d2.T)


def test_what_touches_at_a_corner_is_shut():
    inside = np.array([[True, False], [False, True]])
    assert squared_distances(inside, (1.0, 1.0))[0, 1] == np.inf
    inside = np.array([[True, True], [False, True]])
    assert squared_distances(inside, (1.0, 2.0))[0, 2] == pytest.approx((0.5 * np.sqrt(5.0) * 2) ** 2)


@pytest.mark.parametrize("unit", [1.0, 1e3])
def test_the_step_of_a_point(unit):
    """Of all mass in one cell, with the bias left in: ρ′ ∝ u exp(−(d²/2τ + V)/α), d the way round the wall
    and u e^{−d²/2ε} u of row sums 1."""
    grid, start = walled(16, unit), (3, 4)
    values = np.zeros(grid.cells)
    values[start] = 1.0
    F, tau, epsilon = fn.Potential(lambda x: -2.0 * x[0] / unit), 0.2 * unit**2, (0.15 * unit) ** 2
    scheme = steps.Entropic(epsilon=epsilon, debias=False, tolerance=1e-11)
    new, info = take_step(scheme, F, Density(grid, values).normalized(), tau)
    d, V = lengths_from(grid, start), -2.0 * grid.points[grid.inside.ravel(), 0] / unit
    K, u = np.exp(-0.5 * squared_distances(grid.inside, grid.spacing) / epsilon), np.ones(d.size)
    for _ in range(80):
        u = np.sqrt(u / (K @ u))
    law = u * np.exp(-(d**2 / (2.0 * tau) + V) * tau / epsilon)
    assert info.converged
    assert np.allclose(new.values[grid.inside] * grid.cell_volume, law / law.sum(), atol=1e-9)
    assert not new.values[~grid.inside].any()


def test_walls_within_a_room_hold_as_those_of_the_line():
    """Against the quantile step between walls, mass standing at both: closer than the box's own, and of
    order 2 at least in h, ε going as h²."""
    F, errors = 0.2 * fn.Entropy() + fn.Potential(lambda x: x[0]), []

    def start(grid):
        return Density.from_function(grid, lambda x: 1.0 + 0.5 * jnp.cos(3.0 * x[0])).normalized()

    fine, _ = take_step(steps.Quantile(), F, start(Grid.uniform(0.0, 1.0, 640)), 0.1)
    for n in (40, 80):
        line, room = (
            Grid.uniform(0.0, 1.0, n),
            Grid.uniform(0.0, 1.25, n * 5 // 4, inside=lambda x: x[0] < 1.0),
        )
        wide = np.zeros(room.cells)
        wide[:n] = start(line).values
        exact, scheme = fine.values.reshape(n, -1).mean(1), steps.Entropic(tolerance=1e-8)
        found = [take_step(scheme, F, mu, 0.1)[0] for mu in (start(line), Density(room, wide))]
        errors.append([np.abs(new.values[:n] - exact).mean() for new in found])
    (box, first), (_, second) = errors
    assert first < 0.3 * box
    assert np.log2(first / second) > 2.0
    assert second < 1e-4


def test_a_uniform_density_rests():
    """No wall pushes it, whatever ε."""
    mu = Density.uniform(walled(16))
    for debias in (True, False):
        new, info = take_step(steps.Entropic(debias=debias, tolerance=1e-9), fn.Entropy(), mu, 0.05)
        assert np.abs(new.values - mu.values).max() < 1e-6 * mu.values.max()
        assert abs(info.transport_cost) < 1e-7


@pytest.mark.slow
def test_it_tends_to_the_dynamic_step_as_epsilon_falls():
    """To the step of `PrimalDual`, whose cost is that of the way round as well, with its own h and slices."""
    F, grid = 0.05 * fn.Entropy() + fn.Potential(lambda x: -2.0 * x[0]), walled(24)
    mu = Density.from_function(
        grid, lambda x: jnp.exp(-30.0 * (x[0] - 0.3) ** 2 - 20.0 * (x[1] - 0.5) ** 2)
    ).normalized()
    other, _ = take_step(steps.PrimalDual(slices=4), F, mu, 0.2)
    away = []
    for blur in (4.0, 2.0, 1.0):
        new, info = take_step(steps.Entropic(epsilon=(blur / 24) ** 2), F, mu, 0.2)
        assert info.converged
        assert new.mass == pytest.approx(1.0, abs=1e-8)
        away.append(np.abs(new.masses - other.masses).sum())
    assert np.all(np.diff(away) < 0.0), away
    assert away[-1] < 0.2  # of 1.44 that moves


def test_rooms_of_several_parts_keep_their_masses():
    grid = Grid.uniform(0.0, 1.0, 40, inside=lambda x: jnp.abs(x[0] - 0.4) > 0.06)
    mu = Density.from_function(grid, lambda x: 1.0 + 2.0 * x[0]).normalized()
    F = 0.1 * fn.Entropy() + fn.Potential(lambda x: x[0])
    run = flow(F, mu, steps.Entropic(), tau=0.05, n_steps=4)
    left = grid.axes[0] < 0.4
    assert run.final.masses[left].sum() == pytest.approx(mu.masses[left].sum(), rel=1e-4)
    assert np.all(np.diff(run.energy) < 0.0)
    alone = grid.density(np.where(left, mu.values, 0.0))
    assert not flow(F, alone, steps.Entropic(), tau=0.05, n_steps=2).final.values[~left].any()


def test_refusals():
    around = Grid.uniform((0.0, 0.0), (1.0, 1.0), 16, periodic=True, inside=lambda x: x[0] < 0.5)
    large = Grid.uniform((0.0, 0.0), (1.0, 1.0), 80, inside=lambda x: x[0] < 0.9)
    for grid in (around, large):
        with pytest.raises(ValueError, match="takes rooms of at most 4096 cells"):
            steps.Entropic().prepare(fn.Entropy(), Density.uniform(grid))


@pytest.mark.parametrize("F", [fn.Entropy(), fn.Entropy() + fn.Cap(12.0)])
def test_parts_without_a_way_between_are_rooms_of_their_own(F):
    """Each keeps its mass to rounding, and takes the step that it takes alone."""
    inside = np.ones((12, 8), bool)
    inside[5:7] = False
    values = np.zeros((12, 8))
    values[1:3, 2:4], values[8:10, 3:7] = 1.0, 2.0
    F = F + fn.Potential(lambda x: 3.0 * x[1] - x[0])

    def moved(inside, values, tau):
        grid = Grid.uniform((0.0, 0.0), (1.0, 1.0), inside.shape, inside=inside)
        return flow(
            F, Density(grid, values / 0.2), steps.Entropic(tolerance=1e-7), tau=tau, n_steps=1
        ).final.masses.reshape(12, 8)

    for tau in (5.0, 50.0):
        both, left = moved(inside, values, tau), np.arange(12)[:, None] < 6
        for side in (left, ~left):
            alone = moved(inside & side, np.where(side, values, 0.0), tau)
            assert abs((both * side).sum() / alone.sum() - 1.0) < 1e-12
            assert np.abs(both * side - alone).sum() < 1e-6 * alone.sum()
