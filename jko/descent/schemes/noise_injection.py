"""Descent by gradients taken beside the particles: noise that helps out of local minima."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from functionals import Functional, pointwise
from functionals.array import Array
from functionals.programs import kept
from jko.descent.blocks.noise import increments
from jko.descent.fields import native_terms
from jko.descent.fields.program import program
from jko.descent.fields.sharded import energy_at
from jko.descent.fields.stability import refuse_unstable
from jko.descent.fields.watch import HostWatch, Watch, watched_steps
from jko.descent.fields.watch import sentence as thrown_sentence
from jko.descent.schemes.energy_descent import EnergyDescent
from jko.errors import positive_number, seed_number
from jko.loops.random_keys import key_of
from jko.loops.sums.pair_sums import Difference, pair_gradient_sum, precision
from jko.measures import Measure
from jko.scheme import Problem, State, Status, StepInfo


@dataclass(frozen=True)
class NoiseInjection(EnergyDescent):
    """x⁺ = x − τ∇(δF/δρ)(α)(x + β_k ξ), β_k = `level`/(1 + kτ)^`decay` [ArbelKorbaSalimGretton2019].

    The gradient of the first variation is taken at a point beside the particle, at a distance of the order of
    β_k; the particle itself is not displaced, so this is no diffusion, and with β_k → 0 it is `ForwardEuler`.
    Made for `MMD`, whose particles may come to rest, or drift out of the kernel's reach, short of the target:
    β must stay large for long, Σ β_k² = ∞, so that a `decay` above ½ is refused. The energy falls where β is
    small against the gradient, and may rise; it is recorded as it is. A τ beyond 2/L is refused as `Langevin`
    does.
    """

    level: float = 1.0
    decay: float = 0.0
    seed: int = 0

    takes: ClassVar = frozenset({"potential", "interaction"})
    order: ClassVar[int] = 1

    def __post_init__(self):
        positive_number("level", self.level)
        seed_number("seed", self.seed)
        if not (isinstance(self.decay, (int, float)) and 0.0 <= self.decay <= 0.5):
            raise ValueError(f"decay: expected a number from 0 to 1/2, got {self.decay!r}")

    def prepare(self, F: Functional, mu: Measure):
        problem = super().prepare(F, mu)
        return problem.starting(problem.start.having(step=0))

    def step(self, problem: Problem, mu: Measure, t: float, tau: float, state: State):
        tau, flow, x, w = positive_number("tau", tau), problem.at(t), mu.positions, mu.weights
        number = state["step"]
        if number == 0:
            refuse_unstable(
                problem.F.at(t).parts, mu, tau, self.scheme_name(), lambda curvature: 2.0 / curvature
            )
        level = self.level / (1.0 + number * tau) ** self.decay
        with precision(x):
            scalars = np.asarray([tau, level], x.dtype)
            if flow.leaves_jax(x):
                beside = np.asarray(_beside(x, level, key_of(self.seed), np.int32(number)))
                slopes = _gradient_on_the_host(flow, beside, x, w)
            else:
                beside, slopes = _slopes(flow)(x, w, scalars[1], key_of(self.seed), np.int32(number))
            moved = x - scalars[0] * np.asarray(slopes)
            if not np.all(np.isfinite(moved)):
                return mu, state, StepInfo(Status.UNSTABLE, note=_diverged(number, tau))
            if watched_steps(number, number + 1):
                watch = HostWatch(Watch(tau, 0.0), w)
                watch(x, flow.compiled_gradient(x, w))
                watch(beside, slopes)
                watch(moved, flow.compiled_gradient(moved, w))
                if watch.thrown(1):
                    note = thrown_sentence(number, number + 1, tau, "")
                    return mu, state, StepInfo(Status.UNSTABLE, note=note)
        after = energy_at(problem.at(t + tau), mu.with_positions(moved))
        info = StepInfo(iterations=1, mass_error=0.0, note=state.get("note", ""))
        return (
            mu.with_positions(moved),
            state.having(energy=after, step=number + 1),
            info,
        )


@program
def _slopes(flow):
    def slopes(x: Array, w: Array, level: Array, key: Array, number: Array):
        beside = _beside(x, level, key, number)
        return beside, sum(c * _gradient_beside(atom, beside, x, w) for c, atom in flow.terms)

    return slopes


def _gradient_on_the_host(flow, beside, x, w):
    """∇(δF/δρ)(α) at the points beside, its sums over many particles taken outside jax."""
    native = [native_terms.is_native(atom, *x.shape) for _, atom in flow.terms]
    total = np.zeros_like(x)
    for (c, atom), outside in zip(flow.terms, native, strict=True):
        slopes = native_terms.gradient_at(atom, beside, x, w) if outside else _compiled(atom)(beside, x, w)
        total = total + x.dtype.type(c) * np.asarray(slopes)
    return total


@kept
def _compiled(atom):
    return jax.jit(partial(_gradient_beside, atom))


@jax.jit
def _beside(x: Array, level: Array, key: Array, number: Array):
    level = jnp.asarray(level, x.dtype)
    return x + level * increments("gaussian", key, number, x.T.shape, x.dtype).T


def _gradient_beside(atom: Functional, beside: Array, x: Array, w: Array):
    """∇(δF/δρ)(α) of a potential or an interaction at other points than the particles, `[n, d]`."""
    if atom.kind == "potential":
        return jax.vmap(jax.grad(pointwise.scalar(atom.V)))(beside)
    kernel = atom.symmetric_kernel if atom.general else Difference(pointwise.scalar(atom.W))
    options = {"exclude_coincident": not atom.general}
    return jnp.asarray(pair_gradient_sum(kernel, beside, x, w, **options))


def _diverged(number, tau: float):
    return f"a position became infinite in step {number + 1}: tau={tau:g} is too large, take a smaller one"
