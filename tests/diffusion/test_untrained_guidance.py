"""Guidance by the gradient of a loss, its bias, and what takes the bias away, against the exact posterior."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jko
from jko import diffusion
from jko.diffusion import LinearObservation, NoisedMixture, Schedule
from jko.diffusion.coefficients import at_points

SCHEDULE = Schedule.variance_preserving(0.1, 20.0)
LAW = NoisedMixture([[-1.5, 0.0], [1.0, 0.8], [0.5, -1.2]], 0.15, [0.3, 0.4, 0.3], schedule=SCHEDULE)
OBSERVATION = LinearObservation([[1.0, 0.6]], [0.4], 0.5)


def test_the_posterior_is_the_mixture_times_the_likelihood():
    """Up to one constant, at any points."""
    points = np.random.default_rng(0).normal(size=(40, 2))
    posterior = OBSERVATION.posterior(LAW)
    difference = at_points(
        lambda x, t: posterior.log_density(x, 0.0) - LAW.log_density(x, 0.0) + OBSERVATION(x), points, 0.0
    )
    np.testing.assert_allclose(difference, difference[0], atol=1e-10)


def test_the_denoised_point_has_two_forms():
    points = np.random.default_rng(1).normal(size=(20, 2))
    one = at_points(diffusion.denoiser(LAW.score, SCHEDULE), points, 0.4)
    np.testing.assert_allclose(one, at_points(LAW.denoised, points, 0.4), atol=1e-10)


@pytest.mark.long
@pytest.mark.parametrize("unit", [1.0, 1e-3])
def test_the_bias_of_posterior_sampling_on_a_gaussian_is_the_one_predicted(unit):
    """One Gaussian: guidance is affine, so that its law follows from two ODEs, solved here by themselves.

    For N(0, s²I) observed whole with noise n, x̂₀ = γx with γ = αs²/(α²s² + σ²): the guided score is
    −x/(α²s² + σ²) + γ(y − γx)/n², of which mean and variance along the probability flow are integrated.
    """
    s, n, y = 1.2 * unit, 0.5 * unit, 0.9 * unit
    schedule = Schedule(SCHEDULE.alpha, lambda t: unit * SCHEDULE.sigma(t))
    law = NoisedMixture([[0.0]], s**2, schedule=schedule)
    observation = LinearObservation([[1.0]], [y], n)
    times = diffusion.even_times(schedule, 1.0, 1e-3, 400)
    score = diffusion.loss_guided(law.score, schedule, observation)
    two = jko.Particles(np.array([[0.0], [unit]]))
    final = diffusion.sample(score, schedule, two, 1.0, 1e-3, steps=400, method="dpm-solver-2").positions
    middles = 0.5 * (times[1:] + times[:-1])
    mean, slope = 0.0, 1.0

    def coefficients(moments):
        """Of d/dt m = linear·m + push, and the push, at times."""
        with jax.enable_x64(True):
            a, sigma, rate, square = (
                np.asarray(jax.vmap(f)(jnp.asarray(moments)))
                for f in (schedule.alpha, schedule.sigma, schedule.rate, schedule.squared_noise)
            )
        total = a**2 * s**2 + sigma**2
        gain = a * s**2 / total
        return np.stack(
            [rate + 0.5 * square * (1.0 / total + gain**2 / n**2), -0.5 * square * gain * y / n**2]
        )

    for dt, first, half in zip(
        np.diff(times), coefficients(times[:-1]).T, coefficients(middles).T, strict=True
    ):
        middle = mean + 0.5 * dt * (first[0] * mean + first[1])
        mean += dt * (half[0] * middle + half[1])
        slope += dt * half[0] * (slope + 0.5 * dt * first[0] * slope)
    assert final[0, 0] == pytest.approx(mean, rel=2e-3)
    assert final[1, 0] - final[0, 0] == pytest.approx(slope * unit, rel=2e-3)
    exact = (1.0 / s**2 + 1.0 / n**2) ** -1
    # the spread is right neither: less than that of the posterior
    assert slope * unit < 0.9 * np.sqrt(exact)


@pytest.mark.long
def test_exact_guidance_and_twisted_particles_meet_the_posterior_and_posterior_sampling_does_not():
    posterior = OBSERVATION.posterior(LAW)
    noise = jko.Particles(np.random.default_rng(2).normal(size=(4000, 2)))
    exact = _moments(posterior.sample(400_000, 0.0, seed=3))

    def flow(score):
        return diffusion.sample(score, SCHEDULE, noise, 1.0, 1e-3, steps=60, method="dpm-solver-2")

    twisted = diffusion.twisted_sampler(LAW.score, SCHEDULE, OBSERVATION, noise, 1.0, 1e-3, steps=100, seed=4)
    biased = _moments(flow(diffusion.loss_guided(LAW.score, SCHEDULE, OBSERVATION)))
    # of 4000 draws a share has a deviation of 0.008, and of those that are resampled more
    for found in (flow(posterior.score), twisted.particles):
        np.testing.assert_allclose(_moments(found), exact, atol=0.09)
    assert np.abs(biased - exact).max() > 0.18
    assert twisted.effective.min() > 400


def _moments(cloud):
    """Mean and shares of the three parts."""
    x, w = cloud.positions, cloud.weights
    nearest = np.argmin(((x[:, None] - LAW.means) ** 2).sum(axis=2), axis=1)
    return np.concatenate([w @ x, np.bincount(nearest, w, minlength=3)])


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: LinearObservation([[1.0, 0.0]], [1.0, 2.0], 0.1), ValueError, "matrix, value"),
        (lambda: LinearObservation([[1.0]], [1.0], 0.0), ValueError, "noise"),
        (lambda: LinearObservation([[1.0]], [1.0], 0.1).posterior(LAW), ValueError, "dimensions"),
        (lambda: diffusion.loss_guided(LAW.score, SCHEDULE, 3.0), TypeError, "loss"),
        (lambda: diffusion.spread_guided(LAW.score, SCHEDULE, jnp.sum), TypeError, "LinearObservation"),
    ],
)
def test_refusals(call, error, text):
    with pytest.raises(error, match=text):
        call()
