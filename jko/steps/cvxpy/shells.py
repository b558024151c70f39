"""Shells of fixed mass: the Lagrangian form between radii.

Of a shell between radii a ≤ b let u = (b^d − a^d)^{1/d}, concave in them and homogeneous of degree 1
[BeckenbachBellman1961]: its volume is ωu^d/d, and its energy one of u, convex and falling where ∫U is
displacement convex [McCann1997]. A pressure P pushes u by Pωu^{d−1}, and the radii by its areas Pωa^{d−1}.
"""

from __future__ import annotations

import numpy as np

from functionals import Functional
from jko.measures import LineDensity, LineGrid
from jko.steps.cvxpy import conic
from jko.steps.cvxpy.line import Line, LinePotential, split_cells, without_tails
from jko.steps.cvxpy.tolerances import TOLERANCES
from jko.steps.quantile.cells import feathered
from jko.transport.grids.remap import cut, merge_empty


class Shells(Line):
    """J(R) = ½(R−R_k)ᵀM(R−R_k)/τ + Σ w V + Σ v U(w/v) for radii R `[n+1]` of shells of masses w `[n]`."""

    def __init__(
        self, masses: np.ndarray, potential: LinePotential | None, internal, grid: LineGrid, full: bool
    ):
        super().__init__(masses, potential, internal)
        self.grid, self.bend, self.full = grid, 1.0 - 1.0 / grid.dimension, full
        self.dimension = grid.dimension

    @property
    def frame(self) -> tuple[float, float]:
        return 0.0, TOLERANCES.unit_length * self.grid.upper[0]

    def sizes(self, X: np.ndarray):
        return self.grid.volume_between(X[:-1], np.diff(X))

    def lengths(self, sizes: np.ndarray):
        return self.grid.radius_of(sizes)

    def sizes_of(self, lengths: np.ndarray):
        return self.grid.volume_within(lengths)

    def areas(self, X: np.ndarray):
        return self.grid.area(X)

    def longest(self, box: tuple) -> float:
        return box[1]

    def wall_forces(self, X: np.ndarray, force: np.ndarray, present: np.ndarray):
        areas = self.areas(X)
        beyond = present - np.cumsum((force[1:] / areas[1:])[::-1])[::-1]
        # of the last shell, and of most, where a solver hardly sees the last
        at_wall = float(beyond[-1]), float(np.median(beyond))
        outer = [max(pressure, 0.0) * float(areas[-1]) for pressure in at_wall]
        if areas[0] <= 0.0 or self.full:
            inner = 0.0 if self.full else max(float(force[0]), 0.0)
            return sorted({(inner, 0.0), *((inner, b) for b in outer)})
        total = float(force[0] + areas[0] * np.sum(force[1:] / areas[1:]))
        one = max(total, 0.0), max(-total, 0.0) * areas[-1] / areas[0]
        both = [(max(total + areas[0] * b / areas[-1], 0.0), b) for b in outer]
        return sorted({(0.0, 0.0), *(tuple(map(float, pair)) for pair in (one, *both))})

    def pressures(self, X: np.ndarray, balance: np.ndarray):
        areas = self.areas(X)

        def inwards(forces: np.ndarray):
            return np.cumsum((forces[1:] / areas[1:])[::-1])[::-1]

        p = inwards(balance)
        if areas[0] <= 0.0 or self.full:
            return p
        even = self.mass_times(np.ones(X.size))
        shared = inwards(even)
        return p - shared * (balance[0] / areas[0] + p[0]) / (even[0] / areas[0] + shared[0])


def refusal(F: Functional, grid: LineGrid) -> str | None:
    """Why shells do not take F, or None; raises ValueError for a potential that is not radial."""
    for _, atom in F.parts.internal:
        if type(atom) not in conic.FORMS or atom.displacement_modulus(grid.dimension) is None:
            return (
                f"shells takes the entropy and powers that are displacement convex in {grid.dimension} "
                f"dimensions, got {atom!r}"
            )
    for _, atom in F.parts.potential:
        grid.require_radial(atom.V)
    return None


def profile(parts, grid: LineGrid):
    """r ↦ V(r e₁) at points `[n, 1]`."""
    return lambda r: parts.potential_values(np.pad(r, [(0, 0), (0, grid.dimension - 1)]))


def cut_shells(mu: LineDensity, internal) -> tuple[np.ndarray, np.ndarray]:
    """Radii `[n+1]` and masses `[n]` of the shells of the grid, as of `line.cut_edges`, constant in the
    volume; ever lighter ones beside a vacuum that U fills at once, down to 1e-7 of the mass, and those of
    less are one with the next."""
    edges, masses = cut(mu)
    edges, masses = merge_empty(edges, without_tails(masses))
    volumes, masses = split_cells(mu.grid.volume_within(edges), masses, mu.grid.size, few=mu.grid.size)
    walls = tuple(mu.grid.volume_within(np.array([mu.grid.lower[0], mu.grid.upper[0]])).tolist())
    volumes, _, masses = feathered(volumes, masses, internal, walls)
    volumes, masses = _weighty(volumes, masses)
    return mu.grid.radius_of(volumes), masses


def _weighty(edges: np.ndarray, masses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cells that hold less than a solver of cones tells from nothing, taken together with the next ones."""
    least, closed, held = TOLERANCES.light * masses.sum(), [0], 0.0
    for number, mass in enumerate(masses, 1):
        held += mass
        if mass == 0.0 or held >= least:
            closed, held = [*closed, number], 0.0
    # what is left at the end goes with the cell before it
    ends = np.append(closed if held == 0.0 else closed[: max(len(closed) - 1, 1)], masses.size)
    ends = ends[:-1] if held == 0.0 else ends
    return edges[ends], np.add.reduceat(masses, ends[:-1])


def admissible_radii(X: np.ndarray, masses: np.ndarray, grid: LineGrid, cap, start: np.ndarray):
    """Radii in the ball of shells as large as the cap allows, next to those of a solver."""
    from jko.steps.cvxpy.lagrangian import admissible_edges

    X = np.maximum(X, 0.0)
    if start[0] <= 0.0:
        X[0] = 0.0
    box = grid.lower[0], grid.upper[0]
    within = tuple(grid.volume_within(np.array(box)).tolist())
    volumes = admissible_edges(grid.volume_within(X), masses, within, cap)
    return np.clip(grid.radius_of(volumes), *box)
