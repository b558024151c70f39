"""The Kantorovich potentials between positive densities on a torus, by Newton's method."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jko.loops.elliptic.multigrid import Multigrid
from jko.loops.transport.monge_ampere import End, transported
from jko.transport.grids.back_and_forth import Level, Potentials, levels
from jko.transport.grids.tolerances import TOLERANCES


def takes(overlap) -> bool:
    """Whether densities on the box of an `Overlap` are those of a torus, positive all over."""
    return any(overlap.periodic) and all(
        density.min() > TOLERANCES.least_positive * density.max()
        for density in (overlap.first, overlap.second)
    )


def solve(overlap, threads: int = 1) -> Potentials | None:
    """Potentials with ν(T)·det DT = μ for T = id − ∇ψ to rounding, ψ by periods; None where Newton's method
    does not end.

    On a torus T is the optimal map, and ψ the only one up to a constant [CorderoErausquin1999]; damped
    Newton steps from coarse grids to fine [LoeperRapetti2005]. φ is the conjugate of ψ over the cells, of
    which the value and the gap are.
    """
    phi, value = None, math.nan
    for depth, cells in reversed(list(enumerate(levels(overlap.first.shape)))):
        level = Level(overlap, cells, threads)
        phi = np.zeros(cells) if phi is None else level.prolong(phi)
        phi = _Equation(level).solved(phi, TOLERANCES.newton if depth == 0 else TOLERANCES.newton_coarse)
        if phi is None:
            return None
        psi = phi.mean() - phi
        conjugate = level.conjugate(psi)
        coarse, value = value, level.value(psi, conjugate)
    gap, residual = level.gap(psi, conjugate)
    square = level.unit**2
    fields, numbers = (square * psi, square * conjugate), (square * value, square * gap)
    return Potentials(*fields, *numbers, residual, level.rounds, square * coarse, True)


class _Point(NamedTuple):
    """φ with log ν(T) + log det DT, T = id + ∇φ, the diagonal of (DT)⁻¹ and the least eigenvalues of DT."""

    phi: np.ndarray
    log: np.ndarray
    diagonal: np.ndarray
    least: float


class _Equation:
    """log ν(T) + log det DT = log μ + c on one grid, in its units.

    Its derivative along δ is ∇·(ρ(DT)⁻¹∇δ)/ρ, ρ = ν(T)·det DT, but for the differences: that of the
    differences is taken by GMRES, with a few V-cycles of the other, mixed derivatives left out, before it.
    """

    def __init__(self, level: Level):
        self.level, self.spacing, self.periodic = level, level.spacing, level.periodic
        self.goal, self.second = np.log(level.mu), np.log(level.nu)
        self.weight = level.mu / level.mu.sum()
        self.ends = tuple((End.JOINED if turns else End.MIRRORED,) * 2 for turns in level.periodic)

    def at(self, phi: np.ndarray) -> _Point:
        """The point of a potential."""
        log, diagonal, least = transported(self.second, phi, 1.0, self.spacing, self.ends, -math.inf)
        return _Point(phi, log, diagonal, float(least.min()))

    def solved(self, phi: np.ndarray, tolerance: float) -> np.ndarray | None:
        """The φ that solves it, from one near by, else from μ = ν on along (1 − s) log ν + s log μ."""
        found = self._newton(phi, self.goal, tolerance)
        if found is not None:
            return found
        phi, done, share = np.zeros_like(phi), 0.0, 0.5
        while done < 1.0:
            reached = min(1.0, done + share)
            goal = (1.0 - reached) * self.second + reached * self.goal
            found = self._newton(phi, goal, tolerance if reached == 1.0 else TOLERANCES.newton_coarse)
            if found is None:
                share *= 0.5
                if share < TOLERANCES.newton_share:
                    return None
            else:
                phi, done = found, reached
        return phi

    def _newton(self, phi: np.ndarray, goal: np.ndarray, tolerance: float) -> np.ndarray | None:
        now = self.at(phi)
        if not now.least > 0.0:
            return None
        residual, size = self._residual(now, goal)
        for _ in range(TOLERANCES.newton_iterations):
            if size <= tolerance:
                return now.phi
            self.level.rounds += 1
            correction, length = self._correction(now, residual), 1.0
            while True:
                new = self.at(now.phi + length * correction)
                left, rest = self._residual(new, goal)
                if new.least > TOLERANCES.newton_shrinks * now.least and rest < (1.0 - 0.1 * length) * size:
                    break
                length *= 0.5
                if length < TOLERANCES.newton_shortest:
                    return now.phi if size <= TOLERANCES.newton_enough else None
            now, residual, size = new, left, rest
        return None

    def _residual(self, now: _Point, goal: np.ndarray):
        """log μ + c − log ρ with the c of least size, and its size in L²(μ)."""
        residual = goal - now.log
        residual -= float(np.vdot(self.weight, residual))
        return residual, math.sqrt(float(np.vdot(self.weight, residual * residual)))

    def _correction(self, now: _Point, residual: np.ndarray):
        """δ with the derivative along it the residual, up to a constant, to a hundredth."""
        from scipy.sparse.linalg import LinearOperator, gmres

        shape, cells = residual.shape, residual.size
        rho = np.exp(now.log - now.log.max())
        rho /= rho.sum()

        def centred(field: np.ndarray):
            return field - float(np.vdot(rho, field))

        def along(flat: np.ndarray):
            reach = TOLERANCES.difference * min(self.spacing) ** 2 / (float(np.abs(flat).max()) or 1.0)
            change = self.at(now.phi + reach * flat.reshape(shape)).log - now.log
            return centred(change / -reach).ravel()

        operator, before = (
            LinearOperator((cells, cells), matvec=f, dtype=float)
            for f in (along, self._preconditioner(now, centred))
        )
        settings = {"rtol": TOLERANCES.forcing, "restart": TOLERANCES.newton_basis, "maxiter": 1}
        found, _ = gmres(operator, -centred(residual).ravel(), M=before, **settings)
        return found.reshape(shape)

    def _preconditioner(self, now: _Point, centred: Callable):
        screen = self.level.diagonal / TOLERANCES.screen
        mobility = [g / h**2 for g, h in zip(now.diagonal, self.spacing, strict=True)]
        grid = Multigrid(now.log - now.log.max(), screen, mobility, self.periodic)

        def cycles(flat: np.ndarray):
            right = centred(flat.reshape(now.log.shape))
            size = float(np.abs(right).max()) or 1.0
            found, _ = grid.solve(right * (screen / size), TOLERANCES.forcing, TOLERANCES.newton_cycles)
            return size * (found - found.mean(dtype=float)).ravel().astype(float)

        return cycles
