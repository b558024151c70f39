"""Samplers on exact scores against the exact flow."""

import numpy as np
import pytest
from scipy.integrate import quad

import jko
from jko import diffusion

SCHEDULE = diffusion.Schedule.variance_preserving(0.1, 12.0)
LAW = diffusion.NoisedMixture([[-1.0, 0.3], [0.9, -0.4]], [0.15, 0.25], [0.4, 0.6], schedule=SCHEDULE)
START, END = 1.0, 0.05
CLOUD = LAW.sample(100, START, seed=0)


@pytest.fixture(scope="module")
def exact():
    flow = SCHEDULE.sde().probability_flow(LAW.score)
    return flow.transport(CLOUD, [START, END], substeps=800).final.positions


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


def test_guidance_moves_a_mixture_towards_its_component():
    component = diffusion.NoisedMixture(LAW.means[:1], 0.15, schedule=SCHEDULE)
    start = LAW.sample(2000, START, seed=3)
    score = diffusion.guided(component.score, LAW.score, 1.0)
    final = diffusion.sample(score, SCHEDULE, start, START, END, steps=40, method="heun")
    alpha = float(SCHEDULE.alpha(END))
    np.testing.assert_allclose(final.mean(), alpha * LAW.means[0], atol=0.04)


def test_refusals():
    with pytest.raises(ValueError, match="method: expected one of 'euler'"):
        diffusion.sample(LAW.score, SCHEDULE, CLOUD, 1.0, 0.1, steps=3, method="ddim")
    with pytest.raises(ValueError, match="must be finite and fall with time"):
        diffusion.sample(LAW.score, SCHEDULE, CLOUD, 1.0, 0.0, steps=3, method="heun")
