"""Crowds in one to three dimensions: exact answers, and structure with every kind of partner of a cap."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

import functionals as fn
import jko
from tests.limits.test_structure import assert_structure

QUADRATIC = fn.Potential("quadratic")


def ellipse(grid, a, b, points=16):
    """Cell averages of the indicator of an ellipse with these half axes, on a grid about 0."""
    h = grid.spacing[0]
    x = grid.lower[0] + h / points * (np.arange(grid.cells[0] * points) + 0.5)
    inside = (x[:, None] / a) ** 2 + (x / b) ** 2 <= 1.0
    return inside.reshape(grid.cells[0], points, grid.cells[1], points).mean((1, 3))


def overlap(grid, a, b):
    """The share of each cell of a line in [a, b]."""
    x, h = grid.axes[0], grid.spacing[0]
    return np.clip(np.minimum(x + h / 2, b) - np.maximum(x - h / 2, a), 0.0, None) / h


@pytest.mark.parametrize(("cells", "half_width", "bound"), [(64, 1.5, 0.015), (96, 1.25, 0.008)])
def test_an_ellipse_gives_way_sideways(cells, half_width, bound):
    """Half axes with ab = ½ and sinh log(a/b) = ¾e^{−2t}."""
    grid = jko.Grid.uniform((-half_width,) * 2, (half_width,) * 2, cells)
    rho = jko.Density(grid, ellipse(grid, 1.0, 0.5))
    run = assert_structure(QUADRATIC + fn.Cap(1.0), rho, 0.05, n_steps=10)
    a = np.sqrt(0.5 * np.exp(np.arcsinh(0.75 * np.exp(-1.0))))
    exact = np.array([a**2, (0.5 / a) ** 2]) / 4.0
    assert np.all(np.abs(np.diag(run.final.covariance()) / exact - 1.0) < bound)
    assert run.final.values.max() <= 1.0


def test_a_corridor_at_first_order():
    """Under V = x and cap 1, ½ on [0, 1] is full on [0, t] and ½ on [t, 1 − t]."""
    errors = []
    for cells in (150, 300, 600):
        grid = jko.Grid.uniform(0.0, 1.5, cells)
        F = fn.Potential("linear", slope=1.0) + fn.Cap(1.0)
        run = assert_structure(F, jko.Density(grid, 0.5 * overlap(grid, 0.0, 1.0)), 0.0125, n_steps=20)
        exact = overlap(grid, 0.0, 0.25) + 0.5 * overlap(grid, 0.25, 0.75)
        errors.append(np.abs(run.final.values - exact).sum() * grid.cell_volume)
    assert errors[-1] < 1e-3
    assert np.all(np.log2(np.array(errors[:-1]) / errors[1:]) > 0.9), errors


@pytest.mark.slow
def test_a_capped_gibbs_measure_is_reached():
    """At rest under θ Entropy + V the density is min(cap, c e^{−V/θ})."""
    grid = jko.Grid.uniform((-3.0, -3.0), (3.0, 3.0), 16)
    rho = jko.Density.gaussian(grid, (0.8, 0.3), std=0.8)
    gibbs = np.exp(-QUADRATIC.values(grid.points).reshape(grid.cells) / 0.4)
    c = brentq(lambda c: np.minimum(0.255, c * gibbs).sum() * grid.cell_volume - 1.0, 1e-3, 1e3, xtol=1e-14)
    run = assert_structure(0.4 * fn.Entropy() + QUADRATIC + fn.Cap(0.255), rho, 5.0, n_steps=3)
    assert np.abs(run.final.values - np.minimum(0.255, c * gibbs)).max() < 1e-5


@pytest.mark.parametrize(
    "F",
    [
        QUADRATIC + fn.Cap(lambda x: 0.4 + 0.05 * x[0]),
        0.2 * fn.Power(2) + QUADRATIC + fn.Cap(0.42),
        fn.Interaction("quadratic") + fn.Cap(0.42),
        0.1 * fn.Entropy() + fn.Interaction("quadratic") + fn.Cap(0.42),
    ],
    ids=repr,
)
def test_structure_with_every_partner(F):
    grid = jko.Grid.uniform((-2.0, -2.0), (2.0, 2.0), (18, 16))
    rho = jko.Density.gaussian(grid, (0.5, 0.2), std=0.7)
    cap = np.minimum.reduce([atom.values(grid.points) for atom in F.parts.constraints])
    run = assert_structure(F, rho, 0.1, n_steps=2)
    assert np.all(run.final.values.ravel() <= cap * (1.0 + 1e-12))


def test_a_crowd_in_space_ends_as_a_ball():
    grid = jko.Grid.uniform((-1.5,) * 3, (1.5,) * 3, 14)
    rho = jko.Density.gaussian(grid, (0.4, 0.0, 0.0), std=0.5)
    cap = 1.05 * float(rho.values.max())
    run = assert_structure(QUADRATIC + fn.Cap(cap), rho, 0.5, n_steps=6)
    radius = (3.0 / (4.0 * np.pi * cap)) ** (1.0 / 3.0)
    assert np.trace(run.final.covariance()) == pytest.approx(0.6 * radius**2, rel=0.03)


@pytest.mark.parametrize("length", [1.0, 1e-3])
def test_two_corridors_meet_at_the_seam_of_a_torus(length):
    """Under V = −|x| and cap 1, ½ everywhere is full for t on each side of the seam, ½ from |x| = t on."""
    errors = []
    for cells in (200, 400):
        grid = jko.Grid.uniform(-length, length, cells, periodic=True)
        F = fn.Potential(lambda x: -jnp.abs(x[0]) / length) + fn.Cap(1.0)
        rho = jko.Density(grid, np.full(cells, 0.5))
        run = assert_structure(F, rho, 0.0125 * length**2, n_steps=20)
        right = overlap(grid, 0.75 * length, length) + 0.5 * overlap(grid, 0.25 * length, 0.75 * length)
        errors.append(np.abs(run.final.values - right - right[::-1]).sum() / cells)
    assert errors[1] < 1.2e-3
    assert np.log2(errors[0] / errors[1]) > 0.8


@pytest.mark.parametrize(
    "F", [0.3 * fn.Entropy() + fn.Cap(0.3), 0.3 * fn.Power(2.0) + fn.Cap(0.3), fn.Cap(0.3)], ids=repr
)
def test_a_torus_turned_is_a_flow_turned(F):
    turned = (7, 9)
    ends = []
    for k in ((0, 0), turned):
        grid = jko.Grid.uniform((-2.0, -2.0), (2.0, 2.0), (14, 18), periodic=True)
        shift = np.array(k) * np.array(grid.spacing)
        V = lambda x, shift=shift: -jnp.sum(jnp.cos(0.5 * jnp.pi * (x - shift)))  # noqa: E731
        rho = jko.Density.from_function(grid, lambda x, V=V: jnp.exp(-0.5 * V(x)) + 0.2)
        rho = jko.Density(grid, 0.9 * rho.values)
        run = assert_structure(F + fn.Potential(V), rho, 0.1, n_steps=3)
        ends.append(np.roll(run.final.values, (-k[0], -k[1]), axis=(0, 1)))
        assert run.final.values.max() <= 0.3 * (1.0 + 1e-12)
    assert np.abs(ends[0] - ends[1]).max() < 1e-8


@pytest.mark.slow
def test_a_capped_diffusion_on_a_circle_agrees_with_the_dynamic_step_and_with_gibbs():
    grid = jko.Grid.uniform(-np.pi, np.pi, 60, periodic=True)
    V = lambda x: jnp.cos(x[0])  # noqa: E731, whose minimum is at the seam
    F, cap = 0.5 * fn.Entropy() + fn.Potential(V), 0.3
    rho = jko.Density.from_function(grid, lambda x: 1.0 + 0.3 * jnp.cos(x[0] - 1.0))
    run = assert_structure(F + fn.Cap(cap), rho, 0.02, n_steps=5)
    other = jko.flow(F + fn.Cap(cap), rho, jko.steps.PrimalDual(tolerance=1e-4), tau=0.02, n_steps=5)
    moved = np.abs(run.final.values - rho.values).sum()
    assert np.abs(run.final.values - other.final.values).sum() < 0.03 * moved
    gibbs = np.exp(-np.cos(grid.axes[0]) / 0.5)
    c = brentq(lambda c: np.minimum(cap, c * gibbs).sum() * grid.cell_volume - 1.0, 1e-3, 1e3, xtol=1e-14)
    rest = assert_structure(F + fn.Cap(cap), rho, 5.0, n_steps=4).final.values
    assert np.abs(rest - np.minimum(cap, c * gibbs)).max() < 1e-5


@pytest.mark.parametrize("length", [1.0, 1e-3])
def test_a_jump_spreads_on_a_circle_as_on_the_line(length):
    """Beside vacuum, where M of the start is next to nothing; from 13 cells in one step F fell by half."""
    F = (
        0.36 * fn.Entropy()
        + fn.Potential(lambda x: -1.4 * jnp.cos(jnp.pi * x[0] / length / 3.0))
        + fn.Cap(1.1 / length)
    )
    for n_steps, most in ((1, 0.05), (8, 0.01)):
        falls = []
        for periodic in (False, True):
            grid = jko.Grid.uniform(-3.0 * length, 3.0 * length, 57, periodic=periodic)
            patch = jko.Density(grid, (np.abs(grid.axes[0] / length - 0.5) < 0.7).astype(float)).normalized()
            run = assert_structure(F, patch, 0.004 * length**2 / n_steps, n_steps=n_steps)
            falls.append(run.energy[0] - run.energy[-1])
        assert abs(falls[1] / falls[0] - 1.0) < most


@pytest.mark.parametrize("tau", [0.004, 0.05])
def test_a_fast_diffusion_leaves_a_patch_in_one_step_as_in_eight(tau):
    """M beside vacuum is next to nothing at first, and so is the first change that its iteration makes."""
    grid = jko.Grid.uniform(-3.0, 3.0, 39, periodic=True)
    F = 0.7 * fn.Power(0.6) + fn.Cap(0.48)
    rho = jko.Density(grid, np.where(np.abs(grid.points[:, 0]) < 1.1, 1.0, 0.0)).normalized()
    one, many = (jko.flow(F, rho, jko.limits.FiniteVolume(), tau=tau / n, n_steps=n).energy for n in (1, 8))
    assert one[0] - one[-1] == pytest.approx(many[0] - many[-1], rel=0.05)
