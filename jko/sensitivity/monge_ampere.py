"""The derivative of `steps.MongeAmpere`: its discrete equation differentiated at the solution."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from functionals.programs import kept
from jko.loops.grids.cubic_adjoint import slopes_at, spread
from jko.loops.grids.stencil import scatter
from jko.loops.transport.monge_ampere import TAIL, End, transported
from jko.measures import Density, Grid
from jko.scheme import State
from jko.sensitivity.engine import Pulled, Taken
from jko.sensitivity.grid import GridStep, eliminated, newton_inverse, solved
from jko.sensitivity.tolerances import TOLERANCES
from jko.steps.monge_ampere.ladder import joined_axes, log_density
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

        def turned(field: np.ndarray, back: int = 1):
            if not any(found.turn):
                return field
            return np.roll(field, tuple(back * s for s in found.turn), tuple(range(mu.dimension)))

        start, values, c = turned(mu.values), turned(new.values), turned(cotangent["values"])
        log, p = log_density(start), turned(found.p)  # of which a constant does not count
        now = _Point.at(ladder.energy, p, log, tau, grid.spacing, found.ends)
        apart = np.abs(now.density * (values.sum() / now.density.sum()) - values).sum() / values.sum()
        if not apart <= TOLERANCES.apart:
            self.refuse(
                f"a step that tears mass apart (its equation's density is {apart:.1e} of the mass from the "
                "stored one)",
                "a smaller tau or a box that ends where the density does",
            )
        equation = _Equation(self, grid, now, tau, log, found.ends, t + tau)
        flow, residual = equation.solved(float(start.sum()), c)
        of_field = equation.transposed(flow)
        of_log, by_tau = equation.of_log(flow), float(np.vdot(of_field, now.p)) / tau
        held = start > TOLERANCES.told * start.max()
        before = np.divide(of_log, start, out=np.zeros_like(of_log), where=held)
        before += np.vdot(equation.whole(c, of_field), values) / start.sum()
        given = (turned(field, -1) for field in (now.density, values, of_field))
        parameters, time = self.slopes(*given, t + tau)
        return Pulled({"values": turned(before, -1)}, parameters, by_tau + time, time, residual)


class _Point(NamedTuple):
    """A pressure p with log ρ̂, ρ̂, ρ̂U″(ρ̂), the diagonal of (DS)⁻¹ and the least eigenvalues of DS."""

    p: np.ndarray
    log: np.ndarray
    density: np.ndarray
    stiffness: np.ndarray | float
    diagonal: np.ndarray
    least: np.ndarray

    @staticmethod
    def at(energy, p: np.ndarray, log: np.ndarray, tau: float, spacing: tuple, ends: tuple) -> _Point:
        """The point of a pressure, from log ρ_k."""
        log, diagonal, least = transported(log, p, tau, spacing, ends)
        density = np.exp(log)
        return _Point(p, log, density, energy.slope(log, density)[1], diagonal, least)


class _Equation:
    """The linear equation of μ at a solution: Aδ = τ(∇log ρ_k(S)·∇δ + (DS)⁻¹ : D²δ) by the differences of the
    step, and of L as it goes on where DS folds: tails near a wall do so, with up to 1e-4 of the mass."""

    def __init__(
        self, step: MongeAmpereStep, grid: Grid, now, tau: float, log: np.ndarray, ends: tuple, t: float
    ):
        self.now, self.grid, self.step, self.t, self.tau = now, grid, step, t, tau
        cells, d = grid.cells, grid.dimension
        self.joined = joined_axes(ends)
        self._ends, differences = ends, _differences(cells, grid.spacing, ends)
        found = (differences @ now.p.ravel()).reshape(-1, *cells)
        self._flat = (1,) * (3 - d) + cells
        self._closed = np.array((False,) * (3 - d) + self.joined)
        self._places = np.zeros((3, now.p.size))
        for place, along, h, slope in zip(
            self._places[3 - d :], np.indices(cells), grid.spacing, found, strict=False
        ):
            place[:] = (along + tau / h * slope).ravel()
        jacobian = {pair: tau * second for pair, second in zip(_pairs(d), found[d:], strict=True)}
        held = now.least >= TAIL
        turned = [(1.0 if a == b else 2.0) * entry for (a, b), entry in _inverse(jacobian, held, d)]
        self._stencil = _Stencil(cells, grid.spacing, [tau * f for f in (*self._slopes(log), *turned)])
        self.share = 1.0 / float(now.density.sum())

    def _slopes(self, log: np.ndarray):
        """∇log ρ_k(S), of the cubics that interpolate it."""
        along, cells = np.empty_like(self._places), self.grid.cells
        slopes_at(log.reshape(self._flat), self._places, self._closed, along)
        own = along[3 - len(cells) :]
        return [slope.reshape(cells) / h for slope, h in zip(own, self.grid.spacing, strict=True)]

    def transposed(self, flow: np.ndarray):
        """Aᵀ flow."""
        return self._stencil.transposed(flow, self._ends)

    def of_log(self, flow: np.ndarray):
        """(∂L/∂log ρ_k)ᵀ flow."""
        total = np.zeros(self._flat)
        spread(flow.ravel(), self._places, self._closed, total)
        return total.reshape(flow.shape)

    def whole(self, c: np.ndarray, of_field: np.ndarray):
        """The cotangent of ρ′ with what the interaction sends back."""
        sent = self.step.convolved(of_field, self.t)
        return c if sent is None else c + sent

    def normalised(self, c: np.ndarray, scale: float):
        """The cotangent of ρ̂ from that of ρ′ = ρ̂·Σρ_k/Σρ̂."""
        return scale * (c - np.vdot(c, self.now.density) * self.share)

    def solved(self, total: float, c: np.ndarray):
        """(μ, the relative residual), Σρ_k the total; solved for u = μ/ρ̂, which is of one size all over, with
        ρ̂ as the weight of residuals. Empty cells, where p is only continued, are to others as those are."""
        scale, now = total * self.share, self.now
        held = now.log > now.log.max() + math.log(TOLERANCES.empty)
        density = np.maximum(now.density, np.finfo(float).tiny)
        masses, slope = np.where(held, density, 0.0), np.where(held, now.stiffness / density, 0.0)
        beside = 0.0 if held.all() else self.transposed(density - masses)

        def operator(u: np.ndarray, alone: bool = False):
            of_field = self.transposed(masses * u)
            sent = None if alone else self.step.convolved(of_field, self.t)
            out = u - slope * (of_field + beside * u)
            return out if sent is None else out - self.normalised(sent, scale)

        right, weight = self.normalised(c, scale), density / density.max()
        given = self.grid.spacing, now.log, now.stiffness, now.diagonal, self.tau, self.joined
        inverse = newton_inverse(*given, TOLERANCES.inner_iterations)
        u, residual = solved(operator, right, inverse, weight)
        if residual > TOLERANCES.enough and not any(self.joined):  # elimination knows no joined ends
            exact = eliminated(lambda u: operator(u, True), self.grid.cells)
            u, residual = solved(operator, right, lambda r, _: exact(r), weight)
        return density * u, residual


def _pairs(d: int):
    """Of the second derivatives: the pure ones, then the mixed ones."""
    return [(a, a) for a in range(d)] + [(a, b) for a in range(d) for b in range(a)]


def _inverse(jacobian: dict, held: np.ndarray, d: int):
    """The derivative of log det DS by the entries of DS = I + `jacobian`, by pairs: those of (DS)⁻¹, and
    where not `held` those of the logarithms of DS's eigenvalues as they go on below TAIL."""
    if d == 2:
        a, b, c = 1.0 + jacobian[0, 0], 1.0 + jacobian[1, 1], jacobian[1, 0]
        share = 1.0 / np.where(held, a * b - c * c, 1.0)
        inverse = [b * share, a * share, -c * share]
    else:
        of_held = np.linalg.inv(np.where(held[..., None, None], _matrices(jacobian, d), np.eye(d)))
        inverse = [of_held[..., a, b] for a, b in _pairs(d)]
    if not held.all():
        folded = {pair: entry[~held] for pair, entry in jacobian.items()}
        values, vectors = np.linalg.eigh(_matrices(folded, d))
        along = vectors / np.maximum(values, TAIL)[:, None, :]
        for entry, (a, b) in zip(inverse, _pairs(d), strict=True):
            entry[~held] = np.sum(along[:, a] * vectors[:, b], axis=-1)
    return list(zip(_pairs(d), inverse, strict=True))


