"""Rollouts and scores: against the law, and beside the floor and the baselines."""

import numpy as np
import pytest

import jko
from jko.learn import Quadratic, fit, score
from jko.learn.scoring import distances
from tests.learn.laws import ornstein_uhlenbeck


def ou(n, seed):
    A, start = np.array([[1.0, 0.3], [0.3, 2.0]]), (np.array([2.0, 1.0]), 0.05 * np.eye(2))
    return ornstein_uhlenbeck(A, np.zeros(2), 0.3, *start, [0.0, 0.3, 0.6], n, seed)


def test_distances_of_two_points_and_their_shift():
    x = np.array([[0.0, 0.0], [10.0, 0.0]])
    found = distances(jko.Particles(x), jko.Particles(x + np.array([3.0, 4.0])))
    assert np.isclose(found["W1"], 5.0)
    assert np.isclose(found["W2"], 5.0)
    apart = distances(jko.Particles([[0.0]]), jko.Particles([[2.0]]))
    assert np.isclose(apart["energy"], 2.0)  # (2·2 − 0 − 0)^½


@pytest.mark.slow
def test_the_right_functional_reaches_the_floor_and_standing_still_does_not():
    seen, held = ou(1500, 0), ou(800, 1)
    found = fit(seen, potential=Quadratic(), temperature=0.3)
    scored = score(found, held, most=400)
    assert scored.times.tolist() == [0.3, 0.6]
    # clouds of 500 against halves of 500: the same law
    assert scored.mean("W2") < 1.3 * scored.mean("W2", "floor")
    assert scored.mean("W2", "standing still") > 2.0 * scored.mean("W2")
    assert scored.mean("W2", "affine") < 1.3 * scored.mean("W2", "floor")
    assert np.isnan(scored.table["mccann"]["W1"][-1])
    assert "standing still" in str(scored)


@pytest.mark.long
def test_predictions_stop_at_the_times_asked_for_and_begin_anywhere():
    seen = ou(2000, 0)
    found = fit(seen, potential=Quadratic(), temperature=0.3)
    run = found.predict(seen[1], [0.3, 0.45, 0.9])
    assert run.times.tolist() == [0.3, 0.45, 0.9]
    assert len(run.measures) == len(run.energy) == 3
    start = jko.Gaussian([2.0, 1.0], 0.05 * np.eye(2))
    exact = found.predict(start, tau=0.005).final
    cloud = found.predict(start.sample(4000, seed=3), tau=0.02).final
    assert np.allclose(exact.mean(), cloud.mean(), atol=0.04)
    assert np.allclose(exact.covariance(), cloud.covariance(), atol=0.03)


def test_what_cannot_be_predicted_is_refused_in_one_sentence():
    found = fit(ou(200, 0), potential=Quadratic(), refinement=0)
    with pytest.raises(ValueError, match="mu0: expected 2 dimensions, the snapshots', got 1"):
        found.predict(np.zeros((5, 1)))
    with pytest.raises(ValueError, match="times: expected two or more increasing times"):
        found.predict(np.zeros((5, 2)), [0.3, 0.0])
    with pytest.raises(TypeError, match="fit: expected what"):
        score("fit", ou(200, 0))
