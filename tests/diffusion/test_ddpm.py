"""The discrete chain against Bayes' rule, quadrature and the exact likelihood of a mixture."""

import numpy as np
import pytest
from scipy.stats import norm

import jko
from jko import diffusion
from jko.diffusion.coefficients import at_points

MEANS, VARIANCES, WEIGHTS = np.array([-1.0, 0.8]), np.array([0.1, 0.2]), np.array([0.4, 0.6])


def law_of(chain, scale=1.0):
    return diffusion.NoisedMixture(scale * MEANS, scale**2 * VARIANCES, WEIGHTS, schedule=chain.schedule)


def log_density(x):
    parts = WEIGHTS * norm.pdf(x[:, None], MEANS, np.sqrt(VARIANCES))
    return np.log(parts.sum(axis=1))


def data(n):
    """The middle of each of n equal quantiles of the mixture."""
    x = np.linspace(-5.0, 5.0, 20_001)
    mass = WEIGHTS @ norm.cdf(x, MEANS[:, None], np.sqrt(VARIANCES)[:, None])
    return jko.Particles(np.interp((np.arange(n) + 0.5) / n, mass, x)[:, None])


def terms_by_quadrature(chain, variance):
    """L₀ … L_T from E|x₀ − x̂₀|² = ∫pₜ Var(x₀ | xₜ) dx on a fine grid, and the entropy of the data."""
    x, found = np.linspace(-9.0, 9.0, 4001), []
    dx, v = x[1] - x[0], chain.variances(variance)
    for t in range(1, chain.steps + 1):
        (a, noise), (b, before) = chain.marginal(t), chain.marginal(t - 1)
        total = a**2 * VARIANCES + noise
        parts = WEIGHTS * norm.pdf(x[:, None], a * MEANS, np.sqrt(total))
        share = parts / np.maximum(parts.sum(axis=1, keepdims=True), 1e-300)
        mean = MEANS + a * VARIANCES / total * (x[:, None] - a * MEANS)
        second = np.sum(share * (VARIANCES * noise / total + mean**2), axis=1)
        variances = second - np.sum(share * mean, axis=1) ** 2
        apart = dx * parts.sum(axis=1) @ variances * (b * chain.betas[t - 1] / noise) ** 2 / v[t - 1]
        ratio = chain.betas[t - 1] * before / noise / v[t - 1]
        spread = np.log(2.0 * np.pi * v[0]) if t == 1 else ratio - 1.0 - np.log(ratio)
        found.append(0.5 * (apart + spread))
    a, noise = chain.marginal(chain.steps)
    found.append(0.5 * (a**2 * WEIGHTS @ (MEANS**2 + VARIANCES) + noise - 1.0 - np.log(noise)))
    return np.array(found), -dx * np.exp(log_density(x)) @ log_density(x)


def test_the_schedules():
    """The linear chain is that of the paper at 1000 steps, and its noise the same at 200; ᾱ of the cosine."""
    linear, cosine = diffusion.DDPM.linear(), diffusion.DDPM.cosine(1000)
    np.testing.assert_allclose(linear.betas, np.linspace(1e-4, 0.02, 1000))
    assert np.log(diffusion.DDPM.linear(200).kept[-1]) == pytest.approx(np.log(linear.kept[-1]), rel=0.05)
    assert np.log(linear.kept[-1]) == pytest.approx(-10.1, abs=0.1)
    t = np.arange(900)
    wanted = np.cos(0.5 * np.pi * (t / 1000 + 0.008) / 1.008) ** 2 / np.cos(0.5 * np.pi * 0.008 / 1.008) ** 2
    np.testing.assert_allclose(cosine.kept[:900], wanted, rtol=1e-10)
    assert cosine.betas.max() == 0.999


