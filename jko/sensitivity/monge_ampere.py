"""The derivative of `steps.MongeAmpere`: its discrete equation differentiated at the solution."""

from __future__ import annotations

import math
from itertools import product

import numpy as np

from functionals.programs import kept
from jko.loops.transport.monge_ampere import TAIL, End
from jko.measures import Density, Grid
from jko.scheme import State
from jko.sensitivity.engine import Pulled, Taken
from jko.sensitivity.grid import GridStep, eliminated, newton_cycle, solved
from jko.sensitivity.tolerances import TOLERANCES
from jko.steps.monge_ampere.ladder import joined_axes, log_density
from jko.steps.monge_ampere.newton import PressureNewton
from jko.steps.monge_ampere.scheme import unsuited


class MongeAmpereStep(GridStep):
    """U′(ρ̂) + V + W∗ρ′ = p with log ρ̂ = L(p, log ρ_k, τ) = log ρ_k(S) + log det DS, ρ′ = ρ̂ Σρ_k/Σρ̂.

    With A = ∂L/∂p, κ = ρ̂U″(ρ̂) and c the cotangent of ρ̂, the adjoint μ solves μ − κAᵀμ = ρ̂c, a stencil, by
    GMRES with the V-cycle of the step's own Newton method, whose operator is the adjoint's in μ/ρ̂ but for the
    differences; where tails are too steep for it, by elimination. Aᵀμ is then the cotangent of V + U′, and
    (∂L/∂log ρ_k)ᵀμ that of log ρ_k.
    """

    def step(self, mu: Density, state: State, t: float, tau: float, count: int = 1):
        new, after, info, found = self.scheme.solved(self.problem, mu, t, tau, state)
        if found is None and info.converged:
            self.refuse(
                f"a step that Newton's method does not take ({unsuited(mu) or info.note})",
                "a positive smooth density and a smaller tau, or take steps.Quantile or steps.Linearized",
            )
        return Taken(new, after, info, (mu, new, found, t, tau))

    def polished(self, mu: Density, state: State, t: float, tau: float) -> Taken | None:
        """The step of another scheme by Newton's method; None where the equation does not take it."""
        if unsuited(mu) is not None:
            return None
        new, after, info, found = self.scheme.solved(self.problem, mu, t, tau, state)
        return None if found is None else Taken(new, after, info, (mu, new, found, t, tau))

    def pull(self, tape: tuple, cotangent: dict):
        mu, new, found, t, tau = tape
        ladder, grid = self.problem.at(t + tau), mu.grid
        outer = ladder.problem.outer(ladder.problem.interaction(new.values))

        def turned(field: np.ndarray, back: int = 1):
            return np.roll(field, tuple(back * s for s in found.turn), tuple(range(mu.dimension)))

        mu, new = (density.with_values(turned(density.values)) for density in (mu, new))
        log, c, ends = log_density(mu.values), turned(cotangent["values"]), found.ends
        newton = PressureNewton(ladder.energy, tau, grid.spacing, log, turned(outer), ends, np.inf, np.inf)
        now = newton.at(turned(found.p))  # of which a constant does not count
        apart = np.abs(now.density / now.density.sum() - new.values / new.values.sum()).sum()
        if not apart <= TOLERANCES.apart:
            self.refuse(
                f"a step that tears mass apart (its equation's density is {apart:.1e} of the mass from the "
                "stored one)",
                "a smaller tau or a box that ends where the density does",
            )
        equation = _Equation(self, grid, now, tau, log, ends, t + tau)
        flow, residual = equation.solved(mu, c)
        of_field = equation.transposed(flow)
        of_log, by_tau = equation.of_log(flow), float(np.vdot(of_field, now.p)) / tau
        whole = equation.whole(c, of_field)
        held = mu.values > TOLERANCES.empty * mu.values.max()
        before = np.where(held, of_log / np.where(held, mu.values, 1.0), 0.0)
        before += np.vdot(whole, new.values) / mu.values.sum()
        given = (turned(field, -1) for field in (now.density, new.values, of_field))
        parameters, time = self.slopes(*given, t + tau)
        return Pulled({"values": turned(before, -1)}, parameters, by_tau + time, time, residual)


