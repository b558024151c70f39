"""Edges and masses to and from a density: conservative, positive, second order, fronts and vacua kept."""

import numpy as np
import pytest

from jko import Density, Grid
from jko.transport import cut, graded, remap


def bell(grid, mean, std):
    x = grid.axes[0]
    return np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * np.sqrt(2.0 * np.pi))


def block(grid, *intervals):
    parts = [Density.uniform(grid, *interval).values for interval in intervals]
    return Density(grid, sum(parts) / len(parts))


def test_cut_masses_are_exact_cell_masses_of_a_smooth_density_to_fourth_order():
    from scipy.special import ndtr

    errors = []
    for n in (100, 200):
        grid = Grid.uniform(-6.0, 6.0, n)
        edges, masses = cut(Density(grid, bell(grid, 0.3, 1.0)))
        errors.append(np.abs(masses - np.diff(ndtr(edges - 0.3))).sum())
    assert np.log2(errors[0] / errors[1]) > 3.7


def test_there_and_back_is_the_identity_to_sixth_order():
    errors = []
    for n in (100, 200):
        grid = Grid.uniform(-6.0, 6.0, n)
        mu = Density.gaussian(grid, mean=0.3, std=0.7)
        errors.append(np.abs(remap(*cut(mu), grid).values - mu.values).max())
    assert np.log2(errors[0] / errors[1]) > 5.5


def test_an_affine_motion_is_second_order_and_keeps_moments():
    errors = []
    for n in (200, 400, 800):
        grid = Grid.uniform(-6.0, 6.0, n)
        edges, masses = cut(Density.gaussian(grid, mean=1.0, std=0.5))
        inside = np.abs(edges) < 4.5
        first, last = np.flatnonzero(inside)[[0, -1]]
        moved = remap(1.24 * edges[first : last + 1] - 0.3, masses[first:last], grid)
        errors.append(np.abs(moved.values - bell(grid, 0.94, 0.62)).sum() * grid.spacing[0])
        assert moved.covariance()[0, 0] == pytest.approx(0.62**2, abs=1e-7)
    assert np.all(np.log2(np.divide(errors[:-1], errors[1:])) > 1.9)


def test_mass_is_exact_and_density_positive_on_rough_data():
    generator = np.random.default_rng(5)
    grid = Grid.uniform(0.0, 1.0, 60)
    for _ in range(200):
        values = generator.random(60) ** 8 * (generator.random(60) < 0.7)
        values[generator.integers(60)] = 1.0
        mu = Density(grid, values)
        edges, masses = cut(mu)
        assert masses.sum() == pytest.approx(mu.mass, rel=1e-13)
        squeezed = remap(0.25 + 0.5 * edges**1.5, masses, grid)
        assert squeezed.values.min() >= 0.0
        assert squeezed.mass == pytest.approx(mu.mass, rel=1e-13)


def test_a_gap_is_one_empty_cell_and_stays_empty():
    grid = Grid.uniform(-3.0, 3.0, 60)
    mu = block(grid, (-2.0, -1.0), (0.5, 1.5))
    edges, masses = cut(mu)
    assert np.count_nonzero(masses == 0.0) == 1
    gap = np.flatnonzero(masses == 0.0)[0]
    assert edges[gap : gap + 2] == pytest.approx([-1.0, 0.5])
    assert edges[[0, -1]] == pytest.approx([-2.0, 1.5])
    assert remap(edges, masses, grid).values == pytest.approx(mu.values, abs=1e-14)
    assert remap(*graded(edges, masses, 200), grid).values == pytest.approx(mu.values, abs=1e-12)


def test_graded_cells_are_as_many_as_asked_and_carry_the_same_density():
    grid = Grid.uniform(-6.0, 6.0, 400)
    mu = Density.gaussian(grid, mean=1.0, std=0.5)
    edges, masses = graded(*cut(mu), 400)
    assert masses.size == 400
    assert masses.sum() == pytest.approx(1.0, rel=1e-13)
    middle = np.argmin(np.abs(edges - 1.0))
    assert np.diff(edges)[middle] < 0.6 * grid.spacing[0]
    assert np.abs(remap(edges, masses, grid).values - mu.values).sum() * grid.spacing[0] < 2e-5


def test_a_capped_remap_never_exceeds_the_cap_and_keeps_the_mass():
    grid = Grid.uniform(-2.0, 2.0, 97)
    edges = np.linspace(-0.51, 0.43, 41)
    masses = np.full(40, 1.0 / 40)
    masses[:8] *= np.linspace(0.1, 1.0, 8)
    cap = (masses / np.diff(edges)).max()
    assert remap(edges, masses, grid).values.max() > cap
    capped = remap(edges, masses, grid, cap=cap)
    assert capped.values.max() <= cap * (1.0 + 1e-12)
    assert capped.mass == pytest.approx(masses.sum(), rel=1e-13)


def test_refusals_name_the_argument():
    line, plane = Grid.uniform(-1.0, 1.0, 10), Grid.uniform((-1.0, -1.0), (1.0, 1.0), (4, 4))
    with pytest.raises(ValueError, match="cut works on the line"):
        cut(Density.uniform(plane))
    with pytest.raises(TypeError, match="density: expected a Density"):
        cut(np.ones(3))
    with pytest.raises(ValueError, match="widen the grid"):
        remap(np.array([-2.0, 0.0]), np.array([1.0]), line)
    with pytest.raises(ValueError, match="expected increasing positions"):
        remap(np.array([0.0, 0.5, 0.4]), np.array([0.5, 0.5]), line)


@pytest.mark.parametrize("cap", [None, 50.0])
@pytest.mark.parametrize(
    "edges",
    [[0.0, 0.0, 0.0, 0.5], [0.5, 1.0, 1.0, 1.0], [0.0] * 4, [1.0] * 4, [-1e-10, 0.0, 0.5, 1.0 + 1e-10]],
)
def test_atoms_on_a_wall_keep_their_mass(edges, cap):
    found = remap(np.array(edges), np.array([0.25, 0.25, 0.5]), Grid.uniform(0.0, 1.0, 10), cap)
    assert abs(found.mass - 1.0) < 1e-14
