"""Grids that close on themselves: what they carry, differences, convolution, and who refuses them."""

import numpy as np
import pytest

import functionals as fn
import jko
from jko.measures import Density, Grid, fields
from jko.trajectory import Trajectory

TORUS = Grid.uniform(-1.0, 2.0, 24, periodic=True)
PLANE = Grid.uniform((0.0, -1.0), (1.0, 2.0), (6, 9), periodic=(True, False))


def bump(z):
    return z[0] ** 2 / (1.0 + z @ z)


def a_density(grid, seed=0):
    return Density(grid, np.random.default_rng(seed).uniform(0.2, 1.0, grid.cells)).normalized()


def test_the_flags_are_part_of_a_grid():
    walls = Grid.uniform(-1.0, 2.0, 24)
    assert walls.periodic == (False,)
    assert not walls.is_periodic
    assert walls == Grid((-1.0,), (2.0,), (24,))
    assert walls != TORUS
    assert hash(TORUS) == hash(Grid.uniform(-1.0, 2.0, 24, (True,)))
    assert eval(repr(TORUS)) == TORUS
    assert eval(repr(PLANE)) == PLANE
    assert "periodic" not in repr(walls)
    with pytest.raises(TypeError, match="periodic: expected True"):
        Grid.uniform(0.0, 1.0, 4, periodic=1)
    with pytest.raises(ValueError, match="periodic: expected one bool or 1"):
        Grid.uniform(0.0, 1.0, 4, periodic=(True, False))


def test_a_slope_goes_on_across_the_ends_and_is_of_second_order():
    errors = []
    for n in (16, 32, 64):
        grid = Grid.uniform((0.0, 0.0), (1.0, 1.0), (n, n), periodic=(True, False))
        x, y = np.moveaxis(grid.centers, -1, 0)
        slope = fields.gradient(grid, np.sin(2 * np.pi * x) * y)
        errors.append(np.abs(slope[..., 0] / y - 2 * np.pi * np.cos(2 * np.pi * x)).max())
        assert np.allclose(slope[..., 1], np.sin(2 * np.pi * x), atol=1e-12)
    assert np.diff(np.log2(errors)) == pytest.approx(-2.0, abs=0.05)


def test_a_convolution_sums_over_nearest_images():
    for grid in (TORUS, PLANE):
        mu = a_density(grid)
        difference = grid.points[:, None] - grid.points[None]
        length = np.array([b - a if p else np.inf for a, b, p in zip(grid.lower, grid.upper, grid.periodic)])
        total = np.zeros(grid.size)
        for side in (-1e-9, 1e-9):  # half a turn has two nearest images
            turns = np.where(np.isfinite(length), np.round(difference / length + side), 0.0)
            nearest = difference - turns * np.where(np.isfinite(length), length, 0.0)
            total += 0.5 * (nearest[..., 0] ** 2 / (1.0 + np.sum(nearest**2, -1))) @ mu.masses
        assert np.abs(mu.convolve(bump).ravel() - total).max() < 1e-13


@pytest.mark.parametrize("cells", [15, 16])
@pytest.mark.parametrize("name", ["smooth", "singular"])
def test_interaction_turns_with_the_density(cells, name):
    from functionals import Interaction

    W = bump if name == "smooth" else Interaction("logarithmic").W
    grid = Grid.uniform(0.0, 3.0, cells, periodic=True)
    mu = a_density(grid)
    turned = mu.with_values(np.roll(mu.values, 5))
    assert np.abs(turned.convolve(W) - np.roll(mu.convolve(W), 5)).max() < 1e-12
    forces = turned.convolve_gradient(W) - np.roll(mu.convolve_gradient(W), 5, axis=0)
    assert np.abs(forces).max() < 1e-12
    assert abs((mu.masses[:, None] * mu.convolve_gradient(W)).sum()) < 1e-12  # action is reaction
    if name == "singular":
        uniform = mu.with_values(np.ones(cells))
        assert np.abs(uniform.convolve_gradient(W)).max() < 1e-12


