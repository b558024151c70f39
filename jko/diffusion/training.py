"""Fitting a network to drawn targets: what matching a score and matching a flow have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from functionals.array import Array
from functionals.programs import kept
from jko.diffusion.arguments import instance
from jko.diffusion.network import Network, conservative, initial_layers, plain
from jko.diffusion.tolerances import TOLERANCES
from jko.errors import positive_number, seed_number, shown, whole_number
from jko.progress import progress_bar


@dataclass(frozen=True)
class Training:
    """How a small network is fitted: argmin E|v(x, t) − target|² by Adam [KingmaBa2015], in float32.

    `steps` steps on `batch` draws each, at a rate that falls from `rate` to 0 as a cosine; `depth` hidden
    layers of `width` units; `seed` fixes the first weights and every draw. With `gradient`, v(·, t) is the
    gradient of a function of the network, whatever its weights; without it, a step takes half the time.
    Data whose axes differ in spread by more than a factor 8, as those of unlike units do, are learnt with
    every axis in units of its own spread D: the loss is then that of D⁻¹v, and v = D²∇φ a gradient in those
    units.
    Raises TypeError or ValueError for what is no such number.
    """

    steps: int = 4000
    batch: int = 256
    width: int = 64
    depth: int = 3
    rate: float = 5e-3
    seed: int = 0
    gradient: bool = True

    def __post_init__(self):
        for name in ("steps", "batch", "width", "depth"):
            whole_number(name, getattr(self, name))
        positive_number("rate", self.rate)
        seed_number("seed", self.seed)
        if not isinstance(self.gradient, bool):
            raise TypeError(f"gradient: expected True or False, got {shown(self.gradient)}")

    @classmethod
    def given(cls, training: Training | None) -> Training:
        """The settings that were given, or the default ones for None."""
        return cls() if training is None else instance("training", training, cls, f": take {cls.__name__}(…)")

    def fit(
        self,
        draw: Callable,
        centre: np.ndarray,
        scale: float | np.ndarray,
        progress: bool | None = None,
        label: str = "fit",
        layers=None,
        loss: Callable | None = None,
        outputs: int | None = None,
    ) -> Network:
        """Train from random layers, or from those given.

        In place of |v − target|² `loss(prediction, target)`, a jax function of the outputs at one point and
        what `draw` gives beside it, may be another, of a plain network with as many `outputs`; neither is
        then in units of the scale.

        `draw(generator, shape)` gives (x `[*shape, d]`, t `[*shape]`, target as x) in the units of the data,
        `centre` and `scale` those in which the network sees them. Raises ValueError where the loss diverges.
        """
        d, unit = len(centre), scale if loss is None else 1.0
        field = conservative if self.gradient and loss is None else plain
        if layers is None:
            count = outputs or (1 if self.gradient else d)
            layers = initial_layers(d, count, self.width, self.depth, self.seed)

        def inputs(generator, shape: tuple, share: np.ndarray):
            x, t, target = draw(generator, shape)
            return (x - centre) / scale, t, target / unit

        layers, losses = self.minimise(mean_loss(field, loss or _squared), inputs, layers, progress, label)
        losses = np.mean(np.square(unit)) * losses
        # the network starts at zero: a fit that is worse than none has not converged
        if np.median(losses[-TOLERANCES.block :]) > TOLERANCES.worse * losses[0]:
            raise ValueError(f"rate: the training diverged at {self.rate:g}: take a smaller one")
        return Network(field, layers, np.asarray(centre), scale, losses)

    def minimise(
        self,
        objective: Callable,
        draw: Callable,
        layers: tuple,
        progress: bool | None = None,
        label: str = "fit",
    ) -> tuple[tuple, np.ndarray]:
        """Layers that make the mean of `objective(layers, *drawn)` small, and its value at each step.

        `draw(generator, shape, share)` gives a tuple of arrays `[*shape, …]`, of blocks of steps at once;
        `share` `[shape[0]]` is the part of the steps before each. The objective, a jax function of a batch,
        is compiled once and has to be the same object for that. Raises ValueError where it diverges.
        """
        zero = jax.tree.map(np.zeros_like, layers)
        state, losses, generator = (layers, zero, zero), [], np.random.default_rng(self.seed)
        with progress_bar(progress, self.steps, label, "step") as tick:
            for first in range(0, self.steps, TOLERANCES.block):
                # a short last block is filled up with steps of rate 0, so that one program serves all
                numbers = first + np.arange(TOLERANCES.block)
                share = np.minimum(numbers / self.steps, 1.0)
                drawn = draw(generator, (TOLERANCES.block, self.batch), share)
                inputs = (1.0 + numbers, self.rate * 0.5 * (1.0 + np.cos(np.pi * share)), *drawn)
                inputs = tuple(np.asarray(a, np.float32) for a in inputs)
                state, block = _block(objective, state, inputs)
                losses.append(np.asarray(block, float)[: self.steps - first])
                tick(len(losses[-1]))
        losses = np.concatenate(losses)
        if not np.all(np.isfinite(losses)):
            raise ValueError(f"rate: the training diverged at {self.rate:g}: take a smaller one")
        return jax.tree.map(np.asarray, state[0]), losses


def _squared(prediction: Array, target: Array):
    return jnp.sum((prediction - target) ** 2)


@kept
def mean_loss(field: Callable, loss_of: Callable):
    """(layers, x, t, target) ↦ the mean over a batch of the loss of a field at each point."""
    batched, each = jax.vmap(field, in_axes=(None, 0, 0)), jax.vmap(loss_of)

    def loss(layers: tuple, x: Array, t: Array, target: Array):
        return jnp.mean(each(batched(layers, x, t), target))

    return loss


@partial(jax.jit, static_argnums=0)
def _block(objective: Callable, state: tuple, inputs: tuple):
    def one(state: tuple, inputs: tuple):
        number, rate, *drawn = inputs
        value, slope = jax.value_and_grad(objective)(state[0], *drawn)
        return _adam(*state, slope, number, rate), value

    return lax.scan(one, state, inputs)


def _adam(layers: tuple, first: tuple, second: tuple, slope: tuple, number: Array, rate: Array):
    """The step of this number, from 1: layers and both averages."""
    a, b = TOLERANCES.decays
    first = jax.tree.map(lambda m, g: a * m + (1.0 - a) * g, first, slope)
    second = jax.tree.map(lambda v, g: b * v + (1.0 - b) * g**2, second, slope)

    def moved(p: Array, m: Array, v: Array):
        return p - rate * (m / (1.0 - a**number)) / (jnp.sqrt(v / (1.0 - b**number)) + TOLERANCES.adam_floor)

    return jax.tree.map(moved, layers, first, second), first, second
