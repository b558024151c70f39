"""Time courses against the curves of Gaussians, and what they refuse."""

import numpy as np
import pytest

import jko
from jko.learn import Snapshots, interpolate

ENDS = [jko.Gaussian.of(0.0, 1.0), jko.Gaussian.of(2.0, 0.5), jko.Gaussian.of(1.0, 0.8)]


def test_geodesics_of_gaussians_run_through_all_snapshots():
    course = interpolate(Snapshots([0.0, 2.0, 3.0], ENDS))
    middle = course(1.0)
    assert np.isclose(middle.mean()[0], 1.0)
    assert np.isclose(middle.covariance()[0, 0], 0.75**2)
    assert course(2.0) is ENDS[1]
    assert np.isclose(course(2.5).mean()[0], 1.5)
    clouds = Snapshots([0.0, 2.0], [mu.sample(2000, seed=k) for k, mu in enumerate(ENDS[:2])])
    assert jko.wasserstein(interpolate(clouds)(1.0), middle.sample(2000, seed=7)) < 0.1


def test_bridges_spread_by_their_temperature_and_tend_to_geodesics():
    seen = Snapshots([0.0, 2.0], ENDS[:2])
    wide, narrow = (interpolate(seen, "schrodinger", temperature=theta)(1.0) for theta in (0.3, 1e-6))
    assert wide.covariance()[0, 0] > narrow.covariance()[0, 0]
    assert np.isclose(narrow.covariance()[0, 0], 0.75**2, rtol=1e-4)
    # between points it is the Brownian bridge: 2θ(t − s)(u − t)/(u − s)
    points = Snapshots([1.0, 3.0], [np.zeros((1500, 1)), np.full((1500, 1), 4.0)])
    half = interpolate(points, "schrodinger", temperature=0.2)(1.5)
    assert np.isclose(half.mean()[0], 1.0, atol=0.05)
    assert np.isclose(half.covariance()[0, 0], 2 * 0.2 * 0.5 * 1.5 / 2.0, rtol=0.15)


def test_what_has_no_course_is_refused_in_one_sentence():
    seen = Snapshots([0.0, 2.0], ENDS[:2])
    with pytest.raises(ValueError, match="t: expected a time from 0 to 2, got 3"):
        interpolate(seen)(3.0)
    with pytest.raises(ValueError, match="temperature: a bridge needs one"):
        interpolate(seen, "schrodinger")
    with pytest.raises(ValueError, match="snapshots: expected measures of one kind, got Gaussian, Particles"):
        interpolate(Snapshots([0.0, 1.0], [ENDS[0], np.zeros((3, 1))]))
