"""A small network of a point and a time."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from functionals.array import Array
from jko.diffusion.tolerances import TOLERANCES

_FREQUENCIES = np.pi * np.arange(1, 4, dtype=np.float32)


class Network(NamedTuple):
    """v(x, t) = scale · field(layers, (x − centre)/scale, t), and the loss of each step of its fit; `scale`
    is a number or one an axis."""

    field: object
    layers: tuple
    centre: np.ndarray
    scale: float | np.ndarray
    losses: np.ndarray

    def __call__(self, x: Array, t: Array):
        """v(x, t) `[d]`, a jax function of a point."""
        centre, scale = jnp.asarray(self.centre, x.dtype), jnp.asarray(self.scale, x.dtype)
        return scale * self.field(self.layers, (x - centre) / scale, t)


def spread_of_axes(variances: np.ndarray) -> float | np.ndarray:
    """The spread by which coordinates of these variances `[d]` are divided for a network: one for all, so
    that gradients stay gradients, or, where axes differ by more than `TOLERANCES.alike` times, one each."""
    variances = np.asarray(variances, dtype=float)
    held = variances > 0.0
    if not held.any():
        return 1.0
    if variances.max() <= TOLERANCES.alike**2 * variances[held].min():
        return float(np.sqrt(variances.mean()))
    return np.sqrt(np.where(held, variances, variances[held].min()))


def initial_layers(dimension: int, outputs: int, width: int, depth: int, seed: int) -> tuple:
    """Random layers ((matrix, bias), …) in float32, `depth` hidden ones of `width` units; zero the last."""
    generator = np.random.default_rng(seed)
    sizes = [dimension + 1 + 2 * len(_FREQUENCIES), *[width] * depth, outputs]
    layers = [
        (generator.normal(scale=np.sqrt(2.0 / n), size=(n, m)).astype(np.float32), np.zeros(m, np.float32))
        for n, m in pairwise(sizes)
    ]
    last, bias = layers[-1]
    return (*layers[:-1], (np.zeros_like(last), bias))


def plain(layers: tuple, x: Array, t: Array):
    """The network's output for a point `[d]` and a time, fed as x, t and cos, sin of kπt, k = 1, 2, 3."""
    t = jnp.asarray(t, x.dtype)
    phases = jnp.asarray(_FREQUENCIES, x.dtype) * t
    z = jnp.concatenate([x, t[None], jnp.cos(phases), jnp.sin(phases)])
    for matrix, bias in layers[:-1]:
        z = jax.nn.silu(z @ matrix + bias)
    matrix, bias = layers[-1]
    return z @ matrix + bias


def conservative(layers: tuple, x: Array, t: Array):
    """∇ₓ of a network with one output `[d]`: the gradient of a function, whatever the weights."""
    return jax.grad(lambda y: plain(layers, y, t)[0])(x)