def _matrices(jacobian: dict, d: int):
    """I + `jacobian`, of entries by pairs."""
    whole = np.zeros((*jacobian[0, 0].shape, d, d)) + np.eye(d)
    for (a, b), entry in jacobian.items():
        whole[..., a, b] += entry
        if a != b:
            whole[..., b, a] += entry
    return whole


class _Stencil:
    """f_a ∂_a + f_ab ∂_ab by centred differences, of fields f along all axes and then of all `_pairs`, whose
    transposed goes into a layer round the box that is folded back as the pressure is continued into it."""

    def __init__(self, cells: tuple, spacing: tuple, fields: list):
        d, steps = len(cells), np.eye(len(cells), dtype=int)
        weights: dict[tuple, np.ndarray] = {(0,) * d: np.zeros(cells)}

        def add(offset: np.ndarray, share: np.ndarray):
            key = tuple(offset.tolist())
            weights[key] = weights[key] + share if key in weights else share

        for a, (field, h) in enumerate(zip(fields, spacing, strict=False)):
            add(steps[a], field / (2.0 * h))
            add(-steps[a], field / (-2.0 * h))
        for (a, b), field in zip(_pairs(d), fields[d:], strict=True):
            share = field / (spacing[a] * spacing[b])
            if a == b:
                add(0 * steps[a], -2.0 * share)
            for up in (1, -1):
                for along in (1, -1) if a != b else (0,):
                    sign = 0.25 * up * along if a != b else 1.0
                    add(up * steps[a] + along * steps[b], sign * share)
        self.cells = tuple(n + 2 for n in cells)
        strides = np.append(np.cumprod(self.cells[:0:-1])[::-1], 1).astype(int)
        self.offsets = np.array([strides @ offset for offset in weights])
        self.places = sum(
            s * (np.arange(n) + 1).reshape(-1, *(1,) * (d - 1 - a))
            for a, (s, n) in enumerate(zip(strides, cells, strict=True))
        ).ravel()
        self.weights = np.stack([field.ravel() for field in weights.values()], axis=1)

    def transposed(self, field: np.ndarray, ends: tuple) -> np.ndarray:
        """The transposed, of a field in the cells."""
        out = np.zeros(self.cells)
        scatter(field.ravel(), self.weights, self.places, self.offsets, out.reshape(-1))
        for axis, (lower, upper) in enumerate(ends):
            lines = out.swapaxes(0, axis)
            first, last, inner = lines[0].copy(), lines[-1].copy(), lines[1:-1]
            if lower is End.JOINED:
                first, last = last, first
            for rows, layer, end in ((inner, first, lower), (inner[::-1], last, upper)):
                if end is End.FREE:
                    rows[0] += 3.0 * layer
                    rows[1] -= 3.0 * layer
                    rows[2] += layer
                else:
                    rows[0] += layer
            out = inner.swapaxes(0, axis)
        return np.ascontiguousarray(out)


@kept
def _differences(cells: tuple, spacing: tuple, ends: tuple):
    """The centred first derivatives along all axes and the second ones of `_pairs`, one below the other as a
    sparse matrix."""
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
    return sparse.csr_matrix(sparse.vstack([*first, *second]))


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
