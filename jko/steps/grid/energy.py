"""A functional on one grid, as arrays over its cells: what the grid solvers of a JKO step share."""

from __future__ import annotations

import numpy as np

import functionals as fn
from functionals import Functional
from jko.errors import UnsupportedFunctional, positive_number
from jko.full import is_full
from jko.measures import Density, Grid
from jko.mobility import Exclusion, Mobility
from jko.steps.grid.tolerances import TOLERANCES

# of a record whose gap bounds the suboptimality only beside this density
TANGENT = "the gap is that of the step with the interaction replaced by its tangent"


class GridEnergy:
    """F = ∫U(ρ) + ∫Vρ + interaction, with ρ ≤ cap and ρ = 0 in blocked cells, on a grid.

    V is taken less its minimum, and F with it: a step depends on differences, which a large constant would
    take digits from. Not so where `least` is False, since mass may change.
    """

    blocked = None

    def __init__(self, F: Functional, mu: Density, least: bool = True):
        self.F, self.grid, self.parts = F, mu.grid, F.parts
        self.internal = self.parts.internal_energy
        self.potential = potential_inside(self.parts, self.grid, least)
        self.cap = _least_cap(self.parts.constraints, self.grid)

    def interaction(self, values: np.ndarray) -> np.ndarray | None:
        """The first variation of the interaction energy, W∗ρ, or None."""
        if not self.parts.interaction:
            return None
        rho = Density(self.grid, values)
        return sum(c * np.asarray(atom.first_variation(rho)) for c, atom in self.parts.interaction)

    @property
    def tangents_are_bounds(self) -> bool:
        """Whether every kernel is declared positive definite, so that tangents lie below the energy."""
        return all(atom.linearly_convex is True for _, atom in self.parts.interaction)

    @property
    def caution(self) -> str:
        """What a note on the interaction ends with where its tangents may not be bounds."""
        return "" if self.tangents_are_bounds else f"; {TANGENT}"

    def energy(self, values: np.ndarray, interaction=None) -> float:
        """F(ρ) without the constraints, V less its minimum."""
        density = self.potential if interaction is None else self.potential + 0.5 * interaction
        total = np.vdot(density, values)
        if self.parts.internal_energy is not None:
            total += self.parts.internal_energy.density(values).sum()
        return float(total) * self.grid.cell_volume

    def size(self, values: np.ndarray, interaction=None) -> float:
        """∫|U(ρ)| + ∫|V + ½W∗ρ|ρ: what the rounding of F is relative to."""
        outer = self.potential if interaction is None else self.potential + 0.5 * interaction
        total = np.vdot(np.abs(outer), values)
        if self.parts.internal_energy is not None:
            total += np.abs(self.parts.internal_energy.density(values)).sum()
        return float(total) * self.grid.cell_volume

    def admits(self, values: np.ndarray) -> bool:
        """Whether ρ keeps below the cap and out of the blocked cells, so that F(ρ) < ∞."""
        if self.blocked is not None and values[self.blocked].any():
            return False
        return self.cap is None or bool((values <= self.cap * (1.0 + TOLERANCES.cap_excess)).all())

    def outer(self, field: np.ndarray | None) -> np.ndarray:
        """V + W∗ρ."""
        return self.potential if field is None else self.potential + field

    def forces(self, values: np.ndarray, field: np.ndarray | None, tau: float) -> float:
        """(τ/2)∫|∇(V + W∗ρ)|² + |∇U′(ρ)|² dρ: what a step would gain if nothing held them in balance."""
        total = self.squared_slope(values, self.outer(field))
        if self.parts.internal_energy is not None:
            with np.errstate(all="ignore"):
                total += self.squared_slope(values, self.parts.internal_energy.derivative(values))
        return 0.5 * tau * total * self.grid.cell_volume

    def lag(self, values: np.ndarray, change: np.ndarray, tau: float) -> float:
        """What a step's gap may be off by if W∗ρ′ changes so, but for a constant: (τ/2)∫|∇Δ|²ρ′, the squared
        slope over twice the convexity of a step, and ½∫Δ²/U″, the Fenchel–Young defect; the lesser."""
        with np.errstate(all="ignore"):
            weight = np.where(values > 0.0, 1.0 / self.parts.internal_energy.second_derivative(values), 0.0)
            even = change - float(np.vdot(weight, change)) / float(weight.sum())
            square = float(np.vdot(weight, even**2))
        slope = tau * self.squared_slope(values, change)
        return 0.5 * float(np.fmin(square, slope)) * self.grid.cell_volume

    def range_on(self, values: np.ndarray, field: np.ndarray | None) -> float:
        """∫|Φ − its mean|dρ for Φ = V + W∗ρ and for U′(ρ), summed: what F's parts vary by on ρ."""
        total, held = 0.0, values > 0.0
        fields = [self.outer(field)]
        if self.parts.internal_energy is not None:
            fields.append(self.parts.internal_energy.derivative(np.where(held, values, 1.0)))
        for f in fields:
            mean = float(np.vdot(f, values) / values.sum())
            if not np.isfinite(mean):  # some cell is full
                return np.inf
            total += float(np.vdot(np.abs(f - mean), values))
        return total * self.grid.cell_volume

    def squared_slope(self, values: np.ndarray, field: np.ndarray) -> float:
        """Σ|∇field|²ρ over the faces between cells with mass."""
        total = 0.0
        for axis, h in enumerate(self.grid.spacing):
            rho, lines = np.moveaxis(values, axis, 0), np.moveaxis(field, axis, 0)
            if self.grid.periodic[axis]:
                rho, lines = (np.concatenate([x, x[:1]]) for x in (rho, lines))
            held = (rho[:-1] > 0.0) & (rho[1:] > 0.0)
            slopes = (lines[1:][held] - lines[:-1][held]) / h
            total += 0.5 * float(np.vdot(slopes**2, rho[:-1][held] + rho[1:][held]))
        return total

    def checked(self, tau: float) -> float:
        """τ, refused where squared lengths over it leave the range of floats."""
        tau = positive_number("tau", tau)
        longest = max(b - a for a, b in zip(self.grid.lower, self.grid.upper, strict=True))
        least, most = min(self.grid.spacing) ** 2 / TOLERANCES.farthest, longest**2 * TOLERANCES.farthest
        if not least <= tau <= most:
            raise ValueError(
                f"tau: expected between {least:.1e} and {most:.1e} on this grid, so that |x − y|²/2τ keeps "
                f"to the range of floats, got {tau:g}"
            )
        return tau

    def require_room(self, mu: Density, blocked=None):
        """Raises ValueError where the cap leaves no room for the mass."""
        cap = np.minimum(np.inf if self.cap is None else self.cap, fullest(self.parts.internal_energy))
        if np.isinf(cap).all():
            return
        cap = np.broadcast_to(cap, self.grid.cells)
        room = cap if blocked is None else np.where(blocked, 0.0, cap)
        most = room.sum() * self.grid.cell_volume
        if mu.mass >= most and not is_full(self.parts, mu, blocked):
            raise ValueError(
                f"cap: the box holds a mass of {most:g} at most, the density has {mu.mass:g}: widen the grid "
                "or raise the cap"
            )


