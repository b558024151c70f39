"""The proximal step where no particle feels another: Newton's method for each, by its own d × d matrix."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from functionals import pointwise
from jko.descent.fields.program import Field
from jko.descent.tolerances import TOLERANCES


def is_separable(flow: Field, x: np.ndarray) -> bool:
    """Whether the particles are moved by potentials alone, in dimensions whose matrices are small."""
    if not isinstance(flow, Field) or flow.mesh is not None or x.shape[1] > TOLERANCES.largest_own:
        return False
    return flow.of_potentials


def separable_proximal_step(
    terms: tuple,
    start: np.ndarray,
    guess: np.ndarray,
    w: np.ndarray,
    tau: float,
    tolerance: float,
    max_iterations: int,
):
    """(x, relative residual, iterations) as `proximal_step` has them, V = Σ c V_c of `terms` (c, V_c).

    Each point x_i goes from its guess to a minimiser of |x − start_i|²/2τ + V(x) that it reaches by going
    down: Newton's method where I + τD²V is positive, else with its eigenvalues in absolute value
    [NocedalWright2006, section 3.4], each with its own backtracking. In float64, and rounded at the end.
    """
    at = _Iterates(_Sum(terms, len(start)), start, guess, tau)
    floor = 64 * np.finfo(start.dtype).eps * _rms(at.start, w)
    active, count = np.arange(len(at.x)), 0
    while count < max_iterations:
        left = _lengths(at.residual[active])
        active = active[left > tolerance * _rms(at.x - at.start, w) + floor]
        if not len(active):
            break
        active, count = active[at.moved(active)], count + 1
    x = at.x.astype(start.dtype)
    residual, moved = _rms(at.equation(x, at.start), w), _rms(x - at.start, w)
    return x, float(residual / (moved + floor / tolerance)) if residual > 0.0 else 0.0, count


class _Iterates:
    """Points x with the objectives Φ_i = |x_i − start_i|²/2τ + V(x_i) and the residuals τ∇Φ_i."""

    def __init__(self, V: _Sum, start: np.ndarray, guess: np.ndarray, tau: float):
        self.V, self.tau = V, tau
        self.start, self.x = np.asarray(start, dtype=float), np.array(guess, dtype=float)
        self.value, self.residual = self.objective(self.x, self.start), self.equation(self.x, self.start)

    def objective(self, x: np.ndarray, start: np.ndarray):
        """Φ_i at points."""
        return 0.5 * np.sum((x - start) ** 2, axis=1) / self.tau + self.V(pointwise.values, x)

    def equation(self, x: np.ndarray, start: np.ndarray):
        """x − start + τ∇V(x) at points."""
        x = np.asarray(x, dtype=float)
        return x - start + self.tau * self.V(pointwise.gradients, x)

    def moved(self, active: np.ndarray) -> np.ndarray:
        """Whether each active point took a step: the first of direction/2^k by which Φ falls enough. Where
        sums round by more than it falls, a whole step that halves the residual is taken."""
        matrices = np.eye(self.x.shape[1]) + self.tau * self.V(pointwise.hessians, self.x[active])
        direction = _descent(matrices, -self.residual[active])
        fall = np.sum(self.residual[active] * direction, axis=1) / self.tau
        rounding = TOLERANCES.objective_rounding * np.abs(self.value[active]).max()
        todo, length = np.arange(len(active)), 1.0
        for halving in range(TOLERANCES.halvings):
            here = active[todo]
            x, start, before = self.x[here] + length * direction[todo], self.start[here], self.value[here]
            value, residual = self.objective(x, start), self.equation(x, start)
            good = value <= before + TOLERANCES.sufficient_decrease * length * fall[todo]
            if halving == 0:
                halved = _lengths(residual) <= 0.5 * _lengths(self.residual[here])
                good |= halved & (value <= before + rounding)
            there = here[good]
            self.x[there], self.value[there], self.residual[there] = x[good], value[good], residual[good]
            todo, length = todo[~good], 0.5 * length
            if not len(todo):
                break
        moved = np.ones(len(active), dtype=bool)
        moved[todo] = False
        return moved


class _Sum:
    """Σ c V_c at points, or its derivatives: of as many points as there are at first, since programs are
    compiled for a number of them."""

    def __init__(self, terms: tuple, n: int):
        self.terms, self.n = terms, n

    def __call__(self, what: Callable, x: np.ndarray):
        return sum(c * self._of(what, V, x) for c, V in self.terms)

    def _of(self, what: Callable, V: Callable, x: np.ndarray):
        if isinstance(V, pointwise.InNumpy):
            return what(V, x)
        block = TOLERANCES.own_block if what is pointwise.hessians else self.n
        size = min(block, self.n)
        missing = -len(x) % size
        padded = np.concatenate([x, np.repeat(x[-1:], missing, axis=0)])
        parts = [what(V, padded[first : first + size]) for first in range(0, len(padded), size)]
        return np.concatenate(parts)[: len(x)]


def _rms(v: np.ndarray, w: np.ndarray):
    """(Σ w_i|v_i|²)^½."""
    return np.sqrt(np.sum(w * np.sum(np.square(v, dtype=float), axis=1)))


def _lengths(v: np.ndarray):
    return np.sqrt(np.sum(v**2, axis=1))


def _descent(matrices: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A⁻¹b `[n, d]` of matrices `[n, d, d]`; |A|⁻¹b where one is not positive."""
    matrices = np.where(np.isfinite(matrices), matrices, 0.0)
    try:
        np.linalg.cholesky(matrices)
        return np.linalg.solve(matrices, b[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:
        values, axes = np.linalg.eigh(matrices)
    along = np.einsum("nji,nj->ni", axes, b) / np.maximum(np.abs(values), TOLERANCES.least_curvature)
    return np.einsum("nij,nj->ni", axes, along)
