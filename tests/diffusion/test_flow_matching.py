"""Learnt flows against the exact ones that they are to learn; rectification; conditional paths."""

import importlib
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jko
from jko import diffusion
from jko.diffusion import matched_flow
from jko.diffusion.coefficients import at_points
from jko.diffusion.coupling import matched

TINY = diffusion.Training(steps=400, batch=128, width=16, depth=2, rate=1e-2)
QUIET = {"training": TINY, "progress": False}
SHORT = {"training": replace(TINY, steps=60), "progress": False}
NORMAL = jko.Gaussian([0.0, 0.0], np.eye(2))


@pytest.fixture(autouse=True)
def few_points(monkeypatch):
    """Exact plans of 500 points, and as many pairs as two batches hold."""
    few = replace(matched_flow.TOLERANCES, measured_points=500, matched_pairs=4096)
    monkeypatch.setattr(matched_flow, "TOLERANCES", few)
    monkeypatch.setattr("jko.diffusion.coupling.TOGETHER", 512)
    monkeypatch.setattr(importlib.import_module("jko.diffusion.flow_matching"), "TOLERANCES", few)


@pytest.fixture(scope="module")
def to_a_gaussian():
    target = jko.Gaussian([1.0, -0.5], [[0.5, 0.2], [0.2, 0.3]])
    return target, diffusion.flow_matching(NORMAL, target, training=replace(TINY, steps=1000), progress=False)


@pytest.mark.slow
def test_between_gaussians_the_known_velocity_is_learnt(to_a_gaussian):
    """x₀, x₁ independent: v = m + ½Ċ C⁻¹(x − tm), C = (1 − t)²I + t²Σ the covariance of xₜ."""
    target, flow = to_a_gaussian
    m, S = target.mean(), target.covariance()
    for t in (0.1, 0.5, 0.9):
        C = (1 - t) ** 2 * np.eye(2) + t**2 * S
        points = jko.Gaussian(t * m, C).sample(500, seed=1).positions
        exact = m + (points - t * m) @ np.linalg.solve(C, t * S - (1 - t) * np.eye(2))
        error = at_points(flow.velocity, points, t) - exact
        assert np.sqrt(np.mean(error**2)) < 0.1 * np.sqrt(np.mean(exact**2))
    assert np.mean(flow.losses[-50:]) < 0.8 * np.mean(flow.losses[:50])


@pytest.mark.slow
def test_samples_have_the_targets_law_and_float64_agrees(to_a_gaussian):
    target, flow = to_a_gaussian
    cloud = flow.sample(4000, seed=3)
    np.testing.assert_allclose(cloud.mean(), target.mean(), atol=0.05)
    np.testing.assert_allclose(cloud.covariance(), target.covariance(), atol=0.05)
    start = NORMAL.sample(20, seed=4)
    twice = flow.flow.transport(start, [0.0, 1.0], substeps=50).final
    np.testing.assert_allclose(twice.positions, flow.transport(start).positions, atol=1e-4)


@pytest.mark.slow
def test_the_cost_is_that_of_the_paths_and_no_less_than_the_distance(to_a_gaussian):
    _, flow = to_a_gaussian
    assert flow.transport_cost >= flow.wasserstein_squared * (1.0 - 1e-6)
    assert flow.transport_cost == pytest.approx(flow.wasserstein_squared, rel=0.05)
    paths = flow.paths(NORMAL.sample(7, seed=1), steps=10)
    assert paths.positions.shape == (11, 7, 2)
    np.testing.assert_allclose(paths.final.positions, flow.transport(paths.measures[0]).positions, atol=2e-3)


@pytest.mark.slow
def test_rectification_straightens_and_of_gradients_goes_on_to_the_optimum():
    """A plain field may go on turning; a gradient field cannot: [Liu2022]."""
    source, data = diffusion.eight_gaussians(4000, 0), diffusion.two_moons(4000, 1)
    first = diffusion.flow_matching(source, data, training=replace(TINY, steps=1200), progress=False)
    second = first.rectify(progress=False)
    assert (first.rectified, second.rectified) == (0, 1)
    assert second.transport_cost < first.transport_cost
    assert second.straightness < 0.1 * first.straightness
    ratios = [flow.transport_cost / flow.wasserstein_squared for flow in (first, second)]
    assert 1.0 <= ratios[1] < 1.0 + 0.7 * (ratios[0] - 1.0)


