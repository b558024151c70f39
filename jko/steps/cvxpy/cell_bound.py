"""The certificate of an Eulerian step: a lower bound on what it could reach, from any potential."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jko.measures import Grid
from jko.steps.cvxpy.tolerances import TOLERANCES
from jko.steps.grid.full_fronts import front_shares
from jko.steps.grid.source import largest_source, lowered, source_cost, source_rate


@dataclass(frozen=True)
class CellEnergy:
    """r ↦ |c| Σ [U(r) + f r] over 0 ≤ r ≤ cap with |c| Σ r = M: what the last density of a step pays.

    `internal` is U with its conjugate, or None; `cap` `[cells]` or None; `mass` M, None for any.
    """

    internal: object
    cap: np.ndarray | None
    volume: float
    mass: float | None

    def least(self, field: np.ndarray, guess: float) -> tuple[float, np.ndarray]:
        """A lower bound on the minimum, max over λ of λM − |c| Σ U*(λ − f), and the pressure at the cap.

        Where the mass is free λ = 0.
        """
        if self.mass is None:
            level = 0.0
        else:
            level = self._lowest_level(field) if self.internal is None else self._level(field, guess)
        p = level - field
        s = self._density(p)
        value = level * (self.mass or 0.0) - self.volume * float(np.sum(self._conjugate(p, s)))
        pressure = np.zeros_like(field)
        if self.cap is not None:
            slope = self.internal.derivative(s) if self.internal is not None else 0.0
            pressure = np.where(s >= self.cap, np.maximum(p - slope, 0.0), 0.0)
        return value, pressure

    def _density(self, p: np.ndarray):
        if self.internal is None:
            return np.where(p > 0.0, 0.0 if self.cap is None else self.cap, 0.0)
        s = self.internal.conjugate_derivative(p)
        return s if self.cap is None else np.minimum(s, self.cap)

    def _conjugate(self, p: np.ndarray, s: np.ndarray):
        if self.internal is None:
            unbounded = (p > 0.0) & (self.mass is None and self.cap is None)
            return np.where(unbounded, np.inf, p * s)
        if self.cap is None and len(self.internal.terms) == 1:
            return self.internal.conjugate(p)
        tiny = np.finfo(float).tiny
        s = np.where(s < tiny, 0.0, s)  # where p < U'(tiny) the supremum is less than tiny
        slack = p - self.internal.derivative(np.maximum(s, tiny))
        free = (s > 0.0) & (True if self.cap is None else s < self.cap)
        most = self.cap
        if most is None:  # of any mass the best density is below 2s as U'(2s) > p
            most = 2.0 * s if self.mass is None else self.mass / self.volume
        # s solves U'(s) = p to rounding only: concavity turns what is left into a bound.
        return p * s - self.internal.density(s) + np.where(free, np.abs(slack) * most, 0.0)

    def _lowest_level(self, field: np.ndarray):
        if self.cap is None:
            return float(field.min())
        order = np.argsort(field)
        filled = np.cumsum(self.cap[order]) * self.volume
        return float(field[order][min(np.searchsorted(filled, self.mass), field.size - 1)])

    def _level(self, field: np.ndarray, guess: float):
        """A level at which the densities have nearly the mass: any gives a bound, the best the highest."""
        from scipy.optimize import brentq

        def excess(level: float):
            with np.errstate(all="ignore"):
                total = self.volume * np.sum(self._density(level - field)) - self.mass
            return float(np.clip(np.nan_to_num(total, nan=np.inf), -1e6 * self.mass, 1e6 * self.mass))

        size = max(float(np.ptp(field)), abs(guess), np.finfo(float).tiny)
        low, high = (self._beyond(excess, guess, sign, size) for sign in (-1.0, 1.0))
        if low is None or high is None or low == high:
            return guess if low is None or high is None else low
        level, _ = brentq(
            excess,
            low,
            high,
            xtol=1e-15 * size,
            rtol=1e-14,
            maxiter=TOLERANCES.level_halvings,
            full_output=True,
            disp=False,
        )
        return float(level)

    def _beyond(self, excess: Callable, level: float, sign: float, size: float):
        """A level at which the excess has the sign, from `level` in growing steps; None beyond all floats."""
        step = 1e-6 * size
        while sign * excess(level) < 0.0:
            level, step = level + sign * step, 8.0 * step
            if not np.isfinite(level):
                return None
        return level


def eulerian_bound(
    faces: Faces,
    action: np.ndarray,
    potentials: list,
    densities: list,
    cell_energy: CellEnergy,
    field: np.ndarray,
    guess: Callable,
) -> tuple[float, np.ndarray]:
    """A lower bound on min |c| Σ [G v²/M(θ) + U(r^K) + f r^K], |c|G = action, from any potentials φ¹ … φ^K on
    the cells. `densities` are those of a path from the start, at which the tangent of a concave M is taken.

    With g = Dᵀφ and w = ½Sᵀ(g²/4G): −(φ¹ + w¹)·a + M Σ_{k<K} min(φ^k − w^k − φ^{k+1} − w^{k+1}) + the least
    of the cell energy in the field f + φ^K − w^K. Returns the bound and the pressure at the cap. All in the
    units of F. Where the mass is free the slack is kept ≥ 0, and so is the field where nothing else bounds r.
    """
    free = cell_energy.mass is None
    bare = free and cell_energy.internal is None and cell_energy.cap is None
    middles, last = faces.middles(densities), -field if bare else None
    potentials, speeds = _repaired(faces, action, middles, list(potentials), last, surely=free)
    bound = -float((potentials[0] + speeds[0]) @ densities[0]) * faces.volume
    bound -= sum(faces.tangent_loss(p, action, m) for p, m in zip(potentials, middles, strict=True))
    for k in range(len(potentials) - 1):
        slack = float(np.min(_slack(potentials, speeds, k)))
        if cell_energy.mass is not None:
            bound += cell_energy.mass * slack
        elif slack < 0.0:
            bound = -np.inf
    value, pressure = cell_energy.least(
        field + potentials[-1] - speeds[-1], guess(potentials[-1] - speeds[-1])
    )
    return bound + value, pressure


def _slack(potentials: list, speeds: list, k: int):
    return potentials[k] - speeds[k] - potentials[k + 1] - speeds[k + 1]


def _repaired(
    faces: Faces,
    action: np.ndarray,
    middles: list,
    potentials: list,
    last: np.ndarray | None,
    *,
    surely: bool,
):
    """Potentials raised where φ^k − w^k < φ^{k+1} + w^{k+1}, from the last slice back, with their w; φ^K too
    where φ^K − w^K < `last`, if given. `surely` shifts whole potentials by what is left."""

    def raised_by(potential: np.ndarray, by: np.ndarray):
        if faces.length is None:
            return potential + by
        return -lowered(-potential, by, action[-1] / faces.volume)

    speeds = [faces.speed_term(p, action, m) for p, m in zip(potentials, middles, strict=True)]
    for k in reversed(range(len(potentials))):
        floor = last if k == len(potentials) - 1 else potentials[k + 1] + speeds[k + 1]
        if floor is None:
            continue
        for _ in range(TOLERANCES.repairs):
            short = np.maximum(floor - potentials[k] + speeds[k], 0.0)
            raised = raised_by(potentials[k], short)
            if not np.isfinite(raised).all():
                break
            speed = faces.speed_term(raised, action, middles[k])
            if np.min(raised - speed - floor) <= -short.max():
                break
            potentials[k], speeds[k] = raised, speed
        for _ in range(TOLERANCES.shifts if surely else 0):
            rounding = 4.0 * np.finfo(float).eps * float(np.abs(potentials[k]).max() + speeds[k].max())
            over = floor - potentials[k] + speeds[k] + rounding
            shift = float((raised_by(potentials[k], np.maximum(over, 0.0)) - potentials[k]).max())
            if over.max() <= 0.0 or not np.isfinite(shift):
                break
            potentials[k] = potentials[k] + shift
            speeds[k] = faces.speed_term(potentials[k], action, middles[k])
    return potentials, speeds


@dataclass(frozen=True)
class Faces:
    """The faces of a grid between two cells: no mass crosses the boundary of the box but along axes that
    turn, nor walls; cells are the inside.

    `divergence` D `[cells, faces]`, +1 for the cell that a positive flow leaves and −1 for the one that it
    enters; `mean` S `[faces, cells]`, the average of the two cells; `spacing` `[faces]`; `slices` K;
    `volume` |c|. With a `length` δ each cell has one more face, to the outside, through which mass is made:
    its density is the cell's own, its spacing δ. `crowding` κ is that of the mobility M = θ − κθ².
    """

    divergence: object
    mean: object
    spacing: np.ndarray
    slices: int
    volume: float
    length: float | None = None
    crowding: float = 0.0

    @classmethod
    def of(cls, grid: Grid, slices: int, length: float | None = None, crowding: float = 0.0) -> Faces:
        """The faces of a grid, axis by axis, and those to the outside at last."""
        import scipy.sparse as sp

        blocks = []
        for axis, (n, turns) in enumerate(zip(grid.cells, grid.periodic, strict=True)):
            lower = np.arange(n if turns else n - 1)
            ends, ones = np.concatenate([lower, (lower + 1) % n]), np.ones(lower.size)
            entries = np.concatenate([ones, -ones]), (ends, np.tile(lower, 2))
            difference = sp.csr_array(entries, shape=(n, lower.size))
            for m in reversed(grid.cells[:axis]):
                difference = sp.kron(sp.eye_array(m), difference)
            for m in grid.cells[axis + 1 :]:
                difference = sp.kron(difference, sp.eye_array(m))
            blocks.append(difference)
        divergence = sp.csc_array(sp.hstack(blocks))
        spacing = np.concatenate([np.full(b.shape[1], h) for b, h in zip(blocks, grid.spacing, strict=True)])
        if grid.room is not None:
            divergence = divergence.tocsr()[np.flatnonzero(grid.inside)].tocsc()
            open_ = np.diff(divergence.indptr) == 2
            divergence, spacing = divergence[:, open_], spacing[open_]
        mean = sp.csr_array(0.5 * abs(divergence).T)
        if length is not None:
            cells = sp.eye_array(divergence.shape[0], format="csc")
            divergence, mean = sp.hstack([divergence, -cells], "csc"), sp.vstack([mean, cells], "csr")
            spacing = np.concatenate([spacing, np.full(cells.shape[0], length)])
        return cls(divergence, mean, spacing, slices, grid.cell_volume, length, crowding)

    def sources(self, v: np.ndarray) -> np.ndarray:
        """Of flows those from the outside, `[cells]`."""
        return v[self.outside]

    @property
    def outside(self) -> slice:
        """The places of the sources."""
        cells, faces = self.divergence.shape
        return slice(faces if self.length is None else faces - cells, None)

    @cached_property
    def _ends(self):
        return sp_parts(self.divergence)

    def gradient(self, potential: np.ndarray):
        """Dᵀφ, the potential at the cell that a flow leaves minus that where it arrives."""
        return self.divergence.T @ potential

    def speed_term(self, potential: np.ndarray, action: np.ndarray, theta: np.ndarray):
        """w = ½Sᵀ(Dᵀφ)²M′(θ)/(4G), with |c|G = action the weight of v²/M(θ) on the faces, and of sources half
        the rate of theirs."""
        gradient = self.gradient(potential)
        paid = gradient**2 * (self.volume / (4.0 * action)) * (1.0 - 2.0 * self.crowding * theta)
        if self.length is not None:
            outside = self.outside
            paid[outside] = source_rate(gradient[outside], action[outside] / self.volume)
        return 0.5 * (self.mean.T @ paid)

    def tangent_loss(self, potential: np.ndarray, action: np.ndarray, theta: np.ndarray) -> float:
        """|c| Σ (Dᵀφ)²(M(θ) − θM′(θ))/(4G): what the tangent of a concave M at θ adds at 0."""
        square = (self.gradient(potential) * theta) ** 2 / (4.0 * action)
        return self.crowding * self.volume**2 * float(square.sum())

    def mobility(self, theta: np.ndarray) -> np.ndarray:
        """M(θ)."""
        return np.maximum(theta - self.crowding * theta**2, 0.0) if self.crowding > 0.0 else theta

    def middles(self, densities: list) -> list:
        """The densities on the faces in the slices of a path."""
        return [self.theta(a, b) for a, b in itertools.pairwise(densities)]

    def advance(self, r: np.ndarray, v: np.ndarray):
        """r − Dv."""
        return r - self.divergence @ v

    def theta(self, before: np.ndarray, after: np.ndarray):
        """The density on the faces during a slice."""
        return self.mean @ (0.5 * (before + after))

    def front_shares(self, r: np.ndarray, most: np.ndarray) -> np.ndarray:
        """`full_fronts.front_shares` of the faces beside densities r below `most`; 1 of sources."""
        leaves, enters = (end.T for end in self._ends)
        shares = front_shares((leaves @ r, leaves @ most), (enters @ r, enters @ most))
        shares[self.outside] = 1.0
        return shares

    def limited(self, r: np.ndarray, v: np.ndarray):
        """v with flows scaled down where they would take more than a cell holds and receives."""
        leaves, enters = self._ends
        least = -TOLERANCES.rounding * r.max()
        for sweep in range(TOLERANCES.sweeps):
            if np.all(self.advance(r, v) >= least):
                return v
            forward, backward = np.maximum(v, 0.0), np.maximum(-v, 0.0)
            out = leaves @ forward + enters @ backward
            held = r + (enters @ forward + leaves @ backward if sweep < TOLERANCES.sweeps - 1 else 0.0)
            keep = held / np.maximum(out, 1e-300)
            keep = np.where(out > held, keep, 1.0)
            outside = 0.0 if self.length is None else 1.0 - np.asarray(leaves.sum(axis=0))
            v = (leaves.T @ keep + outside) * forward - (enters.T @ keep) * backward
        return v

    def admissible(self, start: np.ndarray, flows: tuple, action: np.ndarray, slope: float):
        """Densities r⁰ … r^K ≥ 0 and flows with r^k = r^{k−1} − Dv^k exactly, near the flows of a solver.

        `slope` bounds 2G|v|/θ, |c|G = action: a face that carries more than its density allows is solver
        noise in a vacuum and is cut down. Returns (densities, flows).
        """
        densities, kept = [start], []
        for v in flows:
            r = densities[-1]
            for sweep in range(TOLERANCES.sweeps):
                v = self.limited(r, v)
                theta = self.mobility(self.theta(r, np.maximum(self.advance(r, v), 0.0)))
                most = slope * theta * (self.volume / (2.0 * action))
                outside = self.outside
                most[outside] = largest_source(theta[outside], slope, action[outside] / self.volume)
                bad = np.abs(v) > most * (1.0 + TOLERANCES.flow_excess)
                if not bad.any():
                    break
                v = np.where(bad, np.sign(v) * most if sweep < TOLERANCES.sweeps // 2 else 0.0, v)
            densities.append(np.maximum(self.advance(r, v), 0.0))
            kept.append(v)
        return densities, kept

    def cost(self, densities: list, flows: list, action: np.ndarray) -> float:
        """Σ action v²/θ over slices and faces, action times their cost over sources: W₂²/2τ of the discrete
        step, which these flows realise."""
        total = 0.0
        for k, v in enumerate(flows):
            theta = self.mobility(self.theta(densities[k], densities[k + 1]))
            paid = np.divide(v * v, theta, out=np.zeros_like(v), where=theta > 0.0)
            paid[self.outside] = source_cost(v[self.outside], theta[self.outside])
            total += float(np.sum(action * paid))
        return total


def sp_parts(divergence):
    """The positive part of D and that of −D."""
    positive, negative = divergence.copy(), divergence.copy()
    positive.data, negative.data = np.maximum(positive.data, 0.0), np.maximum(-negative.data, 0.0)
    positive.eliminate_zeros()
    negative.eliminate_zeros()
    return positive.tocsr(), negative.tocsr()
