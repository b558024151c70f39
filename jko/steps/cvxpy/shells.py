"""Shells of fixed mass: the Lagrangian form between radii.

Of a shell between radii a ≤ b let u = (b^d − a^d)^{1/d}, concave in them and homogeneous of degree 1
[BeckenbachBellman1961]: its volume is ωu^d/d, and its energy one of u, convex and falling where ∫U is
displacement convex [McCann1997]. A pressure P pushes u by Pωu^{d−1}, and the radii by its areas Pωa^{d−1}.
"""

from __future__ import annotations

import numpy as np

import functionals as fn
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

    def sizes(self, X: np.ndarray):
        return self.grid.volume_between(X[:-1], np.diff(X))

    def lengths(self, sizes: np.ndarray):
        return self.grid.radius_of(sizes)

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
        if type(atom) not in FORMS or atom.displacement_modulus(grid.dimension) is None:
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


def entropy_of_lengths(atom: Functional, masses: np.ndarray, lengths, usual: np.ndarray, grid: LineGrid):
    """−Σ w log u^d by exponential cones; constants of the masses are left out."""
    import cvxpy as cp

    return conic.Term(-grid.dimension * cp.sum(cp.multiply(masses, cp.log(lengths))), implies_positive=True)


def power_of_lengths(atom, masses: np.ndarray, lengths, usual: np.ndarray, grid: LineGrid):
    """Σ w^m v^{1−m}/(m−1), v = ω(usual u)^d/d, by power cones t ≥ u^{d(1−m)}, or t ≤ for m < 1."""
    import cvxpy as cp

    m, one, rate = atom.m, np.ones(masses.size), grid.dimension * abs(atom.m - 1.0)
    weights = masses * (masses / grid.volume_within(usual)) ** (m - 1.0)
    least, share = weights / weights.max(), 1.0 / (1.0 + rate)
    t = cp.Variable(masses.size)  # in sizes of the energies: else light shells weigh nothing
    if m > 1.0:
        cone = cp.PowCone3D(t, lengths, least**share, one * share)
        return conic.Term(weights.max() / (m - 1.0) * cp.sum(t), (cone,), implies_positive=True)
    cones = (cp.PowCone3D(lengths, one, t, one * rate),) if rate < 1.0 else (t <= lengths,)
    return conic.Term(-(weights @ t) / (1.0 - m), cones, implies_positive=True)


FORMS = {fn.Entropy: entropy_of_lengths, fn.Power: power_of_lengths}


def _below(u, a, b, d: int) -> list:
    """Cones for u^d + a^d ≤ b^d: second-order ones in the plane, else those of powers, a^d ≤ s b^{d−1} and
    u^d ≤ (b − s) b^{d−1}."""
    import cvxpy as cp

    if d == 1:
        return [u + a <= b]
    if d == 2:
        return [cp.SOC(b, cp.vstack([u, a]), axis=0)]
    s, share = cp.Variable(u.size), np.full(u.size, 1.0 / d)
    return [cp.PowCone3D(s, b, a, share), cp.PowCone3D(b - s, b, u, share)]


def shells_problem(
    masses: np.ndarray,
    grid: LineGrid,
    terms: tuple,
    lengths: np.ndarray,
    least_lengths: np.ndarray,
    full: bool,
    start: np.ndarray,
    linear=None,
    quadratic=None,
    unit: float = 1.0,
) -> conic.Model:
    """The Lagrangian step in shells, as `conic.lagrangian_problem`: radii R = start + d counted in tenths of
    the last, lengths u ≥ least_lengths; the first radius of a ball that is `full` stays at 0.
    The cones of energies see u in multiples of `lengths`, the first ones."""
    import cvxpy as cp

    unit_length = TOLERANCES.unit_length * grid.upper[0]
    inner, wall = grid.lower[0] / unit_length, 1.0 / TOLERANCES.unit_length
    X, d, u = cp.Variable(masses.size + 1), cp.Variable(masses.size + 1), cp.Variable(masses.size)
    first = X - d == start
    constraints = [first, X[0] == 0.0 if full else X[0] >= inner, X[-1] <= wall, cp.diff(X) >= 0.0]
    constraints += [*_below(u, X[:-1], X[1:], grid.dimension), u >= least_lengths / unit_length]
    held, objective = np.flatnonzero(masses > 0.0), 0.0
    usual = np.maximum(lengths[held], TOLERANCES.unit_length * grid.spacing[0])
    for c, atom in terms:
        term = FORMS[type(atom)](atom, masses[held], cp.multiply(unit_length / usual, u[held]), usual, grid)
        objective = objective + c * term.objective
        constraints += term.constraints
    objective = unit * (objective + conic.linear_and_quadratic(d, linear, quadratic))
    problem = cp.Problem(cp.Minimize(objective), constraints)
    return conic.Model(problem, first, d, {"edges": (X,)}, scale=unit_length, unit=unit)
