"""Nonlinear mobilities and matrix metrics: ∂_tρ = ∇·(M(ρ)A∇ξ), implicit on all cells of the grid together."""

from __future__ import annotations

from typing import Any

import numpy as np

from functionals.parts import Parts
from jko.errors import UnsupportedFunctional
from jko.limits.coupled import CoupledDiffusion
from jko.limits.edges import edges_of
from jko.limits.tolerances import TOLERANCES
from jko.measures import Density, Grid
from jko.metric import matrices
from jko.mobility import Mobility


class Carrier:
    """M and A of a flow on a grid: what carries mass down −∇ξ. M(ρ) = ρ where no mobility is given."""

    def __init__(self, mobility: Any, metric: Any, mu: Density):
        self.mobility = _Plain(_density) if mobility is None else Mobility.of(mobility)
        self.metric = metric
        self.require(mu)
        self.peak = self.mobility.peak(2.0 * float(mu.values.max()))

    def require(self, mu: Density) -> None:
        """Refuse a density at which the mobility is not as it was declared, by ValueError."""
        largest = float(mu.values.max())
        if largest > self.mobility.cap:
            raise ValueError(
                f"measure: expected a density of at most {self.mobility.cap:g}, the cap of its mobility, got "
                f"{largest:.6g}: spread it, or raise the cap"
            )
        self.mobility.require(largest)

    def solver(self, parts: Parts, grid: Grid) -> MobileDiffusion:
        """The implicit steps of these parts."""
        return MobileDiffusion(parts, grid, self)


class _Plain(Mobility):
    """M(ρ) = ρ."""

    def values(self, s: np.ndarray):
        return s

    def derivative(self, s: np.ndarray):
        return np.ones_like(s)

    def require(self, largest: float) -> None:
        """It holds by its formula."""


def _density(s):
    return s


def refuse(F: Any, mu: Density, reaction: bool) -> None:
    """Refuse what is not taken beside a mobility or a metric, by name."""
    if F.parts.constraints:
        raise UnsupportedFunctional(
            f"limits.FiniteVolume takes no cap beside a mobility or a metric, got {F!r}: leave the cap out, "
            "or give fn.FermiDirac(cap) or a mobility with that cap"
        )
    if mu.grid.exits is not None:
        raise ValueError(
            f"measure: limits.FiniteVolume takes no doors beside a mobility or a metric, got {mu.grid!r}: "
            "leave doors, or mobility and metric, out"
        )
    if reaction:
        raise ValueError(
            "reaction: limits.FiniteVolume takes none beside a mobility or a metric: leave it out, or take "
            "steps.HellingerKantorovich(limits.FiniteVolume(mobility=), length=)"
        )


def _require_period(A: Any, found: np.ndarray, grid: Grid) -> None:
    """Refuse by ValueError an A, `found` in the cells inside, of small steps everywhere but at a seam."""
    field = np.full((*grid.cells, *found.shape[1:]), np.nan)
    field[grid.inside] = found
    for axis in np.flatnonzero(grid.periodic):
        both = np.take(grid.inside, 0, axis) & np.take(grid.inside, -1, axis)
        if not both.any():
            continue
        points = np.take(grid.centers, 0, axis)[both]
        sides = []
        for end in (grid.lower[axis], grid.upper[axis]):
            points[:, axis] = end
            sides.append(matrices(A, points))
        steps = np.abs(np.diff(field, axis=axis))
        step = float(steps[np.isfinite(steps)].max(initial=0.0))
        jump = float(np.abs(sides[1] - sides[0]).max())
        if jump > TOLERANCES.seam_jumps * step + TOLERANCES.edge_rounding * float(np.abs(found).max()):
            raise ValueError(
                f"metric: expected A(x) with the period of the grid along axis {axis}, got values that "
                f"differ by {jump:.3g} between its ends, and by {step:.3g} at most between neighbouring "
                "cells: give a periodic A, or a grid with walls"
            )


