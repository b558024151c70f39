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
            return float(jax.jit(_with_itself)(y, b, self.epsilon, self.tolerance)[0])

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


def _scaled_cost(x, y, f, g, epsilon):
    """(f + g − ½|x − y|²)/ε, an expression that what reads it does without storing it."""
    if x.shape[1] > TOLERANCES.few_axes:
        squares = jnp.sum(x**2, axis=1)[:, None] + jnp.sum(y**2, axis=1) - 2.0 * x @ y.T
        return (f[:, None] + g - 0.5 * jnp.maximum(squares, 0.0)) / epsilon
    squares = sum((x[:, a, None] - y[:, a]) ** 2 for a in range(x.shape[1]))
    return (f[:, None] + g - 0.5 * squares) / epsilon


@jax.custom_jvp
def _between(x, w, y, b, epsilon, tolerance):
    """OT_ε(ρ, ν) − ½OT_ε(ρ, ρ)."""
    return _solved(x, w, y, b, epsilon, tolerance)[0]


@_between.defjvp
def _slope(primals, tangents):
    value, of_x, of_w = _solved(*primals)
    # of the target and the settings there is none
    return value, jnp.sum(of_x * tangents[0]) + jnp.sum(of_w * tangents[1])


@jax.jit
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
    none = jnp.zeros_like(w), jnp.zeros_like(b)
    f = -jnp.max(_scaled_cost(x, y, *none, epsilon), axis=1) * epsilon
    start = f, -jnp.max(_scaled_cost(x, y, f, none[1], epsilon), axis=0) * epsilon
    near = start
    if x.dtype == jnp.float64:
        near = _scaled(x, w, y, b, start, epsilon, _rough(tolerance), jnp.float32)[0]
        # masses below the least float32 leave no number there
        told = jnp.all(jnp.isfinite(near[0])) & jnp.all(jnp.isfinite(near[1]))
        near = tuple(jnp.where(told, one, other) for one, other in zip(near, start, strict=True))
    (f, g), K, error = _scaled(x, w, y, b, near, epsilon, tolerance, x.dtype)
    f, rows = jnp.where(error <= tolerance, f, jnp.nan), K @ b
    f = f - epsilon * jnp.log(rows)
    return jnp.sum(w * f) + jnp.sum(b * g), f, (K @ (b[:, None] * y)) / rows[:, None]


def _rough(tolerance):
    """The error down to which float32 iterates."""
    return jnp.maximum(TOLERANCES.single_share * tolerance, TOLERANCES.single_error)


def _scaled(x, w, y, b, start, epsilon, tolerance, dtype):
    """((f, g), K = e^{(f + g − c)/ε}, the L1 error of its marginals) by scalings u, v of a K in `dtype`,
    absorbed into f and g in between."""
    w, b = w.astype(dtype), b.astype(dtype)

    def kernel(f, g):
        K = jnp.exp(_scaled_cost(x, y, f, g, epsilon).astype(dtype))
        return K, error_of(K @ b, w @ K)

    def error_of(rows, columns):
        return jnp.sum(w * jnp.abs(rows - 1.0)) + jnp.sum(b * jnp.abs(columns - 1.0))

    def outer(state):
        f, g, K, _, relaxation, count = state

        def inner(state):
            u, v, before, relaxation, count = state
            # over-relaxed once the first block has settled, as long as the error falls
            relaxed = jnp.isfinite(before) & (before < TOLERANCES.settled)
            power = jnp.where(relaxed, relaxation, 1.0)
            for _ in range(TOLERANCES.between_looks):
                rows = u * (K @ (b * v))
                u = u * rows**-power
                columns = v * ((w * u) @ K)
                v = v * columns**-power
            error = error_of(rows, columns)  # before the last iteration: what it came from costs nothing
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
    near = jnp.zeros_like(w)
    if x.dtype == jnp.float64:
        rough = _scaled_alike(x, w, near, epsilon, _rough(tolerance), jnp.float32)[0]
        near = jnp.where(jnp.all(jnp.isfinite(rough)), rough, near)
    f, K, u, rows, error = _scaled_alike(x, w, near, epsilon, tolerance, x.dtype)
    f = jnp.where(error <= tolerance, f, jnp.nan)
    # f of the next half step agrees with f at the fixed point; their sum is second order in the error
    own = f - 0.5 * epsilon * jnp.log(rows)
    return 2.0 * jnp.sum(w * own), own, (K @ ((w * u)[:, None] * x)) / (rows / u)[:, None]


def _scaled_alike(x, w, f, epsilon, tolerance, dtype):
    """(f + ε log u, K = e^{(f + f − c)/ε}, u, u K(wu), the L1 error of the marginal) by scalings u of a K in
    `dtype`."""
    K, w = jnp.exp(_scaled_cost(x, x, f, f, epsilon).astype(dtype)), w.astype(dtype)

    def iterate(state):
        u, rows, _, count = state
        u = u / jnp.sqrt(rows)
        rows = u * (K @ (w * u))
        return u, rows, jnp.sum(w * jnp.abs(rows - 1.0)), count + 1

    rows = K @ w
    start = jnp.ones_like(w), rows, jnp.sum(w * jnp.abs(rows - 1.0)), 0
    most = TOLERANCES.most_blocks * TOLERANCES.between_looks
    u, rows, error, _ = jax.lax.while_loop(lambda s: (s[2] > tolerance) & (s[3] < most), iterate, start)
    return f + epsilon * jnp.log(u), K, u, rows, error
