"""Pictures of what was learnt: what they show is what the fit holds."""

import numpy as np
import pytest

import jko
from functionals import pointwise
from jko import plotting


@pytest.fixture(scope="module")
def seen():
    rng = np.random.default_rng(0)
    spread = [np.sqrt(1 / 3 + 5 / 3 * np.exp(-3 * t)) for t in (0.0, 0.2, 0.4)]
    return jko.learn.Snapshots([0.0, 0.2, 0.4], [s * rng.standard_normal((1500, 1)) for s in spread])


@pytest.fixture(scope="module")
def fit(seen):
    with pytest.warns(UserWarning, match="gauge"):
        return jko.learn.fit(
            seen, jko.learn.Quadratic(), interaction=jko.learn.Quadratic(), temperature="fit", refinement=0
        )


def test_a_landscape_shows_v_over_the_data_and_w_over_the_distance(fit):
    of_v, of_w = plotting.plot_landscape(fit).axes
    x, height = of_v.lines[0].get_data()
    expected = pointwise.values(fit.V, np.asarray(x)[:, None])
    assert np.allclose(height, expected - expected.min(), rtol=1e-12)
    assert x[0] < min(fit.snapshots.cloud(0).positions)[0] < max(fit.snapshots.cloud(0).positions)[0] < x[-1]
    r, height = of_w.lines[0].get_data()
    assert np.allclose(height, height[-1] * (r**2 - r[0] ** 2) / (r[-1] ** 2 - r[0] ** 2), rtol=1e-9)


def test_crosses_are_the_null_directions(fit):
    axes = plotting.plot_identifiability(fit.identifiability).axes[0]
    seen, not_seen = (line.get_ydata() for line in axes.lines)
    assert len(not_seen) == len(fit.identifiability.null_directions) > 0
    assert len(seen) + len(not_seen) == fit.identifiability.size


@pytest.mark.long
def test_a_rollout_has_a_panel_a_time_and_a_score_a_line_a_row(fit, seen):
    run = fit.predict(seen[0], seen.times)
    figure = plotting.plot_prediction(run, seen)
    assert [axes.get_title() for axes in figure.axes] == ["t = 0", "t = 0.2", "t = 0.4"]
    score = jko.learn.score(fit, seen, most=100)
    lines = plotting.plot_score(score, "W1").axes[0].lines
    assert np.array_equal(lines[0].get_ydata(), score.table["learnt"]["W1"])
    assert len(lines) == 5


@pytest.mark.slow
def test_what_cannot_be_drawn_is_said(fit, seen):
    run = fit.predict(seen[0], [5.0, 5.5])
    with pytest.raises(ValueError, match="run: stored at none of the snapshots' times"):
        plotting.plot_prediction(run, seen)
    with pytest.raises(ValueError, match="metric: "):
        plotting.plot_score(jko.learn.score(fit, seen, most=50), "W3")


@pytest.mark.slow
@pytest.mark.parametrize("dimension", [2, 4])
def test_landscapes_in_the_plane_and_beyond(dimension):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((150, dimension))
    snapshots = jko.learn.Snapshots([0.0, 0.5], [x, x * np.exp(-0.5)])
    fit = jko.learn.fit(snapshots, jko.learn.Quadratic(), refinement=0)
    labels = [axes.get_ylabel() for axes in plotting.plot_landscape(fit).axes]
    assert labels[1].startswith("V − ")
    assert labels[0] == ("x₂" if dimension == 2 else "second principal axis")
    assert len(plotting.plot_prediction(fit.predict(snapshots[0], [0.0, 0.5]), snapshots).axes) == 2