@pytest.mark.slow
def test_optimal_pairs_start_where_rectification_ends():
    source, data = diffusion.eight_gaussians(4000, 0), diffusion.two_moons(4000, 1)
    flow = diffusion.flow_matching(source, data, coupling="optimal", **QUIET)
    assert flow.transport_cost < 1.02 * flow.wasserstein_squared
    assert flow.straightness < 0.03


def test_matched_pairs_are_optimal_in_their_batch():
    x, y = (np.random.default_rng(k).normal(size=(60, 1)) for k in (0, 1))
    first, second = matched(x, y, 60, seed=0)
    np.testing.assert_array_equal(np.argsort(first[:, 0]), np.argsort(second[:, 0]))


def test_the_same_seed_gives_the_same_flow_and_units_do_not_matter():
    data = diffusion.two_moons(500, 0)
    one, two = (diffusion.flow_matching(NORMAL, data, **SHORT) for _ in range(2))
    np.testing.assert_array_equal(one.sample(5, 0).positions, two.sample(5, 0).positions)
    shift = np.array([300.0, -50.0])
    wide = jko.Particles(40.0 * data.positions + shift)
    start = jko.Gaussian(shift, 1600.0 * np.eye(2))
    scaled = diffusion.flow_matching(start, wide, **SHORT)
    np.testing.assert_allclose(
        (scaled.sample(5, 0).positions - shift) / 40.0, one.sample(5, 0).positions, atol=1e-3
    )


def turning(x1, t):
    c, s = jnp.cos(2.0 * t), jnp.sin(2.0 * t)
    axes = jnp.array([[c, -s], [s, c]])
    return axes @ jnp.diag(jnp.array([1.0 - 0.8 * t, 0.5 - 0.4 * t])) @ axes.T


PATHS = {
    "displacement": diffusion.GaussianPath.displacement(
        jko.Gaussian([0.2, 0.0], [[1.0, 0.6], [0.6, 0.8]]), 0.2
    ),
    "turning": diffusion.GaussianPath(lambda x1, t: jnp.sin(0.5 * jnp.pi * t) * x1, turning),
}


@pytest.mark.slow
def test_the_averaged_velocity_carries_the_averaged_law():
    """∂ₜ log p + ∇·v + v·∇log p = 0 for the marginals of a path with a full covariance."""
    law = PATHS["turning"].marginal(jko.Particles([[1.0, 0.0], [-0.7, 0.6], [0.3, -1.2]], [0.5, 0.3, 0.2]))

    def residual(x, t):
        spread = jnp.trace(jax.jacfwd(law.velocity)(x, t))
        advected = law.velocity(x, t) @ jax.grad(law.log_density)(x, t)
        return (jax.grad(law.log_density, argnums=1)(x, t) + spread + advected)[None]

    points = np.random.default_rng(0).normal(size=(30, 2))
    for t in (0.15, 0.6):
        assert np.abs(at_points(residual, points, t)).max() < 1e-9


def test_a_conditional_velocity_is_the_gradient_that_carries_its_gaussian():
    """A solves AΣ + ΣA = Σ̇ and is symmetric."""
    path, t = PATHS["turning"], 0.3
    with jax.enable_x64(True):
        x1 = jnp.array([0.4, 0.9])
        A = jax.jit(jax.jacfwd(path.velocity))(jnp.array([0.1, 0.2]), t, x1)
        S, rate = jax.jvp(lambda s: path.covariance(x1, s), (t,), (1.0,))
        np.testing.assert_allclose(A, A.T, atol=1e-12)
        np.testing.assert_allclose(A @ S + S @ A, rate, atol=1e-12)


@pytest.mark.slow
def test_a_flow_learns_the_average_of_a_conditional_path():
    """The average of gradients is no gradient where the covariance is not a multiple of I."""
    data = jko.Particles([[1.5, 0.0], [-1.5, 0.0]])
    path = diffusion.GaussianPath.displacement(jko.Gaussian([0.0, 0.0], [[0.6, 0.3], [0.3, 0.6]]), 0.4)
    plain = replace(TINY, gradient=False)
    flow, law = diffusion.flow_matching(path, data, training=plain, progress=False), path.marginal(data)
    np.testing.assert_allclose(flow.source.covariance(), [[0.6, 0.3], [0.3, 0.6]], atol=1e-12)
    points = np.random.default_rng(0).normal(size=(400, 2))
    exact, found = (at_points(field, points, 0.5) for field in (law.velocity, flow.velocity))
    weight = np.exp(at_points(lambda x, t: law.log_density(x, t)[None], points, 0.5))
    assert np.sum(weight * (found - exact) ** 2) < 0.15**2 * np.sum(weight * exact**2)