def squared_slope(p: np.ndarray, spacing: tuple, periodic: tuple[bool, ...]):
    """|∇p|² in the cells, by the slope across both neighbours, with mirrored walls: that of a quadratic p is
    exact, where the mean of the squares at both faces is off by (h ∂²p/2)² along each axis."""
    total = np.zeros(p.shape)
    for axis, (h, turns) in enumerate(zip(spacing, periodic, strict=True)):
        lines = np.moveaxis(p, axis, 0)
        ends = (lines[-1:], lines[:1]) if turns else (lines[:1], lines[-1:])
        widened = np.concatenate([ends[0], lines, ends[1]])
        total += np.moveaxis(((widened[2:] - widened[:-2]) * (0.5 / h)) ** 2, 0, axis)
    return total


def fullest(internal) -> float:
    """The density at which an internal energy ends, U′ = ∞: the least cap of its `fn.FermiDirac`, or ∞."""
    terms = () if internal is None else internal.terms
    return min((atom.cap for _, atom in terms if type(atom) is fn.FermiDirac), default=np.inf)


def energy_size(internal, outer: np.ndarray, values: np.ndarray, volume: float) -> float:
    """∫(f − min f)ρ + ∫ρU′(ρ) − U(ρ) of the field f: the size of F, in which no constant takes part."""
    total = float(np.vdot(outer - outer.min(), values))
    if internal is not None:
        s = values[values > 0.0]
        with np.errstate(divide="ignore"):
            slope = internal.derivative(s)
        # infinite in cells that are full
        total += float(np.sum(s * np.where(np.isfinite(slope), slope, 0.0) - internal.density(s)))
    return total * volume


