"""What a functional is: an energy, its derivatives, and its declared facts."""

from __future__ import annotations

from html import escape
from typing import ClassVar

import jax


class Functional:
    """A functional F of a measure; the base of every functional of the registry and of a user's own.

    One method is enough, `energy(mu)`, written in jax from what the measure answers (`mu.integrate(V)`,
    `mu.pair_integrate(k)`, `mu.integrate_internal(U)`, or `mu.values` and `mu.grid` on a density). The first
    variation δF/δρ, with d/dt F(ρ + tγ)|₀ = ∫(δF/δρ) dγ for every γ of zero mass, and the Wasserstein
    gradient ∇(δF/δρ) follow by differentiation [AmbrosioGigliSavare2008, chapter 10].

    Two declared facts, measured by the tests:

    * `linearly_convex`: whether ρ ↦ F(ρ) is convex (True, False, or None where it is not known);
    * `displacement_modulus(dimension)`: λ such that F is λ-convex along Wasserstein geodesics of probability
      measures [McCann1997], or None where it is not known or there is none.
    """

    kind: ClassVar[str] = "rest"
    memoised: ClassVar[frozenset[str]] = frozenset()  # attributes filled in by use, no part of what it is
    goes_on: ClassVar[bool] = False  # whether it has `energy_from` and `unknown`
    linearly_convex: bool | None = None
    example: ClassVar[str] = ""  # code that makes one on the line, with fn, jko, jnp and np at hand
    __array_ufunc__ = None  # numpy numbers leave c * F to __rmul__

    def energy(self, mu):
        """F(mu) as a scalar; traceable by jax."""
        raise NotImplementedError(f"{type(self).__name__} must define energy(self, mu)")

    def energy_from(self, mu, start):
        """(F(mu), what the iteration that gives it ended at, a vector), from what it ended at nearby."""
        raise NotImplementedError(f"{type(self).__name__} is found by no iteration that goes on")

    def unknown(self, mu):
        """The start of `energy_from` where none is known."""
        raise NotImplementedError(f"{type(self).__name__} is found by no iteration that goes on")

    def first_variation(self, mu):
        """δF/δρ at the points of mu: `[*cells]` for a density, `[n]` for particles or a Gaussian's nodes."""
        return mu.vertical_derivative(self.energy)

    def wasserstein_gradient(self, mu):
        """∇(δF/δρ) at the points of mu: `[*cells, d]` for a density, `[n, d]` for particles or nodes."""
        return mu.horizontal_derivative(self.energy, self.first_variation)

    def displacement_modulus(self, dimension: int) -> float | None:
        """λ of displacement convexity on R^dimension, None where unknown."""
        return None

    def at(self, t: float) -> Functional:
        """F frozen at the time t, F itself where it does not depend on time.

        A functional of one's own that depends on time overrides it; what it returns is frozen, and its own
        `at` returns itself. t is a number, or one that jax traces: no `float(t)`.
        """
        return self

    @property
    def depends_on_time(self) -> bool:
        """Whether `at` gives other functionals at other times."""
        return type(self).at is not Functional.at and self.at(0.0) is not self

    def __call__(self, mu) -> float:
        if self.depends_on_time:
            raise TypeError(f"functional: {self!r} depends on time: give it, F.at(t)(mu)")
        with jax.enable_x64(True):
            return float(self.energy(mu))

    def probe(self, mu) -> list:
        """Numbers that tell this functional from another one at mu; what a checkpoint remembers of it."""
        return [self(mu)]

    def primitives(self) -> tuple[tuple[float, Functional], ...]:
        """The functional as a sum of (coefficient, atom) that schemes understand."""
        return ((1.0, self),)

    @property
    def terms(self) -> tuple[tuple[float, Functional], ...]:
        """The functional as the sum that was written."""
        return ((1.0, self),)

    @property
    def parts(self):
        """The sum with its like terms gathered, as a `Parts`."""
        from functionals.parts import gather

        return gather(self.primitives())

    def __add__(self, other: Functional):
        from functionals.algebra import add

        return add(self, other)

    def __radd__(self, other: int):
        if isinstance(other, (int, float)) and other == 0:
            return self
        return NotImplemented

    def __mul__(self, factor: float):
        from functionals.algebra import scale

        return scale(factor, self)

    __rmul__ = __mul__

    def __truediv__(self, divisor: int):
        return self * (1.0 / divisor)

    def __sub__(self, other):
        raise TypeError(
            "functionals are added with positive weights: put the sign into the potential or the kernel"
        )

    def __neg__(self):
        return self - self

    def _repr_html_(self) -> str:
        """What a notebook shows: the sum term by term, and what is declared of it."""
        written = [(f"{c:g} · " if c != 1.0 else "", escape(repr(F))) for c, F in self.terms]
        terms = "".join(f"<li>{factor}<code>{atom}</code></li>" for factor, atom in written)
        facts = [
            "linearly convex" if self.linearly_convex else "",
            "depends on time" if self.depends_on_time else "",
        ]
        declared = ", ".join(fact for fact in facts if fact)
        return f"<div><b>F(ρ)</b><ul>{terms}</ul><div style='opacity:.75'>{declared}</div></div>"

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
