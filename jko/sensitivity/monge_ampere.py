"""The derivative of `steps.MongeAmpere`: its discrete equation differentiated at the solution."""

from __future__ import annotations

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np

from functionals.array import Array
from functionals.programs import kept
from jko.loops.elliptic.multigrid import Multigrid
from jko.loops.transport.monge_ampere import TAIL, End
from jko.measures import Density, Grid
from jko.scheme import State
from jko.sensitivity.engine import Pulled, Taken
from jko.sensitivity.grid import GridStep, eliminated, solved
from jko.sensitivity.tolerances import TOLERANCES
from jko.steps.monge_ampere.ladder import ends_of, log_density
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

    def pull(self, tape: tuple, cotangent: dict):
        mu, new, found, t, tau = tape
        ladder, grid, c = self.problem.at(t + tau), mu.grid, cotangent["values"]
        outer = ladder.problem.outer(ladder.problem.interaction(new.values))
        log = log_density(mu.values)
        ends = ends_of(log, grid.periodic)
        newton = PressureNewton(ladder.energy, tau, grid.spacing, log, outer, ends, np.inf, np.inf)
        now = newton.at(found.p)  # of which a constant does not count
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
        with jax.enable_x64(True):
            pull = _pull_back(grid.cells, grid.spacing, ends)
            of_log, by_tau = map(np.asarray, pull(now.p, log, tau, flow))
        whole = equation.whole(c, of_field)
        held = mu.values > TOLERANCES.empty * mu.values.max()
        before = np.where(held, of_log / np.where(held, mu.values, 1.0), 0.0)
        before += np.vdot(whole, new.values) / mu.values.sum()
        parameters, time = self.slopes(now.density, new.values, of_field, t + tau)
        return Pulled({"values": before}, parameters, float(by_tau) + time, time, residual)


class _Equation:
    """The linear equation of ν at a solution."""

    def __init__(
        self, step: MongeAmpereStep, grid: Grid, now, tau: float, log: np.ndarray, ends: tuple, t: float
    ):
        self.now, self.grid, self.step, self.t = now, grid, step, t
        self.ends, self.tau = ends, tau
        with jax.enable_x64(True):
            self.coefficients = _coefficients(grid.cells, grid.spacing, ends)(now.p, log, tau)
            self._stencil = _stencil(grid.cells, grid.spacing, ends)
        self.share = 1.0 / float(now.density.sum())

    def transposed(self, flow: np.ndarray):
        """Aᵀ flow."""
        with jax.enable_x64(True):
            return np.asarray(self._stencil(*self.coefficients, flow))

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
        flow, residual = solved(operator, right, self._cycle())
        if residual <= TOLERANCES.enough or self.grid.is_periodic:  # elimination knows no joined ends
            return flow, residual
        alone = eliminated(lambda flow: flow - now.stiffness * self.transposed(flow), self.grid.cells)
        return solved(operator, right, alone)

    def _cycle(self):
        """The V-cycle of Newton's equations, in units in which single precision rounds alike."""
        now = self.now
        unit = float(np.broadcast_to(now.stiffness, now.p.shape).flat[now.log.argmax()])
        pairs = zip(now.diagonal, self.grid.spacing, strict=True)
        mobility = [self.tau * unit / h**2 * g for g, h in pairs]
        multigrid = Multigrid(now.log - now.log.max(), now.stiffness / unit, mobility, self.grid.periodic)
        shape = multigrid.levels[0].shape

        heavy = now.density > TOLERANCES.light * now.density.max()
        density = np.where(heavy, now.density, 1.0)
        rest = 1.0 / (1.0 + 2.0 * now.stiffness / unit * sum(mobility))

        def cycle(r: np.ndarray):
            size = float(np.abs(r).max()) or 1.0
            of_mass = np.where(heavy, r / (size * density), 0.0).astype(np.float32)
            fine = multigrid.cycle(of_mass.reshape(shape)).reshape(r.shape)
            return np.where(heavy, size * density * fine, rest * r)

        return cycle


def _padded(p: Array, ends: tuple):
    """As `loops.transport.monge_ampere`: mirrored at walls, continued through them, or repeated."""
    for axis, (lower, upper) in enumerate(ends):
        first, last = jnp.take(p, jnp.array([0]), axis), jnp.take(p, jnp.array([-1]), axis)
        if lower is End.JOINED:
            first, last = last, first
        if lower is End.FREE:
            first = 3.0 * (first - jnp.take(p, jnp.array([1]), axis)) + jnp.take(p, jnp.array([2]), axis)
        if upper is End.FREE:
            last = 3.0 * (last - jnp.take(p, jnp.array([-2]), axis)) + jnp.take(p, jnp.array([-3]), axis)
        p = jnp.concatenate([first, p, last], axis)
    return p


def _shifted(p: Array, cells: tuple, steps: np.ndarray):
    """The field of padded p, so many cells further along each axis."""
    return p[tuple(slice(1 + k, 1 + k + n) for k, n in zip(steps, cells, strict=True))]


