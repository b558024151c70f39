"""Newton's method for the linearised JKO step on one grid [CancesGallouetTodeschi2020]."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from functionals import Functional
from jko.errors import UnsupportedFunctional
from jko.loops.elliptic import linearized_direct
from jko.loops.elliptic.linearized_flux import Faces, adjoint, advected, balance, hamilton_jacobi
from jko.loops.elliptic.multigrid import Multigrid
from jko.loops.elliptic.room_flux import RoomFaces
from jko.loops.grids.resample import interpolate
from jko.measures import Density
from jko.steps.grid.dual_energy import DualEnergy
from jko.steps.grid.energy import DualProblem, energy_size
from jko.steps.grid.levels import Levels
from jko.steps.linearized.tolerances import TOLERANCES


@dataclass
class Pair:
    """φ and q = U′(ρ), taken as independent, with what they give: ρ = U*′(q), U*″, the residuals
    ρ_k − ρ + τ∇·(ρ∇φ) and q − (φ + (τ/2)|∇φ|² − V), both weighed into a gap, and (τ/2)∫|∇φ|²ρ."""

    phi: np.ndarray
    pressure: np.ndarray
    gap: float
    transport: float
    density: np.ndarray | None = None
    curvature: np.ndarray | None = None
    imbalance: np.ndarray | None = None
    mismatch: np.ndarray | None = None
    diagonal: np.ndarray | None = None


class LinearizedNewton:
    """U′(ρ) = φ + (τ/2)|∇φ|² − V, ρ − τ∇·(ρ∇φ) = ρ_k on one grid.

    U′(ρ) and φ are iterated side by side, so that no exponential of |∇φ|² is met on the way. `bend` is the
    share of (τ/2)|∇φ|² that is kept: 1, or 0 for implicit Euler of the PDE itself. Axes may be periodic, and
    cells that are not `inside` walls, whose own density stays by itself.
    """

    def __init__(
        self,
        internal,
        tau: float,
        spacing: tuple,
        density: np.ndarray,
        potential: np.ndarray,
        bend: float = 1.0,
        periodic: tuple | None = None,
        inside: np.ndarray | None = None,
    ):
        cells = density.shape
        self.internal, self.tau, self.cells = internal, tau, cells
        self.shape = (1,) * (3 - len(cells)) + cells
        self.periodic = tuple(periodic or (False,) * len(cells))
        turns = (False,) * (3 - len(cells)) + self.periodic
        self.inside = None if inside is None else inside.reshape(self.shape)
        self.faces = Faces(turns) if self.inside is None else RoomFaces(self.inside, turns)
        self.before = np.ascontiguousarray(density).reshape(self.shape)
        self.potential = np.ascontiguousarray(potential).reshape(self.shape)
        self.scale = np.array([0.0] * (3 - len(cells)) + [tau / h**2 for h in spacing])
        self.bend = bend
        self.cell_volume = float(math.prod(spacing))
        terms = internal.terms
        self.temperature = terms[0][0] if len(terms) == 1 and terms[0][1].is_entropy else None
        self.floor = TOLERANCES.rounding * energy_size(
            internal, self.potential, self.before, self.cell_volume
        )
        self.iterations = self.linear_iterations = 0
        self.cycle: Any = None  # the preconditioner of the last correction
        self.bandwidth = linearized_direct.bandwidth(self.shape)
        self.direct = (
            self.temperature is not None and self.before.size * self.bandwidth**2 <= TOLERANCES.direct_work
        )
        self.direct &= inside is None and not any(self.periodic)

    def start(self) -> Pair:
        """No motion: φ = 0, ρ = ρ_k. One iteration from there is the semi-implicit step."""
        floor = TOLERANCES.smallest if self.temperature is not None else 0.0
        return self.at(np.zeros(self.shape), self.internal.derivative(np.maximum(self.before, floor)))

    def at(self, phi: np.ndarray, pressure: np.ndarray | None = None) -> Pair:
        """What φ and q give; q = φ + (τ/2)|∇φ|² − V if None."""
        phi = np.ascontiguousarray(phi).reshape(self.shape)
        exact = self.faces.apply(hamilton_jacobi, phi, self.potential, scale=self.bend * self.scale)
        pressure = exact if pressure is None else np.ascontiguousarray(pressure).reshape(self.shape)
        with np.errstate(all="ignore"):
            density = self.internal.conjugate_derivative(pressure)
            curvature, diagonal = self._curvature(density)
            imbalance = self.faces.apply(balance, density, phi, self.before, scale=self.scale)
            mismatch = pressure - exact
            gap = np.vdot(imbalance, imbalance / diagonal) + np.vdot(mismatch, mismatch * curvature)
            transport = self._transport(phi, density, exact)
        gap = 0.5 * float(gap) * self.cell_volume
        return Pair(phi, pressure, gap, transport, density, curvature, imbalance, mismatch, diagonal)

    def _transport(self, phi: np.ndarray, density: np.ndarray, exact: np.ndarray):
        """(τ/2)∫|∇φ|²ρ."""
        if self.bend == 1.0:
            return float(np.vdot(exact + self.potential - phi, density)) * self.cell_volume
        square = self.faces.apply(hamilton_jacobi, phi, phi, scale=self.scale)
        return float(np.vdot(square, density)) * self.cell_volume

    def _curvature(self, density: np.ndarray):
        """U*″ and the zeroth-order coefficient of the Hessian."""
        if self.temperature is not None:
            diagonal = np.maximum(self.before, density) / self.temperature
            return density / self.temperature, np.maximum(diagonal, TOLERANCES.smallest)
        curvature = np.where(density > 0.0, 1.0 / self.internal.second_derivative(density), 0.0)
        curvature += TOLERANCES.vacuum * curvature.max()
        return curvature, curvature

    def solve(self, now: Pair, tolerance: float, most: int) -> Pair:
        """Iterates until the gap is `tolerance` of (τ/2)∫|∇φ|²ρ."""
        for _ in range(most):
            goal = tolerance * now.transport + self.floor
            if not np.isfinite(now.gap) or (now.gap <= goal and self.iterations > 0):
                break
            self.iterations += 1
            with np.errstate(all="ignore"):
                correction = self._correction(
                    now,
                    np.clip(0.3 * np.sqrt(goal / now.gap), TOLERANCES.least_forcing, TOLERANCES.most_forcing),
                )
                now = self.at(now.phi + correction, now.pressure + self._rise(now, correction))
        return now

    def eliminated(self, tolerance: float, most) -> Pair | None:
        """The answer from no motion in one compiled call, an entropy on few cells; None where it failed."""
        phi = np.zeros(self.shape)
        pressure = self.internal.derivative(np.maximum(self.before, TOLERANCES.smallest))
        iterations, gap, transport = linearized_direct.solve(
            self.before, self.potential, self.scale, self.bend, self.temperature, self.bandwidth,
            self.cell_volume, tolerance, self.floor, most, phi, pressure,
        )  # fmt: skip
        if iterations < 0:
            return None
        self.iterations += iterations
        return Pair(phi, pressure, gap=gap, transport=transport)

    def _rise(self, now: Pair, correction: np.ndarray):
        change = self.faces.apply(advected, correction, self.bend * now.phi, scale=self.scale)
        change -= now.mismatch
        if self.temperature is not None:
            np.minimum(change, TOLERANCES.rise * self.temperature, out=change)
        return change

    def _correction(self, now: Pair, reduction: float):
        """δ with AᵀU*″Aδ − τ∇·(ρ∇δ) = imbalance + AᵀU*″ mismatch, by conjugate gradients."""
        cycle = self.cycle = self.preconditioner(now)
        work, q, x = np.empty(self.shape), np.empty(self.shape), np.zeros(self.shape)
        bent = self.bend * now.phi
        r = self.faces.apply(adjoint, now.curvature * now.mismatch, bent, now.density, x, scale=self.scale)
        r += now.imbalance
        z = cycle(r)
        rz = start = float(np.vdot(r, z))
        d = z.copy()
        for _ in range(30):
            self.linear_iterations += 1
            self.faces.apply(advected, d, bent, scale=self.scale, out=work)
            work *= now.curvature
            self.faces.apply(adjoint, work, bent, now.density, d, scale=self.scale, out=q)
            curved = float(np.vdot(d, q))
            if not (curved > 0.0 and rz > 0.0):
                break
            alpha = rz / curved
            x += alpha * d
            r -= alpha * q
            z = cycle(r)
            new = float(np.vdot(r, z))
            if new <= reduction**2 * start:
                break
            d *= -alpha * float(np.vdot(q, z)) / rz
            d += z
            rz = new
        return x

    def preconditioner(self, now: Pair):
        """A V-cycle for diagonal·δ − ∇·(ρ(τ + τ²U*″/ρ (∂φ)²)∇δ), the Hessian but for mixed derivatives."""
        floor = TOLERANCES.smallest if self.temperature is not None else TOLERANCES.vacuum * now.density.max()
        rho = np.maximum(now.density, floor)
        mobility = [
            (
                self.scale[axis]
                * (1.0 + self._squared_slope(self.bend * now.phi, axis) * now.curvature / rho)
            ).reshape(self.cells)
            for axis in range(3 - len(self.cells), 3)
        ]
        share = np.clip(
            rho / now.diagonal, 1.0 / TOLERANCES.diagonal_range, TOLERANCES.diagonal_range
        ).reshape(self.cells)
        multigrid = Multigrid(np.log(rho).reshape(self.cells), share, mobility, self.periodic)

        def cycle(r: np.ndarray):
            z = multigrid.cycle((r / now.diagonal).astype(np.float32)).astype(float)
            return z if self.inside is None else np.where(self.inside, z, 0.0)  # which walls have no part in

        return cycle

    def _squared_slope(self, phi: np.ndarray, axis: int):
        """τ(∂φ)², the mean of both faces."""
        if isinstance(self.faces, RoomFaces):
            return 0.5 * self.scale[axis] * self.faces.squared_slope(phi, axis)
        slope, square = np.diff(phi, axis=axis), np.zeros(self.shape)
        slope *= slope
        square[tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))] = slope
        square[tuple(slice(1, None) if a == axis else slice(None) for a in range(3))] += slope
        if axis in self.faces.around:
            ends = phi.take([0], axis) - phi.take([-1], axis)
            square[tuple([0, -1] if a == axis else slice(None) for a in range(3))] += ends**2
        return 0.5 * self.scale[axis] * square


class LinearizedLadder:
    """The potential on all grids of a ladder, and Newton's method up along it."""

    def __init__(self, F: Functional, mu: Density, scheme: str):
        self.problem = DualProblem(F, mu, None, scheme)
        if not self.problem.full_support:
            raise UnsupportedFunctional(
                f"{scheme} needs an internal energy with U′(0) = −∞, which keeps the density positive, "
                f"such as the entropy, got {F!r}; steps.BackAndForth moves densities with vacuum"
            )
        self.dual = DualEnergy(self.problem.internal)
        self.grid, self.inside = mu.grid, None if mu.grid.room is None else mu.grid.inside
        self.levels = Levels(mu.grid, TOLERANCES.coarsest[mu.grid.dimension - 1])
        self.potentials = self.levels.coarsened(self.problem.potential)

    def climb(
        self,
        mu: Density,
        tau: float,
        field: np.ndarray | None,
        floor: float,
        nested: bool,
        tolerance: float,
        most: int,
        bend: float = 1.0,
    ):
        """(the Pair on the finest grid with U′(ρ) as φ gives it, iterations)."""
        potentials, rho, newton = self._finest(mu, tau, field, floor, bend)
        spent, now, was, turns = 0, None, None, self.grid.periodic
        if self.inside is not None:  # on coarser grids walls would lie elsewhere
            found = newton.solve(newton.start(), tolerance, most)
            return newton.at(found.phi), newton.iterations
        found = newton.eliminated(tolerance, most) if newton.direct else None
        if found is not None and found.gap <= tolerance * found.transport + newton.floor:
            return found, newton.iterations
        densities = self.levels.coarsened(rho)
        sizes = self.levels.sizes
        for depth in reversed(range(len(sizes) if nested else 1)):
            size = sizes[depth]
            spacing = self.levels.spacing(size)
            newton = LinearizedNewton(
                self.problem.internal, tau, spacing, densities[depth], potentials[depth], bend, turns
            )
            now = newton.start() if now is None else newton.at(*(_finer(f, was, size, turns) for f in now))
            found = newton.solve(now, tolerance, most)
            now, was, spent = (found.phi, found.pressure), size, spent + newton.iterations
            if not np.isfinite(found.gap):
                return found, spent
        return newton.at(found.phi), spent

    def follow(self, mu: Density, tau: float, field: np.ndarray | None, floor: float, tolerance: float):
        """The same step along a path from rest, by `LogNewton`: (the Pair, iterations)."""
        from jko.steps.linearized.log_newton import LogNewton

        _, _, newton = self._finest(mu, tau, field, floor, 1.0)
        turns = (False,) * (3 - len(self.grid.cells)) + tuple(self.grid.periodic)
        path = LogNewton(newton, turns)
        return path.solve(tolerance, TOLERANCES.path_iterations), path.iterations

    def _finest(self, mu: Density, tau: float, field: np.ndarray | None, floor: float, bend: float):
        """(V + W∗ρ on all grids, ρ_k raised to `floor` of its maximum, Newton's method on the finest)."""
        potentials = self.potentials
        if field is not None:
            potentials = [v + w for v, w in zip(potentials, self.levels.coarsened(field), strict=True)]
        rho = np.maximum(mu.values, floor * mu.values.max())
        if self.inside is not None:  # a potential at which what stands in walls is at rest
            potentials = [np.where(self.inside, potentials[0], -self.problem.internal.derivative(rho))]
        data = tau, self.grid.spacing, rho, potentials[0], bend, self.grid.periodic, self.inside
        return potentials, rho, LinearizedNewton(self.problem.internal, *data)

    def normalise(self, found: Pair, mu: Density):
        """ρ = U*′(p + c) of the mass of ρ_k, nothing in walls."""
        pressure, total = found.pressure.reshape(self.grid.cells), float(mu.values.sum())
        if self.inside is None:
            return self.dual.normalise(-pressure, total)[1]
        values = np.zeros(self.grid.cells)
        values[self.inside] = self.dual.normalise(-pressure[self.inside], total)[1]
        return values


def _finer(field: np.ndarray, cells: tuple, size: tuple, periodic: tuple):
    ratios = [m / n for m, n in zip(cells, size, strict=True)]
    return interpolate(field.reshape(cells), size, (0.0,) * len(size), ratios, periodic)
