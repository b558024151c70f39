"""The dynamic problem of several species: a field has one more axis, and cells an energy of all together."""

from __future__ import annotations

from typing import Any

import numpy as np

from functionals import Functional
from functionals.species_parts import SpeciesParts
from jko.errors import UnsupportedFunctional
from jko.measures import Density, Species
from jko.scheme import require_finite
from jko.steps.grid.energy import blocked_cells, fullest, potential_inside
from jko.steps.primal_dual.discretisation import CellEnergies, DynamicProblem
from jko.steps.primal_dual.shared_cells import SharedCells, SharedEnergy
from jko.steps.primal_dual.tolerances import TOLERANCES

_IN_TURN = "take steps.SpeciesInTurn(limits.FiniteVolume())"


class SpeciesProblem(DynamicProblem):
    """`DynamicProblem` of species ρ_i, each with flows of its own: Σ_i U_i(r_i) + f_i r_i + U(Σ r_i) in the
    cells, with Σ r_i ≤ room.

    Fields `[n, m, species]`. With the pressure q = U′(Σ r_i), and more where there is no room, species answer
    to f_i + q each alone: any q gives a lower bound, less U*(q).
    """

    def __init__(self, F: Functional, mu: Species, obstacle, slices: int):
        self.names, self.grid, self.slices = mu.names, mu.grid, slices
        self.species, self.parts = len(mu.names), SpeciesParts.of(F, mu.names)
        own = [self.parts.own[name] for name in mu.names]
        self.room = self.parts.cap
        self.length = self.mobility = self.doors = None
        self.crowding = 0.0
        self.potential = self._stacked([potential_inside(part, self.grid) for part in own])
        caps = [[atom.values(self.grid.points) for atom in part.constraints] for part in own]
        full = np.full(self.grid.size, np.inf)
        limits = [np.minimum.reduce([full, *found]).reshape(self.grid.cells) for found in caps]
        self.cap = self._stacked(limits) if any(map(len, caps)) else None
        self.blocked = blocked_cells(obstacle, self.grid)
        values = self.values_of(mu)
        self.internal = SharedEnergy([part.internal_energy for part in own], self.parts.total)
        self._require_room(values)
        self._set_grid(self.grid)
        self.most = self._most()
        self.cells = SharedCells(self.internal, self.room, self.most)

    @classmethod
    def check(cls, F: Functional, mu: Species, takes: frozenset[str]):
        """Refuse species that share no grid of one or two axes, and terms that are not taken."""
        for name, part in mu.items():
            if not isinstance(part, Density):
                raise TypeError(
                    f"steps.PrimalDual moves species that are densities, {name!r} is {part!r}: {_IN_TURN}"
                )
        if len({part.grid for _, part in mu.items()}) > 1 or mu.dimension > 2:
            raise ValueError(
                "measure: steps.PrimalDual moves species together on one grid of one or two axes, got "
                f"{mu!r}: put them on one, or {_IN_TURN}"
            )
        found = SpeciesParts.of(F, mu.names)
        refused = [atom for _, atom in found.rest]
        for part in found.own.values():
            refused += [atom for kind in sorted(part.kinds - takes) for _, atom in part.of_kind(kind)]
        energies = [U for U in (found.total, *(part.internal_energy for part in found.own.values())) if U]
        refused += [U.terms[0][1] for U in energies if CellEnergies(U).general]
        if refused:
            raise UnsupportedFunctional(
                f"steps.PrimalDual does not move species together by {refused[0]!r}: {_IN_TURN}, or "
                "fn.Entropy, fn.Power, fn.FermiDirac, potentials, interactions and caps of each and of all"
            )
        for part, (_, one) in zip(found.own.values(), mu.items(), strict=True):
            require_finite(part.internal, getattr(one, "values", None))
        if found.total is not None:
            require_finite(found.total.terms, mu.total_values())

    def fillings(self, r: np.ndarray) -> list:
        """As of one species, and all of them together below the room."""
        total = r.sum(axis=-1, keepdims=True)
        return [*super().fillings(r), (total, np.full_like(total, self.room))]

    def _stacked(self, fields: list) -> np.ndarray:
        """Fields over the grid `[*cells]`, as one `layout`, which of one species has no axis more."""
        return fields[0] if self.species == 1 else np.stack(fields, axis=-1)

    def values_of(self, mu: Any) -> np.ndarray:
        """The densities, `layout`."""
        return self._stacked([part.values for _, part in mu.items()])

    def measure(self, mu: Any, r: np.ndarray) -> Any:
        """The species of densities r of `shape`."""
        found = zip(self.names, self.each(r), strict=True)
        return mu.having(**{name: Density(self.grid, values) for name, values in found})

    def _require_room(self, values: np.ndarray) -> None:
        free = np.ones(self.grid.cells, bool) if self.blocked is None else ~self.blocked
        volume, ones = self.grid.cell_volume, values.reshape(*self.grid.cells, self.species)
        if ones[~free].any():
            raise ValueError(
                "obstacle: expected no mass in it, some species has mass there, which could never leave: "
                "start outside, or make the obstacle smaller"
            )
        rooms = [(ones.sum() * volume, min(self.room, fullest(self.internal.total)) * free.sum() * volume)]
        full = [fullest(U) * free.sum() for U in self.internal.own]
        rooms += [(ones[..., i].sum() * volume, most * volume) for i, most in enumerate(full)]
        if self.cap is not None:
            caps = self.cap.reshape(ones.shape)[free].sum(axis=0)
            rooms += [(ones[..., i].sum() * volume, caps[i] * volume) for i in range(self.species)]
        for held, most in rooms:
            if held >= most:
                raise ValueError(
                    f"cap: the box holds a mass of {most:g} at most, got {held:g}: widen the grid or raise "
                    "the cap"
                )

    @property
    def fullest(self) -> float:
        return min(fullest(self.internal.total) / self.species, *map(fullest, self.internal.own))

    def within(self, box: list):
        part = super().within(box)
        part.cells = SharedCells(self.internal, self.room, part.most)
        return part

    def on(self, *grid):
        part = super().on(*grid)
        part.cells = SharedCells(self.internal, self.room, part.most)
        return part

    def interaction(self, values: np.ndarray) -> np.ndarray | None:
        if not self.interacts:
            return None
        ones = self.each(values.reshape(self.shape))
        species = Species(**{n: Density(self.grid, v) for n, v in zip(self.names, ones, strict=True)})
        pulls = {name: np.zeros(self.grid.cells) for name in self.names}
        for name, part in self.parts.own.items():
            for c, atom in part.interaction:
                pulls[name] += c * np.asarray(atom.first_variation(species[name]))
        for c, atom in self.parts.cross:
            atom.kernel.require_even(self.grid.dimension)
            pulls[atom.first] += c * np.asarray(species.felt(atom.kernel.W, atom.first, atom.second))
            pulls[atom.second] += c * np.asarray(species.felt(atom.kernel.W, atom.second, atom.first))
        return self._stacked(list(pulls.values()))

    @property
    def interacts(self) -> bool:
        return bool(self.parts.cross) or any(part.interaction for part in self.parts.own.values())

    @property
    def tangents_are_bounds(self) -> bool:
        kernels = [atom for part in self.parts.own.values() for _, atom in part.interaction]
        return not self.parts.cross and all(atom.linearly_convex is True for atom in kernels)

    def energy(self, values: np.ndarray, interaction=None) -> float:
        density = self.potential if interaction is None else self.potential + 0.5 * interaction
        ones = values.reshape(*self.grid.cells, self.species)
        return float(np.vdot(density, values) + self.internal.density(ones).sum()) * self.grid.cell_volume

    def admits(self, values: np.ndarray) -> bool:
        return self.fullness(values.reshape(self.shape)) <= 1.0 + TOLERANCES.cap_excess

    def gain(self, values: np.ndarray, pull: np.ndarray | None, tau: float) -> float:
        outer = self.each(self.outer(pull).reshape(self.shape))
        r, moved, varied = values.reshape(self.shape), 0.0, 0.0
        with np.errstate(all="ignore"):
            slopes = self.each(self.internal.derivative(r))
        for rho, *fields in zip(self.each(r), outer, slopes, strict=True):
            for field in fields:
                field = np.where(rho > 0.0, field, 0.0)
                moved += self.squared_slope(rho, field)
                mean = float(np.vdot(field, rho)) / float(rho.sum())
                varied += float(np.vdot(np.abs(field - mean), rho))
        return min(0.5 * tau * moved, varied) * self.grid.cell_volume

    def size_in(self, field: np.ndarray, r: np.ndarray) -> float:
        lowest = field.min(axis=self.axes, keepdims=True)
        slope = np.where(r > 0.0, self.internal.derivative(np.maximum(r, np.finfo(float).tiny)), 0.0)
        total = float(np.vdot(field - lowest, r)) + float(np.vdot(r, slope) - self.internal.density(r).sum())
        return total * self.grid.cell_volume

    def excess(self, r: np.ndarray) -> np.ndarray:
        """Of each species over its cap, and its share of what all are over the room."""
        total = r.sum(axis=-1, keepdims=True)
        share = np.divide(r, total, out=np.zeros_like(r), where=total > 0.0)
        return super().excess(r) + share * np.maximum(total - self.room, 0.0)

    def fullness(self, r: np.ndarray) -> float:
        return max(super().fullness(r), float(r.sum(axis=-1).max()) / self.room)

    def fits(self, r: np.ndarray, start: np.ndarray) -> bool:
        most = np.maximum(self.room, start.sum(axis=-1)) * (1.0 + TOLERANCES.path_excess)
        return super().fits(r, start) and bool(np.all(r.sum(axis=-1) <= most))

    def cut(self, before: np.ndarray, flows: list, most: np.ndarray, order: np.ndarray, room=np.inf):
        for _ in range(TOLERANCES.cut_rounds if np.isfinite(room) else 0):
            super().cut(before, flows, most, order)
            if not self._cut_together(before, flows, room, order):
                return
            order = np.arange(before.size)
        super().cut(before, flows, most, order, room)

    def _cut_together(self, before: np.ndarray, flows: list, room: float, order: np.ndarray) -> bool:
        """Flows of all species through a face scaled alike until their sum keeps below the room; whether any
        were. Species that pass each other where it is full count as what they carry together."""
        total = before.sum(axis=-1, keepdims=True)
        both = [v.sum(axis=-1, keepdims=True) for v in flows]
        kept = [v.copy() for v in both]
        super().cut(total, kept, np.full(total.shape, room), order)
        for flow, v, w in zip(flows, both, kept, strict=True):
            flow *= np.divide(w, v, out=np.ones_like(v), where=v != 0.0)
        return any((v != w).any() for v, w in zip(both, kept, strict=True))

    def first_slope(self, end: np.ndarray, pressure: np.ndarray) -> np.ndarray:
        return self.internal.beside(end) + pressure

    def least(self, field: np.ndarray, total: np.ndarray | None, end: np.ndarray):
        value, level, pressure = self.cells.least(field, total)
        return value, pressure, level, field + self.internal.of_all(end) + pressure