def _differences(p: Array, cells: tuple, spacing: tuple):
    """∇p `[d, *cells]` centred and D²p `[d, d, *cells]` of padded p."""
    d = len(cells)
    unit = np.eye(d, dtype=int)
    at = lambda steps: _shifted(p, cells, steps)  # noqa: E731
    slope = [(at(unit[a]) - at(-unit[a])) / (2.0 * spacing[a]) for a in range(d)]
    rows = []
    for a in range(d):
        row = []
        for b in range(d):
            if a == b:
                row.append((at(unit[a]) - 2.0 * at(0 * unit[a]) + at(-unit[a])) / spacing[a] ** 2)
            else:
                signs = product((1, -1), repeat=2)
                mixed = sum(i * j * at(i * unit[a] + j * unit[b]) for i, j in signs)
                row.append(mixed / (4.0 * spacing[a] * spacing[b]))
        rows.append(jnp.stack(row))
    return jnp.stack(slope), jnp.stack(rows)


def _interpolated(values: Array, places: Array, ends: tuple):
    """Cubic Lagrange interpolation of a field at places `[d, *cells]` in cells from the first centre."""
    taps = []
    for s, n, (lower, _) in zip(places, values.shape, ends, strict=True):
        joined = lower is End.JOINED
        s = s if joined else jnp.clip(s, -0.5, n - 0.5)
        base = jnp.floor(s).astype(int)
        base = base if joined else jnp.clip(base, 1, n - 3)
        t = s - base
        a, b, c = t + 1.0, t - 1.0, t - 2.0
        weights = (-t * b * c / 6.0, a * b * c / 2.0, -a * t * c / 2.0, a * t * b / 6.0)
        taps.append([((base - 1 + k) % n, w) for k, w in enumerate(weights)])
    total = 0.0
    for choice in product(*taps):
        weight = 1.0
        for _, w in choice:
            weight = weight * w
        total = total + weight * values[tuple(index for index, _ in choice)]
    return total


def _places(slope: Array, tau: Array, cells: tuple, spacing: tuple):
    """S = id + τ∇p, in cells from the first centre."""
    index = jnp.stack(jnp.meshgrid(*(jnp.arange(float(n)) for n in cells), indexing="ij"))
    h = jnp.asarray(spacing).reshape(-1, *(1,) * len(cells))
    return index + tau * slope / h


def _jacobian(hessian: Array, tau: Array, d: int):
    """DS `[*cells, d, d]`, the identity where it folds: there L is continued and weighs nothing."""
    jacobian = jnp.moveaxis(jnp.eye(d).reshape(d, d, *(1,) * d) + tau * hessian, (0, 1), (-2, -1))
    least = jnp.linalg.eigvalsh(jax.lax.stop_gradient(jacobian))[..., 0]
    return jnp.where((least >= TAIL)[..., None, None], jacobian, jnp.eye(d))


@kept
def _coefficients(cells: tuple, spacing: tuple, ends: tuple):
    """(∇log ρ_k(S) `[d, *cells]`, (DS)⁻¹ `[*cells, d, d]`, τ), what the stencil A is made of."""

    def found(p: Array, log: Array, tau: Array):
        slope, hessian = _differences(_padded(p, ends), cells, spacing)
        places = _places(slope, tau, cells, spacing)
        _, pull = jax.vjp(lambda s: _interpolated(log, s, ends), places)
        h = jnp.asarray(spacing).reshape(-1, *(1,) * len(cells))
        (along,) = pull(jnp.ones(cells))
        jacobian = _jacobian(hessian, tau, len(cells))
        folded = jnp.all(jacobian == jnp.eye(len(cells)), axis=(-2, -1)) & jnp.any(
            hessian != 0.0, axis=(0, 1)
        )
        inverse = jnp.where(folded[..., None, None], 0.0, jnp.linalg.inv(jacobian))
        return along / h, inverse, tau

    return jax.jit(found)


@kept
def _applied(cells: tuple, spacing: tuple, ends: tuple):
    """(coefficients, δ) ↦ A δ = τ(∇log ρ_k(S)·∇δ + (DS)⁻¹ : D²δ)."""

    def applied(along: Array, inverse: Array, tau: Array, delta: Array):
        slope, hessian = _differences(_padded(delta, ends), cells, spacing)
        turned = jnp.einsum("...ab,ab...->...", inverse, hessian)
        return tau * (jnp.sum(along * slope, axis=0) + turned)

    return jax.jit(applied)


@kept
def _stencil(cells: tuple, spacing: tuple, ends: tuple):
    """(coefficients, flow) ↦ Aᵀ flow."""

    applied = _applied(cells, spacing, ends)

    def transposed(along: Array, inverse: Array, tau: Array, flow: Array):
        return jax.vjp(lambda delta: applied(along, inverse, tau, delta), jnp.zeros(cells))[1](flow)[0]

    return jax.jit(transposed)


@kept
def _pull_back(cells: tuple, spacing: tuple, ends: tuple):
    """(p, log ρ_k, τ, flow) ↦ the cotangents of log ρ_k and of τ."""

    def logarithm(p: Array, log: Array, tau: Array):
        slope, hessian = _differences(_padded(p, ends), cells, spacing)
        determinant = jnp.linalg.det(_jacobian(hessian, tau, len(cells)))
        return _interpolated(log, _places(slope, tau, cells, spacing), ends) + jnp.log(determinant)

    def pulled(p: Array, log: Array, tau: Array, flow: Array):
        return jax.vjp(lambda log, tau: logarithm(p, log, tau), log, tau)[1](flow)

    return jax.jit(pulled)
