"""The Hellinger–Kantorovich distance: Diracs, bounds, limits, an independent program, units, refusals."""

import cvxpy as cp
import numpy as np
import pytest
from scipy.special import kl_div

import jko
from jko import Density, Grid, Particles, Population
from jko.transport import hellinger_kantorovich
from tests import problems


def dirac(place, mass=1.0):
    return Population(np.atleast_2d(place).astype(float), mass=mass)


def clouds(n=12, m=9, d=2, seed=0):
    generator = np.random.default_rng(seed)
    first = Population(generator.normal(size=(n, d)), generator.uniform(0.5, 1.5, n))
    return first, Population(generator.normal(size=(m, d)) + 0.7, generator.uniform(0.2, 1.0, m))


@pytest.mark.parametrize("length", [0.3, 1.0, 50.0, 1e-3])
@pytest.mark.parametrize(("m0", "m1"), [(1.0, 1.0), (2.0, 0.7), (1e-3, 40.0)])
@pytest.mark.parametrize("angle", [0.0, 0.1, 1.0, 1.5, 2.0])
def test_diracs(m0, m1, angle, length):
    place = np.array([0.6, 0.8]) * 2.0 * length * angle
    found = hellinger_kantorovich(dirac([0.0, 0.0], m0), dirac(place, m1), length=length)
    cosine = np.cos(min(angle, np.pi / 2))
    exact = 4 * length**2 * (m0 + m1 - 2 * np.sqrt(m0 * m1) * cosine)
    assert found.value == pytest.approx(exact, rel=1e-8, abs=1e-11 * length**2 * (m0 + m1))
    assert 0.0 <= found.gap <= 1e-8 * exact + 1e-11 * length**2 * (m0 + m1)


@pytest.mark.parametrize("length", [0.2, 0.5, 3.0])
def test_an_independent_program(length):
    """Semi-couplings [ChizatPeyreSchmitzerVialard2018]: the most of Σ cos √(αβ), Σ_jα ≤ mu, Σ_iβ ≤ nu, a cone
    program."""
    mu, nu = clouds()
    apart = np.linalg.norm(mu.positions[:, None] - nu.positions, axis=-1)
    cosine = np.cos(np.minimum(apart / (2 * length), np.pi / 2))
    alpha, beta, root = (cp.Variable(cosine.shape, nonneg=True) for _ in range(3))
    cones = [
        cp.SOC(
            cp.vec(alpha + beta, order="C"),
            cp.vstack([2 * cp.vec(root, order="C"), cp.vec(alpha - beta, order="C")]),
        )
    ]
    within = [cp.sum(alpha, axis=1) <= mu.weights, cp.sum(beta, axis=0) <= nu.weights]
    most = cp.Problem(cp.Maximize(cp.sum(cp.multiply(cosine, root))), cones + within).solve(solver="CLARABEL")
    exact = 4 * length**2 * (mu.mass + nu.mass - 2 * most)
    found = hellinger_kantorovich(mu, nu, length=length)
    assert found.value == pytest.approx(exact, rel=1e-6)
    assert found.gap <= 1e-8 * found.value


def test_its_potentials_are_admissible_and_its_plan_pays():
    mu, nu = clouds()
    length = 0.4
    found = hellinger_kantorovich(mu, nu, length=length)
    (x, y), (phi, psi) = found.points, found.potentials
    apart = np.linalg.norm(x[:, None] - y, axis=-1)
    cosine = np.cos(np.minimum(apart / (2 * length), np.pi / 2))
    with np.errstate(divide="ignore"):
        cost = np.where(cosine > 1e-12, -2 * np.log(cosine), np.inf)
    assert np.all(phi[:, None] + psi <= cost)
    a, b = (m.weights[np.lexsort(m.positions.T[::-1])] for m in (mu, nu))
    dual = 4 * length**2 * (a @ -np.expm1(-phi) + b @ -np.expm1(-psi))
    assert found.value - found.gap == pytest.approx(dual, rel=1e-10)
    rows, columns = found.plan.sum(axis=1), found.plan.sum(axis=0)
    paid = sum(float(np.sum(kl_div(p, q))) for p, q in ((rows, a), (columns, b)))
    paid += np.sum(np.where(found.plan > 0, found.plan * np.where(np.isfinite(cost), cost, 0.0), 0.0))
    assert found.value == pytest.approx(4 * length**2 * paid, rel=1e-9)


