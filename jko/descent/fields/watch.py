"""Whether an explicit step resolves the drift where the particles are on the way: steep walls, near pairs.

The stability limit of `jko.descent.fields.stability` is measured where particles start. A particle that
meets a wall, or another particle under a singular kernel, later on is thrown: its drift changes by more
than the step that led it there can follow. On a quadratic of curvature L the drift changes by LΔx over a
step Δx, and τL ≤ 2. A change with τ|Δg| > 4√(|Δx|² + s²), s the size of the noise of a step, is a *throw*;
Σ w (τ|Δg|)² over the throws is what they add to the second moment. It is held against Σ w|Δx|², of which the
noise is s² a step.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from functionals.array import Array
from jko.descent.fields.program import program

THROW = 4.0  # times a step: twice the limit τL = 2, where no step within the limit comes
OF_NOISE = 0.05  # of the heat of the noise: the second moment is then wrong by about as much
OF_DRIFT = 0.4  # of what the drift moves; a throw and the move that follows it are of one size
FEW = 128  # steps of a particle, among fewer of which one that turns about while others move is much
SAMPLED = 256  # steps between two that are watched, where all of them would take long
EVERY_STEP = 20_000  # particles up to which every step is watched


class Watch(NamedTuple):
    """What a block of steps is watched with: `reaction`·|Δg| is τ|Δg| of an overdamped step, `noise` is s².

    `lost` is the share of |Δx|² that a step does not hand on to the next: 1 without inertia.
    """

    reaction: float
    noise: float
    lost: float = 1.0

    def numbers(self, dtype) -> np.ndarray:
        """The same in the dtype of the positions."""
        return np.asarray([self.reaction, self.noise], dtype)

    def thrown(self, heat: float, moved: float, steps: int, n: int) -> bool:
        """Whether `heat` = Σ w (τ|Δg|)² over throws is too much for `moved` = Σ w|Δx|² of n particles."""
        noise = self.noise * steps
        allowed = OF_NOISE * noise + OF_DRIFT * max(moved - noise, 0.0)
        return not heat <= self.lost * (1.0 + FEW / (n * steps)) * allowed


def seen(numbers: Array, before: tuple, now: tuple):
    """((τ|Δg|)² where it is a throw, |Δx|²) `[n]` of two pairs (positions, gradients) `[d, n]`."""
    (x, g), (y, h) = before, now
    reaction, noise = numbers
    kick = sum((reaction * (b - a)) ** 2 for a, b in zip(g, h, strict=True))
    step = sum((b - a) ** 2 for a, b in zip(x, y, strict=True))
    return jnp.where(kick > THROW**2 * (step + noise), kick, 0), step


def _square(columns: Array):
    return sum(c**2 for c in columns)


def watched_steps(first: int, last: int) -> list[int]:
    """The ends of steps first + 1 … last after which to look: 1, 2, 4 … 256, then every 256th.

    They are the same however a run is cut into blocks.
    """
    early = [2**k for k in range(SAMPLED.bit_length()) if first < 2**k <= last]
    later = range((max(first, SAMPLED) // SAMPLED + 1) * SAMPLED, last + 1, SAMPLED)
    return early + list(later)


@program
def compiled_look(flow):
    """(numbers, x, y, z, w) → (heat, moved, farthest, reach): a step from y to z, the last of several from x.

    `farthest` is the largest |z − x|, `reach` the largest τ|g| at x and z.
    """

    def look(numbers: Array, x: Array, y: Array, z: Array, w: Array):
        x, y, z = lax.optimization_barrier((x.T, y.T, z.T))
        # the compiler would take the gradients again for every use
        at_x, at_y, at_z = lax.optimization_barrier(tuple(flow.columns_gradient(a, w) for a in (x, y, z)))
        heat, moved = seen(numbers, (y, at_y), (z, at_z))
        steepest = jnp.maximum(_square(at_x), _square(at_z))
        sizes = lax.optimization_barrier((heat, moved, _square(z - x), steepest))
        heat, moved, farthest, steepest = sizes
        return w @ heat, w @ moved, jnp.sqrt(jnp.max(farthest)), numbers[0] * jnp.sqrt(jnp.max(steepest))

    return look


class HostWatch:
    """The same of steps in numpy: call it with positions and gradients `[n, d]` wherever one is taken."""

    def __init__(self, watch: Watch, w: np.ndarray):
        self.watch, self.w, self.before = watch, np.asarray(w, float), None
        self.heat, self.moved = 0.0, 0.0

    def __call__(self, x: np.ndarray, g: Array):
        now = np.asarray(x, float), np.asarray(g, float)
        if self.before is not None:
            kick = np.sum((self.watch.reaction * (now[1] - self.before[1])) ** 2, axis=1)
            step = np.sum((now[0] - self.before[0]) ** 2, axis=1)
            self.heat += float(self.w @ np.where(kick > THROW**2 * (step + self.watch.noise), kick, 0.0))
            self.moved += float(self.w @ step)
        self.before = now

    def thrown(self, steps: int) -> bool:
        """Whether so many steps threw particles."""
        return self.watch.thrown(self.heat, self.moved, steps, len(self.w))


def sentence(first: int, last: int, tau: float, limit: str) -> str:
    """What a failed block says."""
    return (
        f"particles were thrown between steps {first} and {last}: the drift changed by more than a step of "
        f"tau={tau:g} can follow{limit}, at a wall, a kink, or between near particles under a singular "
        "kernel; take a smaller tau, a wall or kernel rounded off over the length √(2θτ) of a step or more "
        "(such as 0.5*log(|z|² + ε²) for log|z|), or a Density with limits.FiniteVolume or a JKO step"
    )
