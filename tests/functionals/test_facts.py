"""Declared facts are measured: linear convexity along mixtures, λ along Wasserstein geodesics."""

import functools

import numpy as np
import pytest

import functionals as fn
from functionals import pointwise
from jko.measures import Density, Gaussian, Particles
from tests import problems

LINE = problems.functionals(1)
PLANE = problems.functionals(2)
PAIRS = 25


def each(functionals):
    return pytest.mark.parametrize("F", functionals, ids=problems.identifier)


def random_density(generator, dimension):
    grid = problems.grid(dimension, {1: 48, 2: 12}[dimension])
    roughness = generator.uniform(0.0, 4.0)
    return Density(grid, np.exp(roughness * generator.normal(size=grid.cells)) + 1e-3).normalized()


@functools.cache
def pairs_of_densities(dimension):
    generator = np.random.default_rng(2)
    return [
        (random_density(generator, dimension), random_density(generator, dimension)) for _ in range(PAIRS)
    ]


def excess_at_half(F, mu, nu, middle):
    """½F(mu) + ½F(nu) − F(middle), with the size of the terms."""
    a, b, c = F(mu), F(nu), F(middle)
    return 0.5 * a + 0.5 * b - c, abs(a) + abs(b) + abs(c)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dimension", "to_data"), [(1, False), (2, False), pytest.param(1, True, marks=pytest.mark.long)]
)
def test_linear_convexity_along_mixtures(dimension, to_data):
    declared = 0
    for F in problems.functionals(dimension):
        if F.linearly_convex is None or isinstance(F, problems.DISTANCES_TO_DATA) != to_data:
            continue
        declared += 1
        excesses = []
        for rho, sigma in pairs_of_densities(dimension):
            middle = rho.with_values(0.5 * rho.values + 0.5 * sigma.values)
            excess, size = excess_at_half(F, rho, sigma, middle)
            excesses.append(excess / size if 0 < size < np.inf else 0.0)
        if F.linearly_convex:
            assert min(excesses) >= -1e-13, F
        else:
            assert min(excesses) < -1e-6, F
    assert declared >= (1 if to_data else 8)


def test_linear_convexity_of_named_kernels_on_zero_mass():
    """The signs that the power kernel declares, over exponents."""
    for exponent in (-0.7, 1.5):
        for strength in (1.0, -1.0):
            F = fn.Interaction("power", exponent=exponent, strength=strength)
            worst = min(
                excess_at_half(F, a, b, a.with_values(0.5 * a.values + 0.5 * b.values))[0]
                for a, b in pairs_of_densities(1)
            )
            assert (worst >= -1e-12) == F.linearly_convex, F


def random_cloud(generator, dimension):
    return generator.normal(size=(12, dimension)) * generator.uniform(0.2, 2.0) + generator.normal(
        size=dimension
    )


def modulus_holds(F, modulus, energies, squared_distance, t):
    start, middle, end = energies
    bound = (1 - t) * start + t * end - 0.5 * modulus * t * (1 - t) * squared_distance
    return middle <= bound + 1e-10 * (1 + abs(start) + abs(end) + abs(middle) + squared_distance)


@each([F for F in LINE if F.displacement_modulus(1) is not None and not problems.needs_density(F)])
def test_the_modulus_along_geodesics_of_clouds_on_the_line(F):
    generator = np.random.default_rng(8)
    for _ in range(PAIRS):
        x, y = (np.sort(random_cloud(generator, 1), axis=0) for _ in range(2))
        t = generator.uniform(0.1, 0.9)
        energies = [F(Particles(z)) for z in (x, (1 - t) * x + t * y, y)]
        assert modulus_holds(F, F.displacement_modulus(1), energies, np.mean((x - y) ** 2), t)


def energy_on_cells(F, edges):
    """F of the density that is constant with equal masses between edges: exact for ∫U, by nodes for ∫V."""
    widths = np.diff(edges)
    masses = np.full(len(widths), 1.0 / len(widths))
    total = sum(c * np.sum(U.density(masses / widths) * widths) for c, U in F.parts.internal)
    nodes, weights = np.polynomial.legendre.leggauss(6)
    points = edges[:-1, None] + 0.5 * (1 + nodes) * widths[:, None]
    for c, atom in F.parts.potential:
        values = pointwise.values(atom.V, points.reshape(-1, 1)).reshape(points.shape)
        total += c * np.sum(masses[:, None] * 0.5 * weights * values)
    return total


