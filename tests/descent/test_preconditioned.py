"""Preconditioned Langevin: linear laws over whole runs, Gibbs at rest in a metric of the place, its drift."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm
from scipy.stats import t as student

import functionals as fn
import jko
from jko.descent import Langevin, PreconditionedLangevin
from tests.first_step import first_block

THETA, K = 0.6, np.array([[1.0, 0.3], [0.3, 0.6]])
A = np.array([[1.0, 0.7], [0.7, 0.8]])
N = 40_000


def deviations(cloud, mean, second):
    """How many standard errors the mean and the second moments of a cloud are off, at most."""
    x = np.asarray(cloud.positions, float)
    products = np.einsum("ni,nj->nij", x, x).reshape(len(x), -1)
    off = np.abs(np.concatenate([x.mean(0) - mean, products.mean(0) - np.ravel(second)]))
    return (off / np.concatenate([x.std(0), products.std(0)])).max() * np.sqrt(len(x))


def recursion(tau, steps, mean, second, drift, noise):
    """Moments of x⁺ = (1 − τ·drift)x + √(2θτA(x))ξ, `noise`(second) being θE A: exact for the scheme."""
    step = np.eye(len(mean)) - tau * drift
    for _ in range(steps):
        mean, second = step @ mean, step @ second @ step.T + 2.0 * tau * noise(second)
    return mean, second


@pytest.mark.slow
@pytest.mark.parametrize("length", [1.0, pytest.param(1e-3, marks=pytest.mark.long)])
def test_a_constant_metric_and_a_quadratic_are_linear(length):
    """Within 4 standard errors of the scheme's own moments over a run, whose error is of order 1 in τ."""
    m0, S0, t = np.array([0.8, -0.5]), np.array([[0.5, -0.2], [-0.2, 0.4]]), 1.0
    F = THETA * fn.Entropy() + fn.Potential(lambda x: 0.5 * x @ jnp.asarray(K, x.dtype) @ x / length**2)
    start = jko.Gaussian(m0 * length, S0 * length**2).sample(N, seed=1)
    scheme = PreconditionedLangevin(metric=A, seed=2)
    run = jko.flow(F, start, scheme, tau=0.05 * length**2, n_steps=20, store_every=5)
    x = np.asarray(start.positions, float) / length
    first, second = x.mean(0), x.T @ x / N
    for k, measure in enumerate(run.measures):
        exact = recursion(0.05, 5 * k, first, second, A @ K, lambda S: THETA * A)
        assert deviations(jko.Particles(np.asarray(measure.positions, float) / length), *exact) < 4.0
    E, rest = expm(-t * A @ K), THETA * np.linalg.inv(K)
    law = rest + E @ (S0 - rest) @ E.T + np.outer(E @ m0, E @ m0)
    errors = [
        np.abs(recursion(t / n, n, m0, S0 + np.outer(m0, m0), A @ K, lambda S: THETA * A)[1] - law).max()
        for n in (20, 40, 80)
    ]
    assert np.all(np.abs(np.log2(np.array(errors[:-1]) / errors[1:]) - 1.0) < 0.15)


RATE, BENT = 4.0, 1.0


def pearson(d):
    """A = 1 + xxᵀ, and the V with A∇V − ∇·A = RATE x, so that the moments close."""
    power = (RATE + BENT * (d + 1.0)) / (2.0 * BENT)
    V = fn.Potential(lambda x: power * jnp.log(1.0 + BENT * jnp.sum(x**2)))
    return fn.Entropy() + V, lambda x: jnp.eye(x.size, dtype=x.dtype) + BENT * jnp.outer(x, x)


def without_its_divergence(F, metric):
    """The F whose right drift is −A∇V, that of F's V without θ∇·A: ∇·A = A∇[(d + 1)/2 log(1 + |x|²)]."""
    extra = fn.Potential(lambda x: 0.5 * (x.size + 1.0) * jnp.log(1.0 + BENT * jnp.sum(x**2)))
    return F + extra


