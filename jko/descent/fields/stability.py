"""The largest curvature of a drift at a cloud, by products with its derivative."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from functionals import pointwise
from functionals.array import Array
from functionals.programs import kept
from jko.descent.tolerances import TOLERANCES
from jko.measures import Measure, Particles
from jko.metric import matrices


def host_product(flow, x: np.ndarray, w: np.ndarray):
    """v ↦ the derivative of the flow's gradient along v, where its sums are taken outside jax; else None."""
    return (lambda v: flow.compiled_product(x, w, v)) if flow.native(x) else None


def largest_curvature(
    gradient: Callable, x: np.ndarray, w: np.ndarray, product=None, iterations: int = 12
) -> float:
    """An estimate from below of the largest eigenvalue of the Hessian of F at x, 0 where none is positive.

    `gradient(x, w)` is ∇_W F; its derivative is symmetric in ⟨u, v⟩ = Σ w_i u_i·v_i, and Lanczos' method with
    `iterations` products finds the end of its spectrum [GolubVanLoan2013, section 10.1]. A `product` of the
    derivative with v `[n, d]`, on the host, stands in for jax's.
    """
    start = np.random.default_rng(0).normal(size=x.shape).astype(x.dtype)
    run = _lanczos(gradient, iterations) if product is None else partial(_host_lanczos, product, iterations)
    diagonal, off = (np.asarray(a, dtype=float) for a in run(x, w, start))
    if not np.all(np.isfinite(diagonal)):
        return float("inf")
    usable = len(diagonal)
    tiny = np.flatnonzero(off <= 1e-6 * max(abs(diagonal).max(), 1e-300))
    if tiny.size:
        usable = int(tiny[0]) + 1
    matrix = np.diag(diagonal[:usable]) + np.diag(off[: usable - 1], 1) + np.diag(off[: usable - 1], -1)
    return max(0.0, float(np.linalg.eigvalsh(matrix)[-1]))


def spectral_radius(velocity: Callable, x: np.ndarray, w: np.ndarray, iterations: int = 16) -> float:
    """An estimate of the largest |eigenvalue| of the derivative of velocity(x, w) in x, by powers.

    For velocities that are no gradients; exact in the limit of many iterations where one eigenvalue leads.
    """

    @jax.jit
    def run(x: Array, w: Array, start: Array):
        def step(_: Array, carry: tuple):
            v, _ = carry
            product = jax.jvp(lambda y: velocity(y, w), (x,), (v,))[1]
            size = jnp.sqrt(jnp.sum(product**2))
            return product / jnp.where(size > 0, size, 1), size

        first = start / jnp.sqrt(jnp.sum(start**2))
        return lax.fori_loop(0, iterations, step, (first, jnp.zeros((), x.dtype)))[1]

    size = float(run(x, w, np.random.default_rng(0).normal(size=x.shape).astype(x.dtype)))
    return size if np.isfinite(size) else float("inf")


@kept
def _lanczos(gradient: Callable, iterations: int):
    def run(x: Array, w: Array, start: Array):
        def norm(v: Array):
            return jnp.sqrt(jnp.sum(w[:, None] * v * v))

        def step(carry: tuple, _):
            before, now, beta = carry
            product = jax.jvp(partial(gradient, w=w), (x,), (now,))[1]
            alpha = jnp.sum(w[:, None] * product * now)
            rest = product - alpha * now - beta * before
            size = norm(rest)
            following = jnp.where(size > 0, rest / jnp.where(size > 0, size, 1), 0)
            return (now, following, size), (alpha, size)

        first = start / norm(start)
        return lax.scan(
            step, (jnp.zeros_like(first), first, jnp.zeros((), x.dtype)), None, length=iterations
        )[1]

    return jax.jit(run)


def _host_lanczos(product, iterations, x, w, start):
    def norm(v):
        return np.sqrt(np.sum(w[:, None] * v * v, dtype=float))

    now, before, beta = start / norm(start), np.zeros_like(start), 0.0
    diagonal, off = [], []
    for _ in range(iterations):
        image = product(now.astype(x.dtype))
        alpha = np.sum(w[:, None] * image * now, dtype=float)
        rest = image - alpha * now - beta * before
        beta = norm(rest)
        before, now = now, rest / beta if beta > 0 else np.zeros_like(rest)
        diagonal.append(alpha)
        off.append(beta)
    return diagonal, off


def refuse_unstable(
    parts, mu: Measure, tau: float, name: str, limit: Callable[[float], float], metric=None
) -> None:
    """Refuse a τ beyond `limit(L)`, L the `mean_stiffness` at the particles: before any step, by ValueError.

    Every explicit scheme that does not see its energy rise asks this at its first step. On a quadratic F the
    limit is sharp; functionals of kind "rest" do not count. In a `metric` A the curvature is that of AD²F.
    """
    stiffness = mean_stiffness(parts, mu, np.sqrt(2.0 * parts.temperature * tau), metric)
    if stiffness > 0.0 and not tau <= limit(stiffness):
        of = f"L = {stiffness:.3g}, the mean largest curvature of potential and interaction"
        raise ValueError(beyond_the_limit(tau, limit(stiffness), name, of))


def beyond_the_limit(tau: float, limit: float, name: str, of: str) -> str:
    """The sentence of a refused step."""
    return f"tau: {tau:g} is beyond the stability limit {limit:.3g} of {name} at {of}: take a smaller tau"


def spacing_of(mu: Measure) -> float:
    """The distance between neighbouring numbers of the positions' dtype, where the particles are."""
    x = mu.positions
    return float(np.finfo(x.dtype).eps * np.sqrt(np.mean(np.square(x, dtype=float))))


