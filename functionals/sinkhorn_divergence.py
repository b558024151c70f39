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
    goes_on = True
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
            return float(
                jax.jit(_with_itself)(y, b, jnp.full_like(b, jnp.nan), self.epsilon, self.tolerance)[0]
            )

    def energy(self, mu):
        value, _ = self.energy_from(mu, self.unknown(mu))
        if not isinstance(value, jax.core.Tracer) and np.isnan(value):
            raise ValueError(
                f"tolerance: Sinkhorn's iteration did not bring the marginals to {self.tolerance:g} in "
                f"{TOLERANCES.most_blocks * TOLERANCES.between_looks} iterations: take a larger epsilon than "
                f"{self.epsilon:g}, or a larger tolerance"
            )
        return value

    def unknown(self, mu):
        n = jnp.asarray(mu.points).shape[0]
        return np.full(2 * n + len(self._masses), np.nan)

    def energy_from(self, mu, start):
        require_same_dimension(self.target, mu)
        x, w = jnp.asarray(mu.points), jnp.asarray(mu.masses)
        y, b = jnp.asarray(self._points, x.dtype), jnp.asarray(self._masses, x.dtype)
        w, start = w.astype(x.dtype) / jnp.sum(w), jnp.asarray(start, x.dtype)
        value, potentials = _between(x, w, y, b, start, self.epsilon, self.tolerance)
        return value - 0.5 * self._own, potentials

    def __repr__(self):
        return f"SinkhornDivergence({self.target!r}, epsilon={self.epsilon:g})"


def _scaled_cost(x, y, f, g, epsilon):
    """(f + g − ½|x − y|²)/ε, an expression that what reads it does without storing it."""
    if x.shape[1] > TOLERANCES.few_axes:
        squares = jnp.sum(x**2, axis=1)[:, None] + jnp.sum(y**2, axis=1) - 2.0 * x @ y.T
        return (f[:, None] + g - 0.5 * jnp.maximum(squares, 0.0)) / epsilon
    squares = sum((x[:, a, None] - y[:, a]) ** 2 for a in range(x.shape[1]))
    return (f[:, None] + g - 0.5 * squares) / epsilon


def _kernel(x, y, f, g, epsilon, dtype):
    """e^{(f + g − ½|x − y|²)/ε}, its exponent in the precision of x."""
    # of a loop's body the compiler would take the squares out, and store them
    x, f = jax.lax.optimization_barrier((x, f))
    return jnp.exp(_scaled_cost(x, y, f, g, epsilon).astype(dtype))


@jax.custom_jvp
def _between(x, w, y, b, start, epsilon, tolerance):
    """(OT_ε(ρ, ν) − ½OT_ε(ρ, ρ), the potentials at both and of ρ itself, which the start is near to)."""
    value, _, _, potentials = _solved(x, w, y, b, start, epsilon, tolerance)
    return value, potentials


@_between.defjvp
def _slope(primals, tangents):
    value, of_x, of_w, potentials = _solved(*primals)
    # of the target and the settings there is none, and potentials are where an iteration starts
    slope = jnp.sum(of_x * tangents[0]) + jnp.sum(of_w * tangents[1])
    return (value, potentials), (slope, jnp.zeros_like(potentials))


@jax.jit
def _solved(x, w, y, b, start, epsilon, tolerance):
    """(value, its derivatives by x and by w, the potentials): at the optimum those with these held."""
    a, m = jnp.sum(w[:, None] * x, axis=0), jnp.sum(b[:, None] * y, axis=0)
    x, y, shift = x - a, y - m, a - m
    of_x, of_y, of_own = jnp.split(start, [w.size, w.size + b.size])
    # ½|x − y|² of the points is that about their means and, since plans keep means, x·s + ½|s|²
    value, f, g, mean = _to_other(x, w, y, b, (of_x, of_y), epsilon, tolerance)
    own, of_own, own_mean = _with_itself(x, w, of_own, epsilon, tolerance)
    value = value + 0.5 * jnp.sum(shift**2) - 0.5 * own
    slopes = w[:, None] * (own_mean - mean + shift), f + x @ shift - of_own
    return value, *slopes, jnp.concatenate([f, g, of_own])


def _to_other(x, w, y, b, start, epsilon, tolerance):
    """(OT_ε, f, g, the means of the plan) by scalings of K = e^{(f + g − c)/ε}, in float32 as far as its
    rounding lets the error be seen, and to the end in the precision of x."""

    def anew(_):
        none = jnp.zeros_like(w), jnp.zeros_like(b)
        f = -jnp.max(_scaled_cost(x, y, *none, epsilon), axis=1) * epsilon
        return f, -jnp.max(_scaled_cost(x, y, f, none[1], epsilon), axis=0) * epsilon

    def where_known(pair):
        told = jnp.all(jnp.isfinite(pair[0])) & jnp.all(jnp.isfinite(pair[1]))
        return jax.lax.cond(told, lambda pair: pair, anew, pair)

    near = where_known(start)
    if x.dtype == jnp.float64:
        # masses below the least float32 leave no number there
        near = where_known(_roughly(x, w, y, b, near, epsilon, _rough(tolerance)))
    (f, g), sums, error = _scaled(x, w, y, b, near, epsilon, tolerance)
    f, rows = jnp.where(error <= tolerance, f, jnp.nan), sums[:, 0]
    f = f - epsilon * jnp.log(rows)
    return jnp.sum(w * f) + jnp.sum(b * g), f, g, sums[:, 1:] / rows[:, None]


