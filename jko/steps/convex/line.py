"""Cells of fixed mass on the line: their transport cost, energies and forces, as functions of the edges."""

from __future__ import annotations

import numpy as np

_GAUSS = 0.5 - 0.5 / np.sqrt(3.0)


class Line:
    """J(X) = ½(X−X_k)ᵀM(X−X_k)/τ + Σ w V + Σ ΔX U(w/ΔX) for edges X `[n+1]` of cells of masses w `[n]`.

    M is the mass matrix of piecewise linear functions of the quantile: ½ dᵀMd/τ is exactly W₂²/2τ between
    the two piecewise constant densities. V enters by two Gauss points a cell, where M is exact too, so that
    a potential with V″ ≥ λ contributes at least λM to the Hessian.
    """

    def __init__(self, masses, potential, internal):
        self.masses, self.potential, self.internal = masses, potential, internal
        self.held = masses > 0.0

    def nodes(self, X):
        """The two Gauss points of every cell, `[2, n]`."""
        return np.stack([(1.0 - s) * X[:-1] + s * X[1:] for s in (_GAUSS, 1.0 - _GAUSS)])

    def mass_times(self, d):
        """Md."""
        w = self.masses
        out = np.zeros(d.size)
        out[:-1] += w * (2.0 * d[:-1] + d[1:]) / 6.0
        out[1:] += w * (d[:-1] + 2.0 * d[1:]) / 6.0
        return out

    def bands(self, node_weights):
        """Diagonal `[n+1]` and off-diagonal `[n]` of Σ weight (δx)² over the Gauss points, `[2, n]`."""
        first, second = node_weights
        a, b = 1.0 - _GAUSS, _GAUSS
        diagonal = np.zeros(self.masses.size + 1)
        diagonal[:-1] += first * a * a + second * b * b
        diagonal[1:] += first * b * b + second * a * a
        return diagonal, a * b * (first + second)

    def cost(self, d, tau) -> float:
        """W₂²/2τ of the displacement d."""
        return 0.5 * float(d @ self.mass_times(d)) / tau

    def potential_energy(self, X) -> float:
        """Σ w V over the cells."""
        if self.potential is None:
            return 0.0
        return 0.5 * float(np.sum(self.masses * self.potential.value(self.nodes(X))))

    def potential_force(self, X):
        """Its gradient in the edges, `[n+1]`."""
        out = np.zeros(X.size)
        if self.potential is not None:
            slope = 0.5 * self.masses * self.potential.derivative(self.nodes(X))
            out[:-1] += (1.0 - _GAUSS) * slope[0] + _GAUSS * slope[1]
            out[1:] += _GAUSS * slope[0] + (1.0 - _GAUSS) * slope[1]
        return out

    def internal_energy(self, X, internal=None) -> float:
        """Σ ΔX U(w/ΔX), +∞ where a cell of positive mass has no width and U grows faster than linearly."""
        internal = internal or self.internal
        if internal is None:
            return 0.0
        widths = np.diff(X)[self.held]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            total = float(np.sum(widths * internal.density(self.masses[self.held] / widths)))
        return total if np.isfinite(total) else np.inf

    def energy(self, X) -> float:
        """Σ w V + Σ ΔX U(w/ΔX)."""
        return self.potential_energy(X) + self.internal_energy(X)

    def size(self, X) -> float:
        """Σ w (V − min V) + Σ ΔX P(w/ΔX) with the pressure P: no constant of V or of δU in it."""
        widths = np.diff(X)[self.held]
        total = self.potential_energy(X)
        if self.internal is not None:
            total += float(np.sum(widths * self.pressure(self.internal, self.masses[self.held] / widths)))
        return total

    def pressure(self, internal, s):
        """sU′(s) − U(s), the force that a cell of density s exerts on its edges."""
        return s * internal.derivative(s) - internal.density(s)

    def density(self, X):
        """w/ΔX `[n]`, 0 in gaps."""
        widths = np.maximum(np.diff(X), 1e-300)
        return np.where(self.held, self.masses / widths, 0.0)
