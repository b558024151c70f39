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


@pytest.mark.parametrize("unit", [1.0, 1e3])
def test_a_curve_takes_of_the_bend_what_each_time_left_out_shows(unit):
    """Clouds that move by a parabola are met wholly, between the times too; those of a zigzag go straight."""
    x = np.random.default_rng(0).standard_normal((300, 2))
    path = lambda t: unit * np.array([t, 0.5 * t**2])  # noqa: E731
    times = [0.0, 1.0, 2.5, 3.0, 4.0]
    course = interpolate(Snapshots(times, [unit * x + path(t) for t in times]), "curved")
    assert np.isclose(course.bent, 1.0)
    assert np.allclose(course(1.7).mean(), unit * x.mean(axis=0) + path(1.7), rtol=1e-9)
    assert course(2.5) is course.snapshots[2]
    assert interpolate(course.snapshots, "displacement").bent == 0.0
    zigzag = [unit * (x + np.array([0.0, (-1.0) ** k])) for k in range(5)]
    assert interpolate(Snapshots(range(5), zigzag), "curved").bent == 0.0


def test_what_has_no_course_is_refused_in_one_sentence():
    seen = Snapshots([0.0, 2.0], ENDS[:2])
    with pytest.raises(ValueError, match="t: expected a time from 0 to 2, got 3"):
        interpolate(seen)(3.0)
    with pytest.raises(ValueError, match="temperature: a bridge needs one"):
        interpolate(seen, "schrodinger")
    with pytest.raises(ValueError, match="snapshots: a curve is chosen by four or more clouds, got 2"):
        interpolate(seen, "curved")
    four = Snapshots(range(4), [jko.Gaussian([0.0], [[1.0]])] * 4)
    with pytest.raises(ValueError, match="four or more clouds, got 4 of Gaussian: "):
        interpolate(four, "curved")
    with pytest.raises(ValueError, match="snapshots: expected measures of one kind, got Gaussian, Particles"):
        interpolate(Snapshots([0.0, 1.0], [ENDS[0], np.zeros((3, 1))]))


def grown(n, m, unit=1.0, seed=0):
    """Two clouds of masses 1 and about 1.8 on lengths of `unit`."""
    rng = np.random.default_rng(seed)
    before = jko.Population(unit * rng.normal(size=(n, 2)), rng.uniform(0.5, 1.5, n) / n)
    after = unit * (0.6 * rng.normal(size=(m, 2)) + [1.0, 0.0])
    return Snapshots([0.0, 2.0], [before, jko.Population(after, 1.8 * rng.uniform(0.5, 1.5, m) / m)])


@pytest.mark.parametrize("unit", [1.0, 1e3])
def test_growth_runs_at_constant_speed_in_the_distance_of_hellinger_and_kantorovich(unit):
    """The distances come from the convex program once more, of the middle and either end."""
    seen, length = grown(25, 20, unit), 0.7 * unit
    whole = jko.transport.hellinger_kantorovich(seen[0], seen[1], length).distance
    course = interpolate(seen, "growth", length=length)
    for t in (0.6, 1.0):
        now = course(t)
        ends = [jko.transport.hellinger_kantorovich(mu, now, length).distance for mu in seen.measures]
        assert ends == pytest.approx([0.5 * t * whole, (1.0 - 0.5 * t) * whole], rel=1e-5)
    # along a geodesic of the cone the mass is a parabola with the second difference 2HK²/4δ²
    masses = [seen[0].mass, course(1.0).mass, seen[1].mass]
    assert masses[0] - 2.0 * masses[1] + masses[2] == pytest.approx(
        0.5 * whole**2 / (4.0 * length**2), rel=1e-5
    )


def test_growth_of_points_far_and_near():
    def course(apart):
        one, two = (jko.Population(np.array([[x, 0.0]]), [mass]) for x, mass in ((0.0, 1.0), (apart, 4.0)))
        return interpolate(Snapshots([0.0, 1.0], [one, two]), "growth", length=0.5)(0.5)

    far = course(2.0)  # beyond πδ: the first dies as (1 − t)², the second is born as t²
    assert far.positions[:, 0] == pytest.approx([0.0, 2.0])
    assert far.weights == pytest.approx([0.25, 1.0])
    near = course(0.6)
    assert near.mass == pytest.approx(0.25 * (1.0 + 4.0 + 4.0 * np.cos(0.6)))
    way = np.arctan2(np.sin(0.6), 0.5 + np.cos(0.6))  # of the angle .6: tan α = 2 sin θ/(1 + 2 cos θ)
    assert near.positions[0, 0] == pytest.approx(0.6 * way / 0.6)


def test_large_clouds_are_coupled_part_by_part(monkeypatch):
    """Marginals to rounding, whatever the weights; the cost within a hundredth of the least."""
    from jko.learn import couplings

    generator = np.random.default_rng(0)
    mu, nu = (
        jko.Particles(scale * generator.normal(size=(n, 2)), generator.dirichlet(np.ones(n)))
        for n, scale in ((700, 1.0), (500, 2.0))
    )
    exact = jko.wasserstein(mu, nu) ** 2
    monkeypatch.setattr(couplings, "MOST_ATOMS", 400)
    monkeypatch.setattr(couplings, "PART", 150)
    done = []
    plan = couplings.optimal_coupling(mu, nu, lambda: done.append(1))
    assert len(done) == couplings.parts_of(mu, nu) == 25
    assert np.allclose(np.bincount(plan.rows, plan.weights, mu.n), mu.weights, rtol=1e-9)
    assert np.allclose(np.bincount(plan.columns, plan.weights, nu.n), nu.weights, rtol=1e-9)
    cost = plan.weights @ np.sum((mu.positions[plan.rows] - nu.positions[plan.columns]) ** 2, axis=1)
    assert exact * (1.0 - 1e-9) <= cost < 1.01 * exact
    halfway = interpolate(Snapshots([0.0, 1.0], [mu, nu]))(0.5)
    assert halfway.n == len(plan.rows)
    assert jko.wasserstein(mu, halfway) ** 2 == pytest.approx(0.25 * exact, rel=0.02)


def test_growth_says_what_it_needs():
    seen = grown(6, 5)
    with pytest.raises(ValueError, match=r"snapshots: expected populations of mass 1, got .*normalized"):
        interpolate(seen)
    with pytest.raises(ValueError, match="snapshots: expected populations of mass 1"):
        jko.learn.fit(seen, jko.learn.Quadratic())
    with pytest.raises(ValueError, match="length: growth needs one"):
        interpolate(seen, "growth")
    with pytest.raises(ValueError, match="growth is between clouds"):
        interpolate(Snapshots([0.0, 2.0], ENDS[:2]), "growth", length=1.0)
    with pytest.raises(ValueError, match='length: it is for kind="growth" alone'):
        interpolate(Snapshots([0.0, 2.0], ENDS[:2]), length=1.0)
