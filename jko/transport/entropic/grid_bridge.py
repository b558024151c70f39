"""The Schrödinger bridge between densities on a grid."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from jko.errors import fraction
from jko.measures import Density
from jko.transport.distances.common_kind import checked_points
from jko.transport.entropic.bridge import SchrodingerBridge
from jko.transport.entropic.tolerances import TOLERANCES


@dataclass(frozen=True, eq=False)
class GridBridge(SchrodingerBridge):
    """Ψ_t = P_{1−t}Ψ₁ and Ψ̂_t = P_tΨ̂₀ with the heat flow P of free space, kept as logarithms `[*cells]`;
    between the cells velocities are linear, outside of the box, for 0 < t < 1, those of the sums over the
    cells. What leaves the box between t = 0 and 1 is not seen."""

    mu: Density
    nu: Density
    log_last: np.ndarray = field(repr=False)
    log_first: np.ndarray = field(repr=False)

    @property
    def grid(self):
        """That of the densities."""
        return self.mu.grid

    def log_psi(self, t: float | np.ndarray) -> np.ndarray:
        """log Ψ_t, `[*cells]`."""
        return self._heated(self.log_last, 1.0 - fraction("t", t))

    def log_psi_hat(self, t: float | np.ndarray) -> np.ndarray:
        """log Ψ̂_t, `[*cells]`."""
        return self._heated(self.log_first, fraction("t", t))

    def _heated(self, logs: np.ndarray, duration: float):
        from jko.loops.sums.log_heat import log_heat

        return log_heat(logs, self.grid.spacing, 2.0 * self.epsilon * duration)

    def marginal(self, t) -> Density:
        """ρ_t = Ψ_tΨ̂_t as a Density, mu and nu themselves at the ends; its mass is made that of mu."""
        if fraction("t", t) in (0.0, 1.0):
            return self.mu if t == 0.0 else self.nu
        values = np.exp(self.log_psi(t) + self.log_psi_hat(t))
        kept = values.sum() * self.grid.cell_volume / self.mu.mass
        if not abs(kept - 1.0) < TOLERANCES.lost:
            rough = "a larger epsilon or a finer grid: the cells do not resolve log Ψ and log Ψ̂"
            raise ValueError(
                f"t: the grid holds {kept:.3g} of the mass at t = {t:.3g}; take "
                + (rough if kept > 1.0 else f"a larger box if mass leaves it, else {rough}")
            )
        return Density(self.grid, values / kept)

    def drift_field(self, t) -> np.ndarray:
        """2ε∇log Ψ_t at the cells, `[*cells, d]`."""
        return 2.0 * self.epsilon * _gradient(self.log_psi(t), self.grid.spacing)

    def current_field(self, t) -> np.ndarray:
        """ε(∇log Ψ_t − ∇log Ψ̂_t) at the cells, `[*cells, d]`."""
        ahead, behind = (_gradient(f, self.grid.spacing) for f in (self.log_psi(t), self.log_psi_hat(t)))
        return self.epsilon * (ahead - behind)

    def drift(self, x, t) -> np.ndarray:
        """2ε∇log Ψ_t at points `[n, d]`."""
        return self._between(self.drift_field(t), x, lambda far: self._towards(self.log_last, far, 1.0 - t))

    def current_velocity(self, x, t) -> np.ndarray:
        """ε(∇log Ψ_t − ∇log Ψ̂_t) at points `[n, d]`."""

        def beyond(far):
            ahead = self._towards(self.log_last, far, 1.0 - t)
            return 0.5 * (ahead - self._towards(self.log_first, far, t))

        return self._between(self.current_field(t), x, beyond)

    def _between(self, field, x, beyond):
        from scipy.interpolate import RegularGridInterpolator

        x = checked_points(x, self.grid.dimension)
        found = RegularGridInterpolator(self.grid.axes, field, bounds_error=False, fill_value=None)(x)
        far = np.any((x < self.grid.lower) | (x > self.grid.upper), axis=1)
        if far.any():
            found[far] = beyond(x[far])
        return found

    def _towards(self, logs, x, duration):
        """2ε∇log P_duration Ψ = (E[y | x] − x)/duration at points x, y drawn as the kernel times Ψ."""
        if not duration > 0.0:
            raise ValueError("x: expected points in the box at t = 0 and 1, where outside of it is nothing")
        logs, points = logs.ravel(), self.grid.points
        block = max(1, TOLERANCES.pairs_at_once // len(points))
        means = []
        for part in np.split(x, range(block, len(x), block)):
            squares = sum((part[:, None, a] - points[:, a]) ** 2 for a in range(x.shape[1]))
            exponents = logs - squares / (4.0 * self.epsilon * duration)
            weights = np.exp(exponents - exponents.max(axis=1, keepdims=True))
            means.append(weights @ points / weights.sum(axis=1, keepdims=True))
        return (np.concatenate(means) - x) / duration

    def _kinetic(self, t):
        return 0.5 * float(
            self.grid.cell_volume
            * (self.marginal(t).values * np.sum(self.drift_field(t) ** 2, axis=-1)).sum()
        )

    def _start(self, n, seed: int):
        return self.mu.sample(n, seed).positions


def bridge_on_grid(mu: Density, nu: Density, epsilon: float, tolerance: float, most: int) -> GridBridge:
    """From the static plan at temperature 4ε: Ψ̂₀ = e^f μ(4πε)^{d/2} and Ψ₁ = e^g ν."""
    from jko.transport.entropic.sinkhorn import discrete, potentials

    widest = max(mu.grid.spacing)
    if 4.0 * epsilon < widest**2:
        raise ValueError(
            f"epsilon: expected at least h²/4 = {0.25 * widest**2:.2g} on cells of width {widest:.2g}, got "
            f"{epsilon:.2g}, for which the noise is lost between the cells; take a finer grid"
        )
    pair = discrete(mu, nu, 4.0 * epsilon)
    found = potentials(pair, tolerance, most)
    f, g = 4.0 * epsilon * found.first, 4.0 * epsilon * found.second
    dual = pair.dual(f, g)
    log_volume, normaliser = (
        math.log(mu.grid.cell_volume),
        0.5 * mu.dimension * math.log(4.0 * math.pi * epsilon),
    )
    held = pair.nu > 0
    entropy = float((pair.nu[held] * (pair.log_nu[held] - log_volume)).sum())
    return GridBridge(
        epsilon=epsilon,
        cost=mu.mass * (0.5 * dual + 2.0 * epsilon * (entropy + normaliser)),
        gap=0.5 * mu.mass * max(pair.primal(f, g) - dual, 0.0),
        marginal_error=found.error,
        iterations=found.iterations,
        method="Sinkhorn on a grid",
        mu=mu,
        nu=nu,
        log_last=found.second + pair.log_nu - log_volume,
        log_first=found.first + pair.log_mu - log_volume + normaliser + math.log(mu.mass),
    )


def _gradient(logs, spacing):
    """∇ of a logarithm: fourth order inside, lower at walls and beside cells of −∞, 0 on them."""
    return np.stack([_slope(logs, axis, h) for axis, h in enumerate(spacing)], axis=-1)


def _slope(logs, axis: int, h):
    lines = np.moveaxis(logs, axis, -1)
    padded = np.pad(lines, [(0, 0)] * (lines.ndim - 1) + [(2, 2)], constant_values=-np.inf)
    n = lines.shape[-1]
    with np.errstate(invalid="ignore"):
        ahead, behind = padded[..., 3 : n + 3] - lines, lines - padded[..., 1 : n + 1]
        far = (padded[..., 4:] - padded[..., :n]) / (4.0 * h)
        near = 0.5 * (ahead + behind) / h
        fine = (4.0 * near - far) / 3.0
    choices = [fine, near, ahead / h, behind / h]
    slope = np.select([np.isfinite(c) for c in choices], choices, 0.0)
    return np.moveaxis(slope, -1, axis)
