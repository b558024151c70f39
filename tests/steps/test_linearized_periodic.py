"""The linearised step on a torus: turned with its data, exact modes, and what it keeps."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
from jko import Density, Grid, flow, steps

LENGTH = 2.0
WAVE = fn.Potential(lambda x: 0.3 * jnp.sin(jnp.pi * x[0]))


def torus(*cells, periodic=True):
    return Grid.uniform((0.0,) * len(cells), (LENGTH,) * len(cells), cells, periodic)


def bump(grid, centre):
    """A wrapped bump, so that it turns exactly with its centre."""
    angles = (grid.centers - centre) * (2.0 * np.pi / LENGTH)
    return Density(grid, np.exp(2.0 * np.cos(angles).sum(axis=-1))).normalized()


@pytest.mark.parametrize("shape", [(96,), (40, 36), (8, 9, 10)])
@pytest.mark.parametrize("wrap", [steps.SecondOrder, lambda scheme: scheme])
def test_it_turns_with_its_data(shape, wrap):
    grid, half = torus(*shape), 0.5 * LENGTH
    F = fn.Entropy() + fn.Interaction(lambda z: -0.2 * jnp.sum(jnp.cos(jnp.pi * z)))
    turned = [wrap(steps.Linearized(tolerance=1e-12)) for _ in range(2)]
    far = grid.spacing[0] * (shape[0] // 2)
    found = [
        flow(F, bump(grid, centre), scheme, tau=0.01, n_steps=3)
        for scheme, centre in zip(
            turned, (half, np.array([half + far] + [half] * (len(shape) - 1))), strict=True
        )
    ]
    assert np.roll(found[0].final.values, shape[0] // 2, 0) == pytest.approx(found[1].final.values, rel=1e-6)
    assert found[1].info.mass_error.max() < 1e-12
    assert found[1].info.dissipation.min() > 0.0
    assert np.all(np.diff(found[1].energy) < 0.0)


def test_a_mode_decays_at_its_exact_rate_to_second_order():
    """Heat on a circle, ρ = (1 + ½e^{−π²t} cos πx)/2, h and τ halved together."""
    errors, rate, time = [], np.pi**2, 0.1
    for level in (0, 1, 2):
        grid = torus(16 * 2**level)
        wave = np.cos(np.pi * (grid.axes[0] - 0.3))
        mu = Density(grid, 0.5 + 0.25 * wave)
        run = flow(
            fn.Entropy(), mu, steps.SecondOrder(steps.Linearized()), tau=0.02 / 2**level, n_steps=5 * 2**level
        )
        exact = 0.5 + 0.25 * np.exp(-rate * time) * wave
        errors.append(np.abs(run.final.values - exact).sum() * grid.cell_volume)
        assert not any(run.info.note)
    assert np.log2(np.divide(errors[:-1], errors[1:])) == pytest.approx(2.0, abs=0.1)


def test_one_axis_of_a_plane_is_the_circle():
    line, plane = torus(64), torus(64, 12, periodic=(True, False))
    F, scheme = fn.Entropy() + WAVE, steps.Linearized(tolerance=1e-12)
    mu = bump(line, 0.1)
    flat = Density(plane, np.repeat(mu.values[:, None] / LENGTH, 12, axis=1))
    run = flow(F, flat, scheme, tau=0.02, n_steps=2)
    alone = flow(F, mu, scheme, tau=0.02, n_steps=2)
    assert LENGTH * run.final.values[:, 5] == pytest.approx(alone.final.values, rel=1e-6)
    # with walls in the place of the ends the bump, which lies across them, would move otherwise
    walls = Grid.uniform(0.0, LENGTH, 64)
    other = flow(F, Density(walls, mu.values), scheme, tau=0.02, n_steps=2)
    assert np.abs(other.final.values - alone.final.values).max() > 1e-2


def test_the_equilibrium_stays():
    grid = torus(200)
    rest = Density(grid, np.exp(-0.3 * np.sin(np.pi * grid.axes[0]))).normalized()
    run = flow(fn.Entropy() + WAVE, rest, steps.Linearized(), tau=0.1, n_steps=3)
    assert run.final.values == pytest.approx(rest.values, rel=1e-8)


def test_conjugate_gradients_see_the_seam():
    """As many iterations across the ends as within."""
    from jko.steps.linearized.newton import LinearizedNewton

    grid, spent = torus(256, 256), []
    for centre in (0.5 * LENGTH, 0.0):
        mu = bump(grid, centre)
        newton = LinearizedNewton(
            fn.Entropy().parts.internal_energy,
            0.05,
            grid.spacing,
            mu.values,
            np.zeros(grid.cells),
            1.0,
            (True, True),
        )
        newton.solve(newton.start(), 1e-9, 20)
        spent.append(newton.linear_iterations)
    assert spent[1] <= spent[0] + 3
