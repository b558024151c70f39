"""Cells of fixed mass on the line: their transport cost, energies and forces, as functions of the edges."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jko.loops.elliptic import banded
from jko.measures import CellDensity, Grid, LineGrid
from jko.steps.cvxpy.tolerances import TOLERANCES
from jko.steps.grid.energy import finite_potential
from jko.steps.quantile.interaction_passes import edge_forces
from jko.transport.grids.remap import add_fluxes, cut, merge_empty, remap


class Line:
    """J(X) = ½(X−X_k)ᵀM(X−X_k)/τ + Σ w V + Σ ΔX U(w/ΔX) for edges X `[n+1]` of cells of masses w `[n]`.

    M is the mass matrix of piecewise linear functions of the quantile: ½ dᵀMd/τ is exactly W₂²/2τ between
    the two piecewise constant densities. V enters by two Gauss points a cell, where M is exact too, so that
    a potential with V″ ≥ λ contributes at least λM to the Hessian.
    """

    def __init__(
        self, masses: np.ndarray, potential: LinePotential | None, internal, box: tuple = (0.0, 1.0)
    ):
        self.masses, self.potential, self.internal, self.box = masses, potential, internal, box
        self.held = masses > 0.0

    def nodes(self, X: np.ndarray):
        """The two Gauss points of every cell, `[2, n]`."""
        return banded.gauss_points(X)

    def mass_times(self, d: np.ndarray):
        """Md."""
        w = self.masses
        out = np.zeros(d.size)
        out[:-1] += w * (2.0 * d[:-1] + d[1:]) / 6.0
        out[1:] += w * (d[:-1] + 2.0 * d[1:]) / 6.0
        return out

    def bands(self, node_weights: np.ndarray):
        """Diagonal `[n+1]` and off-diagonal `[n]` of Σ weight (δx)² over the Gauss points, `[2, n]`."""
        (first, second), a, b = node_weights, banded.FAR, banded.NEAR
        diagonal = np.zeros(self.masses.size + 1)
        diagonal[:-1] += first * a * a + second * b * b
        diagonal[1:] += first * b * b + second * a * a
        return diagonal, a * b * (first + second)

    def cost(self, d: np.ndarray, tau: float) -> float:
        """W₂²/2τ of the displacement d."""
        return 0.5 * float(d @ self.mass_times(d)) / tau

    def potential_energy(self, X: np.ndarray) -> float:
        """Σ w V over the cells."""
        if self.potential is None:
            return 0.0
        return 0.5 * float(np.sum(self.masses * self.potential.value(self.nodes(X))))

    def potential_force(self, X: np.ndarray):
        """Its gradient in the edges, `[n+1]`."""
        if self.potential is None:
            return np.zeros(X.size)
        return edge_forces(self.masses, self.potential.derivative(self.nodes(X)))

    def internal_energy(self, X: np.ndarray, internal=None) -> float:
        """Σ ΔX U(w/ΔX), +∞ where a cell of positive mass has no width and U grows faster than linearly."""
        internal = internal or self.internal
        if internal is None:
            return 0.0
        sizes = self.sizes(X)[self.held]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            total = float(np.sum(sizes * internal.density(self.masses[self.held] / sizes)))
        return total if np.isfinite(total) else np.inf

    def energy(self, X: np.ndarray) -> float:
        """Σ w V + Σ ΔX U(w/ΔX)."""
        return self.potential_energy(X) + self.internal_energy(X)

    def size(self, X: np.ndarray) -> float:
        """Σ w (V − min V) + Σ ΔX P(w/ΔX) with the pressure P: no constant of V or of δU in it."""
        sizes = self.sizes(X)[self.held]
        total = self.potential_energy(X)
        if self.internal is not None:
            total += float(np.sum(sizes * self.pressure(self.internal, self.masses[self.held] / sizes)))
        return total

    def pressure(self, internal, s: np.ndarray):
        """sU′(s) − U(s), the force that a cell of density s exerts on its edges."""
        return s * internal.derivative(s) - internal.density(s)

    def density(self, X: np.ndarray):
        """w/ΔX `[n]`, 0 in gaps."""
        return np.where(self.held, self.masses / np.maximum(self.sizes(X), 1e-300), 0.0)

    # what differs in shells
    @property
    def frame(self) -> tuple[float, float]:
        """(origin, unit) in which a program counts positions: of a box of ten from its middle."""
        return 0.5 * (self.box[0] + self.box[1]), TOLERANCES.unit_length * (self.box[1] - self.box[0])

    def sizes(self, X: np.ndarray):
        """What cells measure, `[n]`."""
        return np.diff(X)

    def lengths(self, sizes: np.ndarray):
        """u of a cell of some size, in which its energy is convex and falling: on the line the size."""
        return sizes

    def sizes_of(self, lengths: np.ndarray):
        """The size of a cell of such a length."""
        return lengths

    def areas(self, X: np.ndarray):
        """What a pressure pushes at positions: 1 on the line."""
        return np.ones(X.shape)

    def longest(self, box: tuple) -> float:
        """The length of a cell that fills the box."""
        return box[1] - box[0]

    dimension = 1
    bend = 0.0  # −d log area / d log s at the length of a given mass of density s
    full = False  # whether the first position is the centre of a ball, which stays

    def wall_forces(self, X: np.ndarray, force: np.ndarray, present: np.ndarray):
        """Pairs (a, b) worth trying: one wall or both balance the forces, beside the pressures of the cells
        there.

        Any a, b ≥ 0 give a bound. Whether a wall is touched is not asked: where it pushes little, an
        interior-point solver stays away from it by more than any distance that would tell.
        """
        total, beyond = float(force.sum()), present + np.cumsum(force)[:-1]
        # of the first cell, and of most, where a solver hardly sees the first
        at_wall = float(beyond[0]), float(np.median(beyond))
        firsts = [max(total, 0.0), *(max(first, total, 0.0) for first in at_wall)]
        return sorted({(0.0, 0.0), *((first, max(first - total, 0.0)) for first in firsts)})

    def pressures(self, X: np.ndarray, balance: np.ndarray):
        """The pressures `[n]` that balance forces at the edges `[n+1]`, but for what all mass shares."""
        even = self.mass_times(np.ones(X.size)) * (balance.sum() / self.masses.sum())
        return -np.cumsum(balance - even)[:-1]


class LinePotential:
    """V less its minimum on [lower, upper] as a cubic B-spline with four coefficients a cell, without jax.

    The coefficients are c = V − δ²V/6, which is fourth-order accurate, with the correction limited to the
    smallest of three neighbours: a convex V stays convex at a kink. V″ is linear between the knots, so
    `modulus` = min V″ is exact.
    """

    def __init__(self, values_of: Callable, lower: float, upper: float, cells: int):
        from scipy.interpolate import BSpline

        n = TOLERANCES.nodes_per_cell * cells
        x = np.linspace(lower, upper, n + 1)
        values = finite_potential(np.asarray(values_of(x[:, None]), dtype=float))
        rounding = 1e-14 * float(np.abs(values).max())
        values = values - values.min()
        bend = _extended(values[2:] - 2.0 * values[1:-1] + values[:-2])
        coefficients = values - _least_of_three(bend) / 6.0
        ends = [3.0 * (c[0] - c[1]) + c[2] for c in (coefficients[:3], coefficients[-1:-4:-1])]
        coefficients = np.concatenate([ends[:1], coefficients, ends[1:]])
        h = (upper - lower) / n
        knots = lower + h * (np.arange(n + 7) - 3)
        self._spline = BSpline(knots, coefficients, 3)
        self._slope, self._bend = self._spline.derivative(1), self._spline.derivative(2)
        curvature = np.diff(coefficients, 2) / h**2
        self.modulus, self.greatest = float(curvature.min()), float(curvature.max())
        self.is_quadratic = (
            self.greatest - self.modulus <= TOLERANCES.quadratic * abs(self.greatest) + 10.0 * rounding / h**2
        )

    def value(self, x: np.ndarray):
        """V(x)."""
        return self._spline(x)

    def derivative(self, x: np.ndarray):
        """V′(x)."""
        return self._slope(x)

    def second_derivative(self, x: np.ndarray):
        """V″(x)."""
        return self._bend(x)


def _extended(inner: np.ndarray):
    return np.concatenate([inner[:1], inner, inner[-1:]])


def _least_of_three(bend: np.ndarray):
    """The entry of smallest size among three neighbours of one sign, else 0."""
    stack = np.stack([bend, np.append(bend[1:], bend[-1]), np.append(bend[0], bend[:-1])])
    least = np.abs(stack).min(axis=0)
    return np.where(np.all(stack > 0.0, axis=0), least, np.where(np.all(stack < 0.0, axis=0), -least, 0.0))


def cut_edges(mu: CellDensity, plain: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Edges `[n+1]` and masses `[n]` of cells that carry a density on the line, as many as the grid has
    over its support.

    A tail of less than 1e-12 of the mass at either end, and cells of less than 1e-15 inside, are emptied
    and the rest scaled up. `plain` keeps the grid's own cells and their midpoint masses, which never exceed
    a cap that holds for mu. A density on fewer than 16 cells is cut into as many as the grid has. Edges of
    one's own are kept.
    """
    if plain:
        edges, masses = merge_empty(np.asarray(mu.grid.edges[0]), without_tails(np.asarray(mu.masses)))
        return split_cells(edges, masses, mu.grid.size)
    edges, masses = cut(mu)
    edges, masses = split_cells(*merge_empty(edges, without_tails(masses)), mu.grid.size)
    if mu.grid.is_uniform and np.all(masses > 0.0) and masses.size > 3:
        edges, masses = _resample(edges, masses, mu.grid.size)
    return edges, sharpen(edges, masses)


