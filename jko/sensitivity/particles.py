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
from functionals.algebra import Sum
from functionals.array import Array
from functionals.programs import kept
from functionals.reading import as_it_reads_now
from functionals.summation import Summation
from functionals.time_dependence import AtTime
from jko.descent.blocks.noise import increments
from jko.descent.fields.program import Field
from jko.descent.fields.stability import refuse_coarse
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
    """x⁺ = x − τ∇_W F(α)(x), whose path is kept with the slopes along it; of one that is too large only what
    lies between blocks of √n_steps steps, which are taken again on the way back."""

    keeps_path = True  # until `block` has seen how long it is

    def block(self, n_steps: int):
        kept_arrays = 1 + getattr(self.scheme, "gradients_a_step", 1)
        self.keeps_path = n_steps * kept_arrays * self.initial.positions.nbytes <= TOLERANCES.path
        return TOLERANCES.path_block if self.keeps_path else math.isqrt(n_steps - 1) + 1

    def moves(self):
        """(move, kind of the noise, size of √(2θτ) that is kept)."""
        return _descend, None, 0.0

    def operands(self, mu: Particles, t: float, tau: float, number: int):
        """What a block of steps is a function of: the parameters, positions `[d, n]` and times first."""
        words, columns = seed_words(getattr(self.scheme, "seed", 0)), np.ascontiguousarray(mu.positions.T)
        return self.parameters, columns, t, tau, mu.weights, number, words

    def step(self, mu: Particles, state: State, t: float, tau: float, count: int = 1):
        operands = self.operands(mu, t, tau, state["step"])
        with jax.enable_x64(True):
            program = _block(self.make, self.moves(), count, self.keeps_path or count == 1)
            moved, path, before, after = program(*operands)
        positions = np.ascontiguousarray(np.asarray(moved).T)
        note = self._unstable(positions, float(before), float(after), tau)
        if note:
            return self.failed(mu, state, Status.UNSTABLE, note)
        new, state = mu.with_positions(positions), state.having(step=state["step"] + count)
        return Taken(new, state, StepInfo(), (operands, moved, path, count))

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
        c = np.ascontiguousarray(cotangent["positions"].T, operands[1].dtype)
        with jax.enable_x64(True):
            if path is None:
                path = _block(self.make, self.moves(), count, True)(*operands)[1]
            slopes = _pulled_block(self.make, self.moves(), count)(c, moved, path, *operands)
        parameters, columns, time, tau = jax.tree.map(np.asarray, slopes)
        return Pulled({"positions": columns.T}, parameters, float(tau), float(time), 0.0)


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
    """A function of `operands`: the columns after `count` steps, those before each of them and the slopes
    along it if the path is kept, F without entropy before and after."""
    move, kind, kept_noise = moves

    def block(parameters: Any, x: Array, t: Array, tau: Array, w: Array, number: Array, words: Array):
        def taken(columns: Array, k: Array):
            slopes = []

            def gradient(y: Array, ahead: int = 0):
                slopes.append(
                    _field(make_functional, parameters, t + (k + ahead) * tau).columns_gradient(y, w)
                )
                return slopes[-1]

            def kicks(ahead: int):
                key = jax.random.wrap_key_data(words, impl="threefry2x32")
                return increments(kind, key, number + k + ahead, columns.shape, columns.dtype)

            size = _amplitude(make_functional, kept_noise, parameters, t, tau)
            moved = move(gradient, (columns,), _coefficients(tau, size, columns), kicks)[0]
            return moved, (columns, tuple(slopes)) if keeps_path else None

        if count == 1:  # XLA fuses less in a loop
            last, path = taken(x, 0)
        else:
            last, path = lax.scan(taken, x, jnp.arange(count))
        if kind is not None:
            return last, path, jnp.zeros(()), jnp.zeros(())
        field = _field(make_functional, parameters, t)
        return last, path, field.energy(x.T, w), field.energy(last.T, w)

    return jax.jit(block)


