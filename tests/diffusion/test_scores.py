"""Scores, their line integrals, densities along flows, and the four parametrisations."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jko
from jko import diffusion
from jko.diffusion.coefficients import at_points

SCHEDULE = diffusion.Schedule.variance_preserving(0.1, 12.0)
SKEW = np.array([[[0.3, 0.1], [0.1, 0.2]], [[0.2, -0.05], [-0.05, 0.4]], [[0.1, 0.0], [0.0, 0.1]]])
LAW = diffusion.NoisedMixture(
    [[-1.0, 0.0], [1.0, 0.5], [0.2, -1.2]], SKEW, [0.5, 0.3, 0.2], schedule=SCHEDULE
)
POINTS = np.random.default_rng(0).normal(size=(40, 2))


def circle(s):
    return jnp.array([jnp.cos(2 * jnp.pi * s), 0.2 + 0.7 * jnp.sin(2 * jnp.pi * s)])


def rotating(x, t):
    return LAW.score(x, t) + jnp.array([-x[1], x[0]])


def log_density(points, t):
    return at_points(LAW.log_density, points, t)


@pytest.mark.slow
def test_the_noised_mixture_solves_the_fokker_planck_equation_of_its_schedule():
    sde = SCHEDULE.sde()

    def residual(x, t):
        """∂ₜ log p + ∇·v + v·∇log p, v the velocity of the probability flow: 0 for the law."""
        v = sde.probability_flow(LAW.score).velocity
        spread = jnp.trace(jax.jacfwd(v)(x, t))
        return jax.grad(LAW.log_density, argnums=1)(x, t) + spread + v(x, t) @ LAW.score(x, t)

    with jax.enable_x64(True):
        residuals = jax.jit(jax.vmap(residual, in_axes=(0, None)))
        for t in (0.05, 0.3, 0.9):
            assert np.abs(residuals(jnp.asarray(POINTS), t)).max() < 1e-8


def test_the_mixture_has_mass_one_and_its_samples_its_moments():
    grid = jko.Grid.uniform((-5.0, -5.0), (5.0, 5.0), (100, 100))
    assert np.exp(log_density(grid.points, 0.2)).sum() * grid.cell_volume == pytest.approx(1.0, abs=1e-8)
    cloud, rho = LAW.sample(40_000, 0.2, seed=0), LAW.on(grid, 0.2)
    np.testing.assert_allclose(cloud.mean(), rho.mean(), atol=0.02)
    np.testing.assert_allclose(cloud.covariance(), rho.covariance(), atol=0.03)


def test_the_kernel_score_of_a_cloud_is_its_score_after_noise():
    h = 0.4
    schedule = diffusion.Schedule(lambda t: jnp.ones_like(t), lambda t: h * jnp.ones_like(t))
    nearly_atoms = diffusion.NoisedMixture(POINTS[:7], 1e-14, schedule=schedule)
    estimate = diffusion.kernel_score(jko.Particles(POINTS[:7]), h)
    found, exact = (at_points(score, POINTS[7:], 0.0) for score in (estimate, nearly_atoms.score))
    np.testing.assert_allclose(found, exact, rtol=1e-9, atol=1e-9)


def test_a_score_is_conservative_and_a_rotation_is_seen():
    assert np.abs(diffusion.curl(LAW.score, POINTS, 0.2)).max() < 1e-10
    assert abs(diffusion.circulation(LAW.score, circle, 0.2)) < 1e-10
    np.testing.assert_allclose(diffusion.curl(rotating, POINTS, 0.2)[:, 1, 0], 2.0, rtol=1e-10)
    # Green's theorem: twice the area of the ellipse
    assert diffusion.circulation(rotating, circle, 0.2) == pytest.approx(2.0 * np.pi * 0.7, rel=1e-10)
    with pytest.raises(ValueError, match="closed curve"):
        diffusion.circulation(rotating, lambda s: jnp.array([s, 0.0]))


def test_line_integrals_of_the_score_are_differences_of_the_log_density():
    start, end = POINTS[:20], POINTS[20:]
    difference = diffusion.log_density_difference(LAW.score, start, end, 0.2)
    np.testing.assert_allclose(difference, log_density(end, 0.2) - log_density(start, 0.2), atol=1e-9)


def test_the_log_density_along_the_flow_is_exact():
    flow = SCHEDULE.sde().probability_flow(LAW.score)
    for first, last in ((0.9, 0.1), (0.1, 0.9)):
        found = flow.log_density(
            POINTS, lambda x, t=first: LAW.log_density(x, t), [first, last], substeps=300
        )
        np.testing.assert_allclose(found, log_density(POINTS, last), atol=1e-6)


def test_hutchinsons_estimate_is_unbiased_and_knows_its_error():
    """A linear flow: the trace is the same everywhere, and a probe's z·Az is −1.5 ± 1.1."""
    matrix = jnp.array([[-0.5, 0.8], [0.3, -1.0]])
    flow = diffusion.Flow(lambda x, t: matrix @ x)
    start = jko.Gaussian(np.zeros(2), np.eye(2)).log_density_function
    exact = flow.log_density(POINTS, start, [0.0, 1.0])
    values, error = flow.estimated_log_density(POINTS, start, [0.0, 1.0], probes=64, seed=1)
    np.testing.assert_allclose(error, 1.1 / 8.0, rtol=0.1)
    # 40 independent points: each within two errors with a confidence of 95 %, 33 of them with one of 99.9 %
    assert np.sum(np.abs(values - exact) < 2.0 * error) >= 33
    assert np.sqrt(np.mean((values - exact) ** 2)) == pytest.approx(1.1 / 8.0, rel=0.35)


