"""The dissipation is the rate at which an energy falls."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko

TARGET = jko.Gaussian([0.3], [[0.8]])


def test_the_relative_fisher_information_between_gaussians():
    """∇log(ρ/π) is affine: (1/T − 1/S)(x − m) + (a − m)… in closed form, and second order on a grid."""
    m, S, a, T = 1.0, 0.5, 0.3, 0.8
    exact = S * (1 / T - 1 / S) ** 2 + ((m - a) / T) ** 2
    assert jko.dissipation(fn.KL(TARGET), jko.Gaussian([m], [[S]])) == pytest.approx(exact, rel=1e-10)
    errors = []
    for cells in (60, 120):
        grid = jko.Grid.uniform(-6.0, 7.0, cells)
        # a mixture, whose log is no quadratic that centred differences take exactly
        rho = jko.Density.mixture(grid, [-1.0, 1.2], [0.6, 0.8])
        fine = jko.Density.mixture(jko.Grid.uniform(-6.0, 7.0, 2400), [-1.0, 1.2], [0.6, 0.8])
        errors.append(jko.dissipation(fn.KL(TARGET), rho) / jko.dissipation(fn.KL(TARGET), fine) - 1.0)
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.2)


def test_it_is_the_slope_of_the_energy_along_the_flow():
    law = jko.exact.GaussianMixture([-1.0, 1.2], [0.4, 0.5])
    grid, F = jko.Grid.uniform(-6.0, 6.0, 1200), fn.KL(jko.Gaussian([0.0], [[1.0]]))
    before, now, after = (law.on(grid, t) for t in (0.299, 0.3, 0.301))
    assert (F(before) - F(after)) / 0.002 == pytest.approx(jko.dissipation(F, now), rel=1e-3)


def test_of_a_cloud_and_in_the_plane():
    cloud = jko.Particles([[1.0, 2.0], [0.0, -1.0]], [0.25, 0.75])
    V = fn.Potential(lambda x: 0.5 * jnp.sum(x**2))
    assert jko.dissipation(V, cloud) == pytest.approx(0.25 * 5.0 + 0.75)
    grid = jko.Grid.uniform((-5.0, -5.0), (5.0, 5.0), (80, 80))
    assert jko.dissipation(fn.Entropy(), jko.Density.gaussian(grid, (0.0, 0.0), 0.8)) == pytest.approx(
        2.0 / 0.64, rel=1e-6
    )


def test_empty_cells_count_for_nothing():
    grid = jko.Grid.uniform(0.0, 1.0, 10)
    assert jko.dissipation(fn.Entropy(), jko.Density.uniform(grid, 0.2, 0.6)) == pytest.approx(0.0, abs=1e-12)


def test_refusals():
    with pytest.raises(TypeError, match="functional: expected a Functional, got float"):
        jko.dissipation(1.0, TARGET)
    with pytest.raises(TypeError, match="measure: expected a Density, Particles or Gaussian, got int"):
        jko.dissipation(fn.Entropy(), 3)
    with pytest.raises(ValueError, match=r"entropy.*(Langevin|Blob|density)"):
        jko.dissipation(fn.Entropy(), jko.Particles(np.zeros((3, 1))))
