"""A step that convexity along transports does not certify: its duality gap, and a second start where that is
wide."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from jko.measures import Grid
from jko.records import joined
from jko.steps.quantile.cap import VariedCap
from jko.steps.quantile.duality import duality_gap
from jko.steps.quantile.interaction_passes import iterate
from jko.steps.quantile.lagrangian import kept_apart
from jko.steps.quantile.tolerances import TOLERANCES

BEYOND_CONVEXITY = "the gap is that to all densities, with what the cells cost"
COARSE = (
    "it is more than W2^2/2tau: take more cells, or a smaller tau, to tell whether a lower minimum exists"
)
SECOND_START = "from the convex step in the cumulative mass"


def certified(problem, solve: Callable, solution, note: str, tolerance: float, grid: Grid):
    """(Solution, note) of the lower of two stationary points, with its duality gap among all densities.

    `solution` began at the start of the step. Where its gap is wide, another begins at the same step solved
    as a convex program on the grid; `solve(problem, tolerance, first)` answers with edges.
    """
    faces = grid.edges[0]
    best = _with_gap(problem, solution, faces)
    if problem.exponent == 2.0 and not (best.closed and best.gap <= TOLERANCES.proved * best.cost):
        again, why = _second(problem, solve, tolerance, faces)
        if again is not None and (again.closed or not best.closed):
            best, note = _lower(best, note, _with_gap(problem, again, faces), why)
    coarse = COARSE if best.gap > best.cost else ""
    return best, joined(note, BEYOND_CONVEXITY, coarse)


def lowest_found(problem, solve: Callable, solution, note: str, tolerance: float, grid: Grid):
    """(Solution, note) of the lowest of some stationary points where cells feel each other; no gap is known.

    Cells do not cross the ridge of a V on whose other side their own repulsion wants them: the next begins at
    the lowest of mixtures of the last with the convex step in its field W ∗ ρ.
    """
    for _ in range(TOLERANCES.second_starts):
        first = _mixed(problem, solution, grid.edges[0])
        if first is None:
            break
        again, why = solve(problem, tolerance, first)
        before = solution.energy + solution.cost
        solution, note = _lower(solution, note, again, why)
        if not before - solution.energy - solution.cost > TOLERANCES.proved * solution.cost:
            break
    return solution, note


def _mixed(problem, solution, faces: np.ndarray):
    """The edges and widths of the lowest objective among mixtures of a solution and the convex step in its
    field; None where that does not settle."""
    coarse, cap = _coarse(problem, faces)
    field = partial(problem.energy.interaction.field, solution.edges, problem.masses)
    program = _Program(problem, coarse, cap, field)
    G = program.minimum()
    if G is None:
        return None
    here = np.interp(coarse, solution.edges, program.levels)
    shares = 0.5 ** np.arange(TOLERANCES.mixtures)
    tried = [_apart(problem, program.placed(np.diff(here + share * (G - here))), faces) for share in shares]
    return min(tried, key=lambda edges: iterate(problem, *edges).value)


def _lower(best, note: str, again, why: str):
    lower = again.energy + again.cost < best.energy + best.cost - TOLERANCES.same_value * best.magnitude
    if lower or (again.closed and not best.closed):
        best = again._replace(details={**again.details, "start": "rough"})
        note = joined(why, SECOND_START)
    return best, note


def _second(problem, solve: Callable, tolerance: float, faces: np.ndarray):
    rough = rough_step(problem, *_coarse(problem, faces))
    if rough is None:
        return None, ""
    return solve(problem, tolerance, _apart(problem, rough, faces))


def _coarse(problem, faces: np.ndarray):
    """The faces of a rough step, and the cap between them."""
    stride = -(-(faces.size - 1) // TOLERANCES.rough_cells)
    coarse, cap = faces[::stride] if (faces.size - 1) % stride == 0 else faces, problem.energy.cap
    return coarse, np.diff(cap.integral(coarse)) / np.diff(coarse) if isinstance(cap, VariedCap) else cap


def _apart(problem, rough: tuple, faces: np.ndarray):
    cap = problem.energy.cap
    if isinstance(cap, VariedCap):
        return rough
    open_width = TOLERANCES.open_width * (faces[1] - faces[0])
    least = open_width * (problem.masses > 0.0) if cap is None else problem.masses / cap
    return kept_apart(*rough, least, problem.masses, problem.walls)


def _with_gap(problem, solution, faces: np.ndarray):
    gap = duality_gap(problem, solution.edges, solution.widths, faces)
    # light cells may be on their way still
    closed = solution.closed or bool(abs(gap) <= TOLERANCES.certain * solution.cost)
    return solution._replace(gap=gap, closed=closed)


def rough_step(problem, faces: np.ndarray, cap: float | np.ndarray | None = None):
    """(edges, widths) between which the problem's masses lie after a step, to the resolution of `faces`;
    None where it does not settle. `cap` `[faces − 1]` are means over the cells."""
    program = _Program(problem, faces, cap)
    G = program.minimum()
    return None if G is None else program.placed(np.diff(G))


class _Program:
    """A step as a convex program in the cumulative mass G.

    ½W₂² = ∫ h₀(G) − xG dx + const, h₀′ the quantile function of the start. For every V, every convex U and
    every cap c(x) the step is convex in G,

        min Σ h (h₀(G) − xG)/τ + Σ h U(ΔG/h) + V ΔG,   0 ≤ ΔG ≤ h c,

    so that there are no local minima; the Hessian is tridiagonal. By a barrier method, the start smoothed
    over a share of its mass that falls with the barrier. A `field` of positions stands beside V.
    """

    def __init__(
        self,
        problem,
        faces: np.ndarray,
        cap: float | np.ndarray | None,
        field: Callable[[np.ndarray], np.ndarray] | None = None,
    ):
        self.problem, self.faces, self.h = problem, faces, np.diff(faces)
        self.mass, position = problem.masses.sum(), problem.start
        self.levels = np.append(0.0, np.cumsum(problem.masses))
        middle = 0.5 * (position[1:] + position[:-1])
        self.integral = np.append(0.0, np.cumsum(middle * problem.masses))
        self.U, V = problem.energy.internal, problem.energy.potential
        centres = 0.5 * (faces[1:] + faces[:-1])
        self.V = np.zeros(self.h.size) if V is None else V(centres)[0]
        if field is not None:
            self.V = self.V + field(centres)
        self.most = np.full(self.h.size, np.inf) if cap is None else self.h * cap
        self.weight = 0.5 * (self.h[1:] + self.h[:-1]) / problem.tau
        rates = np.ptp(self.V), (faces[-1] - faces[0]) ** 2 / problem.tau
        self.barrier = self.mass / self.h.size * max(min(rates), 1e-3 * max(rates))

    def minimum(self):
        """G at the faces, None where it does not settle."""
        G, blur = self.begin(), 0.1
        with np.errstate(all="ignore"):
            for _ in range(TOLERANCES.phases):
                G = self.descended(G, blur)
                if G is None:
                    return None
                self.barrier = TOLERANCES.phase_fall * self.barrier
                blur = max(TOLERANCES.phase_fall * blur, TOLERANCES.least_blur)
        return G

    def begin(self):
        share = self.h if np.isinf(self.most[0]) else self.most
        return self.mass * np.append(0.0, np.cumsum(share / share.sum()))

    def descended(self, G: np.ndarray, blur: float):
        """G after damped Newton steps; None where the matrix is not positive."""
        from jko.loops.elliptic import banded

        gradient, rows, upper = self.derivatives(G, blur, curved=True)
        direction = np.zeros(G.size)
        for _ in range(TOLERANCES.phase_iterations):
            if not banded.solve(rows, upper, -gradient, direction[1:-1]):
                return None
            slope = float(gradient @ direction[1:-1])
            if -slope <= TOLERANCES.phase_decrement * self.barrier:
                break
            growth, width = np.diff(direction), np.diff(G)
            room = np.where(growth < 0.0, -width / growth, (self.most - width) / growth)
            step = min(1.0, TOLERANCES.inside * float(np.min(np.where(growth == 0.0, np.inf, room))))
            for _ in range(TOLERANCES.rough_halvings):
                new = G + step * direction
                # convex: a slope that has not turned means that the objective fell
                if float(self.derivatives(new, blur) @ direction[1:-1]) <= -TOLERANCES.overshot * slope:
                    break
                step *= 0.5
            G = new
            gradient, rows, upper = self.derivatives(G, blur, curved=True)
        return G

    def derivatives(self, G: np.ndarray, blur: float, curved: bool = False):
        """The gradient at the interior faces; with it the Hessian, as row sums and upper neighbour."""
        width, inner = np.diff(G), G[1:-1]
        s = width / self.h
        slope = self.V - self.barrier / width + self.barrier / (self.most - width)
        if self.U is not None:
            slope = slope + self.U.derivative(s)
        d = blur * self.mass
        (low, left), (high, right) = self._start(inner - d), self._start(inner + d)
        gradient = self.weight * (0.5 * (high - low) / d - self.faces[1:-1]) + slope[:-1] - slope[1:]
        if not curved:
            return gradient
        bend = self.barrier / width**2 + self.barrier / (self.most - width) ** 2
        if self.U is not None:
            bend = bend + self.U.second_derivative(s) / self.h
        rows = self.weight * np.maximum(0.5 * (right - left) / d, 0.0)
        rows[0] += bend[0]
        rows[-1] += bend[-1]
        return gradient, rows, -bend[1:-1]

    def _start(self, G: np.ndarray):
        """(h₀, h₀′) of the start, h₀′ constant beyond its mass."""
        levels, edges, masses = self.levels, self.problem.start, self.problem.masses
        i = np.clip(np.searchsorted(levels, G, side="right") - 1, 0, masses.size - 1)
        part = np.clip(G - levels[i], 0.0, masses[i])
        quantile = edges[i] + (edges[i + 1] - edges[i]) * part / np.where(masses[i] > 0.0, masses[i], 1.0)
        beyond = np.minimum(G, 0.0) * edges[0] + np.maximum(G - levels[-1], 0.0) * edges[-1]
        return self.integral[i] + 0.5 * part * (edges[i] + quantile) + beyond, quantile

    def placed(self, cells: np.ndarray):
        """The masses' edges in a density of these cells, counted from the nearer end: tails keep digits."""
        cells = np.maximum(cells, 1e-300) * (self.mass / cells.sum())
        masses, half = self.problem.masses, 0.5 * self.mass
        left = np.interp(self.levels, np.append(0.0, np.cumsum(cells)), self.faces)
        remaining = np.append(0.0, np.cumsum(masses[::-1]))
        right = np.interp(remaining, np.append(0.0, np.cumsum(cells[::-1])), -self.faces[::-1])
        edges = np.where(self.levels < half, left, -right[::-1])
        edges = np.maximum.accumulate(edges)
        return edges, np.diff(edges)