@pytest.mark.long
def test_the_moments_in_a_metric_of_the_place_and_that_they_need_the_divergence():
    F, metric = pearson(2)
    start = jko.Gaussian.of((0.6, -0.4), 0.4, dimension=2).sample(N, seed=3)
    x = np.asarray(start.positions, float)
    exact = recursion(0.01, 20, x.mean(0), x.T @ x / N, RATE * np.eye(2), lambda S: np.eye(2) + BENT * S)
    scheme = PreconditionedLangevin(metric=metric, seed=4)
    found, wrong = (
        jko.flow(G, start, scheme, tau=0.01, n_steps=20, store_every=20).final
        for G in (F, without_its_divergence(F, metric))
    )
    assert deviations(found, *exact) < 4.0
    assert deviations(wrong, *exact) > 20.0


@pytest.mark.slow
def test_gibbs_is_at_rest_and_is_not_without_the_divergence():
    """On the line e^{−V} ∝ (1 + x²)^{−3} is Student's law of 5 degrees of freedom over √5."""
    F, metric = pearson(1)
    law = student(5, scale=np.sqrt(1.0 / 5.0))
    start = jko.Particles(law.ppf((np.arange(20_000) + 0.5) / 20_000)[:, None])
    scheme = PreconditionedLangevin(metric=metric, seed=5)

    def off(G):
        """Kolmogorov's distance in units of n^{−1/2}: 1.63 is passed by one cloud in a hundred."""
        moved = jko.flow(G, start, scheme, tau=0.004, n_steps=200, store_every=200).final
        x = np.sort(np.asarray(moved.positions)[:, 0])
        return np.abs(law.cdf(x) - (np.arange(len(x)) + 0.5) / len(x)).max() * np.sqrt(len(x))

    assert off(F) < 1.63
    assert off(without_its_divergence(F, metric)) > 5.0


@pytest.mark.long
def test_finite_volumes_and_particles_agree():
    """A well that has no closed form in a metric that turns with the place."""

    def metric(x):
        tilt = 0.5 * jnp.sin(x[0])
        return jnp.array([[1.0, tilt], [tilt, 0.7 + 0.2 * jnp.cos(x[1])]])

    F = 0.5 * fn.Entropy() + fn.Potential(
        lambda x: 0.25 * (x[0] ** 2 - 1.0) ** 2 + x[1] ** 2 + 0.3 * x[0] * x[1]
    )
    law = jko.Gaussian(np.array([-0.8, 0.3]), 0.09 * np.eye(2))
    grid = jko.Grid.uniform((-3.0, -3.0), (3.0, 3.0), (56, 56))
    rho = jko.flow(F, law.on(grid), jko.limits.FiniteVolume(metric=metric), tau=0.05, n_steps=12).final
    scheme = PreconditionedLangevin(metric=metric, seed=7)
    cloud = jko.flow(F, law.sample(N, seed=6), scheme, tau=0.01, n_steps=60, store_every=60).final
    second = rho.covariance() + np.outer(rho.mean(), rho.mean())
    assert deviations(cloud, rho.mean(), second) < 6.0  # 4 for the draws, and a bias of τ and h²
    plain = jko.flow(F, law.on(grid), jko.limits.FiniteVolume(), tau=0.05, n_steps=12).final
    assert deviations(cloud, plain.mean(), plain.covariance() + np.outer(plain.mean(), plain.mean())) > 12.0


@pytest.mark.slow
def test_a_stiff_well_in_its_own_metric_takes_long_steps():
    stiffness = np.array([1.0, 1e4])
    F = fn.Entropy() + fn.Potential("quadratic", stiffness=stiffness)
    start = jko.Gaussian(np.zeros(2), np.diag(4.0 / stiffness)).sample(5000, seed=8)
    with pytest.raises(ValueError, match=r"stability limit 0\.0002"):
        jko.flow(F, start, Langevin(), tau=0.2, n_steps=1)
    scheme = PreconditionedLangevin(metric=np.diag(1.0 / stiffness), seed=9)
    run = jko.flow(F, start, scheme, tau=0.2, n_steps=40, store_every=40)
    spread = np.diag(run.final.covariance()) * stiffness
    assert spread == pytest.approx(1.0 / 0.9, abs=4.0 * np.sqrt(2.0 / 5000) / 0.9)
    with pytest.raises(ValueError, match=r"stability limit 2 of descent\.PreconditionedLangevin"):
        jko.flow(F, start, scheme, tau=2.1, n_steps=1)


