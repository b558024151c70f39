"""F + G and 2 * F: sums that know their parts."""

from __future__ import annotations

import copy
import math
from functools import cached_property

import jax

from functionals.base import Functional


class Sum(Functional):
    """Σ cᵢ Fᵢ with every cᵢ > 0."""

    def __init__(self, terms: tuple[tuple[float, Functional], ...]):
        self._terms = terms

    @property
    def terms(self):
        return self._terms

    def primitives(self):
        return tuple((c * d, atom) for c, term in self._terms for d, atom in term.primitives())

    @cached_property
    def parts(self):
        """The sum with its like terms gathered, as a `Parts`; once."""
        return super().parts

    @cached_property
    def linearly_convex(self) -> bool | None:
        """True where every term is convex, False for one term that is not, else None: not known."""
        facts = [term.linearly_convex for _, term in self._terms]
        if all(fact is True for fact in facts):
            return True
        return False if len(facts) == 1 and facts[0] is False else None

    def at(self, t: float) -> Functional:
        return Sum(tuple((c, term.at(t)) for c, term in self._terms)) if self.depends_on_time else self

    @cached_property
    def depends_on_time(self) -> bool:
        """Whether a term does."""
        return any(term.depends_on_time for _, term in self._terms)

    def displacement_modulus(self, dimension: int) -> float | None:
        moduli = [(c, term.displacement_modulus(dimension)) for c, term in self._terms]
        return None if any(m is None for _, m in moduli) else sum(c * m for c, m in moduli)

    def energy(self, mu):
        return sum(c * term.energy(mu) for c, term in self._terms)

    def first_variation(self, mu):
        return sum(c * term.first_variation(mu) for c, term in self._terms)

    def wasserstein_gradient(self, mu):
        return sum(c * term.wasserstein_gradient(mu) for c, term in self._terms)

    def probe(self, mu):
        return [entry for c, term in self._terms for entry in (c, *term.probe(mu))]

    def __repr__(self) -> str:
        return " + ".join(repr(term) if c == 1 else f"{c:g} * {term!r}" for c, term in self._terms)


class Composite(Sum):
    """A functional that dissolves into a sum of others, and keeps its own name; a subclass sets `_terms`."""

    terms = Functional.terms
    parts = Functional.parts

    @property
    def depends_on_time(self) -> bool:
        """Whether a term does."""
        return any(term.depends_on_time for _, term in self._terms)

    def at(self, t: float) -> Functional:
        if not self.depends_on_time:
            return self
        here = copy.copy(self)
        here._terms = tuple((c, term.at(t)) for c, term in self._terms)
        return here

    def probe(self, mu):
        return [entry for _, term in self._terms for entry in term.probe(mu)]


def add(left: Functional, right: Functional) -> Functional:
    """left + right."""
    if not isinstance(right, Functional):
        return NotImplemented
    return Sum(left.terms + right.terms)


def scale(factor: float, functional: Functional) -> Functional:
    """factor * functional, for a positive factor."""
    if isinstance(factor, Functional) or not hasattr(factor, "__float__") or getattr(factor, "ndim", 0) > 0:
        return NotImplemented
    if isinstance(
        factor, jax.core.Tracer
    ):  # a parameter that is differentiated; its value was checked before
        return Sum(tuple((factor * c, term) for c, term in functional.terms))
    factor = float(factor)
    if not (factor > 0 and math.isfinite(factor)):
        raise ValueError(
            f"a functional can be multiplied by a positive number, got {factor:g}: "
            "put the sign into the potential or the kernel itself"
        )
    return Sum(tuple((factor * c, term) for c, term in functional.terms))
