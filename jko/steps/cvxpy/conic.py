"""Functional -> conic form: what each functional becomes inside a convex program of one JKO step.

An internal energy with an entry in `FORMS` enters as cones; one without goes by quadratic models, renewed
until the certificate closes.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

import functionals as fn
from functionals import Functional


@dataclass(frozen=True)
class Term:
    """A convex term of the objective and the constraints that define it."""

    objective: Any
    constraints: tuple = ()
    implies_positive: bool = False


@dataclass(frozen=True)
class Model:
    """A cvxpy problem with its handles: what the step's data enter through, and what is read off.

    Its variables x̃ are numbers near 1, whatever the units: x = origin + scale·x̃, since a solver's tolerances
    are absolute.
    """

    problem: Any
    start: Any  # the constraint (variable == start), whose right-hand side is the previous measure
    target: Any  # the variable that the linear and quadratic terms of a step act on
    outputs: dict[str, tuple]
    duals: tuple = ()
    scale: float = 1.0
    origin: float = 0.0
    unit: float = 1.0  # what the objective, and so every dual, is multiplied by


def entropy_of_density(atom: Functional, r, scale: float):
    """scale Σ r log r by exponential cones; Σ scale r log scale, a constant of the mass, is left out."""
    import cvxpy as cp

    return Term(-scale * cp.sum(cp.entr(r)), implies_positive=True)


def entropy_of_lengths(atom: Functional, masses: np.ndarray, lengths, sizes: np.ndarray, d: int):
    """−Σ w log u^d by exponential cones; constants of the masses are left out."""
    import cvxpy as cp

    return Term(-d * cp.sum(cp.multiply(masses, cp.log(lengths))), implies_positive=True)


def power_of_density(atom: Functional, r, scale: float):
    """Σ (scale r)^m/(m−1): a quadratic for m = 2, else power cones t^{1/m} ≥ r, or r^m ≥ t for m < 1."""
    import cvxpy as cp

    m, one, weight = atom.m, np.ones(r.size), scale**atom.m
    if m == 2.0:
        return Term(weight * cp.sum_squares(r))
    t = cp.Variable(r.size)
    if m > 1.0:
        return Term(weight / (m - 1.0) * cp.sum(t), (cp.PowCone3D(t, one, r, one / m),))
    return Term(weight / (m - 1.0) * cp.sum(t), (cp.PowCone3D(r, one, t, one * m),), implies_positive=True)


def power_of_lengths(atom: Functional, masses: np.ndarray, lengths, sizes: np.ndarray, d: int):
    """Σ w^m v^{1−m}/(m−1), v = u^d times a usual size, by power cones t ≥ u^{d(1−m)}, or t ≤ for m < 1."""
    import cvxpy as cp

    m, one, rate = atom.m, np.ones(masses.size), d * abs(atom.m - 1.0)
    weights = masses * (masses / sizes) ** (m - 1.0)
    least, share = weights / weights.max(), 1.0 / (1.0 + rate)
    t = cp.Variable(masses.size)  # in sizes of the energies: else light cells weigh nothing
    if m > 1.0:
        cone = cp.PowCone3D(t, lengths, least**share, one * share)
        return Term(weights.max() / (m - 1.0) * cp.sum(t), (cone,), implies_positive=True)
    cones = (cp.PowCone3D(lengths, one, t, one * rate),) if rate < 1.0 else (t <= lengths,)
    return Term(-(weights @ t) / (1.0 - m), cones, implies_positive=True)


FORMS = {
    fn.Entropy: (entropy_of_density, entropy_of_lengths),
    fn.Power: (power_of_density, power_of_lengths),
}


def dirichlet_of_density(atom: Functional, r, shape, scale: float):
    """½Σ |c|(jump/h)² over the faces."""
    import cvxpy as cp

    jumps = cp.multiply(scale / shape.spacing, shape.divergence.T @ r)
    return Term(0.5 * shape.volume * cp.sum_squares(jumps))


def fisher_of_density(atom: Functional, r, shape, scale: float):
    """2Σ |c|(√a − √b)²/h² = 2Σ |c|(a + b − 2g)/h² over the faces with g² ≤ ab, a rotated cone."""
    import cvxpy as cp

    both, jump = 2.0 * (shape.mean @ r), shape.divergence.T @ r
    g = cp.Variable(shape.spacing.size)
    cone = cp.SOC(both, cp.vstack([2.0 * g, jump]), axis=0)
    weight = 2.0 * shape.volume * scale / shape.spacing**2
    return Term(weight @ (both - 2.0 * g), (cone,), implies_positive=True)


GRADIENT_FORMS = {fn.Dirichlet: dirichlet_of_density, fn.FisherInformation: fisher_of_density}


def split_internal(terms: tuple):
    """The internal energies with a conic form, and those without: two tuples of (coefficient, atom)."""
    conic = tuple((c, atom) for c, atom in terms if type(atom) in FORMS)
    return conic, tuple((c, atom) for c, atom in terms if type(atom) not in FORMS)


def _cost_of_slice(shape, density, v, s, scale: float) -> list:
    """Cones s ≥ v²/θ on the faces, θ the mobility of a slice's `density`, with the cost of sources."""
    import cvxpy as cp

    theta, cones = shape.mean @ density, []
    if shape.crowding > 0.0:  # m ≤ θ − κθ² in the place of θ
        theta, whole = cp.Variable(theta.size), theta
        room, kappa = whole - theta, scale * shape.crowding
        cones.append(cp.SOC(1.0 / kappa + room, cp.vstack([2.0 * whole, 1.0 / kappa - room]), axis=0))
    if shape.length is not None:  # s = 8η − 4√(4η² − w²) is w² = s(η − s/16)
        sixteenth = np.zeros(theta.size)
        sixteenth[shape.outside] = 1.0 / 16.0
        theta = theta - cp.multiply(sixteenth, s)
    return [*cones, cp.SOC(s + theta, cp.vstack([2.0 * v, s - theta]), axis=0)]


