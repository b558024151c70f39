"""Reward tilting: the minimiser is ρ_ref e^{r/β}/Z, and every engine lands there."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko import diffusion

GRID = jko.Grid.uniform(-5.0, 5.0, 200)
STRENGTH = 0.5


def log_reference(x):
    return jnp.logaddexp(-0.5 * jnp.sum((x + 1.0) ** 2) / 0.5, -0.5 * jnp.sum((x - 1.0) ** 2) / 0.4)


def reward(x):
    return 0.6 * jnp.sum(jnp.sin(x)) - 0.1 * jnp.sum(x**2)


F = fn.Reward(reward, log_reference, strength=STRENGTH)
# e^{r/β} on the reference, written out
TILTED = jko.Density.from_function(GRID, lambda x: jnp.exp(log_reference(x) + reward(x) / STRENGTH))
START = jko.Density.gaussian(GRID, mean=-0.5, std=0.8)


def l1(rho):
    return np.abs(rho.values - TILTED.values).sum() * GRID.cell_volume


def test_the_minimiser_is_stationary_and_least():
    variation = F.first_variation(TILTED)
    np.testing.assert_allclose(variation, variation.mean(), atol=1e-10)
    assert F(TILTED) < min(F(START), F(jko.Density.from_function(GRID, lambda x: jnp.exp(log_reference(x)))))
    found = jko.Density.from_function(GRID, lambda x: jnp.exp(F.log_minimiser(x)))
    assert l1(found) < 1e-12


def test_it_is_minus_the_reward_plus_the_divergence():
    by_hand = fn.Potential(lambda x: -reward(x)) + STRENGTH * fn.KL(log_reference)
    assert F(START) == pytest.approx(by_hand(START), rel=1e-13)
    assert F.parts.temperature == STRENGTH


def test_the_finite_volumes_land_on_the_tilted_density():
    run = jko.flow(F, START, jko.limits.FiniteVolume(), tau=0.5, n_steps=120, store_every=120)
    assert l1(run.final) < 1e-4


@pytest.mark.slow
def test_jko_steps_land_on_the_tilted_density():
    run = jko.flow(F, START, jko.steps.BackAndForth(), tau=2.0, n_steps=25, store_every=25)
    assert l1(run.final) < 5e-3


@pytest.mark.slow
def test_langevin_lands_on_the_tilted_density():
    n = 5000
    cloud = START.sample(n, seed=0)
    run = jko.flow(F, cloud, jko.descent.Langevin(seed=1), tau=0.02, n_steps=1500, store_every=1500)
    draws = [jko.wasserstein(TILTED.sample(n, seed=k), TILTED) for k in range(5)]
    assert jko.wasserstein(run.final, TILTED) < 3.0 * np.mean(draws)
    assert jko.wasserstein(START, TILTED) > 10.0 * np.mean(draws)


@pytest.mark.long
def test_the_sampler_guided_by_the_reward_lands_on_the_tilted_density():
    schedule = diffusion.Schedule.variance_preserving(0.1, 20.0)
    variances = np.array([0.5, 0.4])
    reference = diffusion.NoisedMixture([-1.0, 1.0], variances, np.sqrt(variances), schedule=schedule)
    tilted = diffusion.TiltedMixture(reference, reward, STRENGTH)
    assert l1(tilted.on(GRID, 0.0)) < 1e-12
    noise = jko.Particles(np.random.default_rng(0).normal(size=(5000, 1)))
    final = diffusion.sample(tilted.score, schedule, noise, 1.0, 1e-3, steps=40, method="dpm-solver-2")
    floor = np.mean([jko.wasserstein(TILTED.sample(5000, seed=k), TILTED) for k in range(5)])
    assert jko.wasserstein(final, TILTED) < 3.0 * floor


def test_refusals():
    with pytest.raises(TypeError, match="reward: expected a jax function"):
        fn.Reward(1.0, log_reference)
    with pytest.raises(ValueError, match="strength: expected a positive number, got -1"):
        fn.Reward(reward, log_reference, strength=-1)
    with pytest.raises(TypeError, match="reference: expected a measure with a density, or its log"):
        fn.Reward(reward, START.sample(5, seed=0))