@pytest.mark.slow
def test_parametrisations_go_round():
    """There and back through every other, and straight from the score or by way of the source."""

    def errors(x, t):
        score, found = LAW.score(x, t), []
        for source, target in itertools.permutations(diffusion.PARAMETRISATIONS, 2):
            value = diffusion.convert(score, x, t, SCHEDULE, "score", source)
            there = diffusion.convert(value, x, t, SCHEDULE, source, target)
            found.append(there / diffusion.convert(score, x, t, SCHEDULE, "score", target) - 1.0)
            found.append(diffusion.convert(there, x, t, SCHEDULE, target, source) / value - 1.0)
        return jnp.concatenate(found)

    assert at_points(errors, POINTS, 0.4).shape == (40, 48)
    assert np.abs(at_points(errors, POINTS, 0.4)).max() < 1e-9


@pytest.mark.parametrize("schedule", [SCHEDULE, diffusion.Schedule.straight()])
def test_predictions_about_one_atom_are_the_atom_and_its_noise(schedule):
    """x₀ known: the data prediction is x₀, the noise (x − αx₀)/σ, the velocity α′x₀ + σ′ε."""
    t, atom = 0.3, np.array([0.7, -0.4])
    law = diffusion.NoisedMixture([atom], 1e-15, schedule=schedule)

    def errors(x, t):
        noise = (x - schedule.alpha(t) * atom) / schedule.sigma(t)
        slopes = jax.grad(schedule.alpha)(t), jax.grad(schedule.sigma)(t)
        expected = {"data": atom, "noise": noise, "velocity": slopes[0] * atom + slopes[1] * noise}
        score = law.score(x, t)
        return jnp.stack(
            [
                diffusion.convert(score, x, t, schedule, "score", target) / value - 1.0
                for target, value in expected.items()
            ]
        )

    assert np.abs(at_points(errors, [[0.2, 0.9]], t)).max() < 1e-8


def test_refusals():
    with pytest.raises(ValueError, match="source: expected one of 'noise', 'data'"):
        diffusion.convert(POINTS, POINTS, 0.3, SCHEDULE, "epsilon", "score")
