import numpy as np
import pytest

from jko.loops.transport.c_transform import c_transform


def by_all_pairs(phi, spacing, tau):
    axes = [h * np.arange(n) for n, h in zip(phi.shape, spacing, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, phi.ndim)
    cost = ((points[:, None] - points) ** 2).sum(axis=-1) / (2.0 * tau)
    return (cost - phi.ravel()).min(axis=1).reshape(phi.shape)


@pytest.mark.parametrize("shape", [(50,), (13, 9), (5, 6, 7)])
@pytest.mark.parametrize("threads", [1, 2])
def test_is_the_minimum_over_all_pairs(shape, threads):
    phi = np.random.default_rng(0).normal(size=shape)
    spacing = (0.1, 0.15, 0.12)[: len(shape)]
    found = c_transform(phi, spacing, 0.05, threads, refine=False)
    np.testing.assert_allclose(found, by_all_pairs(phi, spacing, 0.05), atol=1e-13)


def test_cells_left_out():
    generator = np.random.default_rng(1)
    phi = generator.normal(size=(11, 12))
    phi[generator.random(phi.shape) < 0.4] = -np.inf
    phi[3] = -np.inf
    found = c_transform(phi, (0.1, 0.1), 0.02, refine=False)
    np.testing.assert_allclose(found, by_all_pairs(phi, (0.1, 0.1), 0.02), atol=1e-13)
    assert np.all(c_transform(np.full(5, -np.inf), (0.1,), 1.0) == np.inf)


def test_refined_sees_between_cells():
    # φ = −κ|y|²/2 has φᶜ = (κ/(1 + κτ))|x|²/2; the grid's own minimum is off by up to h²/8τ an axis
    kappa, tau, n = 3.0, 0.2, 41
    axis = np.linspace(-1.0, 1.0, n)
    square = axis[:, None] ** 2 + axis**2
    exact = kappa / (1.0 + kappa * tau) * square / 2.0
    spacing = (axis[1] - axis[0],) * 2
    raw = c_transform(-kappa * square / 2.0, spacing, tau, refine=False) - exact
    refined = c_transform(-kappa * square / 2.0, spacing, tau) - exact
    assert 0.5 < raw.max() / (2.0 * spacing[0] ** 2 * (1.0 / tau + kappa) / 8.0) <= 1.0 + 1e-9
    assert np.abs(refined).max() < 1e-13


def test_refined_converges_at_third_order_on_smooth_functions():
    tau, errors = 0.05, []
    for n in (50, 100, 200):
        x = (np.arange(n) + 0.5) / n
        phi = 0.5 * np.cos(np.pi * x)
        fine = np.linspace(0.0, 1.0, 20001)
        exact = ((x[:, None] - fine) ** 2 / (2.0 * tau) - 0.5 * np.cos(np.pi * fine)).min(axis=1)
        inside = slice(n // 5, -n // 5)
        errors.append(np.abs(c_transform(phi, (1.0 / n,), tau) - exact)[inside].max())
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert orders.mean() > 2.7, (errors, orders)
    assert errors[-1] < 1e-3 * (1.0 / 200) ** 2 / (8.0 * tau)  # what the grid's own minimum loses


@pytest.mark.parametrize("refine", [False, True])
def test_double_conjugate_of_a_c_concave_function_is_itself(refine):
    x = np.linspace(-1.0, 1.0, 101)
    phi = -0.5 * x**2 + 0.1 * np.sin(3.0 * x)
    spacing = (x[1] - x[0],)
    twice = c_transform(c_transform(phi, spacing, 0.1, refine=refine), spacing, 0.1, refine=refine)
    assert np.abs(twice - phi)[20:-20].max() < (1e-6 if refine else 1e-13)
    rough = phi + 0.1 * np.random.default_rng(0).random(101)
    above = c_transform(c_transform(rough, spacing, 0.1, refine=False), spacing, 0.1, refine=False)
    assert np.all(above >= rough - 1e-13)
