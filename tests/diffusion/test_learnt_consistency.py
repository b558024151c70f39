"""Consistency models agree with the closed form, and sample as it does with one and two evaluations."""

import numpy as np
import pytest

import jko
from jko import diffusion
from jko.diffusion import learnt_consistency
from jko.diffusion.network import initial_layers

SCHEDULE = diffusion.Schedule.variance_preserving(0.1, 12.0)
LAW = diffusion.NoisedMixture([-1.0, 0.8], [0.1, 0.2], [0.4, 0.6], schedule=SCHEDULE)
END = 0.02
SHORT = diffusion.Training(steps=50, batch=32, width=16, depth=2)


def captured(monkeypatch, make):
    """The function before its training, with a network of zero, and how it makes earlier points."""
    kept = []

    def fitted(model, earlier, intervals, training, progress, label):
        model.layers = initial_layers(model.dimension, model.dimension, 8, 1, 0)
        kept.append(earlier)
        return model

    monkeypatch.setattr(learnt_consistency.LearntConsistency, "fitted", fitted)
    return make(), kept[0]


@pytest.mark.slow
def test_at_the_end_it_is_the_identity_whatever_the_weights():
    f = diffusion.consistency_training(LAW.sample(500, 0.0, seed=0), SCHEDULE, end=END, training=SHORT)
    points = np.random.default_rng(0).normal(size=(30, 1))
    np.testing.assert_allclose(f(points, END), points, atol=1e-14)
    assert np.abs(f(points, 0.9) - points).max() > 0.1


@pytest.mark.slow
def test_a_teacher_s_loss_is_zero_at_the_closed_form_to_fourth_order(monkeypatch):
    """Of one Gaussian of equal spread, a network of zero is the closed form; the rest is Runge–Kutta's."""
    cloud = np.random.default_rng(0).normal([1.0, -0.5], 0.6, size=(400, 2))
    variance = np.var(cloud, axis=0).mean()
    law = diffusion.NoisedMixture([cloud.mean(axis=0)], variance, schedule=SCHEDULE)

    def make():
        return diffusion.consistency_distillation(law.score, jko.Particles(cloud), SCHEDULE, end=END)

    f, earlier = captured(monkeypatch, make)
    points, t = law.sample(20, 0.5, seed=1).positions, np.linspace(0.1, 1.0, 20)
    np.testing.assert_allclose(f(points, t), diffusion.ConsistencyFunction(law, END)(points, t), atol=1e-12)
    errors = []
    for intervals in (8, 16, 32):
        drawn = f.pairs(np.random.default_rng(2), np.full(4, intervals), 256, earlier)
        parts = [part.reshape(1024, *part.shape[2:]).astype(np.float32) for part in f.compared(*drawn)]
        errors.append(float(learnt_consistency.disagreement(f.layers, *parts)) ** 0.5)
    assert errors[0] / errors[1] > 2.0**4
    assert errors[1] / errors[2] > 2.0**4
    assert errors[2] < 2e-6


@pytest.mark.slow
def test_a_teacher_keeps_to_the_paths_of_a_mixture(monkeypatch):
    exact = diffusion.ConsistencyFunction(LAW, END, tolerance=1e-7)
    data = LAW.sample(500, 0.0, seed=0)
    f, earlier = captured(
        monkeypatch, lambda: diffusion.consistency_distillation(LAW.score, data, SCHEDULE, end=END)
    )
    x, late, before, early = f.pairs(np.random.default_rng(1), np.array([32, 64]), 64, earlier)
    apart = [np.abs(exact(x[k], late[k]) - exact(before[k], early[k])).max() for k in (0, 1)]
    assert apart[0] < 1e-4
    assert apart[1] < apart[0] / 2.0**4


def test_the_mean_over_a_batch_is_that_of_two_points():
    x = np.linspace(-2.0, 2.0, 6).reshape(1, 6, 1)
    data = np.array([-1.0, 1.0] * 3).reshape(1, 6, 1)
    alpha, sigma = np.full((1, 6, 1), 0.8), np.full((1, 6, 1), 0.7)
    found = learnt_consistency._posterior_mean(x, data, alpha, sigma)
    np.testing.assert_allclose(found, np.tanh(0.8 * x / 0.49), rtol=2e-5)


