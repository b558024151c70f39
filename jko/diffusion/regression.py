"""Fitting a network to drawn targets: what matching a score and matching a flow have in common."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jko.diffusion.network import Network, conservative, initial_layers, plain
from jko.errors import positive_number, seed_number, whole_number

_BLOCK = 50
_WORSE = 3.0
_DECAYS, _TINY = (0.9, 0.999), 1e-8


@dataclass(frozen=True)
class Fit:
    """argmin E|v(x, t) − target|² over networks, by Adam [KingmaBa2015] with a cosine decay to rate 0."""

    gradient: bool
    width: int
    depth: int
    steps: int
    batch: int
    rate: float
    seed: int

    def __post_init__(self):
        for name in ("width", "depth", "steps", "batch"):
            whole_number(name, getattr(self, name))
        positive_number("rate", self.rate)
        seed_number("seed", self.seed)

    def run(self, draw, centre, scale, progress=None, label="fit", layers=None) -> Network:
        """Train from random layers, or from those given.

        `draw(generator, shape)` gives (x `[*shape, d]`, t `[*shape]`, target as x) in the units of the data,
        `centre` and `scale` those in which the network sees them. Raises ValueError where the loss diverges.
        """
        from tqdm import tqdm

        field, d = (conservative if self.gradient else plain), len(centre)
        if layers is None:
            layers = initial_layers(d, 1 if self.gradient else d, self.width, self.depth, self.seed)
        zero = jax.tree.map(np.zeros_like, layers)
        state, losses, generator = (layers, zero, zero), [], np.random.default_rng(self.seed)
        hidden = None if progress is None else not progress
        with tqdm(total=self.steps, desc=label, unit="step", delay=1.0, disable=hidden, leave=False) as bar:
            for first in range(0, self.steps, _BLOCK):
                # a short last block is filled up with steps of rate 0, so that one program serves all
                numbers = first + np.arange(_BLOCK)
                cosine = 0.5 * (1.0 + np.cos(np.pi * np.minimum(numbers / self.steps, 1.0)))
                x, t, target = draw(generator, (_BLOCK, self.batch))
                inputs = (1.0 + numbers, self.rate * cosine, (x - centre) / scale, t, target / scale)
                state, block = _block(field, state, tuple(np.asarray(a, np.float32) for a in inputs))
                losses.append(scale**2 * np.asarray(block, float)[: self.steps - first])
                bar.update(len(losses[-1]))
        losses = np.concatenate(losses)
        # the network starts at zero: a fit that is worse than none has not converged
        if not np.all(np.isfinite(losses)) or np.median(losses[-_BLOCK:]) > _WORSE * losses[0]:
            raise ValueError(f"rate: the training diverged at {self.rate:g}: take a smaller one")
        return Network(field, jax.tree.map(np.asarray, state[0]), np.asarray(centre), float(scale), losses)


@partial(jax.jit, static_argnums=0)
def _block(field, state, inputs):
    batched = jax.vmap(field, in_axes=(None, 0, 0))

    def loss(layers, x, t, target):
        return jnp.mean(jnp.sum((batched(layers, x, t) - target) ** 2, axis=-1))

    def one(state, inputs):
        number, rate, *drawn = inputs
        value, slope = jax.value_and_grad(loss)(state[0], *drawn)
        return _adam(*state, slope, number, rate), value

    return lax.scan(one, state, inputs)


def _adam(layers, first, second, slope, number, rate):
    """The step of this number, from 1: layers and both averages."""
    a, b = _DECAYS
    first = jax.tree.map(lambda m, g: a * m + (1.0 - a) * g, first, slope)
    second = jax.tree.map(lambda v, g: b * v + (1.0 - b) * g**2, second, slope)

    def moved(p, m, v):
        return p - rate * (m / (1.0 - a**number)) / (jnp.sqrt(v / (1.0 - b**number)) + _TINY)

    return jax.tree.map(moved, layers, first, second), first, second
