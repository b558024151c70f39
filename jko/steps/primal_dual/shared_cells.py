"""The energy of several species in the cells that they share: its prox, and the dual of its least value."""

from __future__ import annotations

import math

import numpy as np
import scipy.sparse as sparse

from jko.loops.elliptic.shared_cells import shared_prox
from jko.steps.primal_dual.discretisation import CellEnergies
from jko.steps.primal_dual.tolerances import TOLERANCES


class SharedEnergy:
    """Σ_i U_i(r_i) + U(Σ r_i) of densities r `[.., species]`, with the methods of an internal energy."""

    def __init__(self, own: list, total):
        self.own, self.total = own, total

    def density(self, r: np.ndarray) -> np.ndarray:
        """The energy in each cell."""
        out = np.zeros(r.shape[:-1]) if self.total is None else self.total.density(r.sum(axis=-1))
        for i, U in enumerate(self.own):
            out = out if U is None else out + U.density(r[..., i])
        return out

    def of_all(self, r: np.ndarray) -> np.ndarray | float:
        """U′(Σ r), with the axis of species."""
        if self.total is None:
            return 0.0
        with np.errstate(all="ignore"):
            return self.total.derivative(r.sum(axis=-1, keepdims=True))

    def derivative(self, r: np.ndarray) -> np.ndarray:
        """The first variation of each species."""
        return self.of_each("derivative", r) + self.of_all(r)

    def beside(self, r: np.ndarray) -> np.ndarray:
        """That of a species which is not there, beside the others."""
        return self.of_each("derivative", np.zeros_like(r)) + self.of_all(r)

    def second_derivative(self, r: np.ndarray) -> np.ndarray:
        """Of each species by itself."""
        bend = self.of_each("second_derivative", r)
        if self.total is None:
            return bend
        return bend + self.total.second_derivative(r.sum(axis=-1, keepdims=True))

    def of_each(self, method: str, r: np.ndarray) -> np.ndarray:
        """A method of each species' own energy, 0 where it has none."""
        out = np.zeros(r.shape)
        with np.errstate(all="ignore"):
            for i, U in enumerate(self.own):
                if U is not None:
                    out[..., i] = getattr(U, method)(r[..., i])
        return out


