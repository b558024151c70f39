"""Learnt scores against exact ones."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

import jko
from jko import diffusion
from jko.diffusion.coefficients import at_points

SCHEDULE = diffusion.Schedule.variance_preserving(0.1, 12.0)
MEANS, COVARIANCES = np.array([[-1.0, 0.3], [0.9, -0.4]]), np.array([0.15, 0.25])
LAW = diffusion.NoisedMixture(MEANS, COVARIANCES, [0.4, 0.6], schedule=SCHEDULE)
TINY = diffusion.Training(steps=1500, batch=128, width=16, depth=2, rate=1e-2)


def learn(data, training=TINY):
    return diffusion.score_matching(data, SCHEDULE, start=0.05, training=training, progress=False)


def data(n, seed):
    generator = np.random.default_rng(seed)
    part = generator.choice(2, size=n, p=[0.4, 0.6])
    noise = generator.normal(size=(n, 2)) * np.sqrt(COVARIANCES[part])[:, None]
    return jko.Particles(MEANS[part] + noise)


@pytest.fixture(scope="module")
def learnt():
    return learn(data(20_000, 0))


@pytest.mark.slow
def test_the_score_of_a_mixture_is_learnt(learnt):
    for t, share in ((0.1, 0.25), (0.5, 0.05), (1.0, 0.01)):
        points = LAW.sample(1000, t, seed=1).positions
        exact = at_points(LAW.score, points, t)
        error = at_points(learnt, points, t) - exact
        assert np.sqrt(np.sum(error**2) / np.sum(exact**2)) < share


@pytest.mark.slow
def test_a_gradient_is_conservative_and_a_plain_field_is_seen_not_to_be(learnt):
    points = LAW.sample(50, 0.1, seed=2).positions

    def ellipse(s):
        return jnp.array([jnp.cos(2 * jnp.pi * s), 0.7 * jnp.sin(2 * jnp.pi * s)])

    assert np.abs(diffusion.curl(learnt, points, 0.1)).max() < 1e-10
    assert abs(diffusion.circulation(learnt, ellipse, 0.1)) < 1e-9
    plain = learn(data(20_000, 0), replace(TINY, gradient=False))
    assert np.abs(diffusion.curl(plain, points, 0.1)).max() > 1e-2
    assert abs(diffusion.circulation(plain, ellipse, 0.1)) > 1e-3
    exact, found = (at_points(score, points, 0.1) for score in (LAW.score, plain))
    assert np.sqrt(np.sum((found - exact) ** 2) / np.sum(exact**2)) < 0.25


@pytest.mark.slow
def test_line_integrals_give_the_density_up_to_a_constant(learnt):
    points = LAW.sample(60, 0.3, seed=3).positions
    found = diffusion.log_density_difference(learnt, points[:30], points[30:], 0.3)
    exact = at_points(lambda x, t: LAW.log_density(x, t)[None], points, 0.3)[:, 0]
    assert np.sqrt(np.mean((found - (exact[30:] - exact[:30])) ** 2)) < 0.15


def test_a_gaussian_is_known_before_any_training():
    """The Gaussian part of the prediction is exact, and what is left to learn is nothing."""
    gaussian = jko.Gaussian([2.0, -1.0], 0.3 * np.eye(2))
    score = learn(gaussian, replace(TINY, steps=50))
    law = diffusion.NoisedMixture([gaussian.mean()], 0.3, schedule=SCHEDULE)
    points = law.sample(500, 0.2, seed=0).positions
    exact = at_points(law.score, points, 0.2)
    assert np.sqrt(np.mean((at_points(score, points, 0.2) - exact) ** 2)) < 0.1 * np.std(exact)
    assert score.network.losses[-1] == pytest.approx(2.0, abs=0.5)  # d, the noise that cannot be told


def test_refusals(learnt):
    with pytest.raises(ValueError, match=r"t: expected a time from 0.05 to 1, got 0.01"):
        learnt(np.zeros(2), 0.01)
    with pytest.raises(ValueError, match=r"x: expected a point of shape \[2\], got \[1\]"):
        learnt(np.zeros(1), 0.5)
    with pytest.raises(TypeError, match="schedule: expected a Schedule"):
        diffusion.score_matching(data(10, 0), "cosine")
    with pytest.raises(ValueError, match="must be finite and fall with time"):
        diffusion.score_matching(data(10, 0), SCHEDULE, start=0.0)
    with pytest.raises(TypeError, match="data: expected Particles"):
        diffusion.score_matching(np.zeros((3, 2)), SCHEDULE)
