"""Densities to points: exact answers, the certificate, and the rates of discretisation and quantisation."""

import numpy as np
import pytest

from jko import Density, Gaussian, Grid, Particles, wasserstein
from jko.transport import semi_discrete

SQUARE = Grid.uniform((0.0, 0.0), (1.0, 1.0), (24, 24))
UNIFORM = Density.uniform(SQUARE)


def lattice(k):
    axis = (np.arange(k) + 0.5) / k
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)


@pytest.mark.parametrize("k", [1, 3, 7])
def test_a_square_to_lattice_points(k):
    found = semi_discrete(UNIFORM, Particles(lattice(k)))
    assert found.value == pytest.approx(1.0 / (6.0 * k**2), rel=1e-11)
    assert found.weights == pytest.approx(np.zeros(k**2), abs=1e-14)
    assert found.barycentres == pytest.approx(lattice(k), abs=1e-13)


def test_a_rectangle_cut_in_two_by_weights():
    # a share s of [0, 2] x [0, 1] goes to the left point: the cut is at x = 2s
    grid = Grid.uniform((0.0, 0.0), (2.0, 1.0), (10, 14))
    for share in (0.1, 0.37, 0.9):
        points = np.array([[0.2, 0.5], [1.7, 0.5]])
        found = semi_discrete(Density.uniform(grid), Particles(points, np.array([share, 1.0 - share])))
        cut = 2.0 * share
        along = [(cut - 0.2) ** 3 + 0.2**3, 0.3**3 + (1.7 - cut) ** 3]
        assert found.value == pytest.approx(sum(along) / 6.0 + 1.0 / 12.0, rel=1e-10)
        # at the cut |x − y₁|² − w₁ = |x − y₂|² − w₂
        jump = (cut - 1.7) ** 2 - (cut - 0.2) ** 2
        assert found.weights[1] - found.weights[0] == pytest.approx(jump, abs=1e-9)
        assert list(found.assign([[cut - 0.01, 0.3], [cut + 0.01, 0.3]])) == [0, 1]


def test_random_points_and_weights_against_sums_over_a_finer_grid():
    generator = np.random.default_rng(0)
    grid = Grid.uniform((-1.0, 0.0), (1.0, 1.5), (20, 12))
    mu = Density(grid, generator.random((20, 12)) + 0.05).normalized()
    weights = generator.random(30) + 0.1
    points = generator.normal(size=(30, 2))  # some of them outside of the box
    found = semi_discrete(mu, Particles(points, weights / weights.sum()))
    assert found.marginal_error < 1e-9
    assert abs(found.gap) < 1e-9
    fine = Grid.uniform((-1.0, 0.0), (1.0, 1.5), (600, 360))
    masses = np.repeat(np.repeat(mu.values, 30, axis=0), 30, axis=1).ravel() * fine.cell_volume
    owner = found.assign(fine.points)
    assert np.bincount(owner, masses, minlength=30) == pytest.approx(found.masses, abs=1e-3)
    cost = masses @ np.sum((fine.points - points[owner]) ** 2, axis=1)
    assert found.value == pytest.approx(cost, rel=1e-4)


def test_the_line_is_that_of_quantiles():
    grid = Grid.uniform(-3.0, 3.0, 50)
    mu = Density.mixture(grid, [-1.0, 1.2], [0.4, 0.3])
    generator = np.random.default_rng(1)
    nu = Particles(generator.normal(size=(40, 1)), np.full(40, 1 / 40))
    found = semi_discrete(mu, nu)
    assert found.value == pytest.approx(float(wasserstein(mu, nu)) ** 2, rel=1e-9)
    assert found.masses == pytest.approx(nu.weights, abs=1e-12)
    assert abs(found.gap) < 1e-12
    assert np.bincount(found.assign(mu.sample(20_000, 0).positions)) == pytest.approx(500, abs=120)


def test_a_gaussian_in_halves_and_the_order_of_its_grid():
    a = 0.7
    exact = 2.0 - 2.0 * a * np.sqrt(2.0 / np.pi) + a**2
    pair = Particles(np.array([[-a, 0.0], [a, 0.0]]))
    assert semi_discrete(Gaussian.of([0.0, 0.0], 1.0), pair).value == pytest.approx(exact, rel=3e-4)
    errors = []
    for cells in (40, 80, 160):
        grid = Grid.uniform((-6.0, -6.0), (6.0, 6.0), (cells, cells))
        errors.append(semi_discrete(Gaussian.of([0.0, 0.0], 1.0).on(grid), pair).value - exact)
    assert np.log2(np.array(errors[:-1]) / errors[1:]) == pytest.approx([2.0, 2.0], abs=0.1)


