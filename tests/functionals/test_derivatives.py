"""First variations and Wasserstein gradients over the whole registry, against what defines them."""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
from functionals import pointwise
from jko.loops.sums.pair_sums import Difference, pair_gradient_sum
from jko.measures import Density, Gaussian, Grid, Particles
from tests import problems


def is_general(F):
    return any(atom.general for _, atom in F.parts.interaction)


DIMENSIONS = (1, 2, 3)
ALL = [(d, F) for d in DIMENSIONS for F in problems.functionals(d)]
ON_PARTICLES = [(d, F) for d, F in ALL if d < 3 and not problems.needs_density(F)]
ON_GAUSSIANS = [(1, F) for F in problems.functionals(1) if F.parts.interaction and not problems.singular(F)]
ON_GAUSSIANS += [
    (2, F)
    for F in problems.functionals(2)
    if not F.parts.interaction and not F.parts.constraints and not isinstance(F, fn.SlicedWasserstein)
]
ON_GRIDS = [(d, F) for d, F in ALL if not F.parts.constraints and (d == 1 or (d == 2 and not is_general(F)))]


def each(cases):
    """A test over cases; distances to data, which compile for seconds each, are asked for by -m long."""
    ids = [f"{d}D-{problems.identifier(F)}" for d, F in cases]
    marks = [[pytest.mark.long] if isinstance(F, problems.DISTANCES_TO_DATA) else [] for _, F in cases]
    cases = [pytest.param(*case, marks=mark) for case, mark in zip(cases, marks, strict=True)]
    return pytest.mark.parametrize(("dimension", "F"), cases, ids=ids)


def test_every_registered_functional_is_in_the_zoo():
    assert set(problems.FUNCTIONALS) == set(fn.available())
    for name, make in problems.FUNCTIONALS.items():
        assert all(isinstance(F, fn.lookup(name)) for F in make(1))


def remainder_order(values, slope, steps=(1e-2, 5e-3)):
    """The order in t of F(t) − F(0) − t F′(0), or infinity where it vanishes to rounding."""
    start = values(0.0)
    remainders = [abs(values(t) - start - t * slope) for t in steps]
    scale = abs(start) + abs(slope) + 1e-3
    if remainders[0] < 1e-13 * scale:
        return np.inf
    return np.log2(remainders[0] / remainders[1]) / np.log2(steps[0] / steps[1])


def assert_slope(F, values, slope):
    """Of second order what F leaves of its tangent; where F is linear in pieces, a tangent below it."""
    if not problems.piecewise_linear(F):
        assert remainder_order(values, slope) > 1.9
        return
    # W₂ of a density is that of one constant on each cell, its potential that at the centres
    start, slack = values(0.0), 0.0 if isinstance(F, fn.SlicedWasserstein) else 0.03
    for t in (1e-2, -1e-2, 2e-3):
        assert values(t) - start - t * slope >= -1e-13 - slack * abs(t * slope)
    assert abs(values(1e-4) - start - 1e-4 * slope) < 0.1 * abs(1e-4 * slope)


@each(ALL)
def test_the_first_variation_on_a_density(dimension, F):
    rho = problems.density(dimension)
    generator = np.random.default_rng(7)
    gamma = rho.values * generator.uniform(-1.0, 1.0, rho.values.shape)
    gamma -= rho.values * gamma.sum() / rho.values.sum()
    assert abs(gamma.sum()) < 1e-12 * np.abs(gamma).sum()
    variation = np.asarray(F.first_variation(rho))
    assert variation.shape == rho.values.shape
    assert variation.dtype == np.float64
    slope = np.sum(variation * gamma) * rho.grid.cell_volume
    assert_slope(F, lambda t: F(rho.with_values(rho.values + t * gamma)), slope)


@each(ON_PARTICLES)
def test_the_first_variation_on_weights(dimension, F):
    mu = problems.particles(dimension, weighted=True)
    gamma = np.random.default_rng(3).uniform(-1.0, 1.0, mu.n) * mu.weights
    gamma -= mu.weights * gamma.sum()
    variation = np.asarray(F.first_variation(mu))
    slope = np.sum(variation * gamma)
    assert variation.shape == (mu.n,)
    assert variation.dtype == np.float64
    assert_slope(F, lambda t: F(Particles(mu.positions, mu.weights + t * gamma)), slope)


