"""A functional on the cells of a grid: its energy, its convex model at a density, and its tangent there."""

from __future__ import annotations

import functools

import numpy as np

from functionals.conjugate import GatheredInternal
from jko.measures import Density
from jko.steps import conic
from jko.steps.convex.cell_bound import CellEnergy
from jko.steps.convex.pair_energy import PairEnergy
from jko.steps.grid_energy import energy_size, finite_potential


class CellFunctional:
    """F of densities r `[cells]`, sorted into what enters a conic program as it is and what enters by a
    model.

    `conic_terms` are internal energies with cones, `cap` `[cells]` or None, `factor` the B whose ½|Bᵀr|² is
    the convex part of the interaction; the rest goes into a linear and a diagonal quadratic term that
    `model` renews.
    """

    def __init__(self, F, mu):
        self.grid, self.volume, parts = mu.grid, mu.grid.cell_volume, F.parts
        self.internal, self.rest = parts.internal_energy, parts.rest
        self.conic_terms, modelled = conic.split_internal(parts.internal)
        self.modelled = GatheredInternal(modelled) if modelled else None
        potential = finite_potential(parts.potential_values(mu.grid.points))
        self.potential = potential - potential.min()
        caps = [atom.values(mu.grid.points) for atom in parts.constraints]
        self.cap = functools.reduce(np.minimum, caps) if caps else None
        if self.cap is not None and self.cap.sum() * self.volume < mu.mass:
            raise ValueError(
                f"functional: the cap leaves room for a mass of {self.cap.sum() * self.volume:g}, got "
                f"{mu.mass:g}; raise the cap or widen the grid"
            )
        self.pair = PairEnergy.of(mu.grid, parts.interaction) if parts.interaction else None
        held = None if self.pair is None else self.pair.factor
        self.factor = None if held is None else held * self.volume

    @property
    def is_conic(self) -> bool:
        """Whether the conic program is the step itself, so that one solve does."""
        exact_pair = self.pair is None or (self.pair.convex and self.pair.exact_factor)
        return self.modelled is None and not self.rest and exact_pair

    def most_concave(self) -> float:
        """The least second difference of the potential along an axis, +∞ on fewer than three cells."""
        V, least = self.potential.reshape(self.grid.cells), np.inf
        for axis, h in enumerate(self.grid.spacing):
            least = min(least, float(np.diff(V, 2, axis=axis).min(initial=np.inf)) / h**2)
        return least

    @property
    def is_convex(self) -> bool:
        """Whether a tangent lies below the functional, so that every bound is one for the step itself."""
        return self.pair is None or self.pair.convex

    def energy(self, r) -> float:
        """F(r)."""
        if self.cap is not None and np.any(r > self.cap * (1.0 + 1e-6)):
            return np.inf
        total = float(self.potential @ r) * self.volume
        if self.internal is not None:
            total += float(np.sum(self.internal.density(r))) * self.volume
        if self.pair is not None:
            total += self.pair.energy(r * self.volume)
        return total + self._rest_energy(r)

    def size(self, r) -> float:
        """∫(δF/δρ − min)ρ without internal energies, and their pressure ρU′ − U: no constant in it."""
        return energy_size(self.internal, self.tangent(r)[0], r, self.volume)

    def model(self, r, renewal: int, curvature: float):
        """Linear `[cells]` and quadratic (sparse or None) terms on the last density, of what has no cones."""
        linear, diagonal = self.potential.copy(), np.zeros(r.size)
        if self.pair is not None:
            linear += self.pair.variation(r * self.volume)
            if self.factor is not None:
                linear -= self.factor @ (self.factor.T @ r) / self.volume
        if self.rest:
            linear += self._rest_variation(r) - curvature * r
            diagonal += curvature
        if self.modelled is not None:
            # U″ may be infinite in a vacuum: the model is taken at a floor that sinks with every renewal
            at = np.maximum(r, r.max() * 10.0 ** (-4 - 2 * min(renewal, 6)))
            bend = self.modelled.second_derivative(at)
            linear += self.modelled.derivative(at) - bend * at
            diagonal += bend
        return self.volume * linear, self._diagonal(diagonal)

    def tangent(self, r):
        """f `[cells]` and c₀: |c| Σ f r + c₀ is the tangent at r of all but the internal energies."""
        field, constant = self.potential, 0.0
        if self.pair is not None:
            variation = self.pair.variation(r * self.volume)
            field = field + variation
            constant += self.pair.energy(r * self.volume) - float(variation @ r) * self.volume
        if self.rest:
            variation = self._rest_variation(r)
            field = field + variation
            constant += self._rest_energy(r) - float(variation @ r) * self.volume
        return field, constant

    def on_cells(self, mass: float) -> CellEnergy:
        """The internal energies and the cap, for a bound."""
        return CellEnergy(self.internal, self.cap, self.volume, mass)

    def level(self, r, field) -> float:
        """The mean over r of U′(r) + field, near the multiplier of the mass."""
        slope = 0.0 if self.internal is None else self.internal.derivative(np.maximum(r, 1e-300))
        return float(np.sum(r * (slope + field)) / r.sum())

    def secant(self, before, after) -> float:
        """The curvature of the rest along a move, for the next model."""
        move = after - before
        if not self.rest or not move.any():
            return 0.0
        change = self._rest_variation(after) - self._rest_variation(before)
        return max(float(change @ move / (move @ move)), 0.0)

    def density(self, r) -> Density:
        """r as a measure."""
        return Density(self.grid, r.reshape(self.grid.cells))

    def _diagonal(self, diagonal):
        import scipy.sparse as sp

        if self.modelled is None and not self.rest:
            return None
        return sp.diags_array(self.volume * diagonal, format="csc")

    def _rest_energy(self, r) -> float:
        return sum(c * atom(self.density(r)) for c, atom in self.rest)

    def _rest_variation(self, r):
        mu = self.density(r)
        return sum(
            (c * np.asarray(atom.first_variation(mu)).ravel() for c, atom in self.rest), np.zeros(r.size)
        )
