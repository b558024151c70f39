"""Poisson solves, resampling and densities of a pressure on grids."""

import numpy as np
import pytest

import functionals as fn
from jko.loops.elliptic.poisson import PoissonSolver
from jko.loops.elliptic.pressure import density_of_pressure
from jko.loops.grids.resample import average, interpolate
from jko.steps.grid.dual_energy import DualEnergy


def laplacian(u, spacing):
    out = np.zeros_like(u)
    for axis, h in enumerate(spacing):
        flux = np.diff(u, axis=axis) / h**2
        widths = [(0, 0)] * u.ndim
        widths[axis] = (1, 1)
        out += np.diff(np.pad(flux, widths), axis=axis)
    return out


@pytest.mark.parametrize("cells", [(31,), (12, 17), (6, 7, 8)])
def test_neumann_solver_inverts(cells):
    spacing = (0.1, 0.2, 0.3)[: len(cells)]
    r = np.random.default_rng(0).normal(size=cells)
    u = PoissonSolver(cells, spacing, np.float64)(r, 0.5, 0.3)
    np.testing.assert_allclose(0.5 * u - 0.3 * laplacian(u, spacing), r, atol=1e-12)
    assert np.abs(PoissonSolver(cells, spacing)(r, 0.5, 0.3) - u).max() < 1e-5 * np.abs(u).max()


@pytest.mark.parametrize("cells", [(7,), (9, 5), (4, 6, 5)])
def test_average_keeps_the_integral(cells):
    field = np.random.default_rng(0).random(tuple(2 * n - 1 for n in cells))
    coarse = average(field, cells)
    assert coarse.shape == cells
    np.testing.assert_allclose(coarse.mean(), field.mean(), rtol=1e-13)
    np.testing.assert_allclose(average(np.ones(field.shape), cells), 1.0, rtol=1e-13)


def test_average_of_pairs():
    field = np.arange(24.0).reshape(4, 6)
    np.testing.assert_allclose(average(field, (2, 3)), field.reshape(2, 2, 3, 2).mean(axis=(1, 3)))


def test_interpolation_is_exact_on_cubics_and_even_at_the_walls():
    x, y = np.arange(20) + 0.5, np.arange(16) + 0.5
    field = 1e-3 * x[:, None] ** 3 + x[:, None] * y - 0.1 * y**2
    found = interpolate(field, (20, 16), (5.0, 4.0), (0.5, 0.5))
    s, t = 5.0 + 0.5 * (np.arange(20) + 0.5), 4.0 + 0.5 * (np.arange(16) + 0.5)
    np.testing.assert_allclose(found, 1e-3 * s[:, None] ** 3 + s[:, None] * t - 0.1 * t**2, rtol=1e-12)
    z = (np.arange(16) + 0.5) / 16
    fine = (np.arange(32) + 0.5) / 32
    even = interpolate(np.cos(np.pi * z), (32,), (0.0,), (0.5,))
    assert np.abs(even - np.cos(np.pi * fine)).max() < 2e-4


@pytest.mark.parametrize(
    "F", [fn.Entropy(), 0.3 * fn.Entropy(), fn.Power(2.0), 2.0 * fn.Power(3.0), fn.Power(0.5)], ids=repr
)
def test_closed_laws_agree_with_the_functional(F):
    internal = F.parts.internal_energy
    pressure = np.linspace(-4.0, -0.1, 50) if "0.5" in repr(F) else np.linspace(-2.0, 3.0, 50)
    cap = np.linspace(0.2, 3.0, 50)
    for bound in (None, cap):
        energy = DualEnergy(internal, bound)
        assert energy.law is not None
        r, total, slope = density_of_pressure(0.4 - pressure, 0.4, energy.law, bound)
        expected = internal.conjugate_derivative(pressure)
        expected = expected if bound is None else np.minimum(expected, cap)
        np.testing.assert_allclose(r, expected, rtol=1e-12)
        np.testing.assert_allclose(total, r.sum(), rtol=1e-13)
        np.testing.assert_allclose(slope, energy.curvature(r).sum(), rtol=1e-9)


@pytest.mark.parametrize(
    "F", [fn.Entropy(), fn.Power(0.6), fn.Power(4.0), fn.Entropy() + fn.Power(2.0)], ids=repr
)
@pytest.mark.parametrize("offset", [-50.0, 0.0, 50.0])
def test_shift_finds_the_mass(F, offset):
    energy = DualEnergy(F.parts.internal_energy)
    minus_pressure = offset + np.linspace(0.0, 2.0, 40) ** 2
    c, r = energy.normalise(minus_pressure, 7.0, 1e-13)
    assert abs(r.sum() - 7.0) < 1e-11
    np.testing.assert_allclose(r, energy.density(minus_pressure, c)[0])
