"""Dynamic steps on tori, PrimalDual and the Eulerian Cvxpy: each other, turned data, modes, a corridor."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.steps import Cvxpy, PrimalDual
from tests.first_step import first_step


def torus(*cells, length=2.0, periodic=True):
    return jko.Grid.uniform((0.0,) * len(cells), (length,) * len(cells), cells, periodic)


def bump(grid, centre=0.1):
    """A wrapped bump across the seam."""
    angles = (grid.centers / grid.upper[0] - centre) * (2.0 * np.pi)
    return jko.Density(grid, np.exp(np.cos(angles).sum(axis=-1))).normalized()


def wave(length=2.0, energy=1.0, centre=0.3):
    return fn.Potential(lambda x: energy * jnp.sum(jnp.sin(2.0 * jnp.pi * (x / length - centre))))


REPULSION = fn.Interaction(lambda z: jnp.sum(jnp.cos(jnp.pi * z)), linearly_convex=True)
PROBLEMS = {
    "circle, entropy": (fn.Entropy() + wave(), torus(24), 0.05, 1),
    "circle, cap, two slices": (fn.Cap(1.3) + wave(), torus(25), 0.1, 2),
    "circle, interaction": (REPULSION + 0.3 * fn.Power(2.0) + wave(), torus(24), 0.1, 1),
    "two cells": (fn.Entropy() + wave(), torus(2), 0.1, 1),
    "torus, entropy, three slices": (0.5 * fn.Entropy() + wave(), torus(8, 9), 0.1, 3),
    "cylinder, cap": (fn.Cap(1.3) + wave(), torus(12, 8, periodic=(True, False)), 0.1, 1),
    "cylinder, power": (
        fn.Power(3.0) + wave(),
        torus(7, 10, periodic=(False, True)),
        0.1,
        2,
    ),
    "space, one axis with walls": (
        fn.Entropy() + wave(),
        torus(4, 5, 6, periodic=(True, False, True)),
        0.1,
        1,
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_both_find_the_same_step_to_both_gaps(name):
    F, grid, tau, slices = PROBLEMS[name]
    mu = bump(grid)
    after, _, ours = first_step(PrimalDual(slices=slices, tolerance=1e-4), F, mu, tau)
    _, _, theirs = first_step(Cvxpy(formulation="eulerian", slices=slices), F, mu, tau)
    missed = theirs.dissipation - ours.dissipation
    assert ours.status == theirs.status == "converged", ours.note + theirs.note
    assert -theirs.gap - 1e-12 <= missed <= ours.gap + 1e-12
    assert ours.gap <= 2e-4 * ours.transport_cost
    assert theirs.gap <= 1e-6 * theirs.transport_cost
    assert ours.mass_error <= 1e-13
    assert F(after) <= F(mu)


@pytest.mark.slow
@pytest.mark.parametrize(
    "scheme",
    [
        PrimalDual(slices=2),
        pytest.param(PrimalDual(), marks=pytest.mark.long),
        pytest.param(Cvxpy(formulation="eulerian"), marks=pytest.mark.long),
    ],
)
def test_data_across_the_seam_are_as_any_other(scheme):
    for shape, axis in (((48,), 0), ((16, 12), 0), ((12, 16), 1)):
        grid, turn = torus(*shape), shape[axis] // 2
        F = 0.3 * fn.Entropy() + fn.Cap(2.0 if len(shape) == 1 else 1.2)
        V = np.sin(np.pi * grid.centers[..., axis] - 0.4) + 0.2 * np.cos(np.pi * grid.centers[..., 0])
        mu = bump(grid, 0.5)
        found = []
        for by in (0, turn):
            values = np.roll(V, by, axis)
            G = F + fn.Potential.gridded(values, grid.lower, grid.upper)
            start = jko.Density(grid, np.roll(mu.values, by, axis))
            found.append(np.roll(first_step(scheme, G, start, 0.05)[0].values, -by, axis))
        exact = isinstance(scheme, PrimalDual)  # Clarabel stops at a gap of 1e-8, the square of a distance
        assert np.abs(found[1] - found[0]).max() <= (1e-11 if exact else 5e-4) * found[0].max()
        assert np.abs(found[0] - mu.values).max() > 0.05 * found[0].max()


@pytest.mark.parametrize("scale", [1.0, 1e3])
@pytest.mark.parametrize("scheme", [PrimalDual(tolerance=1e-5), Cvxpy(formulation="eulerian")])
def test_a_mode_decays_at_its_exact_rate_to_first_order(scheme, scale):
    """Heat, ρ = (1 + ½e^{−4π²t/L²} cos 2π(x/L − .15))/L."""
    errors, time = [], 0.02 * scale**2
    for level in (0, 1, 2):
        grid = torus(16 * 2**level, length=scale)
        mode = np.cos(2.0 * np.pi * (grid.axes[0] / scale - 0.15))
        mu = jko.Density(grid, (1.0 + 0.5 * mode) / scale)
        run = jko.flow(fn.Entropy(), mu, scheme, tau=0.25 * time / 2**level, n_steps=4 * 2**level)
        exact = (1.0 + 0.5 * np.exp(-((2.0 * np.pi / scale) ** 2) * time) * mode) / scale
        errors.append(np.abs(run.final.values - exact).sum() * grid.cell_volume)
    assert np.log2(np.divide(errors[:-1], errors[1:])) == pytest.approx(1.0, abs=0.15)
    assert errors[-1] < 5e-3


def test_one_axis_of_a_torus_is_the_circle():
    line, plane = torus(48), torus(48, 6)
    F, mu = fn.Cap(1.3) + fn.Potential(lambda x: jnp.sin(jnp.pi * x[0])), bump(torus(48))
    flat = jko.Density(plane, np.repeat(mu.values[:, None] / 2.0, 6, axis=1))
    G = fn.Cap(0.65) + fn.Potential(lambda x: jnp.sin(jnp.pi * x[0]))
    alone = first_step(PrimalDual(tolerance=1e-6), F, mu, 0.1)[0].values
    for scheme in (PrimalDual(tolerance=1e-6), Cvxpy(formulation="eulerian")):
        wide = first_step(scheme, G, flat, 0.1)[0].values
        assert 2.0 * wide == pytest.approx(np.repeat(alone[:, None], 6, axis=1), abs=3e-3)
    walls = jko.Density(jko.Grid.uniform(line.lower[0], line.upper[0], 48), mu.values)
    assert np.abs(first_step(PrimalDual(), F, walls, 0.1)[0].values - alone).max() > 0.05


def test_a_corridor_fills_from_the_seam():
    """mathematics.md 20 at both sides of the seam: full on [0, t], half full on [t, 1 − t]."""
    grid = torus(150, length=3.0)
    away = np.minimum(grid.axes[0], 3.0 - grid.axes[0])
    mu = jko.Density(grid, np.where(away < 1.0, 0.5, 0.0))
    F = fn.Cap(1.0) + fn.Potential.gridded(away, grid.lower, grid.upper)
    run = jko.flow(F, mu, PrimalDual(slices=2), tau=0.0125, n_steps=20)
    edges = grid.edges[0][:76]
    filled = np.diff(np.minimum(edges, 0.25) + 0.5 * np.clip(edges - 0.25, 0.0, 0.5))
    exact = np.concatenate([filled, filled[::-1]]) / grid.spacing[0]
    assert np.all(run.info.status == "converged")
    assert run.final.values.max() <= 1.0 + 1e-12
    # twice the .0080 that a corridor between walls has with these cells, slices and steps
    assert np.abs(run.final.values - exact).sum() * grid.spacing[0] <= 0.0165


def test_a_step_that_moves_mass_too_far_round_the_circle_says_so():
    grid = torus(100, length=4.0)
    V = fn.Potential.gridded(np.minimum(grid.axes[0], 4.0 - grid.axes[0]), grid.lower, grid.upper)
    mu = jko.Density(grid, np.where((grid.axes[0] > 1.3) & (grid.axes[0] < 1.7), 2.5, 0.0))
    for scheme in (PrimalDual(), Cvxpy(formulation="eulerian")):
        _, _, info = first_step(scheme, V, mu, 1.2)
        assert info.status == "not converged"
        assert "slices=2 or a smaller tau" in info.note
    _, _, info = first_step(PrimalDual(slices=8), V, mu, 1.2)
    assert info.status == "converged", info.note


def test_the_lagrangian_form_is_for_walls():
    mu = bump(torus(24))
    with pytest.raises(jko.errors.UnsupportedFunctional, match="edges between two walls"):
        Cvxpy(formulation="lagrangian").prepare(fn.Entropy(), mu)
    run = jko.flow(fn.Entropy(), mu, Cvxpy(), tau=0.1, n_steps=1)
    assert run.info.detail("form")[0] == "eulerian"


@pytest.mark.parametrize("unit", [1.0, 1e-4])
@pytest.mark.parametrize("F", [0.1 * fn.Entropy(), fn.Cap(2.6), 0.05 * fn.Power(2.0)])
def test_a_turn_by_an_odd_number_of_cells_turns_the_answer(F, unit):
    """Coarse starts follow the data: within the same gap answers were up to 8e-3 apart."""
    grid = jko.Grid.uniform((0.0, 0.0), (unit, 0.5 * unit), (48, 6), periodic=(True, False))
    x, y = np.moveaxis(grid.centers / unit, -1, 0)
    values = np.minimum(np.exp(2.0 * np.cos(2.0 * np.pi * (x - 0.3))) + y, 2.5)
    values /= values.mean()

    def moved(cells):
        potential = fn.Potential(
            lambda x: 0.3 * jnp.cos(4.0 * jnp.pi * (x[0] / unit - cells / 48)) + x[1] / unit
        )
        mu = jko.Density(grid, np.roll(values, cells, 0))
        after, _, _ = first_step(PrimalDual(), F + potential, mu, 0.01 * unit**2)
        return np.roll(after.values, -cells, 0)

    np.testing.assert_allclose(moved(3), moved(0), atol=1e-10)
    assert np.abs(moved(0) - values).max() > 0.02