def test_marginals_are_those_of_the_steps_and_the_posterior_is_bayes():
    chain = diffusion.DDPM([0.1, 0.3, 0.2, 0.5])
    mean, variance = 1.0, 0.0
    for t, beta in enumerate(chain.betas, 1):
        mean, variance = np.sqrt(1.0 - beta) * mean, (1.0 - beta) * variance + beta
        np.testing.assert_allclose(chain.marginal(t), (mean, variance))
        np.testing.assert_allclose(chain.schedule.at(t), (mean, np.sqrt(variance)))
    x = np.linspace(-6.0, 6.0, 4001)
    for t in (2, 3, 4):
        (a, s2), beta = chain.marginal(t - 1), chain.betas[t - 1]
        joint = norm.pdf(x, 0.7 * a, np.sqrt(s2)) * norm.pdf(-0.4, np.sqrt(1.0 - beta) * x, np.sqrt(beta))
        first = (x @ joint) / joint.sum()
        found, spread = chain.posterior(np.array([-0.4]), np.array([0.7]), t)
        assert found[0] == pytest.approx(first, abs=1e-10)
        assert spread == pytest.approx((x - first) ** 2 @ joint / joint.sum(), rel=1e-8)
    assert chain.posterior(np.array([-0.4]), np.array([0.7]), 1) == (0.7, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("variance", ["forward", "posterior"])
def test_every_term_of_the_bound_is_that_by_quadrature(variance):
    """Six seeds; a term within six of its standard errors over them and 1e-3, the gap within four."""
    chain, cloud = diffusion.DDPM.cosine(20), data(4000)
    score = law_of(chain).score
    found = [chain.bound(score, cloud, seed, variance=variance) for seed in range(6)]
    exact, entropy = terms_by_quadrature(chain, variance)
    terms = np.array([bound.terms for bound in found])
    np.testing.assert_array_less(
        np.abs(terms.mean(axis=0) - exact), 1e-3 + 6.0 * terms.std(axis=0, ddof=1) / np.sqrt(6)
    )
    gaps = np.array([bound.gap(log_density(cloud.positions[:, 0])) for bound in found])
    error = gaps[:, 0].std(ddof=1) / np.sqrt(6)
    assert gaps[:, 0].mean() == pytest.approx(exact.sum() - entropy, abs=4.0 * error + 1e-3)
    assert error < gaps[0, 1]
    assert found[0].total == pytest.approx(found[0].values.mean())


@pytest.mark.parametrize("make", [diffusion.DDPM.linear, diffusion.DDPM.cosine])
def test_the_gap_falls_as_one_over_the_steps_and_with_the_posterior_variance_does_not(make):
    gaps = {}
    for variance in ("forward", "posterior"):
        pairs = [terms_by_quadrature(make(steps), variance) for steps in (100, 200)]
        gaps[variance] = np.array([terms.sum() - entropy for terms, entropy in pairs])
    orders = np.log2(gaps["forward"][:-1] / gaps["forward"][1:])
    np.testing.assert_allclose(orders, 1.0, atol=0.03)
    assert gaps["posterior"].min() > 0.4


@pytest.mark.long
@pytest.mark.parametrize("variance", ["forward", "posterior"])
def test_ancestral_draws_of_a_gaussian_have_the_variance_of_the_linear_recursion(variance):
    """At two scales; the variance of 20 000 draws within 4.5 of its standard errors."""
    chain, n = diffusion.DDPM.linear(40), 20_000
    for scale in (1.0, 30.0):
        law = diffusion.NoisedMixture([0.3 * scale], 0.25 * scale**2, schedule=chain.schedule)
        mean, spread = 0.0, 1.0
        for t in range(40, 0, -1):
            a, noise = chain.marginal(t)
            b, before = chain.marginal(t - 1)
            gain = 0.25 * scale**2 * a / (a**2 * 0.25 * scale**2 + noise)
            of_data = b * chain.betas[t - 1] / noise
            slope = of_data * gain + np.sqrt(1.0 - chain.betas[t - 1]) * before / noise
            mean = slope * mean + of_data * (1.0 - gain * a) * 0.3 * scale
            spread = slope**2 * spread + chain.variances(variance)[t - 1]
        drawn = chain.sample(law.score, n, 1, seed=4, variance=variance).positions
        assert drawn.mean() == pytest.approx(mean, abs=4.5 * np.sqrt(spread / n))
        assert drawn.var() == pytest.approx(spread, rel=4.5 * np.sqrt(2.0 / n))


@pytest.mark.long
def test_a_learnt_denoiser_comes_near_the_bound_of_the_exact_one():
    chain, cloud = diffusion.DDPM.cosine(100), data(20_000)
    score, law = chain.learn(cloud, progress=False), law_of(chain)
    learnt, exact = (chain.bound(s, cloud, 1).total for s in (score, law.score))
    assert exact - 0.02 < learnt < exact + 0.1
    points = law.sample(1000, 50, seed=1).positions
    apart = at_points(score, points, 50.0) - at_points(law.score, points, 50.0)
    assert np.sqrt(np.mean(apart**2)) < 0.1 * np.std(at_points(law.score, points, 50.0))


@pytest.mark.slow
def test_refusals():
    chain = diffusion.DDPM.linear(50)
    law = law_of(chain)
    with pytest.raises(ValueError, match=r"betas: expected numbers \[T\] between 0 and 1"):
        diffusion.DDPM([0.1, 1.0])
    with pytest.raises(ValueError, match="steps: expected more than 20 for these first and last, got 10"):
        diffusion.DDPM.linear(10)
    with pytest.raises(ValueError, match="variance: expected one of 'forward', 'posterior', got 'learnt'"):
        chain.sample(law.score, 3, 1, 0, variance="learnt")
    with pytest.raises(ValueError, match="t: the chain has 50 steps, got 51"):
        chain.marginal(51)
    with pytest.raises(TypeError, match="particles: expected Particles"):
        chain.bound(law.score, np.zeros((3, 1)), 0)
    with pytest.raises(ValueError, match="score: NaN or infinite values"):
        chain.sample(lambda x, t: x * np.nan, 3, 1, 0)
    with pytest.raises(ValueError, match="score: expected times from 0 to 40"):
        chain.bound(law_of(diffusion.DDPM.linear(40)).score, data(10), 0)
    with pytest.raises(ValueError, match="log_density: expected 10 numbers"):
        chain.bound(law.score, data(10), 0).gap(np.zeros(3))
    with pytest.raises(ValueError, match="a chain of one step has no posterior variance"):
        diffusion.DDPM([0.5]).variances("posterior")
