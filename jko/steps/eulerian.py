"""The Eulerian form of a JKO step: densities on the cells of a grid, flows through its faces."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from functionals.conjugate import GatheredInternal
from functionals.parts import Parts
from jko.errors import UnsupportedFunctional
from jko.measures import Density
from jko.steps import conic
from jko.steps.certificate import CellEnergy, eulerian_bound
from jko.steps.faces import Faces
from jko.steps.outcome import closed, record
from jko.steps.pair_energy import PairEnergy


@dataclass(frozen=True)
class _Path:
    """An admissible way from the start: densities r⁰ … r^K, flows, its cost W₂²/2τ and the energy at its end."""

    densities: list
    flows: list
    cost: float
    energy: float

    @property
    def end(self):
        return self.densities[-1]

    @property
    def value(self):
        return self.cost + self.energy


class Eulerian:
    """minimise K h^{d+2}/(2τ) Σ v²/θ + F(r^K) over r^k = r^{k−1} − Dv^k, θ^k = S(r^{k−1} + r^k)/2 [BenamouBrenier2000].

    What has no conic form enters by models at the current density (quadratic for an internal energy or a convex
    functional given as an energy, tangent for the concave part of an interaction), renewed until the gap closes.
    """

    clarabel_options: dict = {}

    def __init__(self, F, mu, settings, program):
        self.grid, self.settings, self._new_program = mu.grid, settings, program
        self.parts: Parts = F.parts
        self.faces = Faces.of(mu.grid, settings.slices)
        self.conic_terms, modelled = conic.split_internal(self.parts.internal)
        self.modelled = GatheredInternal(modelled) if modelled else None
        points = mu.grid.points
        self.potential = _finite(self.parts.potential_values(points))
        caps = [atom.values(points) for atom in self.parts.constraints]
        self.cap = functools.reduce(np.minimum, caps) if caps else None
        if self.cap is not None and self.cap.sum() * mu.grid.cell_volume < mu.mass:
            raise ValueError(
                f"functional: the cap leaves room for a mass of {self.cap.sum() * mu.grid.cell_volume:g}, "
                f"got {mu.mass:g}; raise the cap or widen the grid"
            )
        self.pair = PairEnergy.of(mu.grid, self.parts.interaction) if self.parts.interaction else None
        self.programs: dict[float, object] = {}

    @classmethod
    def check(cls, F, mu):
        """Refuse a part of F without a convex model."""
        for _, atom in F.parts.rest:
            if atom.linearly_convex is not True:
                raise UnsupportedFunctional(
                    f"steps.Cvxpy does not take {atom!r}, which is not declared linearly_convex; "
                    "limits.FiniteVolume takes any functional"
                )

    def first_data(self, mu):
        """Nothing beside the density goes from step to step."""
        return {}

    def step(self, mu, tau, data):
        """One step: (mu′, data, StepInfo)."""
        start = mu.values.ravel()
        action = self.settings.slices * self.faces.volume * self.faces.spacing**2 / (2.0 * tau)
        path = self._path(
            [start] * (self.settings.slices + 1), [np.zeros(action.size)] * self.settings.slices, action
        )
        before, gap, iterations, curvature, solution = path.energy, np.inf, 0, 0.0, None
        for renewal in range(self.settings.passes):
            linear, quadratic = self._model(path.end, renewal, curvature)
            solution = self._program(tau, action, start).solve(start, linear, quadratic)
            iterations += solution.iterations
            if solution.values is None:
                break
            found = self._candidate(solution, start, action)
            previous, path = path, found if self._exact else self._better(path, found, action)
            earlier, gap = gap, path.value - self._bound(solution.duals, start, path, action)
            if self._certain:
                gap = min(earlier, gap)
            if self._exact or path.value >= previous.value or closed(self.settings, gap, earlier, path.cost):
                break
            curvature = self._secant(previous.end, path.end)
        info = record(
            self.settings,
            solution,
            gap,
            path.cost,
            path.energy,
            before,
            iterations,
            mass_error=abs(path.end.sum() - start.sum()) * self.faces.volume,
            min_density=float(path.end.min()),
            remedy="take other solver_options, fewer cells or a larger tolerance",
            note=""
            if self._certain
            else "the gap is that of the step with the concave part of the interaction as its tangent",
        )
        return Density(self.grid, path.end.reshape(self.grid.cells)), data, info

    @property
    def _exact(self):
        """Whether the conic program is the step itself, so that one solve does."""
        convex_pair = self.pair is None or (self.pair.convex and self.pair.exact_factor)
        return self.modelled is None and not self.parts.rest and convex_pair

    @property
    def _certain(self):
        """Whether every bound is one for the step itself."""
        return self.pair is None or self.pair.convex

    def _program(self, tau, action, start):
        if tau not in self.programs:
            factor = (
                None
                if self.pair is None or self.pair.factor is None
                else self.pair.factor * self.faces.volume
            )
            self.programs[tau] = self._new_program(
                functools.partial(
                    conic.eulerian_problem, self.faces, action, self.conic_terms, self.cap, factor
                )
            )
        return self.programs[tau]

    def _energy(self, r) -> float:
        total = float(self.potential @ r) * self.faces.volume
        if self.parts.internal:
            total += float(np.sum(self.parts.internal_energy.density(r))) * self.faces.volume
        if self.pair is not None:
            total += self.pair.energy(r * self.faces.volume)
        return total + sum(c * atom(self._density(r)) for c, atom in self.parts.rest)

    def _density(self, r):
        return Density(self.grid, r.reshape(self.grid.cells))

    def _rest_variation(self, r):
        mu = self._density(r)
        return sum(
            (c * np.asarray(atom.first_variation(mu)).ravel() for c, atom in self.parts.rest),
            np.zeros(r.size),
        )

    def _model(self, r, renewal, curvature):
        """Linear `[cells]` and quadratic (sparse or None) terms on r^K of the model at r."""
        linear, diagonal = self.potential.copy(), np.zeros(r.size)
        if self.pair is not None:
            a = r * self.faces.volume
            linear += self.pair.variation(a)
            if self.pair.factor is not None:
                linear -= self.pair.factor @ (self.pair.factor.T @ a)
        if self.parts.rest:
            linear += self._rest_variation(r) - curvature * r
            diagonal += curvature
        if self.modelled is not None:
            at = np.maximum(r, r.max() * 10.0 ** (-4 - 2 * min(renewal, 6)))
            bend = self.modelled.second_derivative(at)
            linear += self.modelled.derivative(at) - bend * at
            diagonal += bend
        return self.faces.volume * linear, self._diagonal(diagonal)

    def _diagonal(self, diagonal):
        import scipy.sparse as sp

        if self.modelled is None and not self.parts.rest:
            return None
        return sp.diags_array(self.faces.volume * diagonal, format="csc")

    def _secant(self, before, after) -> float:
        """The curvature of the rest along the last move, for the next model."""
        move = after - before
        if not self.parts.rest or not move.any():
            return 0.0
        return max(
            float((self._rest_variation(after) - self._rest_variation(before)) @ move / (move @ move)), 0.0
        )

    def _path(self, densities, flows, action):
        return _Path(densities, flows, self.faces.cost(densities, flows, action), self._energy(densities[-1]))

    def _candidate(self, solution, start, action):
        slope = 4.0 * max(
            float(np.abs(self.faces.gradient(p)).max()) for p in self._potentials(solution.duals)
        )
        return self._path(*self.faces.admissible(start, solution.values["flow"], action, slope), action)

    def _better(self, path, found, action):
        """The first of halved moves towards `found` that lowers the value, or `path` where none does."""
        share = 1.0
        while share > 1e-6:
            mixed = (
                found
                if share == 1.0
                else self._path(
                    [
                        (1 - share) * a + share * b
                        for a, b in zip(path.densities, found.densities, strict=True)
                    ],
                    [(1 - share) * a + share * b for a, b in zip(path.flows, found.flows, strict=True)],
                    action,
                )
            )
            if mixed.value < path.value:
                return mixed
            share *= 0.5
        return path

    def _potentials(self, duals):
        return [dual / self.faces.volume for dual in duals]

    def _bound(self, duals, start, path, action) -> float:
        """A lower bound on the value, what is not conic entering by its tangent at the end of the path."""
        r, volume = path.end, self.faces.volume
        field, constant = self.potential.copy(), 0.0
        if self.pair is not None:
            tangent = self.pair.variation(r * volume)
            field, constant = field + tangent, self.pair.energy(r * volume) - float(tangent @ r) * volume
        if self.parts.rest:
            tangent = self._rest_variation(r)
            field = field + tangent
            constant += (
                sum(c * atom(self._density(r)) for c, atom in self.parts.rest) - float(tangent @ r) * volume
            )
        internal = self.parts.internal_energy
        energy = CellEnergy(internal, self.cap, volume, float(start.sum()) * volume)

        def guess(shift):
            slope = internal.derivative(np.maximum(r, 1e-300)) if internal is not None else 0.0
            return float(np.sum(r * (slope + field + shift)) / r.sum())

        bound, pressure = eulerian_bound(
            self.faces, action, self._potentials(duals), start, energy, field, guess
        )
        excess = 0.0 if self.cap is None else float(pressure @ np.maximum(r - self.cap, 0.0)) * volume
        return bound + constant - excess


def _finite(values):
    if not np.all(np.isfinite(values)):
        raise ValueError(
            f"functional: the potential is not finite in {np.sum(~np.isfinite(values))} cells; choose a grid inside its domain"
        )
    return values