def potential_inside(parts, grid: Grid, least: bool = True) -> np.ndarray:
    """V, less its minimum with `least`, in the cells `[*cells]`, 0 in the walls of a room."""
    potential = parts.potential_values(grid.points).reshape(grid.cells)
    held = finite_potential(potential[grid.inside])
    inside = np.zeros(grid.cells)
    inside[grid.inside] = held - held.min() if least else held
    return inside


def finite_potential(potential: np.ndarray):
    """V in the cells, refused where it is not finite or so large that its squares are not."""
    with np.errstate(invalid="ignore"):
        wrong = ~(np.abs(potential) <= TOLERANCES.largest_potential)
    if wrong.any():
        raise ValueError(
            f"functional: the potential is {potential[wrong][0]:g} in one of {int(wrong.sum())} cells, "
            f"expected finite numbers below {TOLERANCES.largest_potential:g}; choose a grid "
            "inside its domain, or scale it down"
        )
    return potential


def _least_cap(constraints: tuple, grid: Grid):
    caps = [atom.values(grid.points).reshape(grid.cells) for atom in constraints]
    return np.minimum.reduce(caps) if caps else None


def blocked_cells(obstacle, grid: Grid):
    """The walls of a room and the cells of an obstacle as a boolean array, None where nothing is blocked."""
    if obstacle is None:
        return None if grid.room is None else ~grid.inside
    blocked = np.asarray(obstacle.values > 0 if isinstance(obstacle, Density) else obstacle)
    if blocked.shape != grid.cells or blocked.dtype != bool:
        raise ValueError(
            f"obstacle: expected a boolean array of shape {grid.cells}, the grid's cells, "
            f"got {blocked.dtype} of shape {blocked.shape}"
        )
    blocked = blocked | ~grid.inside
    if blocked.all():
        raise ValueError("obstacle: expected some free cells, got an obstacle that fills the grid")
    return blocked if blocked.any() else None


def exclusion(scheme, given: Mobility | str) -> Exclusion:
    """The mobility of a dynamic step, which is that of an exclusion."""
    mobility = Mobility.of(given)
    if not isinstance(mobility, Exclusion):
        raise ValueError(
            f"mobility: {scheme.scheme_name()} takes jko.Exclusion(cap), got {mobility!r}: take "
            "limits.FiniteVolume for another"
        )
    if scheme.length is not None:
        raise ValueError(
            f"length: expected None beside a mobility, got {scheme.length:g}: take "
            "steps.HellingerKantorovich to let mass be made"
        )
    return mobility


def require_scale(values: np.ndarray, single: bool = False):
    """Refuse a largest density whose powers leave the floats, or itself those of a `single` precision."""
    most = TOLERANCES.largest_single if single else TOLERANCES.largest_density
    if not 1.0 / most <= (largest := float(np.max(values))) <= most:
        raise ValueError(
            f"measure: expected a largest density between {1.0 / most:.0e} and {most:.0e}, whose powers keep "
            f"to the range of floats, got {largest:g}: take another unit of mass or length"
        )


def require_below(mobility: Exclusion, mu: Density):
    """Refuse a density beyond the cap of a mobility."""
    if mu.values.max() > mobility.cap:
        raise ValueError(
            f"mobility: {mobility!r} has room for densities up to {mobility.cap:g}, got one of "
            f"{mu.values.max():g}: raise its cap, or start flatter"
        )


class DualProblem(GridEnergy):
    """F on a grid, with cells blocked by an obstacle."""

    def __init__(self, F: Functional, mu: Density, obstacle, scheme: str):
        super().__init__(F, mu)
        self.blocked = blocked_cells(obstacle, self.grid)
        if self.internal is None:
            raise UnsupportedFunctional(
                f"{scheme} needs an internal energy that holds the density together, got {F!r}; "
                "take steps.PrimalDual, or move particles by descent.BackwardEuler"
            )
        self.full_support = self.internal.fills
        with np.errstate(all="ignore"):
            thin, dense = self.internal.second_derivative(np.array([1e-3, 1.0]) * mu.values.max())
        self.stiff = bool(thin < TOLERANCES.flat * dense)

    def least_tau(self, values, length) -> float:
        """The least τ at which mass spreads by √(2Dτ), D = ρU″(ρ) where ρ is largest, that far; 0 where the
        obstacle pushes it."""
        if not self.admits(values):
            return 0.0
        top = np.array([values.max()])
        spread = 2.0 * float((top * self.internal.second_derivative(top))[0])
        return length**2 / spread
