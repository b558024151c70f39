"""The Lagrangian form of a JKO step on the line: cells of fixed mass whose edges move."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from functionals import Functional
from functionals.conjugate import GatheredInternal
from jko.bounds import Space
from jko.errors import UnsupportedFunctional
from jko.full import fits
from jko.measures import Density, Grid, LineGrid, Measure
from jko.records import joined
from jko.scheme import Scheme, State
from jko.steps.cvxpy import conic, shells
from jko.steps.cvxpy.eulerian import Eulerian
from jko.steps.cvxpy.line import Line, LinePotential, cut_edges, density_on
from jko.steps.cvxpy.line_bound import lagrangian_bound
from jko.steps.cvxpy.scheme import closed, record, rounding
from jko.steps.cvxpy.tolerances import TOLERANCES
from jko.transport.grids.remap import remap

_NOT_CONVEX = "took the Eulerian form, which is convex where V'' < -1/tau"


class Lagrangian:
    """minimise ½(X−X_k)ᵀM(X−X_k)/τ + Σ ΔX U(w/ΔX) + Σ w V over edges X in the box
    [BlanchetCalvezCarrillo2008].

    The edges are the state; the density on the grid is read off them and never read back. A potential that
    is not quadratic and an internal energy without a conic form enter by quadratic models at the current
    edges, renewed until the gap closes.
    """

    has_slices = False
    space = Space.FLAT

    def __init__(self, F: Functional, mu: Density, settings: Scheme, program: Callable):
        self.grid, self.settings, self._new_program = mu.grid, settings, program
        parts = F.parts
        self.box = (mu.grid.lower[0], mu.grid.upper[0])
        self.shells = mu.grid if mu.grid.is_radial else None
        self.conic_terms, modelled = conic.split_internal(parts.internal)
        self.modelled = GatheredInternal(modelled) if modelled else None
        self.internal = parts.internal_energy
        self.potential = (
            LinePotential(_values(parts, mu.grid), *self.box, _resolving(mu.grid))
            if parts.potential
            else None
        )
        caps = [atom.cap for atom in parts.constraints]
        self.cap = min(caps) if caps else None
        # cells that a cap bounds are the grid's own: smoothed ones could exceed it
        self.plain = bool(caps) or (self.internal is not None and self.internal.cap < np.inf)
        room = float(np.sum(mu.grid.cell_volume)) if self.shells else self.box[1] - self.box[0]
        if self.cap is not None and not fits(self.cap * room, mu):
            raise ValueError(
                f"functional: the cap leaves room for a mass of {self.cap * room:g}, "
                f"got {mu.mass:g}; raise the cap or widen the grid"
            )
        self.programs: dict[float, tuple] = {}
        self._first = self.first_data(mu)
        self._new_other = functools.partial(Eulerian, F, mu, settings, program)

    @staticmethod
    def clarabel_options(F: Functional) -> dict:
        """Ten times closer than Clarabel's own: edges see the square root of a gap."""
        return {"tol_gap_abs": 1e-9, "tol_gap_rel": 1e-9, "tol_feas": 1e-9, "max_iter": 100}

    @staticmethod
    def refusal(F: Functional, mu: Density) -> str | None:
        """Why this form does not take F, or None."""
        parts = F.parts
        if mu.grid.is_radial and (reason := shells.refusal(F, mu.grid)):
            return f"the Lagrangian form in {reason}"
        if len(mu.grid.cells) != 1:
            return f"the Lagrangian form works on the line, got {mu.grid.dimension} dimensions"
        if mu.grid.is_periodic:
            return f"the Lagrangian form has edges between two walls, got {mu.grid!r}"
        if mu.grid.is_room:
            return f"the Lagrangian form knows no walls, got {mu.grid!r}"
        for _, atom in parts.interaction + parts.local + parts.gradient + parts.rest:
            return f"the Lagrangian form does not take {atom!r}"
        U = parts.internal_energy
        if U is not None and mu.values.max() >= U.cap * (1.0 - TOLERANCES.full):
            return f"the Lagrangian form takes densities below {U.cap:g}, got one that fills cells"
        for atom in parts.constraints:
            if getattr(atom, "cap", None) is None or callable(atom.cap):
                return f"the Lagrangian form takes a constant cap, got {atom!r}"
        return None

    @classmethod
    def suits(cls, F: Functional, mu: Density) -> bool:
        """Whether to take it unasked: not for fast diffusion, whose tails no cell of fixed mass follows."""
        if cls.refusal(F, mu) is not None:
            return False
        internal = F.parts.internal_energy
        if internal is None:
            return True
        s = np.array([1e-12, 1.0]) * mu.values.max()
        stiffness = s * internal.second_derivative(s)
        return bool(stiffness[0] <= 3.0 * stiffness[1])

    @classmethod
    def check(cls, F: Functional, mu: Density):
        """Refuse what the form does not take."""
        reason = cls.refusal(F, mu)
        if reason is not None:
            other = "use formulation='eulerian'" if mu.grid.is_uniform else "take steps.Quantile"
            raise UnsupportedFunctional(f"{reason}: {other}")

    def first_data(self, mu: Density):
        """The edges and the masses between them."""
        if self.shells:
            edges, masses = shells.cut_shells(mu, None if self.cap is not None else self.internal)
        else:
            edges, masses = cut_edges(mu, plain=self.plain)
        return {"edges": edges, "masses": masses}

    def step(self, mu: Measure, tau: float, data: State):
        """One step: (mu′, data, StepInfo)."""
        if self.settings.formulation is None and not self._convex(tau) and self.grid.is_uniform:
            return self._eulerian_step(mu, tau)
        start, masses = data["edges"], data["masses"]
        line = self._line(masses, start)
        X, gap, iterations, tight = start, np.inf, 0, False
        unit = max(line.size(start), self._cell_cost(masses, tau))
        scale = line.size(start) or unit  # a cap alone has no size
        before = value = self._value(line, start, start, tau)
        for _ in range(self.settings.passes):
            linear, quadratic = quadratic_model(line, self.modelled, X, start, tau)
            solution = self._program(tau, masses, start).solve(start, linear, quadratic, unit, tight=tight)
            iterations += solution.iterations
            if solution.values is None:
                break
            previous = value
            found = self._admissible(solution.values["edges"][0], masses, start)
            X, value = self._better(line, X, value, found, start, tau)
            cost = line.cost(X - start, tau)
            bound = lagrangian_bound(line, X, start, tau, self.box, self.cap)
            earlier, gap = gap, min(gap, value - bound + rounding(cost, value, scale))
            stalled = self._exact or value >= previous
            if closed(self.settings, gap, earlier, cost, scale, final=self._exact) or (stalled and tight):
                break
            tight = tight or stalled
        density = self._density(X, masses)
        info = record(
            self.settings,
            solution,
            gap,
            line.cost(X - start, tau),
            line.energy(X),
            before,
            scale,
            iterations,
            mass_error=abs(density.mass - masses.sum()),
            min_density=float(density.values.min()),
            remedy=self._remedy(tau),
            form="lagrangian",
        )
        return density, {"edges": X, "masses": masses}, info

    def _line(self, masses: np.ndarray, start: np.ndarray) -> Line:
        given = masses, self.potential, self.internal
        if self.shells:
            return shells.Shells(*given, self.shells, bool(start[0] <= 0.0))
        return Line(*given, self.box)

    def _admissible(self, X: np.ndarray, masses: np.ndarray, start: np.ndarray):
        if self.shells:
            return shells.admissible_radii(X, masses, self.shells, self.cap, start)
        return admissible_edges(X, masses, self.box, self.cap)

    def _density(self, X: np.ndarray, masses: np.ndarray):
        if self.shells:
            return remap(X, masses, self.shells, cap=self.cap)
        return density_on(self.grid, X, masses, plain=self.plain)

    @property
    def _exact(self):
        return self.modelled is None and (self.potential is None or self.potential.is_quadratic)

    @functools.cached_property
    def _other(self):
        return self._new_other()

    def _convex(self, tau: float) -> bool:
        return self.potential is None or 1.0 / tau + self.potential.modulus > 0.0

    def _remedy(self, tau: float):
        if self._convex(tau):
            quantile = self.shells is not None and self.cap is None
            return f"take other solver_options or {'steps.Quantile' if quantile else self._elsewhere}"
        return (
            f"the step is not convex in the edges, since V'' falls to {self.potential.modulus:.3g} < -1/tau: "
            f"take a smaller tau or {self._elsewhere}"
        )

    @property
    def _elsewhere(self) -> str:
        if self.shells:
            return "limits.FiniteVolume"
        return "formulation='eulerian'" if self.grid.is_uniform else "steps.Quantile"

    def _eulerian_step(self, mu: Density, tau: float):
        """A step of the other form, which is convex whatever the potential, and the edges cut anew."""
        mu, _, info = self._other.step(mu, tau, {})
        note = joined(_NOT_CONVEX, info.note)
        return mu, self.first_data(mu), replace(info, note=note)

    def _value(self, line: Line, X: np.ndarray, start: np.ndarray, tau: float):
        if self.cap is not None and np.any(line.density(X) > self.cap * (1.0 + TOLERANCES.cap_excess)):
            return np.inf
        return line.cost(X - start, tau) + line.energy(X)

    def _cell_cost(self, masses: np.ndarray, tau: float):
        """What it costs to move all mass by a cell."""
        return float(masses.sum()) * self.grid.spacing[0] ** 2 / (2.0 * tau)

    def _program(self, tau: float, masses: np.ndarray, start: np.ndarray):
        held, line = self.programs.get(tau), self._line(masses, start)
        if held is None or held[1] != line.full or not np.array_equal(held[0], masses):
            least = np.zeros(masses.size) if self.cap is None else line.lengths(masses / self.cap)
            usual = self._usual(line)
            form = functools.partial(conic.lagrangian_problem, line, self.conic_terms, usual, least, self.box)
            self.programs[tau] = held = (masses, line.full, self._new_program(form))
        return held[2]

    def _usual(self, line: Line) -> np.ndarray:
        """Lengths in which cones see the cells: those of the run's first, which one that goes on has too."""
        spacing = self.grid.spacing[0]
        if not np.array_equal(line.masses, self._first["masses"]):  # cut anew
            return np.full(line.masses.size, spacing)
        return np.maximum(line.lengths(line.sizes(self._first["edges"])), TOLERANCES.unit_length * spacing)

    def _better(
        self, line: Line, X: np.ndarray, value: float, found: np.ndarray, start: np.ndarray, tau: float
    ):
        """The first of halved moves towards `found` that lowers the value, or X where none does."""
        share = 1.0
        if self.modelled is not None:
            shrink = 1.0 - np.diff(found) / np.diff(X)
            share = min(1.0, 0.9 / max(float(shrink.max()), 1e-300))
        while share > TOLERANCES.least_line_share:
            mixed = X + share * (found - X)
            reached = self._value(line, mixed, start, tau)
            if reached < value:
                return mixed, reached
            share *= 0.5
        return X, value