@each(ON_PARTICLES)
def test_the_wasserstein_gradient_on_particles_is_that_of_the_energy(dimension, F):
    mu = problems.particles(dimension, weighted=dimension != 1)
    gradient = np.asarray(F.wasserstein_gradient(mu))
    assert gradient.shape == mu.positions.shape
    assert gradient.dtype == np.float64
    with jax.enable_x64(True):
        by_differentiation = jax.jit(jax.grad(lambda x: F.energy(mu.with_positions(x))))
        exact = np.asarray(by_differentiation(jnp.asarray(mu.positions)))
    np.testing.assert_allclose(gradient, exact / mu.weights[:, None], rtol=1e-10, atol=1e-11)
    if problems.piecewise_linear(F):
        return  # points change places along a direction, where the slope jumps
    direction = np.random.default_rng(5).normal(size=mu.positions.shape)
    slope = np.sum(mu.weights[:, None] * gradient * direction)
    errors = []
    for t in (2e-3, 1e-3):
        ahead, behind = (F(mu.with_positions(mu.positions + s * t * direction)) for s in (1, -1))
        errors.append(abs((ahead - behind) / (2 * t) - slope))
    assert errors[1] < 1e-9 * (1 + abs(slope)) or np.log2(errors[0] / errors[1]) == pytest.approx(
        2.0, abs=0.2
    )


def exact_gradient(F, gaussian, x):
    """∇δF/δρ of a Gaussian at points x, written out from the parts of F."""
    rho = gaussian.log_density_function
    total = np.zeros_like(x)
    for c, atom in F.parts.potential:
        total = total + c * pointwise.gradients(atom.V, x)
    for c, atom in F.parts.rest + F.parts.local + F.parts.gradient:
        total = total + c * pointwise.gradients(atom.first_variation_function(gaussian), x)
    for c, atom in F.parts.internal:
        total = total + c * pointwise.gradients(lambda y, U=atom: U.derivative(jnp.exp(rho(y))), x)
    for c, atom in F.parts.interaction:
        kernel = atom.symmetric_kernel if atom.general else Difference(pointwise.scalar(atom.W))
        options = {"exclude_coincident": not atom.general}
        total = total + c * np.asarray(
            pair_gradient_sum(kernel, x, gaussian.points, gaussian.masses, **options)
        )
    return total


@each(ON_GAUSSIANS)
def test_the_derivatives_on_a_gaussian(dimension, F):
    """Along N(m + ta, S + tB) the density moves with velocity a + ½BS⁻¹(x − m)."""
    mu = problems.gaussian(dimension)
    m, S = mu.mean(), mu.covariance()
    a = np.linspace(0.5, -1.0, dimension)
    B = 0.2 * np.eye(dimension) - 0.05
    centred = (mu.points - m) @ np.linalg.inv(S)
    velocity = a + 0.5 * centred @ B
    growth = centred @ a + 0.5 * (
        np.einsum("ni,ij,nj->n", centred, B, centred) - np.trace(np.linalg.inv(S) @ B)
    )
    variation, gradient = np.asarray(F.first_variation(mu)), np.asarray(F.wasserstein_gradient(mu))
    assert variation.shape == mu.masses.shape
    assert gradient.shape == mu.points.shape
    t = 1e-3
    tolerance = {"rel": 2e-7, "abs": 1e-8} if problems.smooth(F) else {"rel": 2e-2, "abs": 5e-3}
    slopes = [
        (F(Gaussian(m + s * a, S + s * B)) - F(Gaussian(m - s * a, S - s * B))) / (2 * s) for s in (t, t / 2)
    ]
    slope = (4 * slopes[1] - slopes[0]) / 3
    assert np.sum(mu.masses * variation * growth) == pytest.approx(slope, **tolerance)
    assert np.sum(mu.masses[:, None] * gradient * velocity) == pytest.approx(slope, **tolerance)


@each(ON_GAUSSIANS)
def test_the_wasserstein_gradient_on_a_gaussian_is_the_gradient_of_the_first_variation(dimension, F):
    mu = problems.gaussian(dimension)
    inner = mu.masses > 1e-10
    exact = exact_gradient(F, mu, mu.points)
    np.testing.assert_allclose(F.wasserstein_gradient(mu)[inner], exact[inner], rtol=1e-9, atol=1e-10)


