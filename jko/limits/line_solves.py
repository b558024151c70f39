"""(I − Q)⁻¹ on lines, between walls and round a torus."""

from __future__ import annotations

import numpy as np

from jko.loops.elliptic.tridiagonal import factor, solve


class Resolvent:
    """ρ ↦ (I − Q)⁻¹ρ, Q moving mass by the rates (i → i+1, i+1 → i) on the faces of lines `[n, lines]`.

    On a periodic axis the last face joins the ends: (e₀ − e_{n−1})cᵀ, c = right·e_{n−1} − left·e₀, taken in
    by the formula of Sherman and Morrison. Its denominator is at least 1, because the inverse of an M-matrix
    with column sums 1 has its largest entry of a row on the diagonal.
    """

    def __init__(self, right: np.ndarray, left: np.ndarray, periodic: bool):
        self.ends = (right[-1], left[-1]) if periodic else None
        self.left = left[:-1] if periodic else left
        self._factor(right[:-1] if periodic else right)
        if periodic:
            loop = np.zeros((right.shape[0], right.shape[1]))
            loop[0], loop[-1] = -1.0, 1.0
            self.loop = self._solved(loop)
            self.loop /= 1.0 + self._around(self.loop)

    def _factor(self, right: np.ndarray):
        shape = (right.shape[0] + 1, right.shape[1])
        self.multiplier, self.inverse = np.empty_like(right), np.empty(shape)
        factor(np.ones(shape), right, self.left, self.multiplier, self.inverse, np.zeros(shape[1]))

    def _solved(self, rhs: np.ndarray):
        solve(self.multiplier, self.inverse, self.left, rhs, rhs)
        return rhs

    def _around(self, rho: np.ndarray):
        return self.ends[0] * rho[-1] - self.ends[1] * rho[0]

    def __call__(self, rhs: np.ndarray, positive: bool):
        """In the place of `rhs`; `positive` takes off the rounding of a result that is ≥ 0."""
        out = self._solved(rhs)
        if self.ends is not None:
            out -= self.loop * self._around(out)
            if positive:
                np.maximum(out, 0.0, out=out)
        return out


def circulate(right: np.ndarray, left: np.ndarray, share: float, rho: np.ndarray, out: np.ndarray):
    """out = rho + share·Q rho round a torus."""
    flux = share * (right * rho - left * np.roll(rho, -1, axis=0))
    out[:] = rho - flux + np.roll(flux, 1, axis=0)


def limit_around(low, high, kept, out):
    """`limit_fluxes` round a torus: of the fluxes from low to high, those whose median vanishes."""
    flux = np.cumsum(low - high, axis=0)  # through the face after each cell
    flux -= np.median(flux, axis=0)
    before = np.roll(flux, 1, axis=0)
    outgoing = np.maximum(flux, 0.0) + np.maximum(-before, 0.0)
    room = (1.0 - kept) * low
    share = np.where(outgoing <= room, 1.0, room / np.where(outgoing > 0.0, outgoing, 1.0))
    moved = flux * np.where(flux > 0.0, share, np.roll(share, -1, axis=0))
    out[:] = low - moved + np.roll(moved, 1, axis=0)
