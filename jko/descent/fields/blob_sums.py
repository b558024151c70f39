"""The regularised internal energy of many particles, its sums taken by Fourier series on the host."""

from __future__ import annotations

import math

import numpy as np

from functionals.conjugate import GatheredInternal
from functionals.programs import kept
from jko.descent.fields.blob import BlobField, slope_of
from jko.descent.fields.program import field
from jko.descent.tolerances import TOLERANCES


class BlobSums:
    """F_ε and its gradient as `BlobField` has them, for numpy arrays of many particles.

    Sums of Gaussians are those of `jko.loops.forces`: by Fourier series, to 1e-9 of their size, or over all
    pairs where that is the cheaper. A density is never below a particle's own blob, w_i φ_ε(0).
    """

    def __init__(self, inner: BlobField):
        self.inner = inner
        self.internal = GatheredInternal(inner.internal)
        self.outside = (
            field(inner.outside) if inner.time is None else field(inner.whole.outside).at(inner.time)
        )

    def at(self, t):
        """The sums of the field at the time t."""
        return BlobSums(self.inner.at(t)) if self.inner.depends_on_time else self

    def energy(self, x, w):
        """F_ε(α) + G(α)."""
        density = self._density(x, w, self._sums(x)(w)[0])
        blob = float(np.sum(w * self.internal.density(density) / density, dtype=float))
        return blob + (float(self.outside.compiled_energy(x, w)) if self.inner.outside else 0.0)

    def gradient(self, x, w):
        """∇_W of the energy at the particles, `[n, d]`."""
        sums = self._sums(x)
        values, own = sums(w)
        slope = slope_of(self.internal, self._density(x, w, values))
        blob = (slope * own + sums(w * slope)[1]).T
        if self.inner.outside:
            blob = blob + np.asarray(self.outside.compiled_gradient(x, w))
        return blob.astype(x.dtype)

    def products(self, x, w):
        """v ↦ the derivative of the gradient along v `[n, d]`, by forward differences from one gradient."""
        here = self.gradient(x, w)

        def product(v):
            size = TOLERANCES.difference * self.inner.bandwidth / max(float(np.abs(v).max()), 1e-290)
            return (self.gradient((x + size * v).astype(x.dtype), w) - here) / size

        return product

    def _density(self, x, w, values):
        return np.maximum(values, w * self._peak(x.shape[1]))

    def _peak(self, dimension: int):
        return (2.0 * math.pi * self.inner.bandwidth**2) ** (-0.5 * dimension)

    def _sums(self, x):
        from jko.loops.forces import evaluate
        from jko.loops.forces.plan import plan

        terms = _gaussian(self._peak(x.shape[1]), self.inner.bandwidth)
        columns = np.ascontiguousarray(x.T, dtype=float)
        chosen = plan(terms, columns, TOLERANCES.sum_tolerance)
        return lambda charges: evaluate.both(terms, columns, np.asarray(charges, float), chosen)


@kept
def _gaussian(peak, bandwidth):
    from jko.loops.forces.terms import named_terms

    return named_terms([("gaussian", peak, bandwidth)], peak)


@kept
def blob_sums(inner: BlobField) -> BlobSums:
    """The same object for the same field."""
    return BlobSums(inner)
