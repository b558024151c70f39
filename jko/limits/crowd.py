"""Transport under a cap without diffusion: crowd motion, whose pressure is found on the grid as a whole."""

from __future__ import annotations

import numpy as np

from jko.limits.faces import Faces
from jko.limits.lines import substeps
from jko.limits.nonlinear_diffusion import NotSolved, conserving
from jko.limits.tolerances import TOLERANCES
from jko.loops.elliptic.face_mobility import upwind


class CrowdMotion:
    """∂_tρ = ∇·(ρ∇(p + Ψ)), 0 ≤ ρ ≤ cap, p ≥ 0, p(cap − ρ) = 0 [MauryRoudneffChupinSantambrogio2010].

    A substep of length s solves ρ′ − ρ = s∇·(M∇(p + Ψ)) with p > 0 only where ρ′ = cap and p < 0 only where
    ρ′ = 0, on the whole grid; M on a face is the limited density [VanLeer1974] of the side from which p + Ψ
    falls. In p this is the optimality of one convex problem, min Σ cap·p₊ − ρp + ½sM(±)(Δ(p + Ψ))², and for
    that M of min Ψ·ρ′ + ‖ρ′ − ρ‖²/2s in H⁻¹(M) over 0 ≤ ρ′ ≤ cap: ΣΨρ does not rise, for any s. Newton's
    method for the sets of full and empty cells and for the directions of the faces solves it
    [HintermullerItoKunisch2002].

    At an edge of the crowd p vanishes at the front, somewhere in the cells that are partly full. With `sharp`
    the distance to it from the last full cell is half a cell and what the two cells beyond hold, as the
    height function of a volume of fluid [HirtNichols1981], and p's slope is taken over it. The decay of
    energy is then for the caller to check. Without, p vanishes in the centre of the first cell with room,
    inside of an oblique front by up to h/√8.

    A door has no cap, hence no pressure, and is empty at the start of each substep, so that nothing returns.
    """

    def __init__(self, cap: np.ndarray, faces: Faces):
        self.faces = faces
        self.cap = np.where(faces.doors, np.inf, faces.of(cap))
        rising = faces.of(np.indices(cap.shape).sum(axis=0))
        self.from_high, self.from_low = rising, -rising

    def evolve(self, rho, psi, tau: float, sharp):
        """ρ `[*cells]` after τ with Ψ fixed, in substeps; raises NotSolved."""
        rho, drift = self.faces.of(rho), self.faces.difference(self.faces.of(psi))
        weight = tau * self.faces.inverse_square
        out = self.faces.leaving(weight * drift)
        count = substeps(out.max() / TOLERANCES.crowd_share, TOLERANCES.crowd_substeps)
        now = rho, (rho >= self.cap * (1.0 - TOLERANCES.crowd_rounding)).astype(np.int8)
        left = np.zeros_like(rho)
        for _ in range(count):
            now = self._substep(*now, drift, weight / count, sharp, TOLERANCES.crowd_halvings)
            left[self.faces.doors] += now[0][self.faces.doors]
            now[0][self.faces.doors] = 0.0
        return self.faces.field(now[0] + left)

    def _substep(self, rho, side, drift, weight, sharp, depth):
        """(ρ, side) after a substep, halved where the sets do not settle; side is the sign of p."""
        try:
            return self._stage(rho, side, drift, weight, sharp)
        except NotSolved:
            if depth == 0:
                raise
        for _ in range(2):
            rho, side = self._substep(rho, side, drift, 0.5 * weight, sharp, depth - 1)
        return rho, side

    def _stage(self, base, side, drift, weight, sharp):
        faces = self.faces
        low, high = (weight * faces.by_lines(upwind, base, r) for r in (self.from_low, self.from_high))
        nearness = 1.0 / self._distance(base, side > 0) if sharp else np.ones(low.size)
        slope, held = drift, np.zeros(low.size, bool)
        for count in range(
            TOLERANCES.crowd_patience + 2 * faces.longest
        ):  # sets grow by a layer of cells in a round
            mobility = np.where(held, 0.5 * (low + high), np.where(slope > 0.0, high, low))
            target = np.where(side > 0, self.cap, 0.0)
            drifted = base + faces.gather(mobility * drift)
            p = faces.solve(mobility * nearness, 0.0, drifted - target, side != 0)
            slope = drift + nearness * faces.difference(p)
            rho = base + faces.gather(mobility * slope)
            missed = np.abs(slope * (np.where(slope > 0.0, high, low) - mobility))
            turns = (missed > TOLERANCES.crowd_rounding * base.max()) & ~held
            before, side = side, self._sides(rho, p, side)
            if np.array_equal(before, side) and not turns.any():
                rho = np.clip(rho, 0.0, self.cap)
                return conserving(base[:, None], rho[:, None], self.cap[:, None])[:, 0], side
            if count >= TOLERANCES.crowd_patience:
                held |= turns
        raise NotSolved("the sets of full and empty cells do not settle")

    def _sides(self, rho, p, side):
        """The sets that (ρ, p) asks for."""
        new = np.where(side * p > -TOLERANCES.crowd_rounding * np.abs(p).max(), side, 0).astype(np.int8)
        new[(side == 0) & (rho > self.cap * (1.0 + TOLERANCES.crowd_rounding))] = 1
        new[(side == 0) & (rho < -TOLERANCES.crowd_rounding * rho.max())] = -1
        return new

    def _distance(self, rho, full):
        """From a full cell to the front, in cells, on the faces to cells with room; 1 on all others."""
        share = np.divide(rho, self.cap, out=np.ones_like(rho), where=self.cap > 0.0)
        return self.faces.by_lines(_between, share, full)


def _between(share: np.ndarray, full: np.ndarray, out: np.ndarray):
    """The distance on the faces of `[n, lines]`, whichever way the front goes."""
    out[:] = _ahead(share, full) * _ahead(share[::-1], full[::-1])[::-1]


def _ahead(share: float, full):
    """`_distance` in the direction in which the index of `[n, lines]` grows; walls count as empty."""
    n = share.shape[0]
    beyond = np.concatenate([share, np.zeros((2, share.shape[1]))])
    one, two, three = beyond[1:n], beyond[2 : n + 1], beyond[3 : n + 2]
    edge = full[:-1] & ~full[1:] & (one >= two) & (two >= three) & (three < 1.0)
    height = np.divide(one + two - 2.0 * three, 1.0 - three, out=np.full(one.shape, 0.5), where=edge)
    return 0.5 + height
