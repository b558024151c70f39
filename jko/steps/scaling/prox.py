"""The proximal map of an energy for the Kullback–Leibler divergence, pointwise, at a given mass."""

from __future__ import annotations

import math

import numpy as np

_ROUNDS = 200
_FALL = 5.0  # the most that log ρ falls in a round where U′(0) = −∞
_SETTLED, _MASS = 1e-10, 1e-13
_LEAST = -690.0
_NEAR, _FAR = 0.03, 0.2  # log ρ to within this before its mass is looked at; a mass off by this is far off
_EMPTY = 1e-200


class DensityProx:
    """argmin over 0 ≤ ρ ≤ cap, Σρ = total, of Σ U(ρ) + weight·ρ log ρ − zρ, by Newton in r = log ρ.

    U is an internal energy of `Parts`, or None; its entropy joins the weight, where r enters linearly, and
    cells that are all but empty cost no more than others.
    """

    def __init__(self, internal, weight, total, cap=None):
        terms = () if internal is None else internal.terms
        self.weight = weight + sum(c for c, atom in terms if atom.is_entropy)
        self.terms = tuple((c, atom) for c, atom in terms if not atom.is_entropy)
        self.total, self.ceiling = total, math.log(total)
        with np.errstate(all="ignore"):
            vacuum = sum(c * atom.derivative(np.zeros(1))[0] for c, atom in self.terms)
        self.fall = math.inf if np.isfinite(vacuum) else _FALL
        self.highest = None if cap is None else np.log(cap)

    def __call__(self, z, r):
        """(log ρ, the multiplier κ of the mass): weight·log ρ + U′(ρ) = z + κ where ρ is below the cap; from
        a guess r of log ρ."""
        if self.highest is not None and not self.terms:
            return self._filled(z)
        kappa = float(np.average(self._slope(r)[0] - z, weights=np.exp(r - r.max())))
        bracket = [-math.inf, math.inf]
        for _ in range(_ROUNDS):
            left, slope = self._slope(r)
            step = np.maximum((z + kappa - left) / slope, -self.fall)
            # from above, Newton's method comes down monotonically; no cell holds more than all
            new = np.minimum(r + step, self.ceiling)
            moved, r = float(np.abs(new - r).max()), new
            rho, free = self._capped(r)
            found = float(rho.sum())
            if moved <= _SETTLED and abs(found - self.total) <= _MASS * self.total:
                break
            if moved < _NEAR:
                change = self._change(kappa, found, float((rho / slope)[free].sum()), float(r.max()), bracket)
                kappa += change
                r = np.minimum(r + np.maximum(change / slope, -self.fall), self.ceiling)
        return (r if self.highest is None else np.minimum(r, self.highest)), kappa

    def _filled(self, z):
        """The same without U′, exactly: cells reach the cap in the order of weight·log cap − z."""
        y, highest = (z / self.weight).ravel(), np.broadcast_to(self.highest, z.shape).ravel()
        order = np.argsort(highest - y)
        y, highest = y[order], highest[order]
        free = np.logaddexp.accumulate(y[::-1])[::-1]
        full = np.concatenate([[0.0], np.cumsum(np.exp(highest[:-1]))])
        with np.errstate(over="ignore"):
            mass = full + np.exp(highest - y + free)
        k = min(int(np.searchsorted(mass, self.total)), len(y) - 1)
        shift = math.log(max(self.total - full[k], np.exp(highest[k]) * _MASS)) - free[k]
        return np.minimum(z / self.weight + shift, self.highest), self.weight * float(shift)

    def _change(self, kappa, found, rate, highest, bracket):
        """Newton's step for the logarithm of the mass, kept in the bracket."""
        if found < _EMPTY * self.total:
            bracket[0] = kappa
            change = self.weight * max(self.ceiling - highest, 1.0)
        else:
            miss = math.log(self.total / found)
            if abs(miss) > _FAR:
                bracket[miss < 0.0] = kappa
            change = found * miss / rate if rate > 0.0 else math.copysign(self.weight, miss)
        low, high = bracket
        return change if low <= kappa + change <= high else 0.5 * (low + high) - kappa

    def _slope(self, r):
        """The left side of the equation and its derivative in r."""
        left, slope = self.weight * r, np.full(r.shape, self.weight)
        if self.terms:
            rho = np.exp(np.maximum(r, _LEAST))
            for c, atom in self.terms:
                left = left + c * atom.derivative(rho)
                slope += c * atom.second_derivative(rho) * rho
        return left, slope

    def _capped(self, r):
        if self.highest is None:
            return np.exp(r), np.ones(r.shape, bool)
        return np.exp(np.minimum(r, self.highest)), r < self.highest