def split_cells(edges: np.ndarray, masses: np.ndarray, most: int, few: int = TOLERANCES.few_cells):
    """The same piecewise constant density by more cells, up to `most`, where fewer than `few` have mass."""
    held = masses > 0.0
    if np.count_nonzero(held) >= few:
        return edges, masses
    parts = np.where(held, max(most // np.count_nonzero(held), 1), 1)
    shares = np.concatenate([np.arange(1, n + 1) / n for n in parts])
    left, widths = np.repeat(edges[:-1], parts), np.repeat(np.diff(edges), parts)
    return np.append(edges[0], left + shares * widths), np.repeat(masses / parts, parts)


def density_on(grid: Grid | LineGrid, edges: np.ndarray, masses: np.ndarray, plain: bool = False):
    """The density on a grid of the mass between edges; `plain` averages the piecewise constant density."""
    if not plain:
        return remap(edges, soften(edges, masses), grid)
    total = np.interp(grid.edges[0], edges, np.concatenate([[0.0], np.cumsum(masses)]))
    return grid.density(np.maximum(np.diff(total), 0.0) / grid.cell_volume)


def sharpen(edges: np.ndarray, masses: np.ndarray):
    """Masses less the spread of piecewise constancy, at most a quarter of a cell through an edge."""
    most = 0.25 * np.minimum(masses[1:], masses[:-1])
    return add_fluxes(masses, -np.clip(_spread(edges, masses), -most, most))


def soften(edges: np.ndarray, masses: np.ndarray):
    """Masses with the spread of piecewise constancy, the inverse of `sharpen` to fourth order."""
    return add_fluxes(masses, _spread(edges, masses))


def _spread(edges: np.ndarray, masses: np.ndarray):
    """(ΔX²/12)∂ρ at the inner edges, 0 at the border of a gap."""
    widths = np.maximum(np.diff(edges), 1e-300)
    density = masses / widths
    flux = (density[1:] - density[:-1]) * (widths[1:] + widths[:-1]) / 24.0
    most = 0.25 * np.maximum(masses[1:], masses[:-1])
    return np.where((masses[1:] > 0.0) & (masses[:-1] > 0.0), np.clip(flux, -most, most), 0.0)


def without_tails(masses: np.ndarray):
    total = masses.sum()
    kept = np.where(masses > TOLERANCES.dust * total, masses, 0.0)
    kept[np.cumsum(kept) < TOLERANCES.tail * total] = 0.0
    kept[np.cumsum(kept[::-1])[::-1] < TOLERANCES.tail * total] = 0.0
    return kept * (total / kept.sum())


def _resample(edges: np.ndarray, masses: np.ndarray, n: int):
    """n equal cells over the same support, by parabolas with the given averages [ColellaWoodward1984]."""
    h = edges[1] - edges[0]
    mean = masses / h
    face = np.empty(masses.size + 1)
    face[2:-2] = (7.0 * (mean[1:-2] + mean[2:-1]) - (mean[:-3] + mean[3:])) / 12.0
    face[1], face[-2] = 0.5 * (mean[0] + mean[1]), 0.5 * (mean[-2] + mean[-1])
    face[0], face[-1] = 2.0 * mean[0] - face[1], 2.0 * mean[-1] - face[-2]
    padded = np.concatenate([[mean[0]], mean, [mean[-1]]])
    face = np.clip(face, 0.0, 3.0 * np.minimum(padded[1:], padded[:-1]))
    new = np.linspace(edges[0], edges[-1], n + 1)
    cell = np.clip(((new - edges[0]) / h).astype(int), 0, masses.size - 1)
    s = np.clip((new - edges[cell]) / h, 0.0, 1.0)
    a, b, w = face[cell] * h, face[cell + 1] * h, masses[cell]
    part = s * (a + s * (3.0 * w - 2.0 * a - b + s * (a + b - 2.0 * w)))
    total = np.concatenate([[0.0], np.cumsum(masses)])
    fine = np.diff(total[cell] + part)
    return (new, fine * (masses.sum() / fine.sum())) if np.all(fine > 0.0) else (edges, masses)
