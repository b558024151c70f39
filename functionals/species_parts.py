"""A functional of several species sorted into what a scheme that moves them together asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from functionals.base import Functional
from functionals.conjugate import GatheredInternal
from functionals.parts import Parts, Terms, gather
from functionals.species import Cross, On, TotalCap, TotalInternal


@dataclass(frozen=True)
class SpeciesParts:
    """Σ F_i(ρ_i) + Σ c ∬W dρ_i dρ_j + ∫U(Σρ_i) with Σρ_i ≤ `cap`: the parts of each species alone by its
    name, the crossed terms (c, atom), U or None, and in `rest` the terms that are none of these."""

    own: dict[str, Parts]
    cross: Terms
    total: GatheredInternal | None
    cap: float
    rest: Terms

    @classmethod
    def of(cls, F: Functional, names: tuple[str, ...]) -> SpeciesParts:
        """Those of a sum of `on`, `Cross`, `TotalInternal` and `TotalCap`."""
        own: dict[str, Any] = dict.fromkeys(names, 0)
        total: Any = 0
        cross, rest, cap = [], [], np.inf
        for c, term in F.terms:
            if isinstance(term, On):
                own[term.name] = own[term.name] + c * term.F
            elif isinstance(term, Cross):
                cross.append((c, term))
            elif isinstance(term, TotalInternal):
                total = total + c * term.U
            elif isinstance(term, TotalCap):
                cap = min(cap, term.cap)
            else:
                rest.append((c, term))
        parts = {name: gather(()) if isinstance(G, int) else G.parts for name, G in own.items()}
        U = None if isinstance(total, int) else total.parts.internal_energy
        return cls(parts, tuple(cross), U, cap, tuple(rest))