class SharedCells:
    """The prox of a `SharedEnergy` in each cell with its room, and its least value in a field."""

    general = True

    def __init__(self, energy: SharedEnergy, room: float, most: np.ndarray):
        self.energy, self.room, self.most = energy, room, most
        self.own, self.total = [CellEnergies(U) for U in energy.own], CellEnergies(energy.total)
        self._alone = any(U is not None for U in energy.own) or bool(np.any((most > 0.0) & np.isfinite(most)))
        kinds = [*self.own, self.total]
        longest = max(U.powers.size for U in kinds)
        padded = [[np.pad(x, (0, longest - x.size)) for x in (U.powers, U.factors)] for U in kinds]
        self._energies = (
            np.array([U.temperature for U in kinds]),
            np.array([U.holes for U in kinds]),
            np.array([powers for powers, _ in padded]).reshape(len(kinds), longest),
            np.array([factors for _, factors in padded]).reshape(len(kinds), longest),
            np.array([U.powers.size for U in kinds]),
        )

    def prox(self, b: np.ndarray, guess: np.ndarray, most: np.ndarray, weight) -> np.ndarray:
        """argmin of the energy + weight |r − b|²/2 over 0 ≤ r ≤ most, Σ r ≤ room; a weight for all or, of
        `b`'s shape, for each cell."""
        out, flat = np.empty_like(b), (-1, b.shape[-1])
        wanted, old, caps = (np.ascontiguousarray(x).reshape(flat) for x in (b, guess, most))
        weights = np.ascontiguousarray(np.broadcast_to(weight, b.shape).reshape(flat)[:, 0])
        shared_prox(wanted, old, caps, self.room, weights, self._alone, self._energies, out.reshape(flat))
        return out

    def density(self, r: np.ndarray) -> np.ndarray:
        """The energy in each cell."""
        return self.energy.density(r)

    def softness(self, r: np.ndarray, most: np.ndarray, weight: np.ndarray):
        """The generalised derivative of `prox` by the force weight·b, sparse: of species that are free, less
        what they take from one another."""
        with np.errstate(all="ignore"):
            alone = 1.0 / (self.energy.of_each("second_derivative", r) + weight)
        alone = np.where((r > 0.0) & (r < most), alone, 0.0)
        soft = sparse.diags(alone.ravel(), format="csr")
        if self._apart:
            return soft
        total, cells = r.sum(axis=-1), r[..., 0].size
        bend = np.zeros(total.shape)
        if self.energy.total is not None:
            bend = self.energy.total.second_derivative(np.maximum(total, np.finfo(float).tiny))
        with np.errstate(divide="ignore"):
            stiff = np.where(total >= self.room * (1.0 - TOLERANCES.path_excess), 0.0, 1.0 / bend)
        both = stiff + alone.sum(axis=-1)
        shares = np.divide(1.0, both, out=np.zeros_like(both), where=both > 0.0)
        places = (np.arange(r.size), np.repeat(np.arange(cells), r.shape[-1]))
        gathered = sparse.csr_matrix((alone.ravel(), places), shape=(r.size, cells))
        return soft - gathered @ sparse.diags(shares.ravel()) @ gathered.T

    @property
    def curved(self) -> bool:
        """Whether no species is free to move at no change of the energy."""
        return self.energy.total is not None or all(U is not None for U in self.energy.own)

    @property
    def _apart(self) -> bool:
        """Whether each species is alone."""
        return self.energy.total is None and not np.isfinite(self.room)

    def least(self, field: np.ndarray, totals: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """A lower bound on the least energy in a field with Σ r_i given for each species, max over λ of
        Σ λ_i·total_i − Σ U*(λ − f), the levels λ that they fill to, and the pressures at the cap."""
        field, most = (np.ascontiguousarray(x).reshape(-1, x.shape[-1]) for x in (field, self.most))
        totals, shape, S = totals.ravel(), self.most.shape, self.most.shape[-1]
        if self._apart:
            value, level, pressure = 0.0, np.zeros(S), np.zeros(field.shape)
            for i, (U, at) in enumerate(zip(self.own, (most > 0.0).T, strict=True)):
                found = U.least(field[at, i], most[at, i], float(totals[i]))
                value, pressure[at, i], level[i] = value + found[0], found[1], found[2]
            return value, level, pressure.reshape(shape)
        held, pressure = (most > 0.0).any(axis=1), np.zeros(field.shape)  # a wall has no pressure
        dual = _SharedDual(self, field[held], most[held], totals)
        level = dual.highest()
        pressure[held] = dual.pressure(level)
        return dual.value(level), level, pressure.reshape(shape)


class _SharedDual:
    """λ ↦ Σ λ_i·total_i − Σ_cells min_q Σ_i U_i*(λ_i − f_i − q) + U*(q), concave, and its search.

    q is the pressure of all together, U′(Σ s_i) and more where there is no room, s_i what species hold at
    λ_i − f_i − q, in cells where one of them may be. Another q only lowers the value, so that it is found to
    no more digits than pay.
    """

    def __init__(self, cells: SharedCells, field: np.ndarray, most: np.ndarray, totals: np.ndarray):
        self.cells, self.totals, self.most = cells, totals, most
        self.field = np.where(most > 0.0, field, np.inf)
        self.unit = float(np.ptp(field)) or 1.0
        self.own = [i for i, U in enumerate(cells.own) if U.internal is not None]
        self.bare = [i for i, U in enumerate(cells.own) if U.internal is None]
        self._guess = np.full(len(field), totals.sum() / len(field))

    def highest(self) -> np.ndarray:
        """λ by Newton's method where each species has an energy, else along all species and along each."""
        level = np.zeros(len(self.totals))
        best, enough = self.value(level), TOLERANCES.level_settled * self.unit * self.totals.sum()
        for _ in range(TOLERANCES.level_sweeps):
            before = best
            for step in (self._along(way) for way in self._ways()) if self.bare else (self._newton,):
                level, best = self._improved(level, step(level), best)
            if best - before <= enough:
                break
        return level

    def value(self, level: np.ndarray) -> float:
        """The dual value at λ."""
        p, q, s, of_all = self._at(level)
        lost = self._all_conjugate(q, of_all).sum()
        for i in self.own:
            U = self.cells.own[i]
            held, total = self.most[:, i] > 0.0, float(self.totals[i])
            lost += U._conjugate(p[held, i] - q[held], s[held, i], self.most[held, i], total).sum()
        for i in self.bare:
            over = p[:, i] > q
            lost += float((p[over, i] - q[over]) @ self.most[over, i])
        return float(level @ self.totals) - float(lost)

    def pressure(self, level: np.ndarray) -> np.ndarray:
        """What a full cell asks beside U′, and a species at its own cap."""
        p, q, s, of_all = self._at(level)
        out = np.zeros(p.shape)
        if np.isfinite(self.cells.room):
            U = self.cells.total.internal
            slope = 0.0 if U is None else U.derivative(np.array(self.cells.room))
            out += np.where(of_all >= self.cells.room, np.maximum(q - slope, 0.0), 0.0)[:, None]
        for i in range(p.shape[1]):
            at = np.isfinite(self.most[:, i]) & (self.most[:, i] > 0.0) & (s[:, i] >= self.most[:, i])
            U = self.cells.own[i].internal
            slope = 0.0 if U is None else U.derivative(self.most[at, i])
            out[at, i] += np.maximum(p[at, i] - q[at] - slope, 0.0)
        return out

    def _ways(self):
        species = len(self.totals)
        return [np.ones(species), *(np.eye(species) if species > 1 else ())]

    def _improved(self, level: np.ndarray, step: np.ndarray, best: float):
        """The first of halved steps that raises the value."""
        for _ in range(TOLERANCES.level_halvings):
            found = self.value(level + step)
            if found > best:
                return level + step, found
            step = 0.5 * step
        return level, best

    def _newton(self, level: np.ndarray) -> np.ndarray:
        _, _, s, of_all = self._at(level)
        soft = self._softness(s)
        with np.errstate(divide="ignore"):
            stiff = 1.0 / self._stiffness(of_all)
        shared = np.divide(
            soft, (stiff + soft.sum(axis=1))[:, None], out=np.zeros_like(soft), where=soft > 0.0
        )
        bend = np.diag(soft.sum(axis=0)) - soft.T @ shared
        return np.linalg.lstsq(bend, self.totals - s.sum(axis=0), rcond=None)[0]

    def _at(self, level: np.ndarray):
        """(λ − f, q, what each species holds, what all together hold as q has it)."""
        p = level - self.field
        q = self._wanted(p)
        if self.own:
            q = np.maximum(q, self._pressure(p))
        s, of_all = self._held(p, q), self._all(q)
        for i in self.bare:
            s[:, i] = np.where((p[:, i] > q) & np.isfinite(self.most[:, i]), self.most[:, i], 0.0)
        left = np.maximum(of_all - s.sum(axis=1), 0.0)
        for i in self.bare:
            last = np.where(p[:, i] == q, np.minimum(left, self.most[:, i]), 0.0)
            s[:, i] += last
            left = left - last
        return p, q, s, of_all

    def _wanted(self, p: np.ndarray) -> np.ndarray:
        """q that species without an energy make: those who gain most come first, each up to its own cap, and
        the next one presses as long as it gains more than all before it do together."""
        p, most = p[:, self.bare], self.most[:, self.bare]
        if not np.any((most > 0.0) & np.isfinite(most)):
            return p.max(axis=1, initial=-np.inf)
        order = np.argsort(-p, axis=1, kind="stable")
        held = np.cumsum(np.take_along_axis(most, order, axis=1), axis=1)
        U, full = self.cells.total.internal, held >= self.cells.room
        slope = np.zeros(held.shape)
        if U is not None:
            slope[~full] = U.derivative(np.maximum(held[~full], np.finfo(float).tiny))
        slope[full] = np.inf
        return np.minimum(np.take_along_axis(p, order, axis=1), slope).max(axis=1)

    def _held(self, p: np.ndarray, q: np.ndarray) -> np.ndarray:
        """What each species with an energy holds at λ − f − q, no more than there is of it."""
        s = np.zeros(p.shape)
        for i in self.own:
            held = self.cells.own[i]._densities(p[:, i] - q, self.most[:, i])
            s[:, i] = np.minimum(held, self.totals[i])
        return s

    def _softness(self, s: np.ndarray) -> np.ndarray:
        """1/U_i″(s_i), 0 where a species cannot move."""
        out = np.zeros(s.shape)
        for i in self.own:
            free = (s[:, i] > 0.0) & (s[:, i] < self.most[:, i])
            with np.errstate(over="ignore"):
                out[free, i] = 1.0 / self.cells.own[i].internal.second_derivative(s[free, i])
        return out

    def _stiffness(self, s: np.ndarray) -> np.ndarray:
        """U″(s), ∞ where there is no room."""
        U, full = self.cells.total.internal, s >= self.cells.room
        bend = np.zeros(s.shape) if U is None else U.second_derivative(np.maximum(s, np.finfo(float).tiny))
        return np.where(full, np.inf, bend)

    def _all(self, q: np.ndarray) -> np.ndarray:
        """What all together hold at a pressure, no more than there is."""
        if self.cells.total.internal is None:
            return np.where(q > 0.0, self.cells.room, 0.0)
        held = self.cells.total._densities(q, np.array(self.cells.room))
        return np.minimum(held, self.totals.sum())

    def _all_conjugate(self, q: np.ndarray, s: np.ndarray) -> np.ndarray:
        if self.cells.total.internal is None:
            return self.cells.room * np.maximum(q, 0.0)
        return self.cells.total._conjugate(q, s, np.array(self.cells.room), float(self.totals.sum()))

    def _pressure(self, p: np.ndarray) -> np.ndarray:
        """q where those species fill what all together hold: by Newton's method for log Σ s_i, and for q in
        cells that are full."""
        U, room, tiny = self.cells.total.internal, self.cells.room, np.finfo(float).tiny
        z = np.log(self._guess)
        for _ in range(TOLERANCES.level_newton if U is not None else 0):
            total = np.exp(z)
            s = self._held(p, U.derivative(total))
            held = np.maximum(s.sum(axis=1), tiny)
            slope = 1.0 + self._softness(s).sum(axis=1) / held * U.second_derivative(total) * total
            step = np.clip((np.log(held) - z) / slope, -TOLERANCES.level_fold, TOLERANCES.level_fold)
            z = z + step
            if np.abs(step).max() <= TOLERANCES.level_settled:
                break
        self._guess = np.clip(np.exp(z), tiny, room)
        lowest = np.zeros(len(p)) if U is None else U.derivative(self._guess)
        full = np.full(len(p), U is None) | (self._guess >= room)
        return self._with_room(p, lowest, full) if np.isfinite(room) else lowest

    def _with_room(self, p: np.ndarray, lowest: np.ndarray, full: np.ndarray) -> np.ndarray:
        """q ≥ `lowest` where those species fill no more than the room, by Newton's method for log Σ s_i in a
        bracket: at its upper end none of them would fill more than its share."""
        room, tiny = self.cells.room, np.finfo(float).tiny
        share = np.array(room / len(self.own))
        gains = [p[:, i] - self.cells.own[i].internal.derivative(share) for i in self.own]
        low, high, q = lowest, np.maximum(lowest, np.max(gains, axis=0)), lowest
        high = np.where(full, high, lowest)
        for _ in range(TOLERANCES.level_newton):
            s = self._held(p, q)
            held = np.maximum(s.sum(axis=1), tiny)
            slope, over = self._softness(s).sum(axis=1) / held, np.log(held / room)
            low, high = np.where(over > 0.0, q, low), np.where(over <= 0.0, q, high)
            new = q + np.divide(over, slope, out=np.full_like(q, np.inf), where=slope > 0.0)
            new = np.clip(np.where((new > low) & (new < high), new, 0.5 * (low + high)), low, high)
            step, q = np.abs(new - q).max(), new
            if step <= TOLERANCES.level_settled * self.unit:
                break
        return q

    def _along(self, way: np.ndarray):
        """λ ↦ the step along a direction after which the masses are those given, by their logarithm, in which
        an entropy's is linear."""
        from scipy.optimize import brentq

        wanted, tiny = float(way @ self.totals), np.finfo(float).tiny

        def root(level: np.ndarray) -> np.ndarray:
            guess = self._guess

            def excess(shift: float) -> float:
                self._guess = guess  # of every shift alike: a bracket has to keep its signs
                found = float(way @ self._at(level + shift * way)[2].sum(axis=0))
                return math.log(max(found / wanted, tiny))

            here = excess(0.0)
            low = high = 0.0
            step = -math.copysign(TOLERANCES.level_first * self.unit, here)
            while here * excess(high) > 0.0 and abs(high) < self.unit / TOLERANCES.level_first:
                low, high, step = high, high + step, 8.0 * step
            if here * excess(high) >= 0.0:
                return high * way
            settled = TOLERANCES.level_settled * self.unit
            return brentq(excess, low, high, xtol=settled, maxiter=100, disp=False) * way

        return root