@pytest.mark.long
@each(ON_GRIDS)
def test_the_wasserstein_gradient_on_a_grid_is_of_second_order(dimension, F):
    """Against the Gaussian's own, or for a kernel that is not smooth against a finer grid."""
    mu = problems.gaussian(dimension)
    smooth = problems.smooth(F)
    sizes = {1: (45, 135, 405), 2: (27, 81)} if smooth else {1: (45, 135, 1215), 2: (27, 81, 243)}
    rhos = [
        mu.on(Grid.uniform((-6.0,) * dimension, (6.0,) * dimension, (n,) * dimension))
        for n in sizes[dimension]
    ]
    found = [np.asarray(F.wasserstein_gradient(rho)) for rho in rhos]
    errors = []
    for rho, gradient in zip(rhos if smooth else rhos[:-1], found):
        assert gradient.shape == (*rho.grid.cells, dimension)
        assert gradient.dtype == np.float64
        inner = rho.values > 1e-3 * rho.values.max()
        if smooth:
            exact = exact_gradient(F, mu, rho.grid.points[inner.ravel()])
        else:
            exact = at_centres(found[-1], rho.grid)[inner]
        errors.append(np.sqrt(np.mean((gradient[inner] - exact) ** 2)) / np.abs(exact).max())
    assert errors[-1] < 0.05
    assert errors[-1] < 1e-9 or np.log(errors[-2] / errors[-1]) / np.log(3.0) > 1.8


