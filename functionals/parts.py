"""A sum with its like terms gathered, the form in which every scheme reads a functional."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from functionals.base import Functional
from functionals.conjugate import GatheredInternal

Terms = tuple[tuple[float, Functional], ...]
_KINDS = ("internal", "potential", "interaction", "constraint", "local", "gradient", "rest")


@dataclass(frozen=True)
class Parts:
    """Σ cᵢ Fᵢ sorted into what a scheme asks for; every entry is a tuple of (coefficient, atom)."""

    internal: Terms = ()
    potential: Terms = ()
    interaction: Terms = ()
    constraint: Terms = ()
    local: Terms = ()
    gradient: Terms = ()
    rest: Terms = ()

    @property
    def temperature(self) -> float:
        """θ, the coefficient of the entropy ∫ρ log ρ; 0 where there is none."""
        return sum(c for c, atom in self.internal if atom.is_entropy)

    @property
    def constraints(self) -> tuple[Functional, ...]:
        """The constraint atoms; a positive multiple of a constraint is the constraint."""
        return tuple(atom for _, atom in self.constraint)

    @cached_property
    def kinds(self) -> frozenset[str]:
        """The kinds that are there: entropy, internal, potential, interaction, constraint, rest; local for
        energies of the density that depend on the place or are not convex, gradient for those of ∇ρ."""
        kinds = {name for name in _KINDS if name != "internal" and getattr(self, name)}
        kinds |= {"entropy" if atom.is_entropy else "internal" for _, atom in self.internal}
        return frozenset(kinds)

    def of_kind(self, kind: str) -> Terms:
        """The terms of one of `kinds`."""
        if kind in ("entropy", "internal"):
            return tuple((c, atom) for c, atom in self.internal if atom.is_entropy == (kind == "entropy"))
        return getattr(self, kind)

    @cached_property
    def internal_energy(self) -> GatheredInternal | None:
        """U = Σ cᵢUᵢ with its derivatives and conjugate, or None."""
        return GatheredInternal(self.internal) if self.internal else None

    def potential_values(self, points: np.ndarray) -> np.ndarray:
        """V = Σ cᵢVᵢ at points `[n, d]`, in float64."""
        points = np.asarray(points, dtype=float)
        return sum((c * np.asarray(atom.values(points)) for c, atom in self.potential), np.zeros(len(points)))

    @cached_property
    def without_internal(self) -> Functional | None:
        """The sum of everything but the internal energies, or None."""
        from functionals.algebra import Sum

        terms = self.potential + self.interaction + self.constraint + self.gradient + self.rest
        return Sum(terms) if terms else None


def gather(terms: Terms) -> Parts:
    """Sort terms by kind; internal energies that are the same function are added up."""
    sorted_terms: dict[str, list] = {kind: [] for kind in _KINDS}
    merged: dict[object, float] = {}
    for c, atom in terms:
        if atom.kind == "internal":
            merged[atom] = merged.get(atom, 0.0) + c
        else:
            sorted_terms[atom.kind].append((c, atom))
    sorted_terms["internal"] = [(c, atom) for atom, c in merged.items()]
    return Parts(**{kind: tuple(entries) for kind, entries in sorted_terms.items()})