class _Equation:
    """The linear equation of μ at a solution: Aδ = τ(∇log ρ_k(S)·∇δ + (DS)⁻¹ : D²δ) by the differences of the
    step, the identity for DS where it folds: there L is continued and weighs nothing."""

    def __init__(
        self, step: MongeAmpereStep, grid: Grid, now, tau: float, log: np.ndarray, ends: tuple, t: float
    ):
        self.now, self.grid, self.step, self.t, self.tau = now, grid, step, t, tau
        cells, d = grid.cells, grid.dimension
        self.joined = joined_axes(ends)
        differences, self._back = _differences(cells, grid.spacing, ends)
        found = (differences @ now.p.ravel()).reshape(-1, *cells)
        self._taps = [
            _taps(np.arange(n).reshape([-1 if b == a else 1 for b in range(d)]) + tau / h * slope, n, lower)
            for a, (n, h, slope, (lower, _)) in enumerate(zip(cells, grid.spacing, found, ends, strict=False))
        ]
        jacobian = np.zeros((*cells, d, d)) + np.eye(d)
        for (a, b), second in zip(_pairs(d), found[d:], strict=True):
            jacobian[..., a, b] += tau * second
            jacobian[..., b, a] = jacobian[..., a, b]
        held = now.least >= TAIL
        inverse = np.linalg.inv(np.where(held[..., None, None], jacobian, np.eye(d)))
        turned = [(1.0 if a == b else 2.0) * held * inverse[..., a, b] for a, b in _pairs(d)]
        self._coefficients = tau * np.stack([*self._slopes(log), *turned])
        self.share = 1.0 / float(now.density.sum())

    def _slopes(self, log: np.ndarray):
        """∇log ρ_k(S), of the cubics that interpolate it."""
        along = [np.zeros(self.grid.cells) for _ in self._taps]
        for choice in product(range(4), repeat=len(self._taps)):
            taken = [tap[k] for tap, k in zip(self._taps, choice, strict=True)]
            values = log[tuple(index for index, _, _ in taken)]
            for a, total in enumerate(along):
                weights = [slope if b == a else weight for b, (_, weight, slope) in enumerate(taken)]
                total += values * math.prod(weights)
        return [total / h for total, h in zip(along, self.grid.spacing, strict=True)]

    def transposed(self, flow: np.ndarray):
        """Aᵀ flow."""
        return (self._back @ (self._coefficients * flow).ravel()).reshape(flow.shape)

    def of_log(self, flow: np.ndarray):
        """(∂L/∂log ρ_k)ᵀ flow."""
        total = np.zeros(flow.size)
        for choice in product(*self._taps):
            place = np.ravel_multi_index(tuple(index for index, _, _ in choice), flow.shape)
            weights = flow * math.prod(weight for _, weight, _ in choice)
            total += np.bincount(place.ravel(), weights.ravel(), flow.size)
        return total.reshape(flow.shape)

    def whole(self, c: np.ndarray, of_field: np.ndarray):
        """The cotangent of ρ′ with what the interaction sends back."""
        sent = self.step.convolved(of_field, self.t)
        return c if sent is None else c + sent

    def normalised(self, c: np.ndarray, scale: float):
        """The cotangent of ρ̂ from that of ρ′ = ρ̂·Σρ_k/Σρ̂."""
        return scale * (c - np.vdot(c, self.now.density) * self.share)

    def solved(self, mu: Density, c: np.ndarray):
        """(μ, the relative residual)."""
        scale = float(mu.values.sum()) * self.share
        now = self.now

        def operator(flow: np.ndarray):
            of_field = self.transposed(flow)
            out = flow - now.stiffness * of_field
            sent = self.step.convolved(of_field, self.t)
            return out if sent is None else out - now.density * self.normalised(sent, scale)

        right = now.density * self.normalised(c, scale)
        cycle = newton_cycle(self.grid.spacing, now.log, now.stiffness, now.diagonal, self.tau, self.joined)
        flow, residual = solved(operator, right, cycle)
        if residual <= TOLERANCES.enough or any(self.joined):  # elimination knows no joined ends
            return flow, residual
        alone = eliminated(lambda flow: flow - now.stiffness * self.transposed(flow), self.grid.cells)
        return solved(operator, right, alone)


def _pairs(d: int):
    """Of the second derivatives: the pure ones, then the mixed ones."""
    return [(a, a) for a in range(d)] + [(a, b) for a in range(d) for b in range(a)]


@kept
def _differences(cells: tuple, spacing: tuple, ends: tuple):
    """The centred first derivatives along all axes and the second ones of `_pairs`, one below the other as a
    sparse matrix, and its transposed."""
    from scipy import sparse

    d = len(cells)
    axes = [_line_differences(*axis) for axis in zip(cells, spacing, ends, strict=True)]

    def along(parts: dict):
        whole = sparse.identity(1)
        for axis, n in enumerate(cells):
            whole = sparse.kron(whole, parts.get(axis, sparse.identity(n)))
        return whole

    first = [along({a: axes[a][0]}) for a in range(d)]
    second = [along({a: axes[a][1]} if a == b else {a: axes[a][0], b: axes[b][0]}) for a, b in _pairs(d)]
    matrix = sparse.csr_matrix(sparse.vstack([*first, *second]))
    return matrix, matrix.T.tocsr()


def _line_differences(n: int, h: float, ends: tuple):
    """The first and second derivative on a line that is mirrored at its ends, continued through them or
    closed, as by `loops.transport.monge_ampere`."""
    from scipy import sparse

    wide = sparse.lil_matrix((n + 2, n))
    wide[1:-1] = sparse.identity(n)
    for row, inward, end in ((0, 1, ends[0]), (n + 1, -1, ends[1])):
        near = 0 if inward > 0 else n - 1
        if end is End.FREE:
            wide[row, [near, near + inward, near + 2 * inward]] = 3.0, -3.0, 1.0
        else:
            wide[row, n - 1 - near if end is End.JOINED else near] = 1.0
    low, own, high = (wide.tocsr()[k : k + n] for k in range(3))
    return (high - low) / (2.0 * h), (high - 2.0 * own + low) / h**2


def _taps(place: np.ndarray, n: int, end: End):
    """Of cubic Lagrange interpolation at places in cells from the first centre, four of (index, weight, its
    derivative by the place)."""
    joined = end is End.JOINED
    held = place if joined else np.clip(place, -0.5, n - 0.5)
    base = np.floor(held).astype(int)
    base = base if joined else np.clip(base, 1, n - 3)
    t, free = held - base, held == place
    a, b, c = t + 1.0, t - 1.0, t - 2.0
    weights = (-t * b * c / 6.0, a * b * c / 2.0, -a * t * c / 2.0, a * t * b / 6.0)
    slopes = (
        -(b * c + t * (b + c)) / 6.0,
        (b * c + a * (b + c)) / 2.0,
        -(t * c + a * (t + c)) / 2.0,
        (t * b + a * (t + b)) / 6.0,
    )
    return [((base - 1 + k) % n, w, free * s) for k, (w, s) in enumerate(zip(weights, slopes, strict=True))]