def eulerian_problem(
    shape,
    action: np.ndarray,
    terms: tuple,
    cap: np.ndarray | None,
    factor: np.ndarray | None,
    scale: float,
    start: np.ndarray,
    linear=None,
    quadratic=None,
    unit: float = 1.0,
    gradient: tuple = (),
) -> Model:
    """The Eulerian step: densities r⁰ … r^K on cells, r^k = r^{k−1} − Dv^k, Σ v²/θ by second-order cones, and
    so the cost of sources.

    `shape` holds the divergence D, the two-cell mean S, the number of slices and the cell volume; `action`
    is the weight of v²/θ on each face; `terms` the conic internal energies; `cap` an upper bound or None;
    `factor` B, whose ½|Bᵀr|² is the convex part of an interaction, or None; `scale` a typical density, in
    whose multiples densities, flows and `start` are; `linear` and `quadratic` act on r^K so counted;
    `gradient` the terms of ∇ρ.
    """
    import cvxpy as cp

    size, faces = shape.divergence.shape
    r = [cp.Variable(size) for _ in range(shape.slices + 1)]
    v = [cp.Variable(faces) for _ in range(shape.slices)]
    s = [cp.Variable(faces) for _ in range(shape.slices)]
    first = r[0] == start
    continuity = [r[k + 1] - r[k] + shape.divergence @ v[k] == 0 for k in range(shape.slices)]
    constraints = [first, *continuity]
    for k in range(shape.slices):
        constraints += _cost_of_slice(shape, 0.5 * (r[k] + r[k + 1]), v[k], s[k], scale)
    objective = sum(scale * action @ a for a in s)
    cones = [(c, FORMS[type(atom)][0](atom, r[-1], scale)) for c, atom in terms]
    if shape.length is not None:  # the constant of the mass that entropies leave out
        temperature = sum(c for c, atom in terms if type(atom) is fn.Entropy)
        objective = objective + shape.volume * scale * np.log(scale) * temperature * cp.sum(r[-1])
    bent = [(c, GRADIENT_FORMS[type(atom)](atom, r[-1], shape, scale)) for c, atom in gradient]
    positive = r[1:-1] if any(term.implies_positive for _, term in cones + bent) else r[1:]
    constraints += [a >= 0 for a in positive]
    for c, term in [(shape.volume * c, term) for c, term in cones] + bent:
        objective = objective + c * term.objective
        constraints += term.constraints
    if cap is not None:
        constraints.append(r[-1] <= cap / scale)
    if factor is not None:
        y, size = cp.Variable(factor.shape[1]), float(np.abs(factor).max()) or 1.0
        constraints.append(y == (factor / size).T @ r[-1])
        objective = objective + 0.5 * (scale * size) ** 2 * cp.sum_squares(y)
    objective = unit * (objective + linear_and_quadratic(r[-1], linear, quadratic))
    problem = cp.Problem(cp.Minimize(objective), constraints)
    outputs = {"density": tuple(r), "flow": tuple(v)}
    return Model(problem, first, r[-1], outputs, tuple(continuity), scale, unit=unit)