@each([F for F in LINE if F.displacement_modulus(1) is not None and F.parts.kinds & {"entropy", "internal"}])
def test_the_modulus_along_quantile_geodesics_of_densities(F):
    generator = np.random.default_rng(9)
    for _ in range(PAIRS):
        x, y = (np.sort(generator.normal(size=20)) * generator.uniform(0.3, 3.0) for _ in range(2))
        t = generator.uniform(0.1, 0.9)
        energies = [energy_on_cells(F, z) for z in (x, (1 - t) * x + t * y, y)]
        d = x - y  # W₂² of piecewise linear quantile functions
        squared = np.mean((d[1:] ** 2 + d[1:] * d[:-1] + d[:-1] ** 2) / 3.0)
        assert modulus_holds(F, F.displacement_modulus(1), energies, squared, t)


def optimal_map(S0, S1):
    """The matrix of the optimal map from N(0, S0) to N(0, S1)."""
    values, vectors = np.linalg.eigh(S0)
    root, inverse = ((vectors * values**p) @ vectors.T for p in (0.5, -0.5))
    values, vectors = np.linalg.eigh(root @ S1 @ root)
    return inverse @ (vectors * np.sqrt(values)) @ vectors.T @ inverse


@each(
    [
        F
        for F in PLANE
        if F.displacement_modulus(2) is not None and not F.parts.constraints and not problems.singular(F)
    ]
)
def test_the_modulus_along_geodesics_of_gaussians_in_the_plane(F):
    generator = np.random.default_rng(10)
    for _ in range(8):
        means = generator.normal(size=(2, 2))
        S0, S1 = (A @ A.T + 0.05 * np.eye(2) for A in generator.normal(size=(2, 2, 2)) * 0.7)
        T, t = optimal_map(S0, S1), generator.uniform(0.2, 0.8)
        np.testing.assert_allclose(T @ S0 @ T.T, S1, rtol=1e-9)
        A = (1 - t) * np.eye(2) + t * T
        path = [
            Gaussian(means[0], S0),
            Gaussian((1 - t) * means[0] + t * means[1], A @ S0 @ A.T),
            Gaussian(means[1], S1),
        ]
        squared = np.sum((means[0] - means[1]) ** 2) + np.trace((T - np.eye(2)) @ S0 @ (T - np.eye(2)).T)
        assert modulus_holds(F, F.displacement_modulus(2), [F(mu) for mu in path], squared, t)


def test_the_powers_lose_displacement_convexity_where_mccann_says():
    assert fn.Power(0.6).displacement_modulus(2) == 0.0
    assert fn.Power(0.4).displacement_modulus(2) is None
    assert fn.Power(0.4).displacement_modulus(1) == 0.0
    # and it fails there: blowing a Gaussian up in the plane is concave for m < ½
    energies = [fn.Power(0.4)(Gaussian(np.zeros(2), s**2 * np.eye(2))) for s in (1.0, 2.0, 3.0)]
    assert energies[1] > 0.5 * (energies[0] + energies[2])


NAMED = [
    ("quadratic", {"stiffness": 2.5, "center": 0.4}),
    ("quadratic", {"stiffness": [0.5, 3.0]}),
    ("quadratic", {"stiffness": [[2.0, 0.7], [0.7, 1.0]]}),
    ("double_well", {"height": 1.7, "separation": 2.4}),
    ("double_well", {"height": 0.7, "separation": 2.4, "stiffness": 0.3}),
    ("quartic", {"strength": 0.8, "center": [0.1, 0.2]}),
    ("linear", {"slope": [1.0, -2.0]}),
    ("mexican_hat", {"height": 1.3, "radius": 0.8}),
]


@pytest.mark.parametrize(("name", "parameters"), NAMED)
def test_the_modulus_of_named_potentials_is_the_least_curvature(name, parameters):
    F = fn.Potential(name, **parameters)
    generator = np.random.default_rng(3)
    center = np.broadcast_to(parameters.get("center", 0.0), (2,))
    points = np.vstack([center + generator.normal(size=(200, 2)), center, np.zeros((1, 2))])
    least = np.linalg.eigvalsh(pointwise.hessians(F.V, points)).min()
    assert least == pytest.approx(F.modulus, abs=1e-12)
    assert {name for name, _ in NAMED} == set(fn.NAMED_POTENTIALS)


@pytest.mark.parametrize(
    "F", [F for F in LINE if isinstance(F, fn.Interaction) and F.modulus is not None], ids=problems.identifier
)
def test_the_modulus_of_kernels_is_the_least_curvature(F):
    curvature = pointwise.hessians(F.W, np.linspace(-6.0, 6.0, 4001)[:, None] + 1e-7)[:, 0, 0]
    assert curvature.min() >= F.modulus - 1e-9
    assert F.modulus == 0.0 or curvature.min() == pytest.approx(F.modulus, rel=1e-4)


def test_every_declared_fact_is_of_a_known_kind():
    for F in LINE:
        assert F.linearly_convex in (True, False, None)
        modulus = F.displacement_modulus(1)
        assert modulus is None or np.isfinite(modulus)