def _rough(tolerance):
    """The error down to which float32 iterates."""
    return jnp.maximum(TOLERANCES.single_share * tolerance, TOLERANCES.single_error)


def _roughly(x, w, y, b, start, epsilon, tolerance):
    """(f, g) from a start, by a K in float32 until the L1 error of its marginals is at the tolerance."""
    w, b = w.astype(jnp.float32), b.astype(jnp.float32)

    def outer(state):
        f, g, _, relaxation, count = state
        K = _kernel(x, y, f, g, epsilon, jnp.float32)
        error = _marginal_error(w, b, K @ b, w @ K)
        u, v, error, relaxation, done = _scalings(K, w, b, error, relaxation, tolerance)
        return f + epsilon * jnp.log(u), g + epsilon * jnp.log(v), error, relaxation, count + done

    start = *start, jnp.asarray(jnp.inf, w.dtype), jnp.asarray(TOLERANCES.relaxation, w.dtype), 0
    return jax.lax.while_loop(lambda s: (s[2] > tolerance) & (s[4] < TOLERANCES.most_blocks), outer, start)[
        :2
    ]


def _scaled(x, w, y, b, start, epsilon, tolerance):
    """((f, g), Kb and Kby, the L1 error of the marginals of K = e^{(f + g − c)/ε}) by scalings of K, absorbed
    into f and g in between."""
    with_means = jnp.concatenate([b[:, None], b[:, None] * y], axis=1)

    def kernel(f, g):
        K = _kernel(x, y, f, g, epsilon, x.dtype)
        sums = K @ with_means
        return K, sums, _marginal_error(w, b, sums[:, 0], w @ K)

    def outer(state):
        f, g, K, _, error, relaxation, count = state
        u, v, _, relaxation, done = _scalings(K, w, b, error, relaxation, tolerance)
        f, g = f + epsilon * jnp.log(u), g + epsilon * jnp.log(v)
        return f, g, *kernel(f, g), relaxation, count + done

    f, g, _, sums, error, _, _ = jax.lax.while_loop(
        lambda s: (s[4] > tolerance) & (s[6] < TOLERANCES.most_blocks),
        outer,
        (*start, *kernel(*start), jnp.asarray(TOLERANCES.relaxation, w.dtype), 0),
    )
    return (f, g), sums, error


def _marginal_error(w, b, rows, columns):
    """The L1 error of the marginals of a plan, from their ratios to w and b."""
    return jnp.sum(w * jnp.abs(rows - 1.0)) + jnp.sum(b * jnp.abs(columns - 1.0))


def _scalings(K, w, b, error, relaxation, tolerance):
    """(u, v, the error of the marginals, the relaxation, blocks) after blocks of scalings of K, whose own
    error is given."""

    def block(state):
        u, v, before, relaxation, count = state
        # over-relaxed once it has settled, as long as the error falls
        relaxed = before < TOLERANCES.settled
        power = jnp.where(relaxed, relaxation, 1.0)
        for _ in range(TOLERANCES.between_looks):
            rows = u * (K @ (b * v))
            u = u * rows**-power
            columns = v * ((w * u) @ K)
            v = v * columns**-power
        error = _marginal_error(w, b, rows, columns)  # before the last iteration: it costs nothing
        more = jnp.minimum(relaxation + TOLERANCES.more_relaxed * (2.0 - relaxation), TOLERANCES.most_relaxed)
        relaxation = jnp.where(relaxed & (error > TOLERANCES.slowly * before), more, relaxation)
        return u, v, error, relaxation, count + 1

    def going(state):
        return (state[2] > tolerance) & (state[4] < TOLERANCES.between_absorptions)

    return jax.lax.while_loop(going, block, (jnp.ones_like(w), jnp.ones_like(b), error, relaxation, 0))


def _with_itself(x, w, start, epsilon, tolerance):
    """The same of a measure with itself, where f = g: u ← (u/K(wu))^½ [FeydyEtAl2019]."""
    near = jnp.where(jnp.all(jnp.isfinite(start)), start, 0.0)
    if x.dtype == jnp.float64:
        rough = _scaled_alike(x, w, near, epsilon, _rough(tolerance), jnp.float32)[0]
        near = jnp.where(jnp.all(jnp.isfinite(rough)), rough, 0.0)
    f, K, u, rows, error = _scaled_alike(x, w, near, epsilon, tolerance, x.dtype)
    f = jnp.where(error <= tolerance, f, jnp.nan)
    # f of the next half step agrees with f at the fixed point; their sum is second order in the error
    own = f - 0.5 * epsilon * jnp.log(rows)
    return 2.0 * jnp.sum(w * own), own, (K @ ((w * u)[:, None] * x)) / (rows / u)[:, None]


def _scaled_alike(x, w, f, epsilon, tolerance, dtype):
    """(f + ε log u, K = e^{(f + f − c)/ε}, u, u K(wu), the L1 error of the marginal) by scalings u of a K in
    `dtype`."""
    K, w = _kernel(x, x, f, f, epsilon, dtype), w.astype(dtype)

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
