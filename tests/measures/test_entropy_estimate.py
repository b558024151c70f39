"""The nearest-neighbour entropy against Gaussians, with the confidence that its uncertainty states."""

import math

import numpy as np
import pytest

from jko.measures import Particles
from jko.measures.entropy_estimate import entropy_estimate


def gaussian_entropy(dimension, std):
    """∫ρ log ρ of N(0, std² I)."""
    return -0.5 * dimension * math.log(2.0 * math.pi * math.e * std**2)


@pytest.mark.slow
@pytest.mark.parametrize(("dimension", "n"), [(1, 1000), (2, 4000), (3, 20_000)])
def test_the_error_is_what_the_uncertainty_says(dimension, n):
    """Over 60 samples: 95.4% within two standard errors in the mean, hence 52 or more but for rare luck."""
    exact = gaussian_entropy(dimension, 0.7)
    estimates = [
        entropy_estimate(Particles(0.7 * np.random.default_rng(seed).normal(size=(n, dimension))))
        for seed in range(60)
    ]
    errors = np.array([e.value - exact for e in estimates])
    uncertainties = np.array([e.uncertainty for e in estimates])
    assert np.sum(np.abs(errors) < 2.0 * uncertainties) >= 52
    assert 0.7 < errors.std() / uncertainties.mean() < 1.4
    assert uncertainties.mean() < 2.0 * math.sqrt(dimension / n)


def test_order_one_half_in_the_number_of_particles():
    sizes = np.array([500, 2000, 8000, 32_000])
    errors = []
    for n in sizes:
        values = [
            entropy_estimate(Particles(np.random.default_rng(s).normal(size=(n, 1)))).value for s in range(40)
        ]
        errors.append(np.sqrt(np.mean((np.array(values) - gaussian_entropy(1, 1.0)) ** 2)))
    slope = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.1)


def test_scaling_and_translation():
    x = np.random.default_rng(0).normal(size=(300, 2))
    plain = entropy_estimate(Particles(x)).value
    moved = entropy_estimate(Particles(3.0 * x + 50.0)).value
    assert moved == pytest.approx(plain - 2.0 * math.log(3.0), abs=1e-9)


def test_weights_stand_for_density():
    """Uniform particles with weights ∝ 2x sample the density 2x on (0, 1), whose ∫ρ log ρ is log 2 − ½."""
    generator = np.random.default_rng(1)
    x = generator.uniform(0.0, 1.0, (40_000, 1))
    weights = x[:, 0] / x.sum()
    estimate = entropy_estimate(Particles(x, weights), neighbours=5)
    assert estimate.value == pytest.approx(math.log(2.0) - 0.5, abs=3.0 * estimate.uncertainty)
    assert estimate.uncertainty < 0.01


def test_coincident_particles_have_no_density():
    estimate = entropy_estimate(Particles(np.zeros((10, 2))))
    assert estimate.value == math.inf
    assert estimate.uncertainty == math.inf


def test_too_few_particles_are_refused():
    with pytest.raises(ValueError, match="needs more than 3, got 3"):
        entropy_estimate(Particles(np.array([[0.0], [1.0], [2.0]])))
    with pytest.raises(ValueError, match="neighbours"):
        entropy_estimate(Particles(np.zeros((10, 1))), neighbours=0)


@pytest.mark.parametrize("d", [1, 2, 3, 4, 7, 10, 20, 35, 50])
def test_the_uncertainty_covers_the_truth_in_every_dimension(d):
    """Within two of what is stated, for Gaussians of one size and of sizes from 1 to 10."""
    for stds in (np.ones(d), np.logspace(0.0, 1.0, d)):
        exact = -0.5 * d * math.log(2.0 * math.pi * math.e) - float(np.log(stds).sum())
        estimate = entropy_estimate(Particles(stds * np.random.default_rng(4).normal(size=(800, d))))
        assert abs(estimate.value - exact) < 2.0 * estimate.uncertainty
        assert estimate.uncertainty < 0.5 * d


def test_the_bias_of_the_neighbours_is_taken_off():
    """At d = 50 the plain estimate is off by six; a tenth of that is left, and the uncertainty says six."""
    x = np.random.default_rng(0).normal(size=(1000, 50))
    estimate = entropy_estimate(Particles(x))
    assert abs(estimate.value - gaussian_entropy(50, 1.0)) < 0.6
    assert 5.0 < abs(estimate.bias) < 8.0
    assert estimate.uncertainty > abs(estimate.bias)


def test_particles_on_a_plane_have_no_density_in_space():
    flat = np.random.default_rng(0).normal(size=(100, 5))
    flat[:, 4] = flat[:, 0]
    assert entropy_estimate(Particles(flat)).value == math.inf