def test_intervals_are_doubled_in_equal_shares():
    share = np.arange(8) / 8.0
    np.testing.assert_array_equal(
        learnt_consistency.doubled((10, 80), share), [10, 10, 20, 20, 40, 40, 80, 80]
    )
    np.testing.assert_array_equal(
        learnt_consistency.doubled((10, 50), share), [10, 10, 20, 20, 40, 40, 50, 50]
    )
    np.testing.assert_array_equal(learnt_consistency.doubled((32, 32), share), np.full(8, 32))


def test_two_evaluations_of_the_exact_function_keep_the_law():
    law = diffusion.NoisedMixture([0.7], 0.3, schedule=SCHEDULE)
    exact, n = diffusion.ConsistencyFunction(law, END), 40_000
    cloud = diffusion.consistency_sample(exact, law.sample(n, 1.0, seed=1), (1.0, 0.3), seed=2).positions
    alpha, sigma = SCHEDULE.at(END)
    variance = 0.3 * alpha**2 + sigma**2
    # four standard errors
    assert abs(cloud.mean() - 0.7 * alpha) < 4.0 * (variance / n) ** 0.5
    assert abs(cloud.var() - variance) < 4.0 * variance * (2.0 / n) ** 0.5


@pytest.mark.slow
def test_other_units_scale_the_answer():
    points = LAW.sample(500, 0.0, seed=0).positions
    found = []
    for unit in (1.0, 1000.0):
        schedule = diffusion.Schedule.variance_exploding(0.02 * unit, 5.0 * unit)
        data = jko.Particles(unit * points)
        f = diffusion.consistency_training(data, schedule, end=0.0, training=SHORT, intervals=(10, 20))
        found.append(f(unit * np.linspace(-9.0, 9.0, 20)[:, None], 1.0) / unit)
    np.testing.assert_allclose(*found, atol=1e-3)


def test_bad_input_is_refused_in_a_sentence():
    data = LAW.sample(100, 0.0, seed=0)
    with pytest.raises(TypeError, match="intervals: expected two whole numbers, got 32"):
        diffusion.consistency_training(data, SCHEDULE, intervals=32)
    with pytest.raises(ValueError, match="intervals: expected the first at most the last, got 8 and 4"):
        diffusion.consistency_training(data, SCHEDULE, intervals=(8, 4))
    with pytest.raises(ValueError, match="start, end: expected the end, of data, before the start"):
        diffusion.consistency_training(data, SCHEDULE, start=0.1, end=0.5)
    with pytest.raises(TypeError, match="data: expected Particles, a Density or a Gaussian"):
        diffusion.consistency_training(data.positions, SCHEDULE)
    with pytest.raises(TypeError, match="teacher: expected a jax function"):
        diffusion.consistency_distillation(LAW, data, SCHEDULE)
    with pytest.raises(TypeError, match="function: expected a ConsistencyFunction"):
        diffusion.consistency_sample(LAW.score, data, 1.0)
    exact = diffusion.ConsistencyFunction(LAW, END)
    with pytest.raises(ValueError, match="times: expected one time or more that fall"):
        diffusion.consistency_sample(exact, data, (0.3, 1.0))


def distances(function, times, n=10_000, seeds=6):
    """The mean W₂ of n samples to n fresh draws of the law at the end: on the line, of sorted points."""
    found = []
    for k in range(seeds):
        noise, reference = LAW.sample(n, 1.0, seed=100 + k), LAW.sample(n, END, seed=200 + k)
        made = diffusion.consistency_sample(function, noise, times, seed=k).positions[:, 0]
        found.append(np.sqrt(np.mean((np.sort(made) - np.sort(reference.positions[:, 0])) ** 2)))
    return np.mean(found)


@pytest.mark.long
@pytest.mark.parametrize("way", ["distillation", "data"])
def test_two_evaluations_sample_as_the_closed_form_does(way):
    """Within 5 % of the W₂ that the closed form has from the same noise: the sampling floor."""
    data = LAW.sample(50_000, 0.0, seed=1)
    if way == "data":
        f = diffusion.consistency_training(data, SCHEDULE, end=END)
    else:
        f = diffusion.consistency_distillation(LAW.score, data, SCHEDULE, end=END)
    exact = diffusion.ConsistencyFunction(LAW, END, tolerance=1e-6)
    for times in ((1.0,), (1.0, 0.5), (1.0, 0.3), (1.0, 0.2)):
        learnt, floor = distances(f, times), distances(exact, times)
        print(f"{way} {times}: {learnt:.4f} {floor:.4f} {learnt / floor:.3f}")
        assert len(times) == 1 or learnt < 1.05 * floor