@kept
def _pulled_block(make_functional: Callable, moves: tuple, count: int):
    """A function of a cotangent, the columns at the end, the path and `operands`: its pull-back to
    (parameters, columns, t, τ). The slopes are those of the path, and so is the noise, the sum of a step's
    kicks: x⁺ is what the same slopes make without it, and amplitude times noise."""
    move, _, kept_noise = moves

    def pulled(c: Array, last: Array, path: tuple, parameters: Any, x: Array, t: Array, tau: Array, w, *_):
        def step(
            kick, size: Array, slopes: tuple, columns: Array, k: Array, parameters: Any, t: Array, tau: Array
        ):
            known = iter(slopes)

            def gradient(y: Array, ahead: int = 0):
                return slope(parameters, t + (k + ahead) * tau, y, w, next(known))

            given = (columns,), _coefficients(tau, size, columns), lambda ahead: 0.0 if ahead else kick
            return move(gradient, *given)[0]

        def back(after: tuple, given: tuple):
            c, total, moved = after
            columns, slopes, k = given
            kick = moved - step(0.0, 0.0, slopes, columns, k, parameters, t, tau)
            size = _amplitude(make_functional, kept_noise, parameters, t, tau)

            def along(columns: Array, *by):
                grown = _amplitude(make_functional, kept_noise, *by)
                share = jnp.where(size > 0.0, grown / jnp.where(size > 0.0, size, 1.0), 0.0)
                return step(kick, share, slopes, columns, k, *by)

            before, *found = jax.vjp(along, columns, parameters, t, tau)[1](c)
            return (before, jax.tree.map(jnp.add, total, tuple(found)), columns), None

        slope = _slope(make_functional)
        after = c, jax.tree.map(jnp.zeros_like, (parameters, t, tau)), last
        if count == 1:
            (before, total, _), _ = back(after, (*path, 0))
        else:
            (before, total, _), _ = lax.scan(back, after, (*path, jnp.arange(count)), reverse=True)
        parameters, t, tau = total
        return parameters, before, t, tau

    return jax.jit(pulled)


def _slope(make_functional: Callable):
    """∇_W F in columns where it is known, as a function of (parameters, t, columns) that can be pulled back:
    by the derivative of Σ c_i·∇_W F(x_i), which is cheaper than that of the vector."""

    @jax.custom_vjp
    def slope(parameters: Any, t: Array, columns: Array, w: Array, known: Array):
        return known

    def forth(parameters: Any, t: Array, columns: Array, w: Array, known: Array):
        return known, (parameters, t, columns, w)

    def back(operands: tuple, c: Array):
        *by, w = operands

        def pairing(parameters: Any, t: Array, columns: Array):
            return _field(make_functional, parameters, t).columns_pairing(columns, w, c)

        return *jax.grad(pairing, argnums=(0, 1, 2))(*by), None, None

    slope.defvjp(forth, back)
    return slope


def _coefficients(tau: Array, amplitude: Array, columns: Array):
    return jnp.asarray(tau, columns.dtype), jnp.asarray(amplitude, columns.dtype)


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


class ImplicitStep(StepDerivative):
    """x⁺ + τ∇_W F(α⁺)(x⁺) = x: (w + τD²F)u = c by conjugate gradients, λ = wu the cotangent of x. The steps
    are the scheme's own, with sums over all pairs."""

    def prepared(self):
        self.F = Sum(tuple((c, _over_all_pairs(atom)) for c, atom in self.F.primitives()))
        return super().prepared()

    def pull(self, tape: tuple, cotangent: dict):
        _, new, t, tau = tape
        x, w, c = new.positions, new.weights, cotangent["positions"]
        make = as_it_reads_now(self.make_functional)
        with jax.enable_x64(True):
            u, left = _solved(make)(self.parameters, x, w, t, tau, jnp.asarray(c, x.dtype))
            slopes = _implicit_slopes(make)(self.parameters, t, tau, x, w, u)
        parameters, time, by_tau = jax.tree.map(lambda g: -np.asarray(g), slopes)
        before = {"positions": w[:, None] * np.asarray(u)}
        return Pulled(before, parameters, float(by_tau), float(time), relative(np.asarray(left), c))


def _over_all_pairs(atom: Functional):
    if atom.kind != "interaction":
        return atom
    here = copy.copy(atom)
    here.summation = Summation("direct")
    return here


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
