"""The reflected half-step on a grid: (id + (τ/2)∇φ)_# of the half step, φ the potential of its
optimality."""

from __future__ import annotations

import math

import numpy as np

from jko.loops.elliptic.multigrid import Multigrid
from jko.loops.grids import torus
from jko.loops.transport.fourth_order import transported
from jko.measures import Density, Grid, Measure
from jko.steps.grid.dual_energy import DualEnergy
from jko.steps.grid.tolerances import TOLERANCES
from jko.steps.monge_ampere.newton import LogEnergy
from jko.steps.reflection import Reflected


def reflect_on_grid(
    half: tuple, problem, mu: Density, tau: float, pressure: np.ndarray | None = None
) -> Reflected:
    """2T − id at x = S(y) is y + (τ/2)∇φ(y), with S = id − (τ/2)∇φ the map back from the half step: an
    implicit half, then an explicit one, and no map is inverted.

    φ = −δF/δρ at the half step. Positive densities are corrected to fourth order in h, pulled back with the
    determinant and scaled to the mass, whose defect is noted; where there is vacuum φ comes from the
    c-transform of the support, smoothed, and cells are laid down as rectangles. `half` is (J_{τ/2}(ρ), state,
    record), `problem` the scheme's DualProblem, `pressure` U′ + V at the half step where a solver knows it
    better than its density does.
    """
    taken, (half, after, info) = half, half
    if not info.converged:
        return none(taken, info.note)
    if problem.blocked is not None:
        return none(taken, "reflections know no obstacles")
    before, middle = (problem.energy(m.values, problem.interaction(m.values)) for m in (mu, half))
    if problem.full_support:
        half = half.with_values(corrected(problem, mu, half.values, 0.5 * tau, pressure))
        values, least, lost = _pulled_back(problem, half, tau)
        if not abs(lost) <= TOLERANCES.lost:
            return none(taken, f"the pull-back misses {lost:.1e} of the mass")
        note = f"reflected by pull-back, whose mass was off by {lost:.1e}"
    else:
        values, least, note = _laid_down(problem, mu, half, tau)
    dense = half.values > TOLERANCES.dense * half.values.max()
    folded = float(half.values[dense & (least < 0.0)].sum() / half.values.sum())
    if folded > TOLERANCES.folded:
        return none(taken, f"2T − id folds over {folded:.0%} of the mass")
    new = half.with_values(values)
    # W₂(ρ, ρ′) = 2W₂(ρ, ρ₁), so that W₂²/2τ is twice the half step's own cost
    cost = 2.0 * (before - middle - info.dissipation)
    dissipation = before - problem.energy(values, problem.interaction(values)) - cost
    return Reflected(taken, new, after, dissipation, before, note=note, wary=problem.full_support)


def none(half: tuple, note: str) -> Reflected:
    """No reflection of a half step (measure, state, record), and why."""
    return Reflected(half, None, None, math.nan, math.nan, note=note)


def _variation(problem, half: Density, where):
    """δF/δρ at the half step where it has mass."""
    field = problem.interaction(half.values)
    potential = problem.potential if field is None else problem.potential + field
    return problem.internal.derivative(np.maximum(half.values[where], TOLERANCES.smallest)) + potential[where]


def _pulled_back(problem, half: Density, tau: float):
    from jko.loops.transport.push_smooth import push_smooth

    phi = -_variation(problem, half, ...)
    logarithm = np.log(np.maximum(half.values, TOLERANCES.smallest))
    grid = half.grid
    found, least = push_smooth(logarithm, phi, 0.5 * tau, grid.spacing, grid.periodic, _counted(logarithm))
    values = np.exp(found)
    scale = half.mass / (float(values.sum()) * half.grid.cell_volume)
    return values * scale, least, 1.0 / scale - 1.0


def _laid_down(problem, mu: Measure, half, tau: float):
    if mu.grid.is_periodic:
        return *_laid_down_in(..., problem, mu, half, tau), ""
    boxes = [_occupied(mu.values), _occupied(half.values)]
    tight = _margin(*boxes, half.grid.cells)
    values, least = _laid_down_in(tight, problem, mu, half, tau)
    if _touches(values[tight], tight, half.grid.cells):
        values, least = _laid_down_in(..., problem, mu, half, tau)
    return values, least, ""


def _laid_down_in(box, problem, mu: Measure, half, tau: float):
    from scipy.ndimage import binary_dilation

    from jko.loops.transport.c_transform import c_transform
    from jko.loops.transport.push_rectangles import push_rectangles

    held, spacing, periodic = half.values[box] > 0.0, half.grid.spacing, half.grid.periodic
    phi = np.full(held.shape, -np.inf)
    phi[held] = -_variation(problem, half, box)[held]
    psi = c_transform(phi, spacing, 0.5 * tau, periodic=periodic)
    rim = tuple(TOLERANCES.rim if turns else 0 for turns in periodic)
    near = binary_dilation(torus.continued(mu.values[box] > 0.0, rim), iterations=TOLERANCES.rim)
    psi[~torus.within(near, rim)] = -np.inf
    phi = smoothed(c_transform(psi, spacing, 0.5 * tau, periodic=periodic), periodic=periodic)
    around = torus.layers(phi, [0.5 * tau / h**2 for h in spacing], periodic)
    wide = (torus.continued(field, around) for field in (half.values[box], phi))
    values, least = np.zeros(half.grid.cells), np.ones(half.grid.cells)
    laid = push_rectangles(*wide, 0.5 * tau, spacing)
    values[box], least[box] = (torus.within(field, around) for field in laid)
    return values, least