@pytest.mark.parametrize("where", ["vacuum", "far away"])
def test_hard_starts(where):
    generator = np.random.default_rng(2)
    points = generator.random((60, 2))
    mu = UNIFORM
    if where == "vacuum":
        mu = Density(SQUARE, 1.0 * (abs(SQUARE.centers[..., 0] - 0.5) > 0.3)).normalized()
    else:
        points = 0.01 * points + [30.0, -20.0]
    found = semi_discrete(mu, Particles(points))
    assert found.marginal_error < 1e-9
    assert found.gap < 1e-7 * found.value


def strip(a, b, y):
    return ((b - y) ** 3 - (a - y) ** 3) / 3.0 / 0.8


def test_strips_apart_with_shares_that_do_not_add_up_to_theirs():
    # [0, .4] and [.6, 1] times [0, 1] to points at 1/4 and 3/4: cut on a vertical line
    grid = Grid.uniform((0.0, 0.0), (1.0, 1.0), (20, 20))
    strips = Density(grid, 1.0 * (abs(grid.centers[..., 0] - 0.5) > 0.1)).normalized()
    for share in (0.3, 0.5, 0.7):
        points = np.array([[0.25, 0.5], [0.75, 0.5]])
        found = semi_discrete(strips, Particles(points, np.array([share, 1.0 - share])))
        cut = 0.8 * share if share <= 0.5 else 0.6 + 0.8 * (share - 0.5)
        pieces = [(0.0, 0.4), (0.6, 1.0)]
        left = sum(strip(a, min(b, cut), 0.25) for a, b in pieces if a < cut)
        right = sum(strip(max(a, cut), b, 0.75) for a, b in pieces if b > cut)
        assert found.value == pytest.approx(left + right + 1.0 / 12.0, rel=1e-8)
    found = semi_discrete(strips, Particles(lattice(2), np.array([0.1, 0.2, 0.3, 0.4])))
    assert found.marginal_error < 1.1e-9
    assert abs(found.gap) < 1e-9


def test_points_moved_to_the_barycentres_of_their_cells_quantise_at_the_known_rate():
    # of a square by n points: about 5/(18√3 n) at best, the hexagons', and no worse than squares'
    scaled = []
    for n in (32, 128):
        points = np.random.default_rng(3).random((n, 2))
        for _ in range(25):
            found = semi_discrete(UNIFORM, Particles(points), tolerance=1e-6)
            points = found.barycentres
        scaled.append(n * semi_discrete(UNIFORM, Particles(points)).value)
    assert np.all(np.array(scaled) > 5.0 / (18.0 * np.sqrt(3.0)))
    assert np.all(np.array(scaled) < 1.1 / 6.0)


def test_the_distance_from_a_gaussian_bounds_what_its_grid_errs_by():
    found = wasserstein(Gaussian([0.0, 0.0], np.eye(2)), Particles(np.array([[-0.5, 0.0], [0.5, 0.0]])))
    exact = np.sqrt(2.0 - np.sqrt(2.0 / np.pi) + 0.25)
    assert 0.0 < abs(found - exact) < found.error_bound < 1e-3


def test_the_points_to_which_others_go():
    found = semi_discrete(UNIFORM, Particles(lattice(2)))
    assert list(found.assign([[0.1, 0.2], [0.9, 0.1]])) == [0, 2]
    for wrong in (np.zeros((2, 3)), np.zeros((4, 4)), np.zeros(2), 0.5):
        with pytest.raises(ValueError, match=r"x: expected points of shape \[n, 2\]"):
            found.assign(wrong)


def test_refusals():
    with pytest.raises(TypeError, match="nu: expected Particles"):
        semi_discrete(UNIFORM, UNIFORM)
    with pytest.raises(TypeError, match="mu: expected a Density"):
        semi_discrete(Particles(lattice(2)), Particles(lattice(2)))
    with pytest.raises(ValueError, match="the same dimension"):
        semi_discrete(UNIFORM, Particles(np.zeros((1, 1))))
    with pytest.raises(ValueError, match="the same mass"):
        semi_discrete(Density(SQUARE, 2.0 * UNIFORM.values), Particles(lattice(2)))
    with pytest.raises(ValueError, match="points at different places"):
        semi_discrete(UNIFORM, Particles(np.zeros((2, 2))))
    with pytest.raises(ValueError, match="1 or 2 dimensions"):
        semi_discrete(Gaussian.of([0.0] * 3, 1.0), Particles(np.zeros((1, 3))))
    with pytest.raises(RuntimeError, match="power cells did not converge"):
        semi_discrete(UNIFORM, Particles(np.random.default_rng(0).random((50, 2)) ** 3), max_iterations=1)