def test_growth_alone_is_fisher_rao_and_no_growth_is_wasserstein():
    rho = problems.density(1)
    thrice = rho.with_values(3.0 * rho.values)
    found = hellinger_kantorovich(rho, thrice, length=0.5)
    assert found.value == pytest.approx((1 - np.sqrt(3.0)) ** 2, rel=1e-7)
    mu, nu = (m.normalized() for m in clouds(20, 15))
    squared = float(jko.wasserstein(mu, nu)) ** 2
    errors = [squared - hellinger_kantorovich(mu, nu, length=length).value for length in (10.0, 20.0, 40.0)]
    assert np.all(np.array(errors) > 0.0)
    assert np.allclose(np.log2(np.array(errors[:-1]) / errors[1:]), 2.0, atol=0.05)


def test_it_is_a_distance_and_shrinks_with_the_length():
    one, two = clouds()
    three = dirac([0.3, 0.3], 2.0)
    d = lambda a, b: hellinger_kantorovich(a, b, length=0.6).distance  # noqa: E731
    assert d(one, two) == pytest.approx(d(two, one), rel=1e-7)
    assert d(one, two) < d(one, three) + d(three, two)
    values = [
        hellinger_kantorovich(one, two, length=length).value / length**2 for length in (0.1, 0.3, 1.0, 3.0)
    ]
    assert np.all(np.diff(values) < 0.0)


@pytest.mark.parametrize(("unit", "mass"), [(1e-4, 1.0), (1e5, 1e-6), (1.0, 1e9)])
def test_units(unit, mass):
    mu, nu = clouds()
    plain = hellinger_kantorovich(mu, nu, length=0.5)
    other = (Population(unit * m.positions, mass * m.weights) for m in (mu, nu))
    scaled = hellinger_kantorovich(*other, length=0.5 * unit)
    assert scaled.value == pytest.approx(mass * unit**2 * plain.value, rel=1e-8)


def test_densities_are_of_second_order_in_their_cells():
    """Gaussians that are apart, on three grids: differences fall as h²."""
    values = []
    for n in (48, 96, 192):
        grid = Grid.uniform(-4.0, 4.0, n)
        pair = Density.gaussian(grid, -0.53, 0.5), Density.gaussian(grid, 0.57, 0.7)
        values.append(hellinger_kantorovich(*pair, length=1.0).value)
    assert abs(values[2] - values[1]) < 0.4 * abs(values[1] - values[0])
    assert abs(values[2] - values[1]) < 0.25 / 12**2  # h²/4


def test_on_a_torus_the_nearest_image_counts():
    grid = Grid.uniform(0.0, 1.0, 20, periodic=True)
    values = np.zeros((2, 20))
    values[0, 0], values[1, 18] = 20.0, 20.0
    found = hellinger_kantorovich(*(Density(grid, v) for v in values), length=0.2)
    assert found.value == pytest.approx(4 * 0.04 * (2 - 2 * np.cos(0.1 / 0.4)), rel=1e-8)


def test_refusals():
    cloud = problems.particles(2)
    with pytest.raises(
        TypeError, match="nu: expected a Density, Particles or a Population, got Gaussian; put"
    ):
        hellinger_kantorovich(cloud, problems.gaussian(2))
    with pytest.raises(ValueError, match="expected the same dimension, got 2 and 1"):
        hellinger_kantorovich(cloud, problems.particles(1))
    with pytest.raises(ValueError, match="length: expected a positive number, got 0"):
        hellinger_kantorovich(cloud, cloud, length=0)
    many = Particles(np.random.default_rng(0).normal(size=(3000, 2)))
    with pytest.raises(ValueError, match=r"at most 4e.06 pairs of points with mass, got 3000 × 3000"):
        hellinger_kantorovich(many, many)


def test_a_length_that_leaves_no_digits_is_refused():
    generator = np.random.default_rng(0)
    mu, nu = (jko.Particles(generator.normal(size=(20, 2)) + shift) for shift in (0.0, 0.5))
    square = jko.wasserstein(mu, nu).value ** 2
    found = jko.transport.hellinger_kantorovich(mu, nu, length=1e3)
    assert found.value == pytest.approx(square, rel=1e-6)
    with pytest.raises(ValueError, match="length: 1e\\+06 is so long"):
        jko.transport.hellinger_kantorovich(mu, nu, length=1e6)