@pytest.mark.long
def test_the_plain_metric_is_langevin_to_the_bit_of_its_noise():
    start = jko.Gaussian.of(0.3, 0.7, dimension=2).sample(60, seed=0)
    F = fn.Entropy() + fn.Potential(lambda x: jnp.sum(jnp.cosh(x))) + fn.Interaction("gaussian", strength=0.5)
    plain = jko.flow(F, start, Langevin(seed=1), tau=0.02, n_steps=5).final.positions
    for metric in (np.eye(2), lambda x: jnp.eye(2, dtype=x.dtype)):
        moved = jko.flow(F, start, PreconditionedLangevin(metric=metric, seed=1), tau=0.02, n_steps=5).final
        np.testing.assert_allclose(moved.positions, plain, rtol=1e-12)


@pytest.mark.slow
def test_blocks_steps_and_resumes_give_the_same_bits():
    F, metric = pearson(3)
    scheme = PreconditionedLangevin(metric=metric, seed=3)
    mu = jko.Gaussian.of(0.0, 0.5, dimension=3).sample(40, seed=0)
    whole, end, _ = first_block(scheme, F, mu, 0.01, 9)
    problem = scheme.prepare(F, mu)
    part, middle, _ = scheme.advance(problem, mu, 0.0, 0.01, 4, problem.start)
    rest, last, _ = scheme.advance(problem, part, 0.04, 0.01, 5, jko.State(middle))
    assert np.array_equal(rest.positions, whole.positions)
    assert last == end


@pytest.mark.long
def test_sums_outside_jax_are_carried_alike():
    from jko.descent.fields.program import outside_terms
    from jko.descent.schemes.preconditioned import PreconditionedField
    from jko.metric import at_point

    F, metric = pearson(2)
    F = F + fn.Interaction("gaussian", strength=-0.8, width=0.7)
    mu = jko.Gaussian.of(0.0, 0.5, dimension=2).sample(6000, seed=0)
    with jax.enable_x64(True):
        flow = PreconditionedField(outside_terms(F.parts), at_point(metric), 1.0)
        assert flow.native(mu.positions)
        host = flow.compiled_gradient(mu.positions, mu.weights)[:50]
        whole = jax.jit(flow.gradient)(mu.positions, mu.weights)[:50]
    np.testing.assert_allclose(host, whole, atol=1e-5 * np.abs(whole).max())


@pytest.mark.long
def test_an_ensemble_takes_it_run_by_run():
    F, metric = pearson(1)
    mu = jko.Gaussian.of(0.2, 0.5, dimension=1).sample(30, seed=0)
    scheme = PreconditionedLangevin(metric=metric)
    alone = jko.flow(F, mu, PreconditionedLangevin(metric=metric, seed=1), tau=0.01, n_steps=4)
    runs = jko.ensemble(F, mu, scheme, over={"seed": [0, 1]}, tau=0.01, n_steps=4)
    assert float(runs["mean"].values[1, -1, 0]) == pytest.approx(float(alone.final.mean()[0]), rel=1e-9)


def test_refusals():
    mu = jko.Gaussian.of(0.0, 1.0, dimension=2).sample(20, seed=0)
    F = fn.Entropy() + fn.Potential("quadratic")
    with pytest.raises(TypeError, match="metric"):
        PreconditionedLangevin()
    with pytest.raises(TypeError, match="metric: expected a symmetric positive definite matrix"):
        PreconditionedLangevin(metric="A")
    for metric, match in (
        (np.eye(3), r"expected a matrix of shape \(2, 2\)"),
        (lambda x: jnp.diag(x), "expected a symmetric positive definite matrix, got"),
        (lambda x: x, r"expected a matrix of shape \(2, 2\) at a point of shape \(2,\), got \(2,\)"),
    ):
        with pytest.raises((TypeError, ValueError), match=match):
            PreconditionedLangevin(metric=metric).prepare(F, mu)
    with pytest.raises(ValueError, match="does not take Power"):
        PreconditionedLangevin(metric=A).prepare(fn.Power(2), mu)
    assert PreconditionedLangevin(metric=A).displacement_modulus(F, mu) is None
