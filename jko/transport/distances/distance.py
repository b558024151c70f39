"""A distance that knows how it was computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Certificate(NamedTuple):
    """Kantorovich potentials (ψ, φ) at the points of the first and of the second measure, for |x −
    y|²/2: ψ(x) + φ(y) ≤ |x − y|²/2, and T = x − ∇ψ; and `gap`, W₂² from the primal minus W₂² from
    these."""

    potentials: tuple
    gap: float


class Distance(float):
    """W₂ as a float, with `method` (its name), `reason` (a sentence: why that method, and what it did),
    `error_bound`, `gap` and `potentials`.

    `potentials` are (ψ, φ) for the cost |x − y|²/2 with ψ(x) + φ(y) ≤ |x − y|²/2, at the cells of a Density
    `[*cells]`, the points of a cloud `[n]`, and functions of points `[n, d]` for Gaussians; for measures
    divided by their mass, 2(∫ψ dmu + ∫φ dnu) ≤ W₂² with exact integrals: by sums over the cells of a Density
    that holds to O(h²) (`"quantile"`, 200 cells: 1.7e-5 above). `gap` is primal minus dual in units of W₂²:
    what solving better would gain, by the rules that the method takes for integrals. Both are computed when
    asked for; ValueError where a method has none.

    `error_bound`, on W₂, is what is left of the gap and what discretising adds:

    - `"quantile"`, `"circle"`, `"bures"`: 0, up to rounding;
    - `"semi-discrete"`: 0 for a Density, which is constant on each cell; for a Gaussian its cells';
    - `"exact"`: 0 between clouds; for densities constant on each cell the cost of gathering them to atoms;
    - `"entropic"`: both sides of a bracket, of a plan and of admissible potentials between atoms, and for
      densities the cost of atoms at the centres;
    - `"mixture-path"`: up to the lower bound from means and covariances;
    - `"back-and-forth"`: an estimate, no bound: the gap, and `grid_error` for what samples at cell centres
      miss of a density.
    """

    def __new__(
        cls,
        value: float,
        method: str,
        reason: str,
        error_bound: float = 0.0,
        certify: Callable | None = None,
        gap: float | None = None,
    ):
        self = super().__new__(cls, value)
        self.method, self.reason, self.error_bound = method, reason, float(error_bound)
        self._certify, self._certificate, self._gap = certify, None, gap
        return self

    @property
    def value(self) -> float:
        """The number alone."""
        return float(self)

    @property
    def potentials(self) -> tuple:
        """(ψ, φ) with ψ(x) + φ(y) ≤ |x − y|²/2; ValueError where the method has none."""
        return self._certified().potentials

    @property
    def gap(self) -> float:
        """W₂² of the transport found, less that of the potentials; ValueError where there are none."""
        return self._certified().gap if self._gap is None else self._gap

    def _certified(self) -> Certificate:
        if self._certificate is None:
            if self._certify is None:
                raise ValueError(f'method {self.method!r} has no potentials; take method="back-and-forth"')
            self._certificate = self._certify()
        return self._certificate

    def __reduce__(self):
        return float, (float(self),)

    def __repr__(self) -> str:
        return f"Distance({float(self):.10g}, method={self.method!r})"