class MobileDiffusion(CoupledDiffusion):
    """ρ′ − base = s∇·(M(ρ′)A∇ξ), ξ = δF/δρ(ρ′) + Ψ, with 0 ≤ ρ′ ≤ cap for base between them, whatever s.

    On an edge that ξ falls along from a density a to b, M is M((a + b)/2), and where b > a at most twice the
    smaller one of M(a) and M(b): nothing leaves an empty cell, and nothing enters one at the cap, where M is
    0 [BailoCarrilloHu2023]. M ≥ 0 makes the convex part of F fall by ΣM|∇ξ|² and more.

    Where Ψ outweighs the diffusion, Pe = |M′ΔΨ|/MU″ > 2, M turns to the smallest M between a and b where
    a < b and the largest where a > b, Godunov's, with the weight 1 − 2/Pe, as monotone fluxes need
    [Patankar1980]: without an internal energy the entropy solutions of a conservation law, to order 1, for
    an M that rises and then falls.
    """

    def __init__(self, parts: Parts, grid: Grid, carrier: Carrier):
        inside = grid.points.reshape(*grid.cells, -1)[grid.inside]
        metric = None if carrier.metric is None else matrices(carrier.metric, inside)
        if metric is not None and callable(carrier.metric):
            _require_period(carrier.metric, metric, grid)
        self.mobility, self.peak = carrier.mobility, carrier.peak
        super().__init__(parts, grid, edges_of(grid, metric), self.mobility.cap)
        self._upwind: Any = 0.0
        self._met = 0.0  # the largest density at which the mobility was checked

    def evolve(self, rho: np.ndarray, psi: np.ndarray, tau: float, second_order: bool) -> np.ndarray:
        after = super().evolve(rho, psi, tau, second_order)
        if after.max() > self._met:
            self._met = float(after.max())
            self.mobility.require(min(self._met, self.mobility.cap))
        return after

    def _stage(self, base: np.ndarray, start: np.ndarray, psi: np.ndarray, weight: np.ndarray):
        self._upwind = 0.0 if self.gradient else self._share_upwind(np.clip(start, 0.0, self.cap), psi)
        return super()._stage(base, start, psi, weight)

    def _share_upwind(self, rho: np.ndarray, psi: np.ndarray):
        """The weight of the upwind M on each edge."""
        drift = np.abs(self._slope(0.5 * (rho[self.edges.low] + rho[self.edges.high])))
        drift = drift * np.abs(self.edges.difference(psi))
        floor = TOLERANCES.singular_floor
        safe = np.clip(rho, floor * rho.mean(), (1.0 - floor) * self.cap)
        bends = sum(
            (c * atom.factor(safe) * np.asarray(atom.second_derivative(safe)) for c, atom in self.local), 0.0
        )
        diffusivity = self._values(safe) * bends
        spread = diffusivity[self.edges.low] + diffusivity[self.edges.high]
        return np.where(drift > spread, 1.0 - spread / np.where(drift > spread, drift, 1.0), 0.0)

    def _values(self, rho: np.ndarray):
        return np.maximum(self.mobility.values(np.clip(rho, 0.0, self.cap)), 0.0)

    def _slope(self, rho: np.ndarray):
        # a root is infinitely steep at 0
        return self.mobility.derivative(np.clip(rho, TOLERANCES.singular_floor * rho.mean(), self.cap))

    def _mobility(self, low: np.ndarray, high: np.ndarray, drop: np.ndarray):
        falls = drop > 0.0
        near, far = np.where(falls, high, low), np.where(falls, low, high)
        asked = np.stack([near, far, 0.5 * (near + far)])
        (*at, middle), (*slope, of_middle) = self._values(asked), self._slope(asked)
        first, of_middle = at[0] <= at[1], 0.5 * of_middle
        least = np.where(first, *at)
        of_least = np.where(first, slope[0], 0.0), np.where(first, 0.0, slope[1])
        held = (far > near) & (middle > 2.0 * least)
        parts = [
            np.where(held, 2.0 * a, b)
            for a, b in ((least, middle), (of_least[0], of_middle), (of_least[1], of_middle))
        ]
        if np.any(self._upwind):
            between = np.clip(self.peak, np.minimum(near, far), np.maximum(near, far))
            of_near, of_far = (
                np.where(between == a, b, 0.0) for a, b in zip((near, far), slope, strict=True)
            )
            most = self._values(between), of_near, of_far
            monotone = [np.where(far > near, a, b) for a, b in zip((least, *of_least), most, strict=True)]
            parts = [a + self._upwind * (b - a) for a, b in zip(parts, monotone, strict=True)]
        mobility, of_near, of_far = parts
        return mobility, np.where(falls, of_far, of_near), np.where(falls, of_near, of_far)
