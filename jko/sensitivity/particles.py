"""Derivatives of steps of particles: by jax through explicit ones, at their optimality for implicit ones."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from functionals import Functional
from functionals.array import Array
from functionals.programs import kept
from functionals.reading import as_it_reads_now
from functionals.time_dependence import AtTime
from jko.descent.blocks.noise import increments
from jko.descent.fields.program import Field
from jko.descent.fields.stability import refuse_coarse
from jko.descent.newton.conjugate_gradients import proximal_step
from jko.loops.random_keys import seed_words
from jko.measures import Measure, Particles
from jko.scheme import Problem, State, Status, StepInfo
from jko.sensitivity.engine import Pulled, StepDerivative, Taken, relative
from jko.sensitivity.parametrised import traced
from jko.sensitivity.tolerances import TOLERANCES


class ParticleStep(StepDerivative):
    """What steps of particles share: the formula of the scheme as one program of all parameters, with sums
    over all pairs in jax, whatever an `Interaction` says."""

    def prepared(self):
        self.scheme.check(self.F, self.initial)
        refuse_coarse(self.initial, self.scheme.scheme_name())
        return Problem(self.F, start={"step": 0})

    @property
    def make(self):
        """make_functional, under a new name where what it reads has changed."""
        return as_it_reads_now(self.make_functional)

    def failed(self, mu: Measure, state: State, status, note, iterations: int = 0) -> Taken:
        """No step, and why."""
        return Taken(mu, state, StepInfo(status=status, iterations=iterations, note=note), None)


class ExplicitStep(ParticleStep):
    """x⁺ = x − τ∇_W F(α)(x), whose path is kept; of one that is too large only what lies
    between blocks of √n_steps steps, which are taken again on the way back."""

    keeps_path = True  # until `block` has seen how long it is

    def block(self, n_steps: int):
        self.keeps_path = n_steps * self.initial.positions.nbytes <= TOLERANCES.path
        return TOLERANCES.path_block if self.keeps_path else math.isqrt(n_steps - 1) + 1

    def moves(self):
        """(move, kind of the noise, size of √(2θτ) that is kept)."""
        return _descend, None, 0.0

    def operands(self, mu: Particles, t: float, tau: float, number: int):
        """What a block of steps is a function of, the parameters, positions and times first."""
        words = seed_words(getattr(self.scheme, "seed", 0))
        return self.parameters, mu.positions, t, tau, mu.weights, number, words

    def step(self, mu: Particles, state: State, t: float, tau: float, count: int = 1):
        operands = self.operands(mu, t, tau, state["step"])
        with jax.enable_x64(True):
            program = _block(self.make, self.moves(), count, self.keeps_path and count > 1)
            moved, path, before, after = program(*operands)
        positions = np.asarray(moved)
        note = self._unstable(positions, float(before), float(after), tau)
        if note:
            return self.failed(mu, state, Status.UNSTABLE, note)
        new, state = mu.with_positions(positions), state.having(step=state["step"] + count)
        return Taken(new, state, StepInfo(), (operands, positions, path, count))

    def _unstable(self, moved: np.ndarray, before: float, after: float, tau: float) -> str:
        if not np.all(np.isfinite(moved)):
            return (
                f"a position became infinite: tau={tau:g} is beyond what the drift allows; take a smaller tau"
            )
        rounding = TOLERANCES.energy_rounding * np.finfo(moved.dtype).eps * abs(before)
        if self.moves()[1] is None and not self.F.depends_on_time and not after <= before + rounding:
            return (
                f"the energy rose from {before:.6g} to {after:.6g}: take a tau smaller than {tau:g}, or "
                "descent.BackwardEuler"
            )
        return ""

    def pull(self, tape: tuple, cotangent: dict):
        operands, moved, path, count = tape
        alone = getattr(self.scheme, "gradients_a_step", 1) == 1
        with jax.enable_x64(True):
            c = jnp.asarray(cotangent["positions"], operands[1].dtype)
            if count == 1:
                path = moved.T[None]
            elif path is None:
                path = _block(self.make, self.moves(), count, True)(*operands)[1]
            slopes = _pulled_block(self.make, self.moves(), count, alone)(c, path, *operands)
        parameters, positions, time, tau = jax.tree.map(np.asarray, slopes)
        return Pulled({"positions": positions}, parameters, float(tau), float(time), 0.0)


class StochasticStep(ExplicitStep):
    """Langevin dynamics along its noise, which is held fixed: the derivative of every path."""

    def moves(self):
        kept_noise = self.scheme.coefficients(1.0, 1.0)[1] / math.sqrt(2.0)
        return type(self.scheme).move, self.scheme.noise, kept_noise


def _descend(gradient: Callable, carried: tuple, coefficients: tuple, kicks: Callable):
    (x,), (tau, _) = carried, coefficients
    return (x - tau * gradient(x),)


@kept
def _block(make_functional: Callable, moves: tuple, count: int, keeps_path: bool):
    """A function of `operands`: the positions after `count` steps, those after each of them as columns if the
    path is kept, F without entropy before and after."""
    step = _step(make_functional, *moves)

    def block(parameters: Any, x: Array, t: Array, tau: Array, *rest):
        def taken(columns: Array, k: Array):
            moved = step(None, parameters, columns, t, tau, k, *rest)
            return moved, moved if keeps_path else None

        last, path = lax.scan(taken, x.T, jnp.arange(count))
        if moves[1] is not None:
            return last.T, path, jnp.zeros(()), jnp.zeros(())
        field, w = _field(make_functional, parameters, t), rest[0]
        return last.T, path, field.energy(x, w), field.energy(last.T, w)

    return jax.jit(block)


@kept
def _pulled_block(make_functional: Callable, moves: tuple, count: int, alone: bool):
    """A function of a cotangent, the path and `operands`: its pull-back to (parameters, positions, t, τ).

    Where the noise stands `alone`, x⁺ = x⁺(ξ = 0) + √(2θτ)ξ, it is read off the path and not drawn again.
    """
    step = _step(make_functional, *moves)

    def pulled(cotangent: Array, path: Array, parameters: Any, x: Array, t: Array, tau: Array, *rest):
        def back(after: tuple, given: tuple):
            c, total = after
            columns, moved, k = given
            noise, by = None, (parameters, columns, t, tau)
            if alone:
                size = _amplitude(make_functional, moves[2], parameters, t, tau)
                kicked = moved - step(0.0, *by, k, *rest)
                noise = jnp.where(size > 0.0, kicked / jnp.where(size > 0.0, size, 1.0), 0.0)
            of_parameters, before, of_t, of_tau = jax.vjp(lambda *by: step(noise, *by, k, *rest), *by)[1](c)
            return (before, jax.tree.map(jnp.add, total, (of_parameters, of_t, of_tau))), None

        starts = jnp.concatenate([x.T[None], path[:-1]])
        nothing = jax.tree.map(jnp.zeros_like, (parameters, t, tau))
        given = starts, path, jnp.arange(count)
        after = cotangent.T, nothing
        if count == 1:  # XLA fuses less in a loop
            (before, (total, of_t, of_tau)), _ = back(after, (x.T, path[0], 0))
        else:
            (before, (total, of_t, of_tau)), _ = lax.scan(back, after, given, reverse=True)
        return total, before.T, of_t, of_tau

    return jax.jit(pulled)


def _step(make_functional: Callable, move: Callable, kind: str | None, kept_noise: float):
    """The step number k of a block: a function of its noise, None for that of the seed, of (parameters,
    columns, t, τ, k) and of the other operands."""

    def step(noise, parameters: Any, columns: Array, t: Array, tau: Array, k: Array, w: Array, *seed):
        number, words = seed
        amplitude = _amplitude(make_functional, kept_noise, parameters, t, tau)
        coefficients = jnp.asarray(tau, columns.dtype), jnp.asarray(amplitude, columns.dtype)

        def gradient(y: Array, ahead: int = 0):
            return _field(make_functional, parameters, t + (k + ahead) * tau).columns_gradient(y, w)

        def kicks(ahead: int):
            if noise is not None:
                return 0.0 if ahead else noise
            key = jax.random.wrap_key_data(words, impl="threefry2x32")
            return increments(kind, key, number + k + ahead, columns.shape, columns.dtype)

        return move(gradient, (columns,), coefficients, kicks)[0]

    return step


def _amplitude(make_functional: Callable, kept_noise: float, parameters: Any, t: Array, tau: Array):
    """What a step multiplies its noise with, √(2θτ) or the share of it that is kept."""
    parts = traced(make_functional, parameters, t).parts
    if not parts.internal or kept_noise == 0.0:
        return jnp.zeros(())
    return kept_noise * jnp.sqrt(2.0 * parts.temperature * tau)


def _field(make_functional: Callable, parameters: Any, t: Array) -> Field:
    """The field of traced parameters at a traced time; its kernels are not asked for values."""
    parts = traced(make_functional, parameters, t).parts
    return Field(
        tuple((c, _unasked(atom, t)) for c, atom in parts.potential + parts.interaction + parts.rest)
    )


def _unasked(atom: Functional, t: Array):
    if atom.kind != "interaction":
        return atom
    here, W = copy.copy(atom), atom.W
    here.__dict__.pop("symmetric_kernel", None)
    here.W = AtTime(lambda z, _, W=W: W(z), t)  # at a traced time, so that nobody asks it for numbers
    return here


class ImplicitStep(ParticleStep):
    """x⁺ + τ∇_W F(α⁺)(x⁺) = x: (w + τD²F)u = c by conjugate gradients, λ = wu the cotangent of x."""

    def step(self, mu: Particles, state: State, t: float, tau: float, count: int = 1):
        x, w, scheme = mu.positions, mu.weights, self.scheme
        tolerance = scheme.tolerance or (1e-9 if x.dtype == np.float64 else 1e-4)
        with jax.enable_x64(True):
            solve = _proximal(self.make, scheme.max_iterations, scheme.max_inner_iterations)
            moved, error, iterations = solve(self.parameters, x, w, t, *np.asarray([tau, tolerance], x.dtype))
        error, iterations = float(error), int(iterations)
        if not error <= tolerance:
            note = (
                f"the relative residual is {error:.2g} after {iterations} Newton iterations, above "
                f"tolerance={tolerance:g}: raise max_iterations or take a smaller tau"
            )
            return self.failed(mu, state, Status.NOT_CONVERGED, note, iterations)
        new = mu.with_positions(np.asarray(moved))
        return Taken(new, state, StepInfo(iterations=iterations), (mu, new, t, tau))

    def pull(self, tape: tuple, cotangent: dict):
        _, new, t, tau = tape
        x, w, c, make = new.positions, new.weights, cotangent["positions"], self.make
        with jax.enable_x64(True):
            u, left = _solved(make)(self.parameters, x, w, t, tau, jnp.asarray(c, x.dtype))
            slopes = _implicit_slopes(make)(self.parameters, t, tau, x, w, u)
        parameters, time, by_tau = jax.tree.map(lambda g: -np.asarray(g), slopes)
        before = {"positions": np.asarray(w[:, None] * u)}
        return Pulled(before, parameters, float(by_tau), float(time), relative(np.asarray(left), c))


@kept
def _proximal(make_functional: Callable, *limits):
    """The step of `descent.BackwardEuler` by its own Newton's method: (x⁺, relative residual, iterations)."""

    def solve(parameters: Any, x: Array, w: Array, t: Array, tau: Array, tolerance: Array):
        field = _field(make_functional, parameters, t + tau)
        return proximal_step.__wrapped__(field, *limits)(x, x, w, tau, tolerance)[:3]

    return jax.jit(solve)


@kept
def _solved(make_functional: Callable):
    """(u, the residual) of (w + τD²F)u = c at positions x `[n, d]`."""

    def solve(parameters: Any, x: Array, w: Array, t: Array, tau: Array, c: Array):
        field = _field(make_functional, parameters, t + tau)

        def product(u: Array):
            bent = jax.jvp(lambda y: field.gradient(y, w), (x,), (u,))[1]
            return w[:, None] * (u + tau * bent).astype(x.dtype)

        tolerance = TOLERANCES.solved if x.dtype == np.float64 else TOLERANCES.solved_single
        u, _ = jax.scipy.sparse.linalg.cg(
            product, c, tol=tolerance, maxiter=TOLERANCES.particle_iterations, M=lambda r: r / w[:, None]
        )
        return u, product(u) - c

    return jax.jit(solve)


@kept
def _implicit_slopes(make_functional: Callable):
    def pairing(parameters: Any, t: Array, tau: Array, x: Array, w: Array, u: Array):
        field = _field(make_functional, parameters, t + tau)
        return jnp.sum(w[:, None] * u * tau * field.gradient(x, w))

    return jax.jit(jax.grad(pairing, argnums=(0, 1, 2)))
