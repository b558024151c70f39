"""W2 between densities on grids by back-and-forth, against closed forms; its potentials, gap and
choices."""

import numpy as np
import pytest

from jko import Density, Gaussian, Grid, wasserstein
from jko.transport import brenier_map, interpolate

SHIFT = np.array([0.35, 0.4])


def bump(grid, centre, radius):
    """(r² - |x - c|²)₊."""
    away = grid.centers - np.asarray(centre)
    return Density(grid, np.maximum(radius**2 - np.sum(away**2, axis=-1), 0.0)).normalized()


def unit_square(cells, lower=(0.0, 0.0)):
    return Grid.uniform(lower, tuple(np.add(lower, 1.0)), (cells, cells))


def bumps(cells):
    grid = unit_square(cells)
    return bump(grid, (0.3, 0.3), 0.15), bump(grid, (0.65, 0.7), 0.25), SHIFT @ SHIFT + 0.1**2 / 3.0


def from_the_line(cells):
    """Products of marginals: a parabola to two bumps of different mass with a gap between, along both
    axes."""
    line, fine = Grid.uniform(0.0, 1.0, cells), Grid.uniform(0.0, 1.0, 16384)

    def one(grid):
        return np.maximum(0.04 - (grid.axes[0] - 0.35) ** 2, 0.0)

    def two(grid):
        x = grid.axes[0]
        return np.maximum(0.01 - (x - 0.3) ** 2, 0.0) + 0.5 * np.maximum(0.0225 - (x - 0.7) ** 2, 0.0)

    along = wasserstein(*(Density(fine, f(fine)).normalized() for f in (one, two)))
    plane = unit_square(cells)
    pair = (Density(plane, np.outer(f(line), f(line))).normalized() for f in (one, two))
    return *pair, 2.0 * along**2


def dual_value(mu, nu, found):
    psi, phi = found.potentials
    return 2.0 * (np.vdot(mu.masses, psi) + np.vdot(nu.masses, phi))


@pytest.mark.parametrize(("problem", "errors"), [(bumps, (3e-5, 1.2e-5)), (from_the_line, (8e-4, 1.5e-4))])
def test_compact_densities_approach_the_closed_form(problem, errors):
    for cells, error in zip((128, 256), errors, strict=True):
        mu, nu, exact = problem(cells)
        found = wasserstein(mu, nu)
        assert found**2 == pytest.approx(exact, rel=error)
        assert 0.0 < found.gap < 2e-4 * exact
        assert dual_value(mu, nu, found) == pytest.approx(found**2, rel=5e-6)


@pytest.mark.parametrize("problem", [bumps, from_the_line])
@pytest.mark.parametrize("cells", [24, 40, 64, 96])
def test_the_error_bound_holds_the_grids_error(problem, cells):
    mu, nu, exact = problem(cells)
    found = wasserstein(mu, nu)
    assert abs(found - np.sqrt(exact)) < found.error_bound < 40.0 / cells**2


def test_few_cells_have_a_bound_too():
    grid = Grid.uniform((0.0, 0.0), (1.0, 1.0), (6, 6))
    x = grid.axes[0]
    mu, nu = (Density(grid, np.outer(f, f)).normalized() for f in (1.0 + x, 2.0 - x))
    found = wasserstein(mu, nu, method="back-and-forth")
    assert abs(found - wasserstein(mu, nu, method="exact")) < found.error_bound < 0.2


def test_smooth_densities_that_fill_the_box_have_order_two():
    errors = []
    fine = Grid.uniform(0.0, 1.0, 16384)

    def tilted(x):
        return 1.5 + np.sin(6.0 * x)

    def wavy(x):
        return 1.0 + 0.8 * np.cos(2.0 * np.pi * x)

    along = wasserstein(*(Density(fine, f(fine.axes[0])).normalized() for f in (wavy, tilted)))
    for cells in (32, 64):
        grid = unit_square(cells)
        x = grid.axes[0]
        mu, nu = (Density(grid, np.outer(f(x), f(x))).normalized() for f in (wavy, tilted))
        errors.append(abs(wasserstein(mu, nu) ** 2 / (2.0 * along**2) - 1.0))
    assert errors[1] < 4e-4
    assert np.log2(errors[0] / errors[1]) > 1.8


def test_potentials_are_admissible_conjugate_and_give_the_map():
    mu, nu, _ = bumps(64)
    psi, phi = wasserstein(mu, nu).potentials
    generator = np.random.default_rng(0)
    i, j = generator.integers(0, 64**2, (2, 20_000))
    half = 0.5 * np.sum((mu.points[i] - nu.points[j]) ** 2, axis=1)
    h = 1.0 / 64
    # admissible between cells up to what the minimum between them is below that over cells
    assert np.max(psi.ravel()[i] + phi.ravel()[j] - half) < h**2 / 4.0
    inside = mu.values > 0.2 * mu.values.max()
    slope = np.stack(np.gradient(psi, h), axis=-1)
    exact = [0.65, 0.7] + (mu.grid.centers - [0.3, 0.3]) * (0.25 / 0.15)
    assert np.abs(mu.grid.centers - slope - exact)[inside].max() < 0.5 * h


