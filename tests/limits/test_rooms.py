"""Finite volumes in rooms: rest, decay, and rooms that are boxes in disguise."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.linalg import expm_multiply

import functionals as fn
import jko
from jko.limits import FiniteVolume
from jko.measures.cells import Cells

ROOT_OF_ROUNDING = 3e-7  # a step on which rounding alone would raise F stays, and F is flat at rest
L_SHAPE = lambda x: (x[0] < 0.5) | (x[1] < 0.5)  # noqa: E731


def labelled(grid):
    from scipy.ndimage import label

    return label(grid.inside)


def two_rooms(cells=24, scale=1.0):
    """Two rooms of unlike shape with a wall between them, and a round pillar in the larger one."""
    pillar = lambda x: jnp.sum((x / scale - jnp.array([0.7, 0.5])) ** 2) > 0.1**2  # noqa: E731
    wall = lambda x: jnp.abs(x[0] / scale - 0.35) > 0.06  # noqa: E731
    return jko.Grid.uniform((0.0, 0.0), (scale, scale), cells, inside=lambda x: wall(x) & pillar(x))


@pytest.mark.parametrize("internal", [fn.Entropy(), fn.Entropy() + fn.Power(2.0)])
def test_at_rest_each_part_of_a_room_is_gibbs_with_its_own_mass(internal):
    grid = two_rooms()
    V = lambda x: 3.0 * (x[0] - 0.8) ** 2 + jnp.sin(4.0 * x[1])  # noqa: E731
    start = jko.Density.from_function(grid, lambda x: 1.0 + x[0] + 2.0 * x[1] ** 2)
    F = internal + fn.Potential(V)
    run = jko.flow(F, start, FiniteVolume(), tau=0.5, n_steps=60, store_every=60)
    end, (parts, number) = run.measures[-1], labelled(grid)
    assert number == 2
    assert np.all(end.values[~grid.inside] == 0.0)
    for part in range(1, number + 1):
        held = parts == part
        before, after = start.values[held].sum(), end.values[held].sum()
        assert after == pytest.approx(before, rel=1e-12)
        level = np.asarray(F.first_variation(end))[held]
        assert np.ptp(level) < ROOT_OF_ROUNDING
    assert np.all(np.diff(run.energy) <= 0.0)


def test_heat_in_an_l_shaped_room_is_the_exponential_of_its_laplacian():
    errors = []
    for n in (16, 32):
        grid = jko.Grid.uniform((0.0, 0.0), (1.0, 1.0), n, inside=L_SHAPE)
        start = jko.Density.from_function(
            grid, lambda x: jnp.exp(-20.0 * ((x[0] - 0.2) ** 2 + (x[1] - 0.8) ** 2))
        )
        run = jko.flow(fn.Entropy(), start, FiniteVolume(), tau=0.05 / n, n_steps=2 * n, store_every=2 * n)
        expected = np.zeros(grid.cells)
        expected[grid.inside] = expm_multiply(0.1 * laplacian(grid), start.values[grid.inside])
        errors.append(np.abs(run.measures[-1].values - expected).sum() * grid.cell_volume)
    assert errors[1] < 6e-4
    assert errors[0] / errors[1] > 3.2  # of order 2


def laplacian(grid):
    """The five-point Laplacian of a room without flux, face by face."""
    place = np.full(grid.cells, -1)
    place[grid.inside] = np.arange(grid.inside.sum())
    rows, columns, values = [], [], []
    for axis, h in enumerate(grid.spacing):
        low = np.take(place, range(grid.cells[axis] - 1), axis).ravel()
        high = np.take(place, range(1, grid.cells[axis]), axis).ravel()
        low, high = low[(low >= 0) & (high >= 0)], high[(low >= 0) & (high >= 0)]
        rows += [low, high, low, high]
        columns += [high, low, low, high]
        values += [np.full(low.size, s / h**2) for s in (1.0, 1.0, -1.0, -1.0)]
    size = int(grid.inside.sum())
    return coo_array(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), (size, size)
    ).tocsr()


FLOWS = {
    "entropy": fn.Entropy() + fn.Potential(lambda x: jnp.cos(3.0 * x[0])),
    "porous": fn.Power(2.0) + fn.Potential(lambda x: jnp.cos(3.0 * x[0])),
    "drift": fn.Potential(lambda x: jnp.cos(3.0 * x[0])),
    "crowd": fn.Potential(lambda x: 2.0 * x[0]) + fn.Cap(2.2),
    "capped": 0.2 * fn.Entropy() + fn.Potential(lambda x: 2.0 * x[0]) + fn.Cap(2.2),
    "interaction": fn.Entropy() + fn.Interaction(lambda z: jnp.exp(-4.0 * jnp.sum(z**2))),
}


@pytest.mark.parametrize("name", FLOWS)
def test_a_room_that_is_a_box_within_a_larger_grid_runs_as_that_box(name):
    inner = jko.Grid.uniform((0.0, 0.0), (1.0, 0.75), (16, 12))
    outer = jko.Grid.uniform(
        (-0.25, -0.125),
        (1.125, 1.0),
        (22, 18),
        inside=lambda x: (x[0] > 0) & (x[0] < 1) & (x[1] > 0) & (x[1] < 0.75),
    )
    rho = lambda x: 1.0 + 0.2 * jnp.sin(5.0 * x[0] + 2.0 * x[1])  # noqa: E731
    runs = [
        jko.flow(FLOWS[name], jko.Density.from_function(grid, rho), FiniteVolume(), tau=0.01, n_steps=4)
        for grid in (inner, outer)
    ]
    box, room = (run.measures[-1].values for run in runs)
    assert np.abs(room[4:20, 2:14] - box).max() < 1e-11
    assert np.abs(runs[0].energy - runs[1].energy).max() < 1e-11


def test_a_line_parted_by_a_wall_is_two_lines_and_in_units_of_its_own():
    for scale in (1.0, 1e3):
        parted = jko.Grid.uniform(0.0, scale, 40, inside=lambda x, s=scale: jnp.abs(x[0] / s - 0.5) > 0.05)
        left = jko.Grid.uniform(0.0, 0.45 * scale, 18)
        V = lambda x, s=scale: jnp.cos(5.0 * x[0] / s)  # noqa: E731
        F = fn.Entropy() + fn.Potential(V)
        start = jko.Density.from_function(parted, lambda x, s=scale: 1.0 + x[0] / s)
        part = jko.Density(left, start.values[:18])
        tau = 0.01 * scale**2
        whole = jko.flow(F, start, FiniteVolume(), tau=tau, n_steps=5).measures[-1]
        alone = jko.flow(F, part, FiniteVolume(), tau=tau, n_steps=5).measures[-1]
        assert np.abs(whole.values[:18] - alone.values).max() < 1e-13 * alone.values.max()


def test_a_wall_opens_a_torus():
    n = 20
    turned = np.ones(n, bool)
    turned[[5, 6]] = False
    torus = jko.Grid.uniform(0.0, 1.0, n, periodic=True, inside=turned)
    line = jko.Grid.uniform(0.0, 0.9, n - 2)
    values = 1.0 + 0.3 * np.cos(np.arange(n - 2))
    around = np.zeros(n)
    around[np.r_[7:n, 0:5]] = values
    F = fn.Entropy()
    got = jko.flow(F, jko.Density(torus, around), FiniteVolume(), tau=0.01, n_steps=3).measures[-1].values
    box = jko.flow(F, jko.Density(line, values), FiniteVolume(), tau=0.01, n_steps=3).measures[-1].values
    assert np.abs(got[np.r_[7:n, 0:5]] - box).max() < 1e-13


def test_a_room_in_space_keeps_its_mass_and_comes_to_rest():
    grid = jko.Grid.uniform((0.0,) * 3, (1.0,) * 3, 8, inside=lambda x: jnp.sum((x - 0.5) ** 2) < 0.25)
    start = jko.Density.from_function(grid, lambda x: 1.0 + x[2])
    run = jko.flow(fn.Entropy(), start, FiniteVolume(), tau=0.05, n_steps=60, store_every=60)
    end = run.measures[-1].values[grid.inside]
    assert np.ptp(end) < ROOT_OF_ROUNDING * end.mean()
    assert run.measures[-1].mass == pytest.approx(1.0, abs=1e-13)


def test_a_reaction_grows_inside_of_a_room_only():
    grid = jko.Grid.uniform((0.0, 0.0), (1.0, 1.0), 10, inside=L_SHAPE)
    scheme = FiniteVolume(reaction=lambda x, rho: 1.0 - rho)
    run = jko.flow(fn.Entropy(), jko.Density.uniform(grid), scheme, tau=0.2, n_steps=60, store_every=60)
    end = run.measures[-1].values
    assert np.abs(end[grid.inside] - 1.0).max() < 1e-4
    assert np.all(end[~grid.inside] == 0.0)


def test_cells_know_themselves_by_content():
    mask = np.eye(4, dtype=bool)
    assert Cells(mask) == Cells(mask.copy())
    assert Cells(mask) != Cells(~mask)
    assert len({Cells(mask), Cells(mask.copy()), Cells(mask[:2])}) == 2


def test_energies_that_know_no_walls_refuse_them():
    mu = jko.Density.uniform(jko.Grid.uniform((0.0, 0.0), (1.0, 1.0), 8, inside=L_SHAPE))
    for F, scheme, message in (
        (fn.Dirichlet(), FiniteVolume(), "on a box or a torus"),
        (fn.Dirichlet(), jko.steps.Cvxpy(), "on a box or a torus"),
        (fn.LocalEnergy(lambda x, s: (1.0 + x[0]) * s**2), FiniteVolume(), "an energy of the place"),
    ):
        with pytest.raises(ValueError, match=message):
            jko.flow(F, mu, scheme, tau=0.01, n_steps=1)
    with pytest.raises(ValueError, match="knows no walls"):
        fn.Dirichlet()(mu)