def _values(parts, grid: Grid | LineGrid):
    return shells.profile(parts, grid) if grid.is_radial else parts.potential_values


def _resolving(grid: Grid | LineGrid) -> int:
    """So many equal cells that none is wider than the grid's narrowest, within reason."""
    return min(
        int(np.ceil((grid.upper[0] - grid.lower[0]) / np.diff(grid.edges[0]).min() - 1e-9)),
        TOLERANCES.most_nodes,
    )


def quadratic_model(line: Line, modelled, X: np.ndarray, start: np.ndarray, tau: float):
    """Linear `[n+1]` and quadratic terms on the displacement: the model at X, the transport cost."""
    w = line.masses
    bend = np.zeros((2, w.size))
    if line.potential is not None:
        least = min(max(line.potential.modulus, -0.9 / tau), line.potential.greatest)
        bend += np.maximum(line.potential.second_derivative(line.nodes(X)), least)
    diagonal, off = line.bands(0.5 * w * bend)
    linear = line.potential_force(X)
    if modelled is not None:
        s = np.where(line.held, line.density(X), 1.0)
        push = np.where(line.held, line.pressure(modelled, s), 0.0)
        stiff = np.where(line.held, s * s * modelled.second_derivative(s) / np.diff(X), 0.0)
        linear[:-1] += push
        linear[1:] -= push
        diagonal[:-1] += stiff
        diagonal[1:] += stiff
        off = off - stiff
    d = X - start
    linear -= diagonal * d
    linear[:-1] -= off * d[1:]
    linear[1:] -= off * d[:-1]
    transport_diagonal, transport_off = line.bands(np.stack([w, w]) / (2.0 * tau))
    return linear, _tridiagonal(diagonal + transport_diagonal, off + transport_off)


def admissible_edges(X: np.ndarray, masses: np.ndarray, box: tuple, cap):
    """Edges in the box with widths that the cap allows, next to those of a solver."""
    least = np.full(masses.size, TOLERANCES.least_width * (box[1] - box[0]))
    if cap is not None:
        least = np.maximum(least, masses / cap)
    widths = np.maximum(np.diff(X), least)
    room = box[1] - box[0]
    if widths.sum() > room:
        widths = least + (widths - least) * max(
            0.0, (room - least.sum()) / max((widths - least).sum(), 1e-300)
        )
    first = np.clip(X[0], box[0], max(box[0], box[1] - widths.sum()))
    return np.minimum(np.concatenate([[first], first + np.cumsum(widths)]), box[1])


def _tridiagonal(diagonal: np.ndarray, off: np.ndarray):
    import scipy.sparse as sp

    return sp.diags_array([diagonal, off, off], offsets=[0, 1, -1], format="coo")