def test_what_more_rounds_gain_is_foretold_by_the_gap():
    from jko.transport.grids.back_and_forth import solve
    from jko.transport.grids.overlap import Overlap

    for problem, rounds in ((bumps, (0, 0, 1)), (from_the_line, (0, 4, 8))):
        overlap = Overlap.of(*problem(64)[:2])
        rough, fine = solve(overlap, rounds=rounds), solve(overlap, rounds=(40, 20, 20), still=1e-9)
        assert abs(fine.value - rough.value) < 2.0 * rough.gap
        assert fine.gap < rough.gap


def test_other_grids_of_the_same_spacing_and_gaussians_beside_them():
    exact = np.hypot(2.0, np.sqrt(2.0) * 0.2)
    mu = Density.gaussian(Grid.uniform((-5.0, -5.0), (5.0, 5.0), (50, 50)), std=0.7)
    away = Grid.uniform((-2.95, -5.1), (7.05, 4.9), (50, 50))
    nu = Density.gaussian(away, mean=(2.0, 0.0), std=0.9)
    found = wasserstein(mu, nu)
    assert found == pytest.approx(exact, rel=2e-4)
    assert dual_value(mu, nu, found) == pytest.approx(found**2, rel=5e-6)
    assert wasserstein(mu, Gaussian([2.0, 0.0], 0.81 * np.eye(2))) == pytest.approx(exact, rel=2e-4)
    coarser = Density.gaussian(Grid.uniform((-5.0, -5.0), (5.0, 5.0), (40, 40)), mean=(2.0, 0.0), std=0.9)
    assert wasserstein(mu, coarser).method == "exact"
    with pytest.raises(ValueError, match="expected grids of one spacing"):
        wasserstein(mu, coarser, method="back-and-forth")


def test_in_space_and_on_the_line():
    grid = Grid.uniform((-4.0,) * 3, (4.0,) * 3, (24,) * 3)
    mu, nu = Density.gaussian(grid, std=0.7), Density.gaussian(grid, mean=(0.5, 0.3, 0.0), std=0.9)
    assert wasserstein(mu, nu) == pytest.approx(np.sqrt(0.34 + 3 * 0.04), rel=1e-3)
    line = Grid.uniform(-6.0, 6.0, 300)
    mu, nu = Density.gaussian(line, 1.0, 0.5), Density.gaussian(line, -0.5, 0.8)
    assert wasserstein(mu, nu, method="back-and-forth") == pytest.approx(np.hypot(1.5, 0.3), rel=1e-5)


def test_trivial_pairs():
    grid = unit_square(32)
    mu = bump(grid, (0.5, 0.5), 0.3)
    assert wasserstein(mu, mu) == 0.0
    left, right = np.zeros((2, 32, 32))
    left[:16], right[16:] = 1.0, 1.0
    assert wasserstein(*(Density(grid, v).normalized() for v in (left, right))) == pytest.approx(
        0.5, rel=1e-9
    )
    first, second = np.zeros((2, 32, 32))
    first[3, 4], second[20, 10] = 1.0, 1.0
    points = [Density(grid, v).normalized() for v in (first, second)]
    assert wasserstein(*points) == pytest.approx(np.hypot(17, 6) / 32, rel=1e-9)
    twice = [m.with_values(2.0 * m.values) for m in points]
    assert wasserstein(*twice) == pytest.approx(np.sqrt(2.0) * np.hypot(17, 6) / 32, rel=1e-9)


def test_where_the_gap_stays_open_another_method_steps_in():
    grid = unit_square(32)
    one, three = np.zeros((2, 32, 32))
    one[5, 6] = 1.0
    three[5, 6], three[25, 20] = 1.0, 2.0
    mu, nu = (Density(grid, v).normalized() for v in (one, three))
    found = wasserstein(mu, nu)
    assert found.method == "exact"
    assert "left a gap" in found.reason
    assert found**2 == pytest.approx(2.0 / 3.0 * (20**2 + 14**2) / 32**2, rel=1e-9)
    for ask in (brenier_map, lambda a, b: interpolate(a, b, 0.5)):
        with pytest.raises(RuntimeError, match="too much for a map; take a finer grid"):
            ask(mu, nu)


def test_refusals():
    mu, nu, _ = bumps(16)
    cloud = mu.sample(10, 0)
    with pytest.raises(ValueError, match="method: expected one of"):
        wasserstein(mu, nu, method="sinkhorn")
    with pytest.raises(ValueError, match="takes densities on grids"):
        wasserstein(mu, cloud, method="back-and-forth")
    with pytest.raises(ValueError, match="for the line, got 2"):
        wasserstein(mu, nu, method="quantile")
    with pytest.raises(ValueError, match="two Gaussians, got Density"):
        wasserstein(mu, nu, method="bures")
    with pytest.raises(ValueError, match="a density or a Gaussian and a cloud"):
        wasserstein(mu, nu, method="semi-discrete")
    with pytest.raises(ValueError, match="same mass"):
        wasserstein(mu, nu.with_values(2.0 * nu.values), method="back-and-forth")
    with pytest.raises(ValueError, match="epsilon: it is for"):
        wasserstein(mu, nu, epsilon=0.1)
    with pytest.raises(ValueError, match="threads"):
        wasserstein(mu, nu, threads=0)
    with pytest.raises(ValueError, match="so wide a Gaussian"):
        wasserstein(mu, Gaussian([0.0, 0.0], 1e6 * np.eye(2)), method="back-and-forth")
