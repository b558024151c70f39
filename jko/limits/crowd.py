"""Transport under a cap without diffusion: crowd motion, whose pressure is found on the grid as a whole."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jko.limits.faces import Faces, Part
from jko.limits.lines import substeps
from jko.limits.nonlinear_diffusion import NotSolved, conserving
from jko.limits.tolerances import TOLERANCES
from jko.loops.elliptic.crowd_faces import drifted, limited_sides, nearness, pushed


class Crowd(NamedTuple):
    """A crowd between two substeps: ρ, the sign of p in the cells, and the slope of p + Ψ on the faces."""

    rho: np.ndarray
    side: np.ndarray
    slope: np.ndarray


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
        self.whole = self.faces = faces
        self._caps = self.cap = np.where(faces.doors, np.inf, faces.of(cap))

    def evolve(self, rho, psi, tau: float, sharp):
        """ρ `[*cells]` after τ with Ψ fixed, in substeps; raises NotSolved."""
        whole, rho = self.whole, self.whole.of(rho)
        flat, left = whole.of(psi), np.zeros(whole.size)
        drifts, self._psi = whole.difference(flat), flat
        side = (rho >= self._caps * (1.0 - TOLERANCES.crowd_rounding)).astype(np.int8)
        everywhere, margin, done = Crowd(rho, side, drifts.copy()), TOLERANCES.crowd_margin, 0.0
        near, crowd = self._narrowed(everywhere, margin)
        for taken in range(TOLERANCES.crowd_substeps):
            drift, weight = drifts[near.faces], tau * near.inverse_square
            # what holds mass, or is next to it, may give away a share of itself
            out = near.leaving(weight * drift)
            most = out[crowd.rho > TOLERANCES.held * crowd.rho.max()].max(initial=0.0)
            needed, rest = (1.0 - done) * most / TOLERANCES.crowd_share, TOLERANCES.crowd_substeps - taken
            # the first half of them no longer than needed; longer ones tell no place of a front in its cell
            early = 2 * taken < TOLERANCES.crowd_substeps
            count, placed = substeps(needed, np.inf if early else rest), sharp and (early or needed <= rest)
            if not (early or placed) and self._rests(crowd.rho):
                break
            part = (1.0 - done) / count
            moved = self._substep(crowd, drift, part * weight, placed, TOLERANCES.crowd_halvings)
            if moved.rho[near.rim].any():  # which might have gone further: the substep is taken anew
                self._written(crowd, everywhere)
                margin *= 2
                near, crowd = self._narrowed(everywhere, margin)
                continue
            crowd = moved
            left[near.cells[near.doors]] += crowd.rho[near.doors]
            crowd.rho[near.doors] = 0.0
            done += part
            if count == 1:
                break
        self._written(crowd, everywhere)
        return whole.field(rho + left)

    def _rests(self, rho: np.ndarray) -> bool:
        """Whether a p holds ρ with no flux through any face: then ρ solves a substep of any length.

        p + Ψ is one number in a block of full cells, no less than Ψ in it and in cells beside that hold mass
        and have room, no more than Ψ in any cell beside with room; Ψ falls from none that holds mass and has
        room to another with room. Numbers are alike up to rounding.
        """
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import connected_components

        faces, psi, held = self.faces, self.psi, rho > TOLERANCES.level_rounding * rho.max()
        full = held & (rho >= self.cap * (1.0 - TOLERANCES.crowd_rounding))
        source, target = np.append(faces.low, faces.high), np.append(faces.high, faces.low)
        passes = held[source] & (self.cap[target] > 0.0) & ~(full[source] & full[target])
        blur = TOLERANCES.level_rounding * (np.abs(psi[source]) + np.abs(psi[target]))
        if np.any(passes & ~full[source] & ~full[target] & (psi[source] - psi[target] > blur)):
            return False
        joined = full[faces.low] & full[faces.high]
        ends = faces.low[joined], faces.high[joined]
        pairs = csr_array((np.ones(ends[0].size, bool), ends), shape=(faces.size, faces.size))
        count, block = connected_components(pairs, directed=False)
        least, most = np.full(count, -np.inf), np.full(count, np.inf)
        np.maximum.at(least, block[full], psi[full])
        into, out = passes & full[target], passes & full[source]
        np.maximum.at(least, block[target[into]], psi[source[into]])
        np.minimum.at(most, block[source[out]], psi[target[out]])
        both = np.isfinite(least) & np.isfinite(most)
        least, most = least[both], most[both]
        return bool(np.all(least - most <= TOLERANCES.level_rounding * (np.abs(least) + np.abs(most))))

    def _narrowed(self, everywhere: Crowd, margin: int) -> tuple[Part, Crowd]:
        """The part of the grid where the crowd is and may come to, and the crowd there."""
        self.faces = near = self.whole.near(everywhere.rho > 0.0, margin)
        self.cap, self.psi = self._caps[near.cells], self._psi[near.cells]
        return near, Crowd(
            everywhere.rho[near.cells], everywhere.side[near.cells], everywhere.slope[near.faces]
        )

    def _written(self, crowd: Crowd, everywhere: Crowd) -> None:
        """What is known of the crowd on its part, to that on the whole grid."""
        everywhere.rho[self.faces.cells], everywhere.side[self.faces.cells] = crowd.rho, crowd.side
        everywhere.slope[self.faces.faces] = crowd.slope

    def _substep(self, crowd: Crowd, drift: np.ndarray, weight: np.ndarray, sharp, depth: int) -> Crowd:
        """The crowd after a substep, halved where the sets do not settle."""
        try:
            return self._stage(crowd, drift, weight, sharp)
        except NotSolved:
            if depth == 0:
                raise
        for _ in range(2):
            crowd = self._substep(crowd, drift, 0.5 * weight, sharp, depth - 1)
        return crowd

    def _stage(self, crowd: Crowd, drift: np.ndarray, weight: np.ndarray, sharp) -> Crowd:
        faces, base, side = self.faces, crowd.rho, crowd.side
        cells, ways = (faces.low, faces.high), (faces.before, faces.after)
        low, high, near = (np.ones(faces.low.size) for _ in range(3))
        limited_sides(base, *cells, *ways, weight, low, high)
        if sharp:
            share = np.divide(base, self.cap, out=np.ones_like(base), where=self.cap > 0.0)
            nearness(share, side > 0, *cells, *ways, near)
        held, turns = np.zeros((2, faces.low.size), bool)
        slope, mobility, rho = crowd.slope.copy(), np.empty_like(low), np.empty_like(base)
        rounding = TOLERANCES.crowd_rounding * base.max()
        for count in range(TOLERANCES.crowd_patience + 2 * faces.longest):  # sets grow by a layer a round
            drifted(*cells, slope, held, low, high, drift, base, mobility, rho)
            right = rho - np.where(side > 0, self.cap, 0.0)
            p = faces.solve(mobility * near, 0.0, right, side != 0)
            turning = pushed(
                *cells, p, near, held, low, high, drift, base, mobility, rounding, slope, rho, turns
            )
            before, side = side, self._sides(rho, p, side)
            if turning == 0 and np.array_equal(before, side):
                rho = np.clip(rho, 0.0, self.cap)
                return Crowd(conserving(base[:, None], rho[:, None], self.cap[:, None])[:, 0], side, slope)
            if count >= TOLERANCES.crowd_patience:
                held |= turns
        raise NotSolved("the sets of full and empty cells do not settle")

    def _sides(self, rho, p, side):
        """The sets that (ρ, p) asks for."""
        new = np.where(side * p > -TOLERANCES.crowd_rounding * np.abs(p).max(), side, 0).astype(np.int8)
        new[(side == 0) & (rho > self.cap * (1.0 + TOLERANCES.crowd_rounding))] = 1
        new[(side == 0) & (rho < -TOLERANCES.crowd_rounding * rho.max())] = -1
        return new
