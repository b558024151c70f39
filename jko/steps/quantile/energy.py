"""A functional of the edges that carry the mass on a line, with what Newton's method asks of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from functionals import pointwise
from functionals.array import Array
from functionals.by_numpy import evaluated
from functionals.programs import kept
from functionals.quadratic_form import QuadraticForm, quadratic_form
from functionals.reading import as_it_reads_now
from functionals.time_dependence import split
from jko.errors import UnsupportedFunctional
from jko.measures import Grid, LineGrid
from jko.steps.quantile import circle
from jko.steps.quantile.cap import VariedCap
from jko.steps.quantile.interaction import LineInteraction
from jko.steps.quantile.shells import radial_parts, shell_energy
from jko.steps.quantile.tolerances import TOLERANCES


class CellTerms(NamedTuple):
    """The energy, the internal energy's −∂/∂ΔX and ∂²/∂ΔX² `[n]`, and V′, V″ at Gauss points `[2, n]`; the
    sum of what was added up to the energy in absolute value, which rounding is relative to. Of shells
    `at_edges` holds −∂/∂X and the row sums of the second derivative `[n+1]` in the place of the pressure."""

    energy: float
    pressure: np.ndarray
    rigidity: np.ndarray
    slope: np.ndarray
    curvature: np.ndarray
    magnitude: float = 0.0
    at_edges: tuple[np.ndarray, np.ndarray] | None = None


class LineEnergy:
    """Σ ΔX U(w/ΔX) + Σ w V over the cells of a line, the density w/ΔX constant on each, V by two Gauss
    points a cell.

    The internal part is convex in the edges for every convex U, being its perspective function. `modulus`
    is the λ of V: the sum of the declared ones, or where one is not declared the least V″ at the grid's
    centres and edges and the least of the secants between them. `interaction` is kept apart, `value` has
    it. Positions are counted from `origin`, the middle of the grid or 0.

    On a radial grid the edges are radii, and ΔX U(w/ΔX) is that of the shell's volume; on a circle they are
    positions on the line, on which V repeats.
    """

    def __init__(self, parts, grid: Grid | LineGrid, mass: float = 1.0, origin: float = 0.0):
        self.shells = grid if grid.is_radial else None
        if self.shells is not None:
            parts = radial_parts(parts, self.shells)
        self.capacity, there = 2 * grid.size, grid
        if grid.is_periodic:
            parts, grid = circle.round_parts(parts, grid), circle.three_turns(grid)
        self.internal = parts.internal_energy
        if origin != 0.0:
            half = 0.5 * (grid.upper[0] - grid.lower[0])
            grid = Grid.uniform(-half, half, grid.size)
        self.potential, self.form = line_potential(parts, grid, self.capacity, origin)
        _require_finite(self.potential, grid, there)
        self.interaction = LineInteraction(parts.interaction, grid, mass) if parts.interaction else None
        self.modulus = self.modulus_of_cells = _modulus(parts, self.potential, self.form, grid)
        if there.is_periodic:
            self.potential = circle.repeated(self.potential, grid)
        if self.interaction is not None:
            self.modulus += self.interaction.modulus
        self.cap = _cap(parts, grid, there.points)
        if isinstance(self.cap, VariedCap):  # no convex set of edges keeps to it
            self.modulus = self.modulus_of_cells = -np.inf

    @property
    def keeps_open(self) -> bool:
        """Whether no cell can close: an internal energy, or a singular repulsion, holds it open."""
        repels = self.interaction is not None and self.interaction.kernel.keeps_open
        return self.internal is not None or repels

    def at(self, edges: np.ndarray, widths: np.ndarray, masses: np.ndarray) -> CellTerms:
        """The energy of single cells and its derivatives at edges `[n+1]` `widths` `[n]` apart; empty ones
        weigh nothing."""
        from jko.loops.elliptic import banded

        zero = np.zeros(masses.size)
        energy, size, pressure, rigidity, at_edges = 0.0, 0.0, zero, zero, None
        if self.shells is not None:
            energy, size, rigidity, at_edges = shell_energy(self.internal, self.shells, edges, widths, masses)
        elif self.internal is not None:
            energy, size, pressure, rigidity = _internal(self.internal, widths, masses)
        if self.potential is None:
            none = np.zeros((2, masses.size))
            return CellTerms(energy, pressure, rigidity, none, none, size, at_edges)
        value, slope, curvature = self.potential(banded.gauss_points(edges))
        both = value[0] + value[1]
        energy += 0.5 * float(masses @ both)
        size += 0.5 * float(masses @ np.abs(both))
        return CellTerms(energy, pressure, rigidity, slope, curvature, size, at_edges)

    def value(self, edges: np.ndarray, widths: np.ndarray, masses: np.ndarray) -> float:
        """The energy with the interaction between cells."""
        energy = self.at(edges, widths, masses).energy
        if self.interaction is None:
            return energy
        return energy + self.interaction.at(edges, widths, masses, model=False).energy


def _internal(U, widths: np.ndarray, masses: np.ndarray):
    held = masses > 0.0
    if not held.all():
        energy, size, *parts = _internal(U, widths[held], masses[held])
        return energy, size, *(_spread(part, held) for part in parts)
    with np.errstate(over="ignore", under="ignore"):
        s = masses / widths
        density = U.density(s)
        pressure = s * U.derivative(s) - density
        thick = np.maximum(s, TOLERANCES.thinnest)
        rigidity = thick * thick * U.second_derivative(thick) / widths
    return float(widths @ density), float(widths @ np.abs(density)), pressure, rigidity


def _spread(values, held):
    out = np.zeros(held.size)
    out[held] = values
    return out


def line_potential(parts, grid: Grid, capacity: int = 0, origin: float = 0.0):
    """(V, V′ and V″ as one function of positions of any shape, or None; the quadratic form that V is, or
    None), about the middle of the grid, where V is made 0: a step does not feel a constant. A quadratic V
    never calls jax.

    Positions are taken `capacity` at a time, the last padded to that many: jax compiles once.
    """
    if not parts.potential:
        return None, None
    middle = 0.5 * (grid.lower[0] + grid.upper[0])
    forms = [(c, quadratic_form(atom.V, 1, [origin + middle])) for c, atom in parts.potential]
    if any(form is None for _, form in forms):
        functions = [split(atom.V) for _, atom in parts.potential]
        program = _differentiated(tuple(as_it_reads_now(V) for V, _ in functions))
        factors, times = tuple(float(c) for c, _ in parts.potential), tuple(time for _, time in functions)
        batched = partial(evaluated, program, factors, times)
        level = float(_evaluated(batched, 0.0, capacity, origin, np.array([middle]))[0][0])
        level = level if np.isfinite(level) else 0.0
        batched = partial(_evaluated, batched, level, capacity, origin)
        return (batched if grid.is_radial else without_kinks(batched, grid)), None
    a, b = (sum(c * float(np.ravel(form[i])[0]) for c, form in forms) for i in range(2))

    def quadratic(x: np.ndarray):
        z = x - middle if middle else x
        return (0.5 * a * z + b) * z, a * z + b, np.full_like(z, a)

    return quadratic, QuadraticForm(np.array([[a]]), np.array([b]), 0.0)


def _require_finite(potential: Callable | None, grid: Grid, there: Grid) -> None:
    from jko.loops.elliptic import banded

    if potential is None:
        return
    values, slopes, _ = potential(banded.gauss_points(np.asarray(grid.edges[0])))
    cells = ~(np.isfinite(values) & np.isfinite(slopes)).all(axis=0)
    turns = grid.size // there.size  # of a circle, which is laid out over several
    bad = int(np.sum(cells.reshape(turns, -1).any(axis=0)))
    if bad:
        raise ValueError(
            f"functional: the potential is not finite in {bad} cells of [{there.lower[0]:g}, "
            f"{there.upper[0]:g}]; choose a grid inside its domain"
        )


@kept
def _differentiated(potentials: tuple):
    def at(x: Array, factors: tuple, times: tuple):
        given = zip(factors, potentials, times, strict=True)
        return sum(c * pointwise.scalar(V)(x[None], *t) for c, V, t in given)

    first = jax.grad(at)
    second = jax.grad(first)
    together = jax.vmap(
        lambda x, c, t: (at(x, c, t), first(x, c, t), second(x, c, t)), in_axes=(0, None, None)
    )
    return jax.jit(lambda factors, times, x: together(x, factors, times))


def _evaluated(batched: Callable, level: float, capacity: int, origin: float, x: np.ndarray):
    size = pointwise.program_size(capacity or x.size)
    padded = np.full(-(-x.size // size) * size, origin + x.flat[0])
    padded[: x.size] = origin + x.ravel()
    with jax.enable_x64(True):
        pieces = [batched(piece) for piece in padded.reshape(-1, size)]
    value, *parts = (np.concatenate(part)[: x.size].reshape(x.shape) for part in zip(*pieces, strict=True))
    return value - level, *parts


def _modulus(parts, potential: Callable | None, form: QuadraticForm | None, grid: Grid):
    if potential is None:
        return 0.0
    if form is not None:
        return float(form.A[0, 0])
    declared = [None if atom.modulus is None else c * atom.modulus for c, atom in parts.potential]
    if all(value is not None for value in declared):
        return float(sum(declared))
    if isinstance(potential, AveragedPotential):
        return potential.modulus
    nodes = np.sort(np.concatenate([grid.axes[0], grid.edges[0]]))
    value, _, curvature = potential(nodes)
    # V″ does not see a kink or a jump; secants do
    stride = max(1, nodes.size // TOLERANCES.curvature_nodes)
    apart = np.diff(nodes[::stride])
    secants = 2.0 * np.diff(np.diff(value[::stride]) / apart) / (apart[1:] + apart[:-1])
    return float(min(curvature.min(), secants.min(initial=np.inf)))


def _cap(parts, grid: Grid, points: np.ndarray):
    """None, the least of constant caps, or a VariedCap."""
    atoms = parts.constraints
    if not grid.is_uniform and any(callable(atom.cap) for atom in atoms):
        raise UnsupportedFunctional(
            f"steps.Quantile takes a cap that is a number with edges of one's own, got {atoms[0]!r}: take "
            "Grid.uniform"
        )
    if any(callable(atom.cap) for atom in atoms):
        return VariedCap(np.minimum.reduce([atom.values(points) for atom in atoms]), grid)
    return min((float(atom.cap) for atom in atoms), default=None)


class AveragedPotential:
    """Σ V(ξ_i) B_i(x), B_i the cubic B-splines of nodes, ξ_i the means of their three inner knots: V averaged
    over two nodes to each side, by Schoenberg's operator [deBoor2001, ch. XI].

    Twice continuously differentiable, and as convex as V: its second derivative is an average of second
    differences of V, whose least is `modulus`. Nodes δ apart, it differs from V by δ²V″/6, and by about a
    third of δ times the change of slope at a kink.
    """

    def __init__(self, potential: Callable, nodes: np.ndarray):
        from scipy.interpolate import BSpline

        apart = np.arange(3, 0, -1)
        first, last = nodes[1] - nodes[0], nodes[-1] - nodes[-2]
        knots = np.concatenate([nodes[0] - first * apart, nodes, nodes[-1] + last * apart[::-1]])
        means = (knots[1:-3] + knots[2:-2] + knots[3:-1]) / 3.0
        means[[1, -2]] = nodes[[0, -1]]  # beyond the walls V may have no value
        values = potential(means[1:-1])[0]
        slopes = np.diff(values) / np.diff(means[1:-1])
        behind = values[0] - slopes[0] * (means[1] - means[0])
        ahead = values[-1] + slopes[-1] * (means[-1] - means[-2])
        self.modulus = float((2.0 * np.diff(slopes) / (nodes[2:] - nodes[:-2])).min())
        spline = BSpline(knots, np.concatenate([[behind], values, [ahead]]), 3)
        self._parts = spline, spline.derivative(1), spline.derivative(2)

    def __call__(self, x):
        """(V, V′, V″) at positions of any shape."""
        return tuple(part(x) for part in self._parts)


def without_kinks(potential: Callable, grid: Grid | LineGrid):
    """The potential, or an `AveragedPotential` where V″ at a node is not what the second differences round it
    say. The nodes divide each cell into as many parts."""
    faces, parts = np.asarray(grid.edges[0]), TOLERANCES.averaging_nodes
    nodes = np.interp(np.arange(parts * grid.size + 1) / parts, np.arange(faces.size), faces)
    value, _, bend = potential(nodes)
    if not np.all(np.isfinite(value)):
        return potential
    slopes, spacing = np.diff(value) / np.diff(nodes), 0.5 * (nodes[2:] - nodes[:-2])
    second = np.diff(slopes) / spacing
    largest = np.abs(np.lib.stride_tricks.sliding_window_view(np.pad(second, 2), 5)).max(axis=1)
    missed = np.abs(second - bend[1:-1])
    kinks = missed > TOLERANCES.kink * largest
    kinks &= missed * spacing > TOLERANCES.least_kink * np.abs(slopes).max()
    return AveragedPotential(potential, nodes) if np.any(kinks | ~np.isfinite(missed)) else potential
