"""Implicit Euler on lines with the upwind density of its answer as mobility: one answer, whatever τ."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jko.limits.tolerances import TOLERANCES
from jko.loops.elliptic.upwind_newton import direction, remainder


class Iterate(NamedTuple):
    """ρ, its p on the graph, which cells are full, and of each equation what is left and what rounds."""

    rho: np.ndarray
    p: np.ndarray
    full: np.ndarray
    left: np.ndarray
    blur: np.ndarray


class UpwindStage:
    """ρ′ − base = s div(M∂ξ), ξ ∈ ∂(U + ι_[0, cap])(ρ′) + Ψ, M the density ρ′ of the side that ξ falls from.

    The flux through a face grows with ρ′ on the side it comes from and falls with that on the other. So the
    Jacobian is an M-matrix whose columns add up to ρ_s ≥ 0, and there is one answer for any s: positive, of
    the mass of `base`, in its order, below the cap, with less ΣU + Ψρ by sΣM|∂ξ|². Order 1 in h where ξ
    is not at rest, and in s. Newton's method, the step of a line halved until Σ|remainder| falls,
    or is rounding.
    """

    def __init__(self, problem, base: np.ndarray, psi: np.ndarray, cap: np.ndarray, step: np.ndarray | float):
        self.problem, self.base, self.psi, self.cap = problem, base, psi, cap
        self.volumes = np.broadcast_to(np.asarray(problem.volumes, dtype=float), base.shape)
        self.step = np.broadcast_to(step, (base.shape[0] - 1, base.shape[1]))
        self.mass = base.sum(axis=0)
        with np.errstate(all="ignore"):
            self.p_full = problem.slope(np.where(np.isfinite(cap), cap, 1.0))

    def solve(self) -> tuple[np.ndarray, np.ndarray]:
        """(ρ′, which lines reached their tolerance)."""
        answer, solved = self.base.copy(), self.mass <= TOLERANCES.nothing
        for halvings in (0, TOLERANCES.upwind_halvings):
            now, done = self._begun(), solved.copy()
            with np.errstate(all="ignore"):  # of steps that are too long
                for _ in range(TOLERANCES.upwind_iterations):
                    done = done | self._done(now)
                    if done.all():
                        break
                    now = self._searched(now, done, halvings)
            answer = np.where(done & ~solved, now.rho, answer)
            solved = solved | done
            if solved.all():
                break
        return answer, solved

    def _begun(self):
        floor = TOLERANCES.tail_floor * self.mass / len(self.base)
        graph = self.problem.p_empty, self.problem.curvature(np.zeros((1, 1)))
        vertical = not all(np.all(np.isfinite(at_empty)) for at_empty in graph)
        rho = np.minimum(np.maximum(self.base, floor) if vertical else self.base, self.cap)
        full = rho >= self.cap * (1.0 - TOLERANCES.lost)
        rho = np.where(full, self.cap, rho)
        return self._at(rho, np.where(full, self.p_full, self._slope(rho)), full)

    def _slope(self, rho: np.ndarray):
        """U′, of no matter on lines without mass."""
        return self.problem.slope(np.where(self.mass > TOLERANCES.nothing, rho, 1.0))

    def _at(self, rho: np.ndarray, p: np.ndarray, full: np.ndarray):
        left, blur = np.empty_like(rho), np.empty_like(rho)
        fields = rho, p, self.psi, self.base, self.volumes, self.step
        remainder(*fields, TOLERANCES.level_rounding, left, blur)
        return Iterate(rho, p, full, left, blur)

    def _done(self, now: Iterate):
        small = TOLERANCES.upwind_settled * self.base.max(axis=0)
        lost = np.abs(now.left.sum(axis=0))
        return np.all(np.abs(now.left) <= small + now.blur, axis=0) & (lost <= len(self.base) * small)

    def _searched(self, now: Iterate, solved: np.ndarray, halvings: int):
        """The next iterate; solved lines stay."""
        step_rho, step_p = np.empty_like(now.rho), np.empty_like(now.rho)
        fields = now.rho, now.p, self.psi, now.full, self.problem.curvature(now.rho), self.volumes, self.step
        direction(*fields, TOLERANCES.full_touch, now.left.copy(), step_rho, step_p)
        length, before = np.where(solved, 0.0, 1.0), np.maximum(np.abs(now.left), now.blur).sum(axis=0)
        for _ in range(1 + halvings):
            after = self._moved(now, length * step_rho, length * step_p)
            rises = ~(np.abs(after.left).sum(axis=0) <= before) & ~solved
            if not rises.any():
                break
            length = np.where(rises, 0.5 * length, length)
        return after

    def _moved(self, now: Iterate, step_rho: np.ndarray, step_p: np.ndarray):
        """Along the graph; a cell to be emptied keeps a tenth, under a U′(0) = −∞ at least a thousandth."""
        linear = now.rho + step_rho
        if np.isfinite(self.problem.p_empty):
            rho = np.where(linear > 0.0, linear, 0.1 * now.rho)
        else:
            rho = np.maximum(linear, 1e-3 * now.rho)
        above = now.p + step_p
        stays = now.full & (above >= self.p_full)
        full = stays | (~now.full & (rho >= self.cap))
        rho = np.where(now.full, self.cap, np.minimum(rho, self.cap))
        p = np.where(stays, above, np.where(full | now.full, self.p_full, self._slope(rho)))
        return self._at(rho, p, full)
