"""Gradients beside central differences of the runs themselves, and beside the exact answer."""

import jax
import jax.numpy as jnp
import numpy as np

from jko.sensitivity import value_and_gradient

STEP = 2e-3  # relative; differences of fourth order err by its fourth power, and little by rounding


def along(value, step):
    """The derivative at 0 of a function of a number, by differences of fourth order."""
    near, far = (value(k * step) - value(-k * step) for k in (1.0, 2.0))
    return (8.0 * near - far) / (12.0 * step)


def by_differences(value, parameters, step=STEP):
    """The derivatives of value(parameters) by every entry of every leaf, by differences."""
    leaves, tree = jax.tree.flatten(parameters)
    found = []
    for place, leaf in enumerate(leaves):
        leaf, out = np.asarray(leaf, dtype=float), np.zeros(np.shape(leaf))
        for index in np.ndindex(leaf.shape):

            def moved(by, place=place, leaf=leaf, index=index):
                other = leaf.copy()
                other[index] += by
                return value(jax.tree.unflatten(tree, [*leaves[:place], other[()], *leaves[place + 1 :]]))

            out[index] = along(moved, step * max(1.0, abs(leaf[index])))
        found.append(out)
    return jax.tree.unflatten(tree, found)


def worst_error(make, parameters, mu, scheme, loss, *, tau, n_steps, of="final", step=STEP):
    """The largest error of a gradient by parameters and τ, relative to the largest derivative."""

    def value(parameters, tau=tau):
        return value_and_gradient(loss, make, parameters, mu, scheme, tau=tau, n_steps=n_steps, of=of).value

    found = value_and_gradient(
        loss, make, parameters, mu, scheme, tau=tau, n_steps=n_steps, of=of, by=("parameters", "tau")
    )
    exact = jax.tree.leaves(by_differences(value, parameters, step))
    slopes = jax.tree.leaves(found.gradient["parameters"])
    # of each leaf in its own units
    errors = [np.abs(a - b).max() / np.abs(b).max() for a, b in zip(slopes, exact, strict=True)]
    by_tau = along(lambda by: value(parameters, tau + by), step * tau)
    return max(*errors, abs(found.gradient["tau"] - by_tau) / abs(by_tau))


def ornstein_uhlenbeck(parameters, tau, mean, std, n_steps):
    """(m, σ) after steps of V = ½ϑx² and θ Entropy from N(mean, std²): mathematics, exact answer 19."""
    stiffness, temperature = parameters["stiffness"], parameters["temperature"]
    for _ in range(n_steps):
        growth = 1.0 + tau * stiffness
        mean = mean / growth
        std = (std + jnp.sqrt(std**2 + 4.0 * tau * temperature * growth)) / (2.0 * growth)
    return mean, std


def exact_gradient(parameters, tau, mean, std, n_steps):
    """(value, derivatives by the parameters, by τ) of m + m² + σ² in the closed form."""

    def loss(parameters, tau):
        m, s = ornstein_uhlenbeck(parameters, tau, mean, std, n_steps)
        return jnp.sum(m + m**2) + jnp.sum(s**2)

    with jax.enable_x64(True):
        value, (slopes, by_tau) = jax.value_and_grad(loss, argnums=(0, 1))(parameters, tau)
    return float(value), jax.tree.map(float, slopes), float(by_tau)
