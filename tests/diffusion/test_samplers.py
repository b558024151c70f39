"""Samplers on exact scores against the exact flow."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

import jko
from jko import diffusion
from jko.diffusion.coefficients import at_points

SCHEDULE = diffusion.Schedule.variance_preserving(0.1, 12.0)
LAW = diffusion.NoisedMixture([[-1.0, 0.3], [0.9, -0.4]], [0.15, 0.25], [0.4, 0.6], schedule=SCHEDULE)
START, END = 1.0, 0.05
CLOUD = LAW.sample(100, START, seed=0)


@pytest.fixture(scope="module")
def exact():
    flow = SCHEDULE.sde().probability_flow(LAW.score)
    return flow.transport(CLOUD, [START, END], substeps=800).final.positions


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "order"), [("euler", 1), ("heun", 2), ("dpm-solver-1", 1), ("dpm-solver-2", 2)]
)
def test_observed_orders(method, order, exact):
    errors = []
    for steps in (160, 320):
        final = diffusion.sample(LAW.score, SCHEDULE, CLOUD, START, END, steps=steps, method=method)
        errors.append(np.sqrt(np.mean((final.positions - exact) ** 2)))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)


def test_under_a_gaussian_of_unit_variance_the_flow_stands_still():
    """N(0, I) is invariant, though both parts of the exponential step move."""
    law = diffusion.NoisedMixture([[0.0, 0.0]], 1.0, schedule=SCHEDULE)
    final = diffusion.sample(law.score, SCHEDULE, CLOUD, 0.9, 0.1, steps=400, method="dpm-solver-2")
    np.testing.assert_allclose(final.positions, CLOUD.positions, rtol=2e-4)


def test_twenty_steps_of_second_order_sample_a_mixture():
    start = LAW.sample(8000, START, seed=1)
    final = diffusion.sample(LAW.score, SCHEDULE, start, START, END, steps=20, method="dpm-solver-2")
    direct = LAW.sample(8000, END, seed=2)
    for axis in range(2):
        one, two = (jko.Particles(cloud.positions[:, axis]) for cloud in (final, direct))
        assert jko.wasserstein(one, two) < 0.04


STD, MEAN = 0.5, 1.2
WIDE = diffusion.NoisedMixture([0.0], 1.0, schedule=SCHEDULE)
NARROW = diffusion.NoisedMixture([MEAN], STD**2, schedule=SCHEDULE)


@pytest.mark.slow
def test_guidance_between_gaussians_is_the_known_law():
    """With k = 1 − s², u = 1 − a²k: dx/da = w(m − a k x)/u, a from 0 to 1, is solved by x = u^{w/2} y(a)."""
    late, weight = 1.0, 2.5
    a0, a1 = (float(SCHEDULE.alpha(t)) for t in (late, 0.02))
    k = 1.0 - STD**2

    def spread(a):
        return (1.0 - a * a * k) ** (weight / 2.0)

    pushed = quad(lambda a: weight * MEAN / (1.0 - a * a * k) / spread(a), a0, a1)[0]
    points = np.linspace(-2.0, 2.0, 9)[:, None]
    expected = spread(a1) * (points / spread(a0) + pushed)
    score = diffusion.guided(NARROW.score, WIDE.score, weight)
    final = diffusion.sample(
        score, SCHEDULE, jko.Particles(points), late, 0.02, steps=800, method="dpm-solver-2"
    )
    np.testing.assert_allclose(final.positions, expected, atol=2e-4)


@pytest.mark.slow
def test_guidance_of_a_mixture_samples_the_density_that_its_flow_carries():
    """On the line a flow keeps the order: the sampler takes the quantile of q to where ∫p = q."""
    law = diffusion.NoisedMixture([-1.0, 1.0], [0.15, 0.25], [0.4, 0.6], schedule=SCHEDULE)
    chosen = diffusion.NoisedMixture([1.0], 0.25, schedule=SCHEDULE)
    score, end = diffusion.guided(chosen.score, law.score, 2.5), 0.1
    q, start = np.array([0.1, 0.3, 0.5, 0.7, 0.9]), jko.Gaussian([0.0], [[1.0]])
    noise = jko.Particles(norm.ppf(q)[:, None])
    final = diffusion.sample(score, SCHEDULE, noise, 1.0, end, steps=80, method="dpm-solver-2").positions
    grid = jko.Grid.uniform(-3.0, 4.0, 400)
    flow = SCHEDULE.sde().probability_flow(score)
    log_density = flow.log_density(grid.points, start.log_density_function, [1.0, end], substeps=100)
    mass = np.append(0.0, np.cumsum(np.exp(log_density)) * grid.cell_volume)
    assert mass[-1] == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(np.interp(final[:, 0], grid.edges[0], mass), q, atol=1e-3)
    # a weight above 1 overshoots the component
    conditional = float(SCHEDULE.alpha(end))
    assert final[2, 0] > conditional + 0.1


def test_a_linear_reward_tilts_a_mixture_into_a_mixture():
    """e^{a·x} shifts every component by S a and multiplies its weight by e^{a·m + ½a·Sa}."""
    S = np.array([[[0.3, 0.1], [0.1, 0.2]], [[0.2, -0.05], [-0.05, 0.4]]])
    law, a = diffusion.NoisedMixture(LAW.means, S, [0.4, 0.6], schedule=SCHEDULE), np.array([1.2, -0.6])
    weights = law.weights * np.exp(law.means @ a + 0.5 * np.einsum("kab,a,b->k", S, a, a))
    exact = diffusion.NoisedMixture(law.means + S @ a, S, weights, schedule=SCHEDULE)
    tilted = diffusion.TiltedMixture(law, lambda x: 0.5 * (1.2 * x[0] - 0.6 * x[1]), 0.5, nodes=16)
    assert tilted.log_normalisation == pytest.approx(np.log(weights.sum()), abs=1e-12)
    for t in (0.01, 0.4, 1.0):
        found, known = (at_points(one.score, CLOUD.positions, t) for one in (tilted, exact))
        np.testing.assert_allclose(found, known, atol=1e-9)


def test_refusals():
    with pytest.raises(ValueError, match="method: expected one of 'euler'"):
        diffusion.sample(LAW.score, SCHEDULE, CLOUD, 1.0, 0.1, steps=3, method="ddim")
    with pytest.raises(ValueError, match="must be finite and fall with time"):
        diffusion.sample(LAW.score, SCHEDULE, CLOUD, 1.0, 0.0, steps=3, method="heun")
