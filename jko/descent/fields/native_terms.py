"""Terms of a functional that are summed over particles by compiled loops on the host, outside jax."""

from __future__ import annotations

import numpy as np

from functionals import Functional, pointwise
from functionals.discrepancy import MeanEmbedding
from functionals.pointwise import InNumpy
from functionals.time_dependence import is_traced
from jko.descent.tolerances import TOLERANCES
from jko.measures import Measure, forces


def is_native(atom: Functional, n: int, d: int) -> bool:
    """Whether a term of n particles is summed outside jax: an interaction, or the embedding of a target of
    many points, where its kernel and `Summation` say so; a potential that knows itself without jax, where
    that is so much work that a step on the host is nothing beside it."""
    if _is_in_numpy(atom):
        return n * atom.V.work >= TOLERANCES.worth_the_host
    if atom.kind == "interaction":
        return not atom.general and forces.is_native(atom.W, n, d, atom.summation)
    if not _is_embedding(atom):
        return False
    how, pairs = atom.V.summation, n * len(atom.V.masses)
    wanted = pairs >= forces.FAST**2 if how.method == "auto" else how.method not in ("direct", "random batch")
    return wanted and forces.is_native(atom.V.W, forces.FAST, d, how)


def outruns_jax(atom, n: int) -> bool:
    """Whether a native term of n particles takes less time than jax would."""
    return _is_embedding(atom) or _is_in_numpy(atom) or forces.outruns_jax(n, atom.summation)


def energy(atom, mu: Measure) -> float:
    """The term at particles."""
    if not _is_embedding(atom):
        return float(atom.energy(mu))
    sums = _embedded(atom.V, mu)
    return atom.V.offset - float(np.sum(mu.weights * sums.values(), dtype=float))


def gradient(atom, mu: Measure):
    """Its Wasserstein gradient `[n, d]`."""
    if _is_in_numpy(atom):
        return pointwise.gradients(atom.V, mu.positions).astype(mu.positions.dtype)
    return -_embedded(atom.V, mu).gradients() if _is_embedding(atom) else atom.wasserstein_gradient(mu)


def product(atom, mu: Measure, v):
    """The derivative of the gradient along v `[n, d]`."""
    if _is_in_numpy(atom):
        hessians = pointwise.hessians(atom.V, mu.positions)
        return np.einsum("nij,nj->ni", hessians, v).astype(mu.positions.dtype)
    return -_embedded(atom.V, mu).products(v) if _is_embedding(atom) else atom.hessian_product(mu, v)


def gradient_at(atom, points, x, w):
    """∇(δF/δρ)(α) at other points `[n, d]` than the particles."""
    if _is_in_numpy(atom):
        return pointwise.gradients(atom.V, points).astype(points.dtype)
    if _is_embedding(atom):
        return -SumsAt(atom.V.W, points, atom.V.points, atom.V.masses, atom.V.summation).gradients()
    return SumsAt(atom.W, points, x, w, atom.summation).gradients()


class SumsAt:
    """Σ_j b_j W(x_i − y_j) and its derivatives at points x `[n, d]` other than the sources y `[m, d]`.

    One sum over both clouds, in which the points have no weight.
    """

    def __init__(self, W, x, y, b, summation):
        self._n, self._like = len(x), np.zeros_like(y, dtype=x.dtype)
        joined = np.concatenate([x, y.astype(x.dtype)])
        weights = np.concatenate([np.zeros(len(x)), b]).astype(x.dtype)
        self._sums = forces.native_sums(W, joined, weights, summation)

    def values(self) -> np.ndarray:
        """The sums `[n]`."""
        return self._sums.values()[: self._n]

    def gradients(self) -> np.ndarray:
        """Their gradients in x `[n, d]`."""
        return self._sums.gradients()[: self._n]

    def products(self, v) -> np.ndarray:
        """The derivatives of the gradients along v `[n, d]`."""
        return self._sums.products(np.concatenate([v.astype(self._like.dtype), self._like]))[: self._n]

    def choice(self) -> forces.Choice:
        """How the sums are taken, and how well."""
        return self._sums.choice()


def _is_in_numpy(atom: Functional) -> bool:
    return atom.kind == "potential" and isinstance(atom.V, InNumpy) and not is_traced(atom.V)


def _is_embedding(atom: Functional) -> bool:
    return atom.kind == "potential" and isinstance(atom.V, MeanEmbedding)


def _embedded(V, mu: Measure) -> SumsAt:
    return SumsAt(V.W, mu.positions, V.points, V.masses, V.summation)