def test_log_density_goes_on_across_the_ends():
    grid = Grid.uniform(0.0, 1.0, 40, periodic=True)
    mu = Density(grid, np.exp(np.sin(2 * np.pi * grid.axes[0])))
    x = np.array([[1e-3], [0.999], [0.4]])
    assert np.abs(mu.log_density(x) - np.sin(2 * np.pi * x[:, 0])).max() < 1e-5


def test_a_saved_run_and_a_checkpoint_know_it(tmp_path):
    mu = a_density(TORUS)
    F, scheme = fn.Entropy(), jko.limits.FiniteVolume()
    run = jko.flow(F, mu, scheme, tau=0.01, n_steps=2, checkpoint=tmp_path / "run.ckpt")
    again = Trajectory.load(run.save(tmp_path / "run.nc"))
    assert again.final.grid == TORUS
    assert np.array_equal(again.final.values, run.final.values)
    assert "grid_periodic" not in again.attributes
    resumed = jko.flow(F, mu, scheme, tau=0.01, n_steps=3, checkpoint=tmp_path / "run.ckpt")
    assert resumed.final.grid == TORUS
    walls = Density(Grid.uniform(-1.0, 2.0, 24), mu.values)
    with pytest.raises(jko.errors.CheckpointMismatch, match="its measure is"):
        jko.flow(F, walls, scheme, tau=0.01, n_steps=3, checkpoint=tmp_path / "run.ckpt")


def test_schemes_between_walls_refuse_it_and_name_those_that_do_not(monkeypatch):
    mu, F = a_density(TORUS), fn.Entropy() + fn.Potential("quadratic")
    steps = jko.steps
    plane = a_density(Grid.uniform((0.0, 0.0), (1.0, 1.0), 8, periodic=True))
    monkeypatch.setattr(steps.Linearized, "periodic", False)
    able = r"limits.FiniteVolume, steps.BackAndForth, .*steps.Entropic, steps.MongeAmpere, .*steps.Quantile"
    for scheme in (steps.Linearized(), steps.SecondOrder(steps.Linearized())):
        with pytest.raises(ValueError, match=able):
            scheme.prepare(F, mu)
    assert isinstance(steps.auto(F, mu).scheme, steps.MongeAmpere)
    assert isinstance(steps.auto(fn.Power(2.0), plane).scheme, steps.BackAndForth)
    assert isinstance(steps.auto(fn.Potential("quadratic"), mu).scheme, steps.Entropic)


def test_transport_in_free_space_refuses_it():
    mu, nu = a_density(TORUS), a_density(TORUS, 1)
    for asked in (
        lambda: jko.transport.interpolate(mu, nu, 0.5, "product"),
        lambda: jko.transport.benamou_brenier(mu, nu),
        lambda: jko.transport.schrodinger_bridge(mu, nu, 0.1),
        lambda: jko.transport.sinkhorn(mu, nu, 0.1),
    ):
        with pytest.raises(ValueError, match=r"expected a density in a box.*periodic=True"):
            asked()


def test_runs_on_a_torus_are_compared_by_the_distance_of_the_torus():
    mu = a_density(Grid.uniform(0.0, 1.0, 32, periodic=True))
    runs = {
        "pde": jko.flow(fn.Entropy(), mu, jko.limits.FiniteVolume(), tau=0.01, n_steps=2),
        "step": jko.flow(fn.Entropy(), mu, jko.steps.Entropic(), tau=0.01, n_steps=2),
    }
    comparison = jko.compare(runs)
    ends = [run.final for run in runs.values()]
    assert comparison.distance("W2", "pde", "step")[-1] == pytest.approx(jko.wasserstein(*ends), rel=1e-12)
    assert 0.0 < comparison.distance("L1", "pde", "step")[-1] < 0.1
    assert str(comparison)
