"""The square loss of a two-layer network in its mean field: a functional of the law of its neurons."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import ArrayLike

from functionals import pointwise
from functionals.algebra import Sum
from functionals.array import Array
from functionals.base import Functional
from functionals.interaction import Interaction
from functionals.numbers import finite
from functionals.potential import Potential
from functionals.registry import register

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh}
_ENTRIES = 2**20  # activations held at once


@register("two_layer_network")
class TwoLayerNetwork(Functional):
    """F(α) = ½ mean_j (f_α(x_j) − y_j)², f_α(x) = ∫ a σ(w·x + b) dα(a, w, b), α a law of neurons.

    Its Wasserstein gradient flow is gradient flow of the weights of a network whose output is a mean over its
    neurons, in time scaled by their number [MeiMontanariNguyen2018; ChizatBach2018]. With the residuals r_j =
    f_α(x_j) − y_j, δF/δα = mean_j r_j a σ(w·x_j + b) and ∇_W F is its gradient in (a, w, b): both cost n
    neurons × m samples, though F is half a double integral, of mean_j aσ(w·x_j + b) a′σ(w′·x_j + b′), a
    potential and a constant (`as_interaction`). θ·Entropy adds noise, Potential("quadratic") weight decay.

    `inputs` are `[m, k]` and `targets` `[m]`; `activation` is "relu", "tanh" or an elementwise jax function.
    A point is (a, w₁ … w_k, b) `[k + 2]`, without the b `[k + 1]` for `bias=False`. Raises ValueError for
    data that do not match or are not finite, and for an unknown activation.
    """

    example = "fn.TwoLayerNetwork(np.linspace(-1.0, 1.0, 9)[:, None], np.linspace(-1.0, 1.0, 9), bias=False)"
    linearly_convex = True

    def __init__(self, inputs: ArrayLike, targets: ArrayLike, activation: str = "relu", *, bias: bool = True):
        self.inputs, self.targets = _checked_data(inputs, targets)
        if not callable(activation) and activation not in ACTIVATIONS:
            known = ", ".join(map(repr, ACTIVATIONS))
            raise ValueError(f"activation: expected {known} or a jax function, got {activation!r}")
        self._label = pointwise.describe(activation) if callable(activation) else repr(activation)
        self.activation = activation if callable(activation) else ACTIVATIONS[activation]
        self.bias = bool(bias)
        # the offset b is the weight of an input that is always 1
        ones = np.ones((len(self.inputs), int(self.bias)))
        self._extended = np.hstack([self.inputs, ones])

    @property
    def dimension(self) -> int:
        """The number of coordinates of a neuron."""
        return 1 + self._extended.shape[1]

    def energy(self, mu):
        return self._of(mu, "_loss")

    def first_variation(self, mu):
        return mu.at_points(self._of(mu, "_variation"))

    def wasserstein_gradient(self, mu):
        return mu.at_points(self._of(mu, "_gradient"))

    def predict(self, mu, inputs):
        """f_α at inputs `[m, k]`: `[m]`."""
        other = TwoLayerNetwork(inputs, np.zeros(len(inputs)), self.activation, bias=self.bias)
        with jax.enable_x64(True):
            return np.asarray(other._residuals(jnp.asarray(other._points(mu)), jnp.asarray(mu.masses)))

    def first_variation_function(self, mu):
        """δF/δα at mu as a jax function of a point."""
        with jax.enable_x64(True):
            residuals = np.asarray(self._residuals(jnp.asarray(self._points(mu)), jnp.asarray(mu.masses)))
        return lambda x: jnp.mean(jnp.asarray(residuals, x.dtype) * self._feature(x))

    def as_interaction(self) -> Sum:
        """The same functional of probability measures as a general Interaction and a Potential.

        For engines that take nothing else; a sum over pairs costs n² × m.
        """
        targets = self.targets
        offset = 0.5 * float(np.mean(targets**2))
        return Interaction(
            lambda x, y: jnp.mean(self._feature(x) * self._feature(y)), general=True
        ) + Potential(lambda x: offset - jnp.mean(jnp.asarray(targets, x.dtype) * self._feature(x)))

    def _feature(self, x: Array):
        """a σ(w·x_j + b) of one neuron for every sample, `[m]`."""
        return x[0] * self.activation(jnp.asarray(self._extended, x.dtype) @ x[1:])

    def _points(self, mu):
        if mu.dimension != self.dimension:
            raise ValueError(
                f"measure: the neurons of {self!r} are points (a, w{', b' if self.bias else ''}) of "
                f"{self.dimension} coordinates, got {mu.dimension}"
            )
        return mu.points

    def _of(self, mu, name: str):
        points, masses = self._points(mu), mu.masses
        if isinstance(points, jax.Array) or isinstance(masses, jax.Array):
            return getattr(self, name)(points, masses)
        with jax.enable_x64(True), jax.ensure_compile_time_eval():
            return np.array(self._compiled[name](points, masses))

    @cached_property
    def _compiled(self):
        return {name: jax.jit(getattr(self, name)) for name in ("_loss", "_variation", "_gradient")}

    def _loss(self, points, masses):
        return 0.5 * jnp.mean(self._residuals(points, masses) ** 2)

    def _residuals(self, points: Array, masses: Array):
        """f_α(x_j) − y_j, `[m]`."""
        amplitudes = masses * points[:, 0]

        def of_samples(pair: tuple):
            inputs, targets = pair
            return amplitudes @ self.activation(points[:, 1:] @ inputs.T) - targets

        values = lax.map(jax.checkpoint(of_samples), self._blocks(points, self.targets))
        return values.reshape(-1)[: len(self.targets)]

    def _variation(self, points, masses):
        """mean_j r_j a σ(w·x_j + b) at the points, `[n]`."""

        def of_samples(inputs, residuals):
            return self.activation(points[:, 1:] @ inputs.T) @ residuals

        return points[:, 0] * self._mean(of_samples, points, masses, points[:, 0])

    def _gradient(self, points: Array, masses: Array):
        """(mean_j r_j σ, a mean_j r_j σ′ x_j, a mean_j r_j σ′) at the points, `[n, d]`."""

        def of_samples(inputs: Array, residuals: Array):
            fields = points[:, 1:] @ inputs.T
            values, slopes = jax.jvp(self.activation, (fields,), (jnp.ones_like(fields),))
            inner = points[:, :1] * ((slopes * residuals) @ inputs)
            return jnp.concatenate([(values @ residuals)[:, None], inner], axis=1)

        return self._mean(of_samples, points, masses, points)

    def _mean(self, of_samples: Callable, points: Array, masses: Array, like: Array):
        """The mean over samples of a function of blocks of inputs and residuals, added up block by block."""
        blocks = self._blocks(points, self._residuals(points, masses))
        total, _ = lax.scan(lambda sum, pair: (sum + of_samples(*pair), None), jnp.zeros_like(like), blocks)
        return total / len(self.targets)

    def _blocks(self, points: Array, values: Array):
        """Samples `[blocks, block, k]` with a value each, so that n × block activations fit; padded by 0."""
        m = len(self.targets)
        block = max(1, min(m, _ENTRIES // points.shape[0]))
        padding = -m % block
        inputs = jnp.asarray(np.pad(self._extended, ((0, padding), (0, 0))), points.dtype)
        values = jnp.pad(jnp.asarray(values, points.dtype), (0, padding))
        return inputs.reshape(-1, block, inputs.shape[1]), values.reshape(-1, block)

    def displacement_modulus(self, dimension: int):
        return None

    def __repr__(self):
        m, k = self.inputs.shape
        offset = "" if self.bias else ", bias=False"
        return f"TwoLayerNetwork({m} samples in {k}D, activation={self._label}{offset})"


def _checked_data(inputs: ArrayLike, targets: ArrayLike):
    inputs, targets = finite("inputs", inputs), finite("targets", targets)
    inputs = inputs[:, None] if inputs.ndim == 1 else inputs
    if inputs.ndim != 2 or inputs.size == 0:
        raise ValueError(f"inputs: expected samples [m, k], got shape {inputs.shape}")
    if targets.shape != inputs.shape[:1]:
        raise ValueError(
            f"targets: expected one number for each of {len(inputs)} inputs, got shape {targets.shape}"
        )
    return inputs, targets
