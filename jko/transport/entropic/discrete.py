"""Two discrete measures with a Gaussian kernel between them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from jko.transport.entropic.tolerances import TOLERANCES


class _Rounded(NamedTuple):
    rows: np.ndarray
    columns: np.ndarray
    log_scale: np.ndarray
    left_mu: np.ndarray
    left_nu: np.ndarray
    missing: float


@dataclass(frozen=True, eq=False)
class Discrete:
    """A pair of discrete measures with a kernel between them: masses mu and nu of sum 1, `mass` what they
    stand for; x and y their points less `middles`, as `[*cells, d]` or `[n, d]`."""

    kernel: Any
    mu: np.ndarray
    nu: np.ndarray
    x: np.ndarray
    y: np.ndarray
    epsilon: float
    mass: float
    spacing: tuple[float, ...] | None = None
    middles: tuple = ()

    @property
    def swapped(self):
        """The same problem from nu to mu."""
        return replace(self, kernel=self.kernel.swapped, mu=self.nu, nu=self.mu, x=self.y, y=self.x)

    @property
    def alone(self):
        """mu with itself."""
        return replace(self, kernel=self.kernel.alone, nu=self.mu, y=self.x)

    @property
    def shift(self) -> np.ndarray:
        """What was taken from x less what was taken from y."""
        return self.middles[0] - self.middles[1] if self.middles else np.zeros(self.x.shape[-1])

    def moved_back(self, f: np.ndarray, g: np.ndarray):
        """The potentials for the points where they were: |x − y + s|² = |x − y|² + 2s·(x − y) + |s|²."""
        s = self.shift
        return f + 2.0 * self.x @ s + s @ s, g - 2.0 * self.y @ s

    @cached_property
    def log_mu(self):
        """log μ, −∞ where there is no mass."""
        with np.errstate(divide="ignore"):
            return np.log(self.mu)

    @cached_property
    def log_nu(self):
        """log ν, −∞ where there is no mass."""
        with np.errstate(divide="ignore"):
            return np.log(self.nu)

    def second_marginal(self, f: np.ndarray, g: np.ndarray):
        """∫π(dx, y), masses as nu's."""
        image = -self.kernel.back(f / self.epsilon + self.log_mu)
        return np.where(
            self.nu > 0,
            self.nu * np.exp(np.minimum(g / self.epsilon - image, TOLERANCES.largest_exponent)),
            0.0,
        )

    def dual(self, f: np.ndarray, g: np.ndarray, total: float = 1.0) -> float:
        """∫f dμ + ∫g dν − ε(∫dπ − 1), for masses of sum 1."""
        return float((f * self.mu).sum() + (g * self.nu).sum() - self.epsilon * (total - 1.0))

    def primal(self, f: np.ndarray, g: np.ndarray) -> float:
        """The objective of a plan with both marginals, made from that of f and g; KL of the sum of its two
        parts is at most their sum by convexity."""
        part = self._rounded(f, g)
        kept = (part.rows * f).sum() + (part.columns * (g + self.epsilon * part.log_scale)).sum()
        if part.missing < 1.0:
            kept -= self.epsilon * (1.0 - part.missing) * np.log1p(-part.missing)
        if not part.missing > 0.0:
            return float(kept)
        divergence = _relative(part.left_mu / part.left_mu.sum(), self.mu)
        divergence += _relative(part.left_nu / part.left_nu.sum(), self.nu)
        return float(kept + part.missing * (self._independent(part) + self.epsilon * divergence))

    def feasible_cost(self, f: np.ndarray, g: np.ndarray) -> float:
        """∫|x − y|²dπ of the same plan, W₂² from above."""
        part = self._rounded(f, g)
        squares = self._squares(part.rows, g + self.epsilon * part.log_scale, part.columns)
        if part.missing > 0.0:
            squares += part.missing * self._independent(part)
        return self.mass * float(squares + self.shift @ self.shift)

    def _rounded(self, f: np.ndarray, g: np.ndarray):
        """What makes a plan with both marginals from that of f and g: columns too heavy are scaled down,
        what is then missing is coupled independently [AltschulerWeedRigollet2017]."""
        columns = self.second_marginal(f, g)
        with np.errstate(divide="ignore", invalid="ignore"):
            log_scale = np.where(self.nu > 0, np.minimum(self.log_nu - np.log(columns), 0.0), 0.0)
        columns = np.minimum(columns, self.nu)
        rows = self.mu * np.exp(
            f / self.epsilon + self.kernel.forth(g / self.epsilon + self.log_nu + log_scale)
        )
        left_mu, left_nu = np.maximum(self.mu - rows, 0.0), np.maximum(self.nu - columns, 0.0)
        sums = left_mu.sum(), left_nu.sum()
        missing = 0.5 * float(sum(sums)) if min(sums) > 0.0 else 0.0  # rounding alone leaves one side empty
        return _Rounded(rows, columns, log_scale, left_mu, left_nu, missing)

    def _independent(self, part: _Rounded):
        a, b = (left.ravel() / left.sum() for left in (part.left_mu, part.left_nu))
        x, y = self.x.reshape(a.size, -1), self.y.reshape(b.size, -1)
        return a @ np.sum(x**2, axis=1) + b @ np.sum(y**2, axis=1) - 2.0 * (a @ x) @ (b @ y)

    def barycentres(self, g):
        """E[y | x], one sum with the kernel for each axis: of y less its lower end, which is positive."""
        return self._centred_barycentres(g) + (self.middles[1] if self.middles else 0.0)

    def _centred_barycentres(self, g: np.ndarray):
        logs = g / self.epsilon + self.log_nu
        total = self.kernel.forth(logs)
        out = np.empty((*total.shape, self.y.shape[-1]))
        for a in range(out.shape[-1]):
            coordinate = self.y[..., a]
            low = coordinate.min() - max(np.ptp(coordinate), np.sqrt(self.epsilon))
            out[..., a] = low + np.exp(self.kernel.forth(logs + np.log(coordinate - low)) - total)
        return out

    def transport_cost(self, f: np.ndarray, g: np.ndarray):
        """∫|x − y|²dπ."""
        squares = self._squares(self.mu, g, self.second_marginal(f, g))
        return self.mass * float(squares + self.shift @ self.shift)

    def _squares(self, rows: np.ndarray, g: np.ndarray, columns: np.ndarray):
        barycentres = self._centred_barycentres(g)
        squares = (rows * np.sum(self.x**2 - 2.0 * self.x * barycentres, axis=-1)).sum()
        return squares + (columns * np.sum(self.y**2, axis=-1)).sum()

    def plan(self, f: np.ndarray, g: np.ndarray):
        """The coupling `[n, m]` of the potentials, μν exp((f + g − |x − y|²)/ε) times the mass."""
        if self.mu.size * self.nu.size > TOLERANCES.largest_plan:
            raise ValueError(
                f"plan: {self.mu.size} x {self.nu.size} pairs are too many to hold; use map, or potentials"
            )
        x, y = self.x.reshape(self.mu.size, -1), self.y.reshape(self.nu.size, -1)
        cost = sum((x[:, None, a] - y[None, :, a]) ** 2 for a in range(x.shape[1]))
        with np.errstate(under="ignore"):
            density = np.exp((f.reshape(-1, 1) + g.reshape(1, -1) - cost) / self.epsilon)
        return self.mass * self.mu.reshape(-1, 1) * self.nu.reshape(1, -1) * density


def _relative(a: np.ndarray, b: np.ndarray):
    held = a > 0
    return float((a[held] * np.log(a[held] / b[held])).sum())