def at_centres(values, grid):
    """The values of a finer grid at the centres of a grid which it refines by an odd number."""
    factors = [m // n for m, n in zip(values.shape, grid.cells)]
    assert all(m == k * n and k % 2 == 1 for m, k, n in zip(values.shape, factors, grid.cells))
    return values[tuple(slice(k // 2, None, k) for k in factors)]


class Quadratic(fn.Functional):
    """∫|x|²/2 dρ and a Gaussian repulsion, by one method."""

    def energy(self, mu):
        repulsion = mu.pair_integrate(lambda x, y: jnp.exp(-0.5 * jnp.sum((x - y) ** 2)))
        return mu.integrate(lambda x: 0.5 * jnp.sum(x**2)) + 0.5 * repulsion


@pytest.mark.parametrize("measure", ["density 1D", "density 2D", "particles 1D", "particles 2D weighted"])
def test_one_method_gives_what_the_closed_forms_give(measure):
    mu = problems.MEASURES[measure]()
    own, closed = Quadratic(), fn.Potential("quadratic") + fn.Interaction("gaussian")
    assert own(mu) == pytest.approx(closed(mu), rel=1e-12)
    np.testing.assert_allclose(own.first_variation(mu), closed.first_variation(mu), rtol=1e-9, atol=1e-10)
    tolerance = 1e-9 if isinstance(mu, Particles) else 2.0 * max(mu.grid.spacing) ** 2
    np.testing.assert_allclose(own.wasserstein_gradient(mu), closed.wasserstein_gradient(mu), atol=tolerance)


class OwnEntropy(fn.Functional):
    def energy(self, mu):
        return mu.integrate_internal(fn.Entropy())


def test_one_method_with_an_internal_energy():
    rho = problems.density(2)
    np.testing.assert_allclose(
        OwnEntropy().first_variation(rho), fn.Entropy().first_variation(rho), rtol=1e-12
    )
    np.testing.assert_allclose(
        OwnEntropy().wasserstein_gradient(rho), fn.Entropy().wasserstein_gradient(rho), atol=1e-10
    )


@pytest.mark.parametrize("dimension", [1, 2])
def test_the_dirichlet_energy_has_minus_the_laplacian(dimension):
    errors = []
    for n in (48, 96):
        rho = problems.gaussian(dimension).on(problems.grid(dimension, n))
        precision = np.linalg.inv(problems.gaussian(dimension).covariance())
        z = (rho.grid.centers - problems.gaussian(dimension).mean()) @ precision
        laplacian = rho.values * (np.sum(z**2, axis=-1) - np.trace(precision))
        errors.append(np.abs(fn.Dirichlet().first_variation(rho) + laplacian).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.15)


def test_internal_energy_by_differentiation_is_the_closed_form():
    rho = problems.density(1)
    pairs = [
        (fn.InternalEnergy(lambda s: s**3 / 2.0), fn.Power(3)),
        (fn.InternalEnergy(lambda s: s**0.6 / -0.4), fn.Power(0.6)),
        (fn.InternalEnergy(lambda s: s * jnp.log(s)), fn.Entropy()),
    ]
    for own, closed in pairs:
        assert own(rho) == pytest.approx(closed(rho), rel=1e-13)
        np.testing.assert_allclose(own.first_variation(rho), closed.first_variation(rho), rtol=1e-12)
        np.testing.assert_allclose(
            own.wasserstein_gradient(rho), closed.wasserstein_gradient(rho), rtol=1e-10, atol=1e-11
        )
        for method in ("density", "derivative", "second_derivative"):
            s = np.geomspace(1e-6, 50.0, 30)
            np.testing.assert_allclose(getattr(own, method)(s), getattr(closed, method)(s), rtol=1e-12)


@each([(d, F) for d, F in ON_PARTICLES if d == 1])
def test_results_keep_the_dtype_of_particles(dimension, F):
    assert not jax.config.jax_enable_x64
    mu = problems.particles(dimension, dtype=np.float32)
    assert np.asarray(F.first_variation(mu)).dtype == np.float32
    assert np.asarray(F.wasserstein_gradient(mu)).dtype == np.float32
    assert not jax.config.jax_enable_x64


def test_a_cap_has_a_float64_gradient_on_a_grid():
    for F in (F for F in problems.functionals(1) if F.parts.constraints):
        assert np.asarray(F.wasserstein_gradient(problems.density(1))).dtype == np.float64


@pytest.mark.slow
def test_float32_particles_agree_with_float64_ones():
    for F in (
        fn.Potential("double_well"),
        fn.Interaction("logarithmic"),
        fn.Interaction("gaussian", width=0.5),
    ):
        double = problems.particles(2, weighted=True)
        single = Particles(double.positions.astype(np.float32), double.weights.astype(np.float32))
        assert F(single) == pytest.approx(F(double), rel=2e-5, abs=1e-5)
        difference = np.abs(F.wasserstein_gradient(single) - F.wasserstein_gradient(double))
        assert difference.max() < 2e-4 * (1 + np.abs(F.wasserstein_gradient(double)).max())


@pytest.mark.long
def test_vacuum_gives_no_nan():
    rho = problems.density_with_vacuum(1)
    support = rho.values > 0
    for F in problems.functionals(1):
        assert np.isfinite(F(rho))
        assert not np.isnan(np.asarray(F.first_variation(rho))).any()
        assert np.all(np.isfinite(np.asarray(F.wasserstein_gradient(rho))[support]))


def test_an_entropy_of_particles_is_refused_with_the_remedy():
    for F in (fn.Entropy(), fn.Power(2), fn.InternalEnergy(problems.square), fn.KL(problems.gaussian(2))):
        for ask in (F, F.first_variation, F.wasserstein_gradient):
            with pytest.raises(ValueError, match=r"Langevin.*Blob"):
                ask(problems.particles(2))


def count_traces(ask, mu):
    """How often the user's function was run in python by three calls."""
    calls = deque()  # entries of a list would be read, and make a new program

    def V(x):
        calls.append(1)
        return jnp.sum(x**2) + jnp.sum(jnp.cos(x))

    counts = []
    for _ in range(3):
        ask(V, mu)
        counts.append(len(calls))
    return counts


class Own(fn.Functional):
    def __init__(self, V):
        self.V = V

    def energy(self, mu):
        return mu.integrate(self.V) + mu.integrate(self.V) ** 2


@pytest.mark.parametrize("measure", ["density 2D", "particles 2D float32", "gaussian 1D"])
@pytest.mark.parametrize("method", ["__call__", "first_variation", "wasserstein_gradient"])
@pytest.mark.parametrize("make", [fn.Potential, fn.Interaction, Own], ids=["potential", "interaction", "own"])
def test_a_function_is_compiled_once(measure, method, make):
    mu = problems.MEASURES[measure]()
    if make is Own and isinstance(mu, Gaussian):
        with pytest.raises(ValueError, match="Density or on Particles"):
            Own(problems.bump).first_variation(mu)
        return
    functionals = {}

    def ask(V, mu):
        F = functionals.setdefault("F", make(V))
        return getattr(F, method)(mu if isinstance(mu, Gaussian) else moved(mu))

    counts = count_traces(ask, mu)
    if make is not Own or method != "__call__":
        assert counts[0] == counts[1] == counts[2]


def moved(mu):
    """Other numbers of the same shape."""
    if isinstance(mu, Density):
        return mu.with_values(mu.values[..., ::-1] * 1.0)
    return mu.with_positions(mu.positions * mu.positions.dtype.type(1.01))