def test_the_clouds_are_what_they_say():
    ring = diffusion.eight_gaussians(8000, 0)
    np.testing.assert_allclose(ring.covariance(), (2.0 + 0.15**2) * np.eye(2), atol=0.06)
    moons = diffusion.two_moons(8000, 0, noise=1e-6).positions / 1.5 + [0.5, 0.25]
    off = [np.abs(np.hypot(*(moons - middle).T) - 1.0) for middle in ([0.0, 0.0], [1.0, 0.5])]
    assert np.minimum(*off).max() < 1e-4


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"coupling": "sorted"}, ValueError, "coupling: expected one of 'independent', 'optimal'"),
        ({"source": jko.Gaussian([0.0], [[1.0]])}, ValueError, "same dimension, got 1 and 2"),
        ({"source": np.zeros((3, 2))}, TypeError, "source: expected Particles, a Density or a Gaussian"),
        ({"training": {"steps": 5}}, TypeError, "training: expected a Training, got dict"),
        ({"training": replace(TINY, rate=100.0)}, ValueError, "rate: the training diverged at 100"),
        ({"source": PATHS["turning"], "coupling": "optimal"}, ValueError, "coupling: a GaussianPath draws"),
    ],
)
def test_refusals(change, error, message):
    arguments = {"source": NORMAL, "data": diffusion.two_moons(50, 0), **QUIET}
    with pytest.raises(error, match=message):
        diffusion.flow_matching(**{**arguments, **change})


def test_refusals_of_a_flow_and_a_path(to_a_gaussian):
    _, flow = to_a_gaussian
    with pytest.raises(ValueError, match=r"t: expected a time from 0 to 1, got 1\.5"):
        flow.velocity(np.zeros(2), 1.5)
    with pytest.raises(ValueError, match=r"x: expected a point of shape \[2\], got \[3\]"):
        flow.velocity(np.zeros(3), 0.5)
    with pytest.raises(ValueError, match="particles: expected 2 dimensions, got 1"):
        flow.transport(jko.Particles(np.zeros((4, 1))))
    with pytest.raises(ValueError, match="the same at t = 0 for every x1"):
        diffusion.GaussianPath(lambda x1, t: x1, turning).marginal(diffusion.two_moons(5, 0))
    double = jko.Density(jko.Grid.uniform((-1.0, -1.0), (1.0, 1.0), (4, 4)), np.full((4, 4), 0.5))
    with pytest.raises(ValueError, match="expected mass 1, got 2"):
        diffusion.flow_matching(double, NORMAL, training=TINY)


@pytest.mark.slow
def test_a_flow_and_a_score_are_learnt_alike_in_any_units():
    """Lengths × s, a power of two, which float32 does not see; and far from the origin."""
    generator = np.random.default_rng(0)
    source, data = generator.normal(size=(500, 2)), generator.normal(size=(500, 2)) * [0.5, 1.0] + 2.0
    short = diffusion.Training(steps=50, batch=64, width=16, depth=1, gradient=False)

    def learnt(length, offset=0.0):
        clouds = (jko.Particles(length * (x + offset)) for x in (source, data))
        flow = diffusion.flow_matching(*clouds, training=short, progress=False)
        return flow.sample(50, seed=1).positions / length - offset, flow.losses / np.max(length) ** 2

    def score(length):
        schedule = diffusion.Schedule.variance_exploding(0.01 * length, 4.0 * length)
        found = diffusion.score_matching(
            jko.Particles(length * data), schedule, training=short, progress=False
        )
        return length * np.asarray(found(length * np.array([1.5, 1.0]), 0.3))

    images, losses = learnt(1.0)
    for found, expected in zip(learnt(2.0**-20), (images, losses), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(score(2.0**-20), score(1.0), rtol=1e-5)
    np.testing.assert_allclose(learnt(1.0, 1e5)[0], images, atol=1e-3)
    # each axis in its own spread, once they are unlike; of the same data, hence to the same answer
    unlike, more = (learnt(np.array([1.0, small])) for small in (2.0**-14, 2.0**-20))
    np.testing.assert_allclose(unlike[0], more[0], rtol=1e-12)
    np.testing.assert_allclose(unlike[0], images, atol=0.3)
