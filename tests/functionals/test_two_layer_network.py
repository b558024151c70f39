"""A network's loss as a functional of its neurons: the formulas, the pair form, and gradient descent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from functionals import two_layer_network
from jko import Particles
from tests import problems

NUMPY = {
    "relu": (lambda z: np.maximum(z, 0.0), lambda z: (z > 0).astype(float)),
    "tanh": (np.tanh, lambda z: 1.0 / np.cosh(z) ** 2),
}


def data(m=13, k=2):
    inputs = np.random.default_rng(1).normal(size=(m, k))
    return inputs, np.maximum(inputs[:, 0], 0.0) - 0.5 * inputs[:, 1]


def neurons(n=6, k=2, bias=True, seed=0):
    return problems.particles(1 + k + bias, n=n, weighted=True, seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize(("activation", "bias", "entries"), [("relu", True, 20), ("tanh", False, 2**20)])
def test_the_formulas(activation, bias, entries, monkeypatch):
    """Also where only three samples are held at once, and thirteen are no multiple of that."""
    monkeypatch.setattr(two_layer_network, "_ENTRIES", entries)
    inputs, targets = data()
    F, mu = fn.TwoLayerNetwork(inputs, targets, activation, bias=bias), neurons(bias=bias)
    value, slope = NUMPY[activation]
    a, w = mu.positions[:, 0], mu.positions[:, 1:3]
    b = mu.positions[:, 3] if bias else np.zeros(mu.n)
    z = w @ inputs.T + b[:, None]
    r = (mu.weights * a) @ value(z) - targets
    inner = a[:, None] * slope(z) * r / len(r)
    gradient = np.column_stack([value(z) @ r / len(r), inner @ inputs, inner.sum(axis=1)])
    assert F(mu) == pytest.approx(0.5 * np.mean(r**2), rel=1e-13)
    np.testing.assert_allclose(F.first_variation(mu), a * (value(z) @ r) / len(r), rtol=1e-12)
    np.testing.assert_allclose(F.wasserstein_gradient(mu), gradient[:, : F.dimension], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(F.predict(mu, inputs), r + targets, rtol=1e-12)
    with jax.enable_x64(True):
        slopes = np.asarray(jax.grad(lambda x: F.energy(mu.with_positions(x)))(jnp.asarray(mu.positions)))
    np.testing.assert_allclose(
        F.wasserstein_gradient(mu), slopes / mu.weights[:, None], rtol=1e-11, atol=1e-14
    )


@pytest.mark.slow
def test_it_is_an_interaction_and_a_potential():
    F, mu = fn.TwoLayerNetwork(*data(), jnp.sin), neurons()
    pairs = F.as_interaction()
    assert pairs.parts.kinds == {"interaction", "potential"}
    assert pairs(mu) == pytest.approx(F(mu), rel=1e-12)
    difference = np.asarray(pairs.first_variation(mu)) - F.first_variation(mu)
    assert np.ptp(difference) < 1e-13
    np.testing.assert_allclose(
        pairs.wasserstein_gradient(mu), F.wasserstein_gradient(mu), rtol=1e-11, atol=1e-14
    )


def loss(parameters, inputs, targets):
    """A network in the words of machine learning: the mean over neurons of a σ(w·x + b)."""
    a, w, b = parameters
    outputs = jnp.tanh(inputs @ w.T + b) @ a / len(a)
    return 0.5 * jnp.mean((outputs - targets) ** 2)


@pytest.mark.slow
def test_forward_euler_is_gradient_descent_with_a_rate_times_the_neurons():
    inputs, targets = data()
    mu = Particles(np.random.default_rng(2).normal(size=(5, 4)))
    F = fn.TwoLayerNetwork(inputs, targets, "tanh")
    final = jko.flow(F, mu, jko.descent.ForwardEuler(), tau=0.2, n_steps=20).final
    with jax.enable_x64(True):
        parameters = tuple(map(jnp.asarray, (mu.positions[:, 0], mu.positions[:, 1:3], mu.positions[:, 3])))
        slope = jax.jit(jax.grad(loss))
        for _ in range(20):
            parameters = tuple(
                p - 0.2 * mu.n * g
                for p, g in zip(parameters, slope(parameters, inputs, targets), strict=True)
            )
    np.testing.assert_allclose(final.positions[:, 0], parameters[0], rtol=1e-11)
    np.testing.assert_allclose(final.positions[:, 1:3], parameters[1], rtol=1e-11)


@pytest.mark.slow
def test_implicit_steps_decay_by_their_certificate():
    """With weights, decay of weights, and a step beyond what an explicit one allows."""
    F = fn.TwoLayerNetwork(*data(), "tanh") + fn.Potential("quadratic", stiffness=0.01)
    run = jko.flow(F, neurons(), jko.descent.BackwardEuler(), tau=5.0, n_steps=4)
    assert np.all(run.info["dissipation"] >= -1e-15)
    assert np.all(np.diff(run.energy) < 0)


@pytest.mark.long
def test_noise_and_decay_of_weights_alone_keep_their_gaussian():
    """For targets 0 the output of N(0, θ/λ) neurons vanishes: it is the minimiser, and stays where it is.

    τ biases the variance by 1/(1 − λτ/2) at most; bounds are five standard errors.
    """
    inputs, _ = data()
    F = fn.TwoLayerNetwork(inputs, np.zeros(len(inputs)), "tanh") + 0.25 * fn.Entropy()
    F = F + fn.Potential("quadratic", stiffness=0.5)
    n = 20_000
    mu = Particles((np.sqrt(0.5) * np.random.default_rng(0).normal(size=(n, 4))).astype(np.float32))
    final = jko.flow(F, mu, jko.descent.Langevin(seed=1), tau=0.05, n_steps=80, store_every=80).final
    assert np.allclose(final.covariance(), 0.5 * np.eye(4), atol=5.0 * 0.5 * np.sqrt(2.0 / n) + 0.007)
    assert np.allclose(final.mean(), 0.0, atol=5.0 * np.sqrt(0.5 / n))


def test_float32_neurons_stay_float32():
    F, mu = fn.TwoLayerNetwork(*data()), neurons()
    single = Particles(mu.positions.astype(np.float32), mu.weights.astype(np.float32))
    assert F.wasserstein_gradient(single).dtype == np.float32
    assert F(single) == pytest.approx(F(mu), rel=1e-5)


@pytest.mark.parametrize(
    ("inputs", "targets", "options", "error", "match"),
    [
        (np.ones((4, 2)), np.ones(3), {}, ValueError, "targets: expected one number for each of 4 inputs"),
        (np.ones((4, 2)), np.ones((4, 1)), {}, ValueError, r"got shape \(4, 1\)"),
        (np.ones((4, 2, 1)), np.ones(4), {}, ValueError, r"inputs: expected samples \[m, k\]"),
        (np.ones((0, 2)), np.ones(0), {}, ValueError, "inputs: expected samples"),
        ([[np.nan]], [1.0], {}, ValueError, "inputs must be finite"),
        ([[1.0]], [np.inf], {}, ValueError, "targets must be finite"),
        ([["a"]], [1.0], {}, TypeError, "inputs must be a number"),
        ([[1.0]], [1.0], {"activation": "gelu"}, ValueError, "activation: expected 'relu', 'tanh' or"),
    ],
)
def test_refusals(inputs, targets, options, error, match):
    with pytest.raises(error, match=match):
        fn.TwoLayerNetwork(inputs, targets, **options)


def test_neurons_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"points \(a, w, b\) of 4 coordinates, got 3"):
        jko.flow(fn.TwoLayerNetwork(*data()), neurons(k=1), jko.descent.ForwardEuler(), tau=0.1, n_steps=1)
