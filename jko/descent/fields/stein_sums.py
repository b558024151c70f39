"""Stein's velocity and discrepancy of many particles, its sums taken by Fourier series on the host."""

from __future__ import annotations

import jax
import numpy as np

from functionals.programs import kept
from jko.descent.fields.stein import PROFILES, SteinField, laplacian
from jko.descent.tolerances import TOLERANCES
from jko.measures import Measure
from jko.measures.forces import Choice


class SteinSums:
    """The velocity and S of a `SteinField` for numpy arrays of many particles.

    Sums of the kernel and of its Laplacian are those of `jko.loops.forces`, asked to 1e-9 of their size: by
    `method` "fourier", or with "auto" also over all pairs where that is the cheaper.
    """

    def __init__(self, inner: SteinField, method: str = "auto"):
        self.inner, self.drift, self.method = inner, inner.drift, method

    def at(self, t):
        """The sums of the field at the time t."""
        return SteinSums(self.inner.at(t), self.method)

    def velocity(self, x, w):
        """v at the particles `[n, d]`, and S."""
        from jko.loops.forces import evaluate

        h, theta = self.inner.bandwidth, self.inner.temperature
        g, columns = np.asarray(self.drift.compiled_gradient(x, w), dtype=float), self._columns(x)
        (kernel, way), (curved, other) = self._sums(columns, False), self._sums(columns, True)
        smoothed = np.stack([evaluate.values(kernel, columns, w * slope, way) for slope in g.T], axis=1)
        push = evaluate.gradients(kernel, columns, w, way).T / h
        curvature = evaluate.values(curved, columns, w, other) / h**2
        stein = np.sum(w * (np.sum(g * (smoothed + 2.0 * theta * push), axis=1) - theta**2 * curvature))
        return (-smoothed - theta * push).astype(x.dtype), float(stein)

    def choice(self, mu: Measure) -> Choice:
        """How the kernel's sums over a cloud are taken, and how well."""
        from jko.loops.forces import evaluate

        columns = self._columns(mu.positions)
        kernel, way = self._sums(columns, False)
        errors = evaluate.errors(kernel, columns, mu.weights.astype(float), way)
        return Choice(way.method, way.reason, TOLERANCES.sum_tolerance, *errors, way.seconds)

    def _columns(self, x):
        return np.ascontiguousarray(x.T, dtype=float) / self.inner.bandwidth

    def _sums(self, columns, laplacian_of_it):
        from jko.loops.forces.plan import plan

        terms = _terms(self.inner.kernel, len(columns), laplacian_of_it)
        return terms, plan(terms, columns, TOLERANCES.sum_tolerance, self.method)


@kept
def _terms(kernel: str, d: int, laplacian_of_it: bool):
    """The kernel of bandwidth 1, or its Laplacian, as compiled loops read it."""
    from jko.loops.forces.terms import named_terms, tabulated_terms

    if kernel == "gaussian" and not laplacian_of_it:
        return named_terms([("gaussian", 1.0, 1.0)], 1.0)
    f = laplacian(kernel, d) if laplacian_of_it else PROFILES[kernel].value
    slope = jax.grad(f)
    each = [jax.jit(jax.vmap(g)) for g in (f, lambda s: 2.0 * slope(s), lambda s: 4.0 * jax.grad(slope)(s))]

    def derivatives(squared):
        with jax.enable_x64(True):
            return np.stack([np.asarray(g(squared)) for g in each])

    return tabulated_terms(derivatives, float(derivatives(np.zeros(1))[0, 0]))
