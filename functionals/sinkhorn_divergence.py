"""The Sinkhorn divergence to data."""

from __future__ import annotations

from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from functionals.base import Functional
from functionals.numbers import positive
from functionals.registry import register
from functionals.sliced import require_measure, require_same_dimension
from functionals.tolerances import TOLERANCES


@register("sinkhorn_divergence")
class SinkhornDivergence(Functional):
    """F(ρ) = OT_ε(ρ, ν) − ½OT_ε(ρ, ρ) − ½OT_ε(ν, ν), the Sinkhorn divergence to ν [FeydyEtAl2019].

    OT_ε(α, β) = min over couplings γ of ∫½|x − y|² dγ + ε KL(γ‖α ⊗ β), so that F → ½W₂² as ε → 0 and a
    discrepancy by the kernel −½|x − y|² as ε → ∞. `target` is ν, by its points and masses, `epsilon` ε, a
    squared length, and `tolerance` the L1 error of the marginals at which Sinkhorn's iteration stops; where
    it does not get there, the energy is refused in a sentence, and gradients are NaN: a step fails.
    δF/δρ = f_{ρν} − f_{ρρ}, the entropic potentials, and ∇_W F = T_{ρρ}(x) − T_{ρν}(x), the means of the
    plans. Convex along mixtures; along geodesics no λ is known.
    """

    example = "fn.SinkhornDivergence(jko.Gaussian.of(0.0, 1.0, dimension=1).sample(50, seed=1), epsilon=0.2)"
    linearly_convex = True
    memoised = frozenset({"_own"})

    def __init__(self, target, epsilon: float, tolerance: float = 1e-4):
        require_measure(target)
        self.target, self.epsilon = target, positive("epsilon", epsilon)
        self.tolerance = positive("tolerance", tolerance)
        masses = np.asarray(target.masses, dtype=float).ravel()
        self._points = np.asarray(target.points, dtype=float)[masses > 0.0]
        self._masses = masses[masses > 0.0] / masses.sum()

    @cached_property
    def _own(self) -> float:
        with jax.enable_x64(True), jax.ensure_compile_time_eval():
            y, b = jnp.asarray(self._points), jnp.asarray(self._masses)
            return float(_with_itself(y, b, self.epsilon, self.tolerance)[0])

    def energy(self, mu):
        require_same_dimension(self.target, mu)
        x, w = jnp.asarray(mu.points), jnp.asarray(mu.masses)
        y, b = jnp.asarray(self._points, x.dtype), jnp.asarray(self._masses, x.dtype)
        w = w.astype(x.dtype) / jnp.sum(w)
        value = _between(x, w, y, b, self.epsilon, self.tolerance) - 0.5 * self._own
        if not isinstance(value, jax.core.Tracer) and np.isnan(value):
            raise ValueError(
                f"tolerance: Sinkhorn's iteration did not bring the marginals to {self.tolerance:g} in "
                f"{TOLERANCES.most_blocks * TOLERANCES.between_looks} iterations: take a larger epsilon than "
                f"{self.epsilon:g}, or a larger tolerance"
            )
        return value

    def __repr__(self):
        return f"SinkhornDivergence({self.target!r}, epsilon={self.epsilon:g})"


def _costs(x, y):
    squares = jnp.sum(x**2, axis=1)[:, None] + jnp.sum(y**2, axis=1) - 2.0 * x @ y.T
    return 0.5 * jnp.maximum(squares, 0.0)


@jax.custom_jvp
def _between(x, w, y, b, epsilon, tolerance):
    """OT_ε(ρ, ν) − ½OT_ε(ρ, ρ)."""
    return _solved(x, w, y, b, epsilon, tolerance)[0]


@_between.defjvp
def _slope(primals, tangents):
    value, of_x, of_w = _solved(*primals)
    # of the target and the settings there is none
    return value, jnp.sum(of_x * tangents[0]) + jnp.sum(of_w * tangents[1])


def _solved(x, w, y, b, epsilon, tolerance):
    """(value, its derivatives by x and by w): at the optimum those with the potentials held."""
    a, m = jnp.sum(w[:, None] * x, axis=0), jnp.sum(b[:, None] * y, axis=0)
    x, y, shift = x - a, y - m, a - m
    # ½|x − y|² of the points is that about their means and, since plans keep means, x·s + ½|s|²
    value, potential, mean = _to_other(x, w, y, b, epsilon, tolerance)
    own, own_potential, own_mean = _with_itself(x, w, epsilon, tolerance)
    value = value + 0.5 * jnp.sum(shift**2) - 0.5 * own
    return value, w[:, None] * (own_mean - mean + shift), potential + x @ shift - own_potential


