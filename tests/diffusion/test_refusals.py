"""Odd input is refused by one sentence that names the argument, before any work."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jko
from jko import diffusion

SCHEDULE = diffusion.Schedule.variance_preserving(0.1, 12.0)
LAW = diffusion.NoisedMixture([[-1.0, 0.3], [0.9, -0.4]], 0.2, schedule=SCHEDULE)
CLOUD = jko.Particles(np.random.default_rng(0).normal(size=(6, 2)))
RHO = jko.Density.gaussian(jko.Grid.uniform(-5.0, 5.0, 40), mean=0.3, std=0.7)
OU = diffusion.ornstein_uhlenbeck()
PATH = OU.fokker_planck(RHO, [0.0, 0.1, 0.2])
FLOW = diffusion.Flow(lambda x, t: -x)
SKEW = [[[1.0, 0.9], [0.2, 1.0]]]


def still(x, t):
    return jnp.eye(x.size)


def simulated(drift, noise=still, **options):
    settings = {"particles": CLOUD, "times": [0.0, 1.0], "seed": 0, "substeps": 1, **options}
    return diffusion.SDE(drift, noise).simulate(**settings)


def sampled(score=LAW.score, start=0.9, end=0.1, steps=2, particles=CLOUD):
    return diffusion.sample(score, SCHEDULE, particles, start, end, steps=steps, method="heun")


def mixture(means=((0.0, 0.0),), covariances=0.2, weights=None, schedule=SCHEDULE):
    return diffusion.NoisedMixture(means, covariances, weights, schedule=schedule)


ODD = {
    "a law with its own schedule": (
        lambda: diffusion.ConsistencyFunction(LAW, 0.1, schedule=diffusion.Schedule.straight()),
        ValueError,
        "schedule: the law has its own",
    ),
    "a law for its score": (
        lambda: diffusion.sample(LAW, SCHEDULE, CLOUD, 0.9, 0.1, steps=2, method="heun"),
        TypeError,
        "take its .score",
    ),
    "a NaN score": (lambda: sampled(lambda x, t: x * jnp.nan), ValueError, "take more steps"),
    "source, its middle point apart": (
        lambda: diffusion.GaussianPath(lambda x1, t: x1**2, lambda x1, t: jnp.eye(x1.size)).marginal(
            jko.Particles([[1.0], [0.0], [-1.0]])
        ),
        ValueError,
        "one source",
    ),
    "schedule, rising inside": (
        lambda: diffusion.even_times(
            diffusion.Schedule(lambda t: jnp.cos(6 * t) + 1.1, lambda t: 0.1 + t), 0.9, 0.1, 6
        ),
        ValueError,
        "rises from",
    ),
    "reward, steep": (
        lambda: diffusion.TiltedMixture(LAW, lambda x: -0.5 * (x[0] - 2.0) ** 2, 0.001, nodes=12),
        ValueError,
        "nodes: 12 do not resolve exp",
    ),
    "path, late": (
        lambda: PATH.score(np.zeros(1), 0.3),
        ValueError,
        "t: expected a time of the path, from 0 to",
    ),
    "path, NaN": (lambda: PATH.at(np.nan), ValueError, "t: expected a finite number, got nan"),
    "path, between": (lambda: PATH.at(0.15), ValueError, "t: no stored time 0.15; the nearest is 0.1"),
    "path, plane": (lambda: PATH.score(np.zeros(2), 0.1), ValueError, r"x: expected a point of shape \[1\]"),
    "path, few": (
        lambda: diffusion.DensityPath([0.0, 1.0], [RHO]),
        ValueError,
        "one for each of 2 times, got 1",
    ),
    "path, none": (lambda: diffusion.DensityPath([0.0, 1.0], None), TypeError, "densities: expected a list"),
    "ODE, late": (
        lambda: OU.probability_flow(PATH).transport(jko.Particles([[0.1]]), [0.0, 0.5]),
        ValueError,
        "times: expected times from 0 to 0.2, where the score or velocity is known, got 0 to 0.5",
    ),
    "reverse, late": (
        lambda: OU.reverse(PATH.score).simulate(jko.Particles([[0.1]]), [0.5, 0.0], seed=0),
        ValueError,
        "times: expected times from 0 to 0.2",
    ),
    "mixture, point": (
        lambda: LAW.score(np.zeros(3), 0.5),
        ValueError,
        r"x: expected a point of shape \[2\]",
    ),
    "mixture, words": (lambda: LAW.log_density("ab", 0.5), TypeError, "x: expected a point .*, got 'ab'"),
    "mixture, time": (
        lambda: LAW.score(np.zeros(2), 1.5),
        ValueError,
        "t: expected a time of the schedule, from 0",
    ),
    "mixture, skew": (lambda: mixture(covariances=SKEW), ValueError, "covariances: expected symmetric"),
    "mixture, indefinite": (lambda: mixture(covariances=-1.0), ValueError, "got an eigenvalue -1"),
    "mixture, many": (lambda: mixture(covariances=[1.0, 2.0, 3.0]), ValueError, "got shape"),
    "mixture, schedule": (
        lambda: mixture(schedule=None),
        TypeError,
        "schedule: expected a Schedule, got NoneType",
    ),
    "mixture, weights": (lambda: mixture(weights=[-1.0]), ValueError, "weights: expected 1 positive numbers"),
    "mixture, grid": (lambda: LAW.on(RHO.grid, 0.5), ValueError, "grid: expected 2 dimensions, got 1"),
    "mixture, seed": (lambda: LAW.sample(3, 0.5, None), TypeError, "seed: expected a whole number"),
    "sample, before": (
        lambda: sampled(end=-0.1),
        ValueError,
        "end: the schedule runs from t = 0 to 1, got -0.1",
    ),
    "sample, beyond": (lambda: sampled(start=1.2), ValueError, "start: the schedule runs from t = 0 to 1"),
    "sample, twice": (lambda: sampled(end=0.9), ValueError, "start, end: expected two times, got 0.9 twice"),
    "sample, steps": (lambda: sampled(steps=0), ValueError, "steps: expected a whole number of at least 1"),
    "sample, array": (
        lambda: sampled(particles=np.zeros((3, 2))),
        TypeError,
        "particles: expected Particles",
    ),
    "sample, NaN": (lambda: sampled(lambda x, t: x / 0.0 * 0.0), ValueError, "score: NaN or infinite values"),
    "sample, narrow": (
        lambda: sampled(lambda x, t: x[:1]),
        ValueError,
        r"score: .*expected shape \[2\], got \[1\]",
    ),
    "sample, late": (
        lambda: sampled(PATH.score, particles=jko.Particles([[0.1]])),
        ValueError,
        "from 0 to 0.2",
    ),
    "no function": (lambda: diffusion.SDE(1.0, still), TypeError, "drift: expected a jax function of"),
    "no array": (lambda: simulated(lambda x, t: None), ValueError, "drift: .* returns None"),
    "numpy": (
        lambda: simulated(lambda x, t: np.sin(x)),
        ValueError,
        "drift: .* write it with jax.numpy, not numpy",
    ),
    "if": (
        lambda: simulated(lambda x, t: x if x[0] > 0 else -x),
        ValueError,
        "drift: .* use jax.numpy.where",
    ),
    "one argument": (
        lambda: simulated(lambda x: x),
        ValueError,
        "drift: .* fails for shape .2.: TypeError: .* positional argument",
    ),
    "G a vector": (
        lambda: simulated(lambda x, t: x, lambda x, t: x),
        ValueError,
        r"diffusion: .*expected shape \[2, k\], got \[2\]",
    ),
    "infinite paths": (
        lambda: simulated(lambda x, t: 1e300 * x, substeps=3),
        ValueError,
        "drift, diffusion: NaN or infinite values by t = 1: ",
    ),
    "views, cloud": (lambda: OU.compare_views(CLOUD, [0.0, 1.0]), TypeError, "density: expected a Density"),
    "views, reverse": (
        lambda: OU.reverse(lambda x, t: -x).compare_views(RHO, [0.0, 1.0]),
        ValueError,
        "can only be simulated",
    ),
    "schedule": (lambda: diffusion.even_times(None, 0.9, 0.1, 3), TypeError, "schedule: expected a Schedule"),
    "convert, at 0": (
        lambda: diffusion.convert(np.ones(2), np.ones(2), 0.0, SCHEDULE, "score", "data"),
        ValueError,
        "t: expected α and σ to be positive, got 1 and 0 at t = 0",
    ),
    "convert, shape": (
        lambda: diffusion.convert(np.ones(3), np.ones(2), 0.5, SCHEDULE, "score", "data"),
        ValueError,
        "prediction: expected the shape of x",
    ),
    "flow, log p": (
        lambda: FLOW.log_density(np.zeros((1, 2)), 3.0, [0.0, 1.0]),
        TypeError,
        "log_initial: expected",
    ),
    "flow, array": (lambda: FLOW.density(np.zeros(3), [0.0, 1.0]), TypeError, "initial: expected a Density"),
    "kernel score": (lambda: diffusion.kernel_score(CLOUD, 0.1)(3.0), ValueError, "x: expected a point"),
    "curl": (
        lambda: diffusion.curl(LAW.score, np.zeros(2), 0.5),
        ValueError,
        r"points: expected an array \[n, d\]",
    ),
    "line": (
        lambda: diffusion.log_density_difference(LAW.score, np.zeros(2), np.zeros(3), 0.5),
        ValueError,
        "start, end: expected points",
    ),
    "loop": (lambda: diffusion.circulation(LAW.score, 3.0), TypeError, "loop: expected a jax function"),
    "consistency": (
        lambda: diffusion.ConsistencyFunction(LAW, 1.0),
        ValueError,
        "end: expected a time before the last of the schedule, 1",
    ),
    "training": (
        lambda: diffusion.Training(depth=0),
        ValueError,
        "depth: expected a whole number of at least 1",
    ),
    "gradient": (lambda: diffusion.Training(gradient="no"), TypeError, "gradient: expected True or False"),
    "reward": (
        lambda: diffusion.TiltedMixture(LAW, lambda x: x),
        ValueError,
        r"reward: .*expected shape \[\]",
    ),
    "paths": (
        lambda: diffusion.Paths(np.zeros(3), np.zeros((2, 4, 1)), np.zeros(4)),
        ValueError,
        "expected shapes",
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_one_sentence(name):
    call, error, message = ODD[name]
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_traced_time_outside_a_path_gives_nan_and_rounding_none():
    score = jax.jit(PATH.score)
    with jax.enable_x64(True):
        found = [score(jnp.ones(1), t)[0] for t in (-0.01, 0.0, 0.1, 0.2 + 1e-9, 0.21)]
    assert np.isfinite(found).tolist() == [False, True, True, True, False]


@pytest.mark.slow
def test_a_score_is_evaluated_in_both_precisions_one_after_the_other():
    """Without a jit: the programs that jax keeps for numpy arrays of one precision do not fit the other."""
    single = LAW.log_density(np.ones(2), 0.5)
    with jax.enable_x64(True):
        double = LAW.log_density(np.ones(2), 0.5)
    np.testing.assert_array_equal(LAW.log_density(np.ones(2), 0.5), single)
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(single, double, rtol=1e-5)


def test_integers_lists_and_single_precision_are_read_as_numbers():
    constant = np.array([1.0, -2.0], np.float32)
    moved = simulated(lambda x, t: [1, -2], lambda x, t: jnp.zeros((2, 1), int), substeps=3).final
    carried = diffusion.Flow(lambda x, t: jnp.asarray(constant)).transport(CLOUD, [0, 1], substeps=3).final
    np.testing.assert_allclose(moved.positions, CLOUD.positions + constant, rtol=1e-12)
    np.testing.assert_allclose(carried.positions, CLOUD.positions + constant, rtol=1e-12)


def test_a_schedule_starts_at_zero():
    """σ is a root of t there, and the noise of its SDE finite: g² = β(0)."""
    with jax.enable_x64(True):
        assert float(SCHEDULE.squared_noise(0.0)) == pytest.approx(0.1, rel=1e-9)


def test_a_flow_brings_no_mass_from_outside_the_grid():
    rho = jko.Density.gaussian(jko.Grid.uniform(-5.0, 5.0, 200), mean=1.0, std=1.0)
    final = FLOW.density(rho, [0.0, 0.5], substeps=10)
    assert abs(final.mass - 1.0) < 1e-4
    assert abs(final.covariance()[0, 0] / np.exp(-1.0) - 1.0) < 1e-3


def test_numpy_is_converted_in_float64():
    a, s = SCHEDULE.at(1e-5)
    noise = diffusion.convert(np.ones((2, 1)), np.full((2, 1), a + s), 1e-5, SCHEDULE, "data", "noise")
    assert noise.dtype == np.float64
    assert np.abs(noise - 1.0).max() < 1e-12


def test_a_point_is_carried_to_itself_at_no_cost():
    point = jko.Particles([[0.0, 0.0]])
    flow = diffusion.flow_matching(point, point, training=diffusion.Training(steps=1, width=4, depth=1))
    assert flow.transport_cost == 0.0
    assert flow.straightness == 0.0