def _occupied(values):
    """First and last occupied cell along each axis `[2, d]`."""
    ends = []
    for axis in range(values.ndim):
        where = np.flatnonzero((values > 0.0).any(axis=tuple(a for a in range(values.ndim) if a != axis)))
        ends.append((where[0], where[-1]))
    return np.array(ends).T


def _margin(before, after, cells):
    """A box with room for twice the way that the support went, and a tenth of its width."""
    room = 2 * np.abs(after - before).max(axis=0) + (after[1] - after[0]) // 10 + 4
    low, high = np.minimum(before[0], after[0]) - room, np.maximum(before[1], after[1]) + room + 1
    return tuple(slice(max(a, 0), min(b, n)) for a, b, n in zip(low, high, cells, strict=True))


def _touches(values, box, cells):
    """Whether there is mass at a side of the box that is no wall of the grid."""
    for axis, (side, n) in enumerate(zip(box, cells, strict=True)):
        ends = [0] * int(side.start > 0) + [-1] * int(side.stop < n)
        if ends and values.take(ends, axis).any():
            return True
    return False


def smoothed(phi, passes=TOLERANCES.smoothing, periodic: tuple[bool, ...] = ()):
    """φ after binomial passes (1, 2, 1)/4 along each axis, mirrored at the walls, repeated along periodic
    axes."""
    from scipy.ndimage import correlate1d

    for _ in range(passes):
        for axis in range(phi.ndim):
            mode = "wrap" if any(periodic) and periodic[axis] else "reflect"
            phi = correlate1d(phi, [0.25, 0.5, 0.25], axis=axis, mode=mode)
    return phi


def corrected(problem, mu: Density, values: np.ndarray, tau: float, pressure: np.ndarray | None = None):
    """The density of J_τ(μ) after one correction of the pressure p, given one that narrow differences made.

    The residual U′(ρ̂) + V − p is taken with ρ̂ of fourth order in h, Newton's equation with its matrix of
    second order: a defect correction. An explicit half step whose differences are of fourth order goes with
    such an implicit one; beside one of second order it would blow up waves of a few cells. The density is
    given back as it came where the residual would not fall. `problem` is a DualProblem.
    """
    energy, (spacing, periodic) = LogEnergy(problem.internal), (mu.grid.spacing, mu.grid.periodic)
    field = problem.interaction(values)
    potential = problem.potential if field is None else problem.potential + field
    with np.errstate(all="ignore"):
        log = np.log(mu.values)
        np.maximum(log, log.max() - TOLERANCES.deepest, out=log)
        if pressure is None:
            own = np.maximum(np.log(values), log.max() - TOLERANCES.deepest)
            p = energy.slope(own, np.exp(own))[0] + potential
        else:
            p = pressure.copy()
        residual, size, found, diagonal, stiffness = _defect(energy, log, p, tau, mu.grid, potential)
        mobility = [tau / h**2 * g for g, h in zip(diagonal, spacing, strict=True)]
        limit = TOLERANCES.answered * float(np.broadcast_to(stiffness, found.shape).flat[found.argmax()])
        right = np.clip(residual, -limit, limit)
        correction, _ = Multigrid(found, stiffness, mobility, periodic).solve(right, TOLERANCES.reduction)
        new = p + correction * _counted(found)
        if _defect(energy, log, new, tau, mu.grid, potential)[1] < size:
            p = new
        return DualEnergy(problem.internal).normalise(potential - p, float(mu.values.sum()))[1]


def _counted(log: np.ndarray):
    """1 where a density weighs something, falling to 0 in its far tails."""
    above = log - log.max() + TOLERANCES.whole_depth + TOLERANCES.fade_depth
    return np.clip(above / TOLERANCES.fade_depth, 0.0, 1.0)


def _defect(energy: LogEnergy, log: np.ndarray, p: np.ndarray, tau: float, grid: Grid, potential: np.ndarray):
    """(U′(ρ̂) + V − p, its mean square, log ρ̂, (DS)⁻¹'s diagonal, ρ̂U″(ρ̂))."""
    found, diagonal = transported(log, p, tau, grid.spacing, grid.periodic)
    density = np.exp(found)
    slope, stiffness = energy.slope(found, density)
    residual = slope + potential - p
    return residual, float(np.sum(residual**2 * density / stiffness)), found, diagonal, stiffness