def _below(u, a, b, d: int) -> list:
    """Cones for u^d + a^d ≤ b^d: second-order ones in the plane, else those of powers, a^d ≤ s b^{d−1} and
    u^d ≤ (b − s) b^{d−1}."""
    import cvxpy as cp

    if d == 2:
        return [cp.SOC(b, cp.vstack([u, a]), axis=0)]
    s, share = cp.Variable(u.size), np.full(u.size, 1.0 / d)
    return [cp.PowCone3D(s, b, a, share), cp.PowCone3D(b - s, b, u, share)]


def lagrangian_problem(
    line: Any,
    terms: tuple,
    usual: np.ndarray,
    least: np.ndarray,
    box: tuple,
    start: np.ndarray,
    linear=None,
    quadratic=None,
    unit: float = 1.0,
) -> Model:
    """The Lagrangian step of a `Line`, or its `Shells`: edges X = start + d between the walls of the `box`,
    cells of lengths u ≥ `least`; of a ball that is full the first edge stays.

    Edges and `start` are counted from an origin in a tenth of the box, and the cones of energies see u in
    multiples of the `usual` ones. `linear` and `quadratic` act on the displacement d so counted; the
    transport cost is part of `quadratic`.
    """
    import cvxpy as cp

    masses, dimension, (origin, unit_length) = line.masses, line.dimension, line.frame
    lower, upper = ((wall - origin) / unit_length for wall in box)
    X, d = cp.Variable(masses.size + 1), cp.Variable(masses.size + 1)
    first, u = X - d == start, cp.diff(X)
    constraints = [first, X[0] == lower if line.full else X[0] >= lower, X[-1] <= upper]
    if dimension > 1:
        u = cp.Variable(masses.size)
        constraints += [cp.diff(X) >= 0.0, *_below(u, X[:-1], X[1:], dimension)]
    held = np.flatnonzero(masses > 0.0)
    seen, sizes = cp.multiply(unit_length / usual[held], u[held]), line.sizes_of(usual[held])
    cones = [(c, FORMS[type(atom)][1](atom, masses[held], seen, sizes, dimension)) for c, atom in terms]
    objective = linear_and_quadratic(d, linear, quadratic)
    for c, term in cones:
        objective = objective + c * term.objective
        constraints += term.constraints
    implied = any(term.implies_positive for _, term in cones) and held.size == masses.size
    if not implied or np.any(least > 0.0):
        constraints.append(u >= least / unit_length)
    problem = cp.Problem(cp.Minimize(unit * objective), constraints)
    return Model(problem, first, d, {"edges": (X,)}, scale=unit_length, origin=origin, unit=unit)


def solve(problem, solver: str, options: dict) -> str | None:
    """Solve by cvxpy's own path; None, or what it failed with. The certificate replaces its warnings."""
    import cvxpy as cp

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            problem.solve(solver=solver, **options)
    except cp.SolverError as error:
        return f"a failure ({' '.join(str(error).split())})"
    return None


def linear_and_quadratic(variable, linear, quadratic):
    """The terms of a step's data on a variable, each of which may be None."""
    import cvxpy as cp

    total = 0.0
    if linear is not None:
        total = total + linear @ variable
    if quadratic is not None:
        total = total + 0.5 * cp.quad_form(variable, cp.psd_wrap(quadratic))
    return total
