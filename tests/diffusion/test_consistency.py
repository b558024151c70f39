"""The consistency function is constant along the paths of the probability flow."""

from dataclasses import replace

import numpy as np
import pytest

import jko
from jko import diffusion
from jko.diffusion.tolerances import TOLERANCES

SCHEDULE = diffusion.Schedule.variance_preserving(0.1, 12.0)
LAW = diffusion.NoisedMixture([[-1.0, 0.3], [0.9, -0.4]], [0.15, 0.25], [0.4, 0.6], schedule=SCHEDULE)
END = 0.02
f = diffusion.ConsistencyFunction(LAW, END)


@pytest.mark.slow
def test_it_is_constant_along_paths_and_the_identity_at_the_end():
    start = LAW.sample(40, 0.9, seed=0)
    paths = SCHEDULE.sde().probability_flow(LAW.score).transport(start, [0.9, 0.5, 0.2], substeps=200)
    ends = f(np.concatenate(paths.positions), np.repeat(paths.times, 40)).reshape(3, 40, 2)
    np.testing.assert_allclose(ends[1:], ends[[0, 0]], atol=1e-7)
    points = np.concatenate(paths.positions)
    np.testing.assert_allclose(f(points, END), points, atol=1e-12)


@pytest.mark.slow
def test_of_one_gaussian_it_is_the_affine_map():
    """The ODE of the same law, solved without the knowledge that there is a closed form."""
    covariance = np.array([[[0.5, 0.2], [0.2, 0.3]]])
    gaussian = diffusion.NoisedMixture([[1.0, -0.5]], covariance, schedule=SCHEDULE)
    closed = diffusion.ConsistencyFunction(gaussian, END)
    solved = diffusion.ConsistencyFunction(gaussian.score, END, schedule=SCHEDULE)
    assert (closed.closed_form, solved.closed_form) == (True, False)
    points, t = np.random.default_rng(0).normal(size=(30, 2)), np.linspace(0.03, 1.0, 30)
    np.testing.assert_allclose(closed(points, t), solved(points, t), atol=1e-8)


@pytest.mark.slow
def test_one_step_samples_the_law():
    noise = LAW.sample(120, 1.0, seed=1)
    cloud = jko.Particles(f(noise.positions, 1.0)[:, :1])
    exact = [jko.Particles(LAW.sample(120, END, seed=k).positions[:, :1]) for k in range(2, 8)]
    floor = np.mean([jko.wasserstein(exact[k], exact[k + 3]) for k in range(3)])
    assert np.mean([jko.wasserstein(cloud, one) for one in exact]) < 2.0 * floor


def test_refusals(monkeypatch):
    with pytest.raises(ValueError, match=r"t: expected times from end = 0\.02 to 1, got 0\.01"):
        f(np.zeros((1, 2)), 0.01)
    with pytest.raises(ValueError, match=r"points \[n, d\] and a time or \[n\]"):
        f(np.zeros((3, 2)), np.ones(2))
    with pytest.raises(ValueError, match="points: expected 2 dimensions as the law has, got 3"):
        f(np.zeros((1, 3)), 0.5)
    with pytest.raises(ValueError, match="points: expected finite numbers"):
        f(np.full((1, 2), np.nan), 0.5)
    with pytest.raises(TypeError, match="a score needs its Schedule"):
        diffusion.ConsistencyFunction(LAW.score, END)
    few = replace(TOLERANCES, most_steps=64)
    monkeypatch.setattr("jko.diffusion.consistency.TOLERANCES", few)
    monkeypatch.setattr(f, "tolerance", 1e-15)
    with pytest.raises(ValueError, match="tolerance: 64 steps change the points"):
        f(np.ones((120, 2)), 1.0)