def refuse_coarse(mu: Particles, name: str) -> None:
    """Refuse positions whose dtype resolves less than a thousandth of the width of the cloud, by ValueError.

    Steps of such particles are rounded away, and they stand still where they should move. Particles that
    all stand at one place have no width to compare with.
    """
    spacing, width = spacing_of(mu), _width(mu)
    if 0.0 < width < TOLERANCES.resolved * spacing:
        raise ValueError(
            f"positions: {mu.positions.dtype} numbers are {spacing:.2g} apart where the particles are, and "
            f"these are spread over {width:.2g}: {name} cannot move them; shift them and the functional to "
            f"the origin{', or give float64' if mu.positions.dtype == np.float32 else ''}"
        )


def _width(mu: Particles) -> float:
    """The root of the variance, 0 to the last digit where all particles stand at one place."""
    away = np.asarray(mu.positions, float) - np.asarray(mu.positions[0], float)
    weights = np.asarray(mu.weights, float) / np.sum(mu.weights)
    return float(np.sqrt(weights @ np.sum((away - weights @ away) ** 2, axis=1)))


def rounded_away(mu: Measure, noise: float) -> str:
    """A sentence where the `noise` of a step is below two spacings of the positions' dtype, else nothing."""
    spacing = spacing_of(mu)
    if not 0.0 < noise < 2.0 * spacing:
        return ""
    return (
        f"positions: {mu.positions.dtype} numbers are {spacing:.2g} apart where the particles are, and the "
        f"noise of a step is {noise:.2g}: take a larger tau, float64, or shift both to the origin"
    )


def mean_stiffness(parts, mu: Measure, reach: float = 0.0, metric=None) -> float:
    """The mean over particles of the largest eigenvalue of D²(V + W∗α), or of D²V alone where that is larger;
    of A times it in a metric A.

    Negative ones count as 0. V and W are the sums of potentials and interactions; a cloud moves under V as a
    whole and under both within. Pairs nearer than `reach` count as if they were that far apart: no step
    resolves pairs nearer than the √(2θτ) that noise moves them, and singular kernels are infinitely stiff
    there. Means are over at most 2000 particles for V (fewer for a potential that is itself
    a sum over many points), 128 for W.
    """
    if not (parts.potential or parts.interaction):
        return 0.0
    sources = max((len(getattr(atom.V, "masses", ())) for _, atom in parts.potential), default=0)
    x, w = _some(
        mu,
        max(
            1,
            min(
                TOLERANCES.curvature_sample,
                TOLERANCES.curvature_entries // mu.dimension**2,
                TOLERANCES.curvature_pairs // max(1, sources),
            ),
        ),
    )
    root = None if metric is None else np.linalg.cholesky(matrices(metric, x))
    alone = _of_potential(parts.potential, x)
    largest = _mean_largest(_seen_by(root, alone), w)
    if not parts.interaction:
        return largest
    few = slice(None, None, -(-len(x) // TOLERANCES.curvature_targets))
    both = alone[few] + _of_interaction(parts.interaction, x[few], mu, reach)
    return max(largest, _mean_largest(_seen_by(None if root is None else root[few], both), w[few]))


def _seen_by(root: np.ndarray | None, hessians: np.ndarray) -> np.ndarray:
    """LᵀHL `[n, d, d]`, whose eigenvalues are those of LLᵀH; H itself without L."""
    return hessians if root is None else np.swapaxes(root, 1, 2) @ hessians @ root


def _some(mu: Particles, most: int):
    """(positions, weights that sum to 1) in float64 of every k-th particle, at most so many."""
    stride = -(-mu.n // most)
    weights = np.asarray(mu.weights[::stride], dtype=float)
    return np.asarray(mu.positions[::stride], dtype=float), weights / weights.sum()


def _mean_largest(hessians: np.ndarray, w: np.ndarray) -> float:
    # what overflows far out is not known, and a step there will say so
    finite = np.all(np.isfinite(hessians), axis=(1, 2))
    largest = np.linalg.eigvalsh(np.where(finite[:, None, None], hessians, 0.0))[:, -1]
    return float(w @ np.maximum(largest, 0.0)) / w.sum()


def _of_potential(potential: tuple, x: np.ndarray):
    """D²V at points `[n, d, d]`."""
    total = np.zeros((*x.shape, x.shape[1]))
    for c, atom in potential:
        total = total + float(c) * pointwise.hessians(atom.V, x)
    return total


def _of_interaction(interaction: tuple, x: np.ndarray, mu: Particles, reach: float):
    """Σ_j w_j D²W(x_i − y_j) `[n, d, d]`, over at most 1024 particles y."""
    d = x.shape[1]
    y, w = _some(
        mu, max(1, min(TOLERANCES.curvature_sources, TOLERANCES.curvature_entries // (len(x) * d * d)))
    )
    z = x[:, None] - y[None]
    distance = np.linalg.norm(z, axis=-1, keepdims=True)
    apart = np.where(distance > 0, z / np.where(distance > 0, distance, 1.0), np.eye(d)[0])
    z = np.where(distance < reach, reach * apart, z).reshape(-1, d)
    total = np.zeros((len(x), d, d))
    for c, atom in interaction:
        if atom.general:
            points = np.concatenate([z + np.tile(y, (len(x), 1)), np.tile(y, (len(x), 1))], axis=1)
            hessians = pointwise.hessians(_of_both_points(atom.symmetric_kernel, d), points)[:, :d, :d]
        else:
            hessians = pointwise.hessians(atom.W, z)
        hessians = np.where(np.isfinite(hessians), hessians, 0.0).reshape(len(x), len(y), d, d)
        total = total + float(c * mu.mass) * np.einsum("j,ijab->iab", w, hessians)
    return total


@kept
def _of_both_points(kernel, d: int):
    return lambda both: jnp.reshape(kernel(both[:d], both[d:]), ())