def _to_other(x, w, y, b, epsilon, tolerance):
    """(OT_ε, f, the means of the plan) by scalings of K = e^{(f + g − c)/ε}, in float32 as far as its
    rounding lets the error be seen, and to the end in the precision of x."""
    costs = _costs(x, y)
    f = jnp.min(costs, axis=1)
    start = f, jnp.min(costs - f[:, None], axis=0)
    near = start
    if x.dtype == jnp.float64:
        rough = jnp.maximum(TOLERANCES.single_share * tolerance, TOLERANCES.single_error)
        near = _scaled(costs, w, b, start, epsilon, rough, jnp.float32)[0]
        # masses below the least float32 leave no number there
        told = jnp.all(jnp.isfinite(near[0])) & jnp.all(jnp.isfinite(near[1]))
        near = tuple(jnp.where(told, one, other) for one, other in zip(near, start, strict=True))
    (f, g), K, error = _scaled(costs, w, b, near, epsilon, tolerance, x.dtype)
    f, K = jnp.where(error <= tolerance, f, jnp.nan), K * b
    rows = jnp.sum(K, axis=1)
    f = f - epsilon * jnp.log(rows)
    return jnp.sum(w * f) + jnp.sum(b * g), f, (K @ y) / rows[:, None]


def _scaled(costs, w, b, start, epsilon, tolerance, dtype):
    """((f, g), K = e^{(f + g − c)/ε}, the L1 error of its marginals) by scalings u, v of a K in `dtype`,
    absorbed into f and g in between."""
    w, b = w.astype(dtype), b.astype(dtype)

    def kernel(f, g):
        K = jnp.exp(((f[:, None] + g - costs) / epsilon).astype(dtype))
        return K, error_of(K, jnp.ones_like(w), jnp.ones_like(b))

    def error_of(K, u, v):
        error = jnp.sum(w * jnp.abs(u * (K @ (b * v)) - 1.0))
        return error + jnp.sum(b * jnp.abs(v * ((w * u) @ K) - 1.0))

    def outer(state):
        f, g, K, _, relaxation, count = state

        def inner(state):
            u, v, before, relaxation, count = state
            # over-relaxed once the first block has settled, as long as the error falls
            relaxed = jnp.isfinite(before) & (before < TOLERANCES.settled)
            power = jnp.where(relaxed, relaxation, 1.0)
            for _ in range(TOLERANCES.between_looks):
                u = u ** (1.0 - power) * (K @ (b * v)) ** -power
                v = v ** (1.0 - power) * ((w * u) @ K) ** -power
            error = error_of(K, u, v)
            more = jnp.minimum(
                relaxation + TOLERANCES.more_relaxed * (2.0 - relaxation), TOLERANCES.most_relaxed
            )
            relaxation = jnp.where(relaxed & (error > TOLERANCES.slowly * before), more, relaxation)
            return u, v, error, relaxation, count + 1

        def going(state):
            return (state[2] > tolerance) & (state[4] < TOLERANCES.between_absorptions)

        first = jnp.ones_like(w), jnp.ones_like(b), jnp.asarray(jnp.inf, dtype), relaxation, 0
        u, v, _, relaxation, done = jax.lax.while_loop(going, inner, first)
        f, g = f + epsilon * jnp.log(u), g + epsilon * jnp.log(v)
        return f, g, *kernel(f, g), relaxation, count + done

    f, g, K, error, _, _ = jax.lax.while_loop(
        lambda s: (s[3] > tolerance) & (s[5] < TOLERANCES.most_blocks),
        outer,
        (*start, *kernel(*start), jnp.asarray(TOLERANCES.relaxation, dtype), 0),
    )
    return (f, g), K, error


def _with_itself(x, w, epsilon, tolerance):
    """The same of a measure with itself, where f = g: u ← (u/K(wu))^½ [FeydyEtAl2019]."""
    K = jnp.exp(-_costs(x, x) / epsilon)

    def iterate(state):
        u, _, count = state
        for _ in range(TOLERANCES.between_looks):
            u = jnp.sqrt(u / (K @ (w * u)))
        return u, jnp.sum(w * jnp.abs(u * (K @ (w * u)) - 1.0)), count + 1

    start = (jnp.ones_like(w), jnp.asarray(jnp.inf, x.dtype), 0)
    u, error, _ = jax.lax.while_loop(
        lambda s: (s[1] > tolerance) & (s[2] < TOLERANCES.most_blocks), iterate, start
    )
    u = jnp.where(error <= tolerance, u, jnp.nan)
    plan = K * (w * u)
    rows = jnp.sum(plan, axis=1)
    f = -epsilon * jnp.log(rows)
    # f of the last half step and log u agree at the fixed point; their sum is second order in the error
    return (
        jnp.sum(w * (f + epsilon * jnp.log(u))),
        0.5 * (f + epsilon * jnp.log(u)),
        (plan @ x) / rows[:, None],
    )
