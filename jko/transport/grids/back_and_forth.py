"""The Kantorovich potentials between two densities on a grid by nested back-and-forth ascent."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from jko.loops.elliptic.multigrid import Multigrid
from jko.loops.grids.resample import average, halved, halvings, interpolate
from jko.loops.transport.c_transform import c_transform
from jko.loops.transport.deposit import deposit
from jko.transport.grids.tolerances import TOLERANCES

# for maps, whose error is the root of that of the value
FINE = {"rounds": (24, 16, 16, 24), "still": 5e-8}


@dataclass(frozen=True)
class Potentials:
    """A pair of conjugate potentials for |x − y|²/2 on one box: `value` = ∫ψ dμ + ∫φ dν, ½W₂² from below.

    `gap` is primal minus dual, the primal moving by x − ∇ψ and then along the least flux to ν;
    `residual` is ∫|T_#μ − ν|; `coarse` the value on cells twice as wide, densities averaged: how far it
    is tells what the grid errs by. `smooth` ones solve an equation with differences of ψ, others are minima
    over cells.
    """

    psi: np.ndarray
    phi: np.ndarray
    value: float
    gap: float
    residual: float
    rounds: int
    coarse: float
    smooth: bool = False


def solve(
    overlap, rounds: tuple = TOLERANCES.rounds, still: float = TOLERANCES.still, threads: int = 1
) -> Potentials:
    """max ∫ψ dμ + ∫φ dν under ψ(x) + φ(y) ≤ |x − y|²/2 on the box of an `Overlap` [JacobsLeger2020].

    Each half of a round adds to one potential σu, −∇·(M∇u) = ν − T_#μ with M the larger of both
    densities and a tenth of the largest, one multigrid cycle, and takes the conjugate; then the same for
    the other. From coarse to fine, started from the map between Gaussians of the same moments, on a torus
    from the identity.
    """
    phi, value = None, math.nan
    for depth, cells in reversed(list(enumerate(levels(overlap.first.shape)))):
        level = Level(overlap, cells, threads)
        phi = level.first() if phi is None else level.prolong(phi)
        psi, phi = level.climb(phi, rounds[min(depth, len(rounds) - 1)], still * 2.0**depth)
        coarse, value = value, level.value(psi, phi)
    gap, residual = level.gap(psi, phi)
    square = level.unit**2
    return Potentials(
        square * psi, square * phi, square * value, square * gap, residual, level.rounds, square * coarse
    )


def mismatch(overlap, potentials) -> float:
    """W₂(T_#μ, ν) to first order, T = id − ∇ψ: the root of ∫|q|²/M for the least flux q between them."""
    level = Level(overlap, overlap.first.shape, 1)
    u, residual = level._correction(
        level.mu, level.nu, potentials.psi / level.unit**2, TOLERANCES.gap_mobility, 1e-2, 30
    )
    return level.unit * math.sqrt(max(level.volume * float(np.vdot(u, residual)), 0.0))


def levels(cells: tuple):
    """Grids of the box from the given one to the coarsest."""
    found = halvings(cells, 1.5 * TOLERANCES.coarsest[len(cells) - 1], TOLERANCES.tiny)
    if len(found) == 1 and max(cells) > TOLERANCES.tiny:
        found.append(halved(cells, TOLERANCES.tiny))
    return found


class Level:
    """The problem on one grid of the box, in units of its longest side `unit`, for which single precision in
    the multigrid has range."""

    def __init__(self, overlap, cells: tuple, threads: int):
        extent = [n * h for n, h in zip(overlap.first.shape, overlap.spacing, strict=True)]
        self.unit = max(extent)
        extent = [e / self.unit for e in extent]
        self.spacing = tuple(e / n for e, n in zip(extent, cells, strict=True))
        density = self.unit ** len(extent)
        self.mu, self.nu = (density * average(f, cells) for f in (overlap.first, overlap.second))
        self.volume, self.threads, self.periodic = math.prod(self.spacing), threads, overlap.periodic
        self.inverse_square = [np.full(cells, h**-2.0, np.float32) for h in self.spacing]
        self.diagonal = sum(e * e for e in extent)
        self.whole = 0.5 * abs(overlap.surplus) / self.unit**2
        self.step, self.floor, self.rounds = TOLERANCES.step, TOLERANCES.mobility, 0

    def conjugate(self, phi: np.ndarray):
        return c_transform(phi, self.spacing, 1.0, self.threads, periodic=self.periodic)

    def value(self, psi: np.ndarray, phi: np.ndarray):
        return self.volume * float(np.vdot(self.mu, psi) + np.vdot(self.nu, phi))

    def first(self):
        """φ of the optimal map between Gaussians of the same moments, 0 on a torus."""
        return np.zeros(self.mu.shape) if any(self.periodic) else self._affine()

    def _affine(self):
        from jko.transport.distances.gaussian import optimal_matrix

        points = np.stack(
            np.meshgrid(
                *[h * np.arange(n) for n, h in zip(self.mu.shape, self.spacing, strict=True)], indexing="ij"
            ),
            -1,
        )
        (m0, S0), (m1, S1) = (self._moments(f, points) for f in (self.mu, self.nu))
        flat = points.reshape(-1, points.shape[-1])
        away = flat - m1
        u = 0.5 * np.sum(away @ optimal_matrix(S1, S0) * away, axis=1) + flat @ m0
        return (0.5 * np.sum(flat**2, axis=1) - u).reshape(self.mu.shape)

    def _moments(self, density: np.ndarray, points: np.ndarray):
        weights = (density / density.sum()).ravel()
        flat = points.reshape(-1, points.shape[-1])
        mean = weights @ flat
        away = flat - mean
        inner = np.diag(np.square(self.spacing)) / 12.0
        return mean, away.T @ (weights[:, None] * away) + inner

    def prolong(self, phi: np.ndarray):
        cells = self.mu.shape
        ratios = [old / new for old, new in zip(phi.shape, cells, strict=True)]
        return interpolate(phi, cells, (0.0,) * len(cells), ratios, self.periodic or None)

    def climb(self, phi: np.ndarray, rounds: int, still: float):
        """(ψ, φ) after some rounds, until one gains little; where the value falls, on from the best with
        half the step."""
        psi = self.conjugate(phi)
        phi = self.conjugate(psi)
        best = self.value(psi, phi), psi, phi
        for _ in range(rounds):
            phi = phi + self.step * self._correction(self.mu, self.nu, psi, self.floor)[0]
            psi = self.conjugate(phi)
            phi = self.conjugate(psi)
            psi = psi + self.step * self._correction(self.nu, self.mu, phi, self.floor)[0]
            phi = self.conjugate(psi)
            psi = self.conjugate(phi)
            value = self.value(psi, phi)
            self.rounds += 1
            gain, scale = value - best[0], still * (abs(value) + self.whole)
            if gain > 0.0:
                best = value, psi, phi
                self.floor = max(TOLERANCES.ease * self.floor, TOLERANCES.least_mobility)
            elif gain < -TOLERANCES.fell * abs(best[0]):
                self.step = max(0.7 * self.step, TOLERANCES.shortest_step)
                self.floor = min(self.floor * 5, TOLERANCES.mobility)
                _, psi, phi = best
                continue
            if abs(gain) <= scale:
                break
        return best[1:]

    def _correction(
        self,
        source: np.ndarray,
        target: np.ndarray,
        psi: np.ndarray,
        floor: float,
        tolerance: float = 0.1,
        most: int = 1,
        slack=None,
    ):
        """(u, target − T_# source) with −∇·(M∇u) the second, T = id − ∇ψ."""
        moved = deposit(source, psi, self.spacing, self.periodic)
        residual = target - moved
        mobility = np.maximum(target, moved)
        mobility += floor * mobility.max()
        stiffness = self.diagonal / (TOLERANCES.screen * mobility.min())
        axes = (
            self.inverse_square
            if slack is None
            else [g / s for g, s in zip(self.inverse_square, slack, strict=True)]
        )
        grid = Multigrid(np.log(mobility), stiffness * mobility, axes, self.periodic or None)
        u, _ = grid.solve(stiffness * (residual - residual.mean()), tolerance, most)
        return u.astype(float), residual

    def gap(self, psi: np.ndarray, phi: np.ndarray):
        """½⟨r, u⟩ for r = ν − T_#μ and −∇·(M(I − D²φ)⁻¹∇u) = r; and ∫|r|."""
        turns = self.periodic or (False,) * phi.ndim
        bends = [_bend(phi, a, turns[a]) / h**2 for a, h in enumerate(self.spacing)]
        slack = [np.clip(1.0 - bend, *TOLERANCES.stretch) for bend in bends]
        u, residual = self._correction(self.mu, self.nu, psi, TOLERANCES.gap_mobility, 1e-2, 30, slack)
        return 0.5 * self.volume * float(np.vdot(u, residual)), self.volume * float(np.abs(residual).sum())


def _bend(field: np.ndarray, axis: int, turns: bool):
    width = [(1, 1) if a == axis else (0, 0) for a in range(field.ndim)]
    at = np.pad(field, width, mode="wrap" if turns else "edge")
    upper, lower = (
        tuple(s if a == axis else slice(None) for a in range(field.ndim))
        for s in (slice(2, None), slice(None, -2))
    )
    return at[upper] + at[lower] - 2.0 * field
