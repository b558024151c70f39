"""The derivative of `steps.Linearized`, by conjugate gradients with the Hessian of its Newton method."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from jko.loops.elliptic.linearized_flux import adjoint, advected, hamilton_jacobi
from jko.measures import Density, Grid
from jko.scheme import State
from jko.sensitivity.engine import Pulled, Taken
from jko.sensitivity.grid import DualEquation, GridStep
from jko.sensitivity.tolerances import TOLERANCES
from jko.steps.linearized.newton import LinearizedNewton


class LinearizedStep(GridStep):
    """ρ = U*′(q), q = φ + (τ/2)|∇φ|² − V − W∗ρ, ρ − τ∇·(ρ∇φ) = ρ_k, differentiated as one system.

    With A u = u + τ∇φ·∇u and κ = U*″(q), the Hessian of the step is H = AᵀκA − τ∇·(ρ∇). For the cotangent c
    of ρ, Hu = Aᵀκc gives u, the cotangent of ρ_k, and κ(Au − c), that of V + U′ + W∗ρ; an interaction sends
    its part of c back, and both are solved together.

    Newton's method goes on to rounding, W∗ρ held: a gap of 1e-7, where the scheme ends, moves a derivative by
    a thousandth, and the value is to be that of the step that is differentiated.
    """

    def __init__(self, *arguments):
        super().__init__(*arguments)
        if self.initial.grid.is_room:
            self.refuse("rooms", "a box without any")

    def step(self, mu: Density, state: State, t: float, tau: float, count: int = 1):
        new, info, found = self.scheme.solved(self.problem, mu, t, tau)
        if not info.converged:
            return Taken(new, state, info, None)
        ladder = self.problem.at(t + tau)
        outer = ladder.problem.outer(ladder.problem.interaction(new.values))
        given = mu, outer, found.details["floor"], t, tau
        newton = self.newton(*given)
        start = newton.at(found.found.phi, found.found.pressure)
        now = newton.at(newton.solve(start, TOLERANCES.sharp_gap, TOLERANCES.polish).phi)
        new = Density(mu.grid, ladder.normalise(now, mu))
        gap = (math.sqrt(now.gap) + math.sqrt(found.lag)) ** 2
        return Taken(new, state, replace(info, gap=gap), (new, now.phi, given))

    def newton(self, mu: Density, outer: np.ndarray, floor: float, t: float, tau: float):
        """Newton's method of a step from mu, raised to the floor, V + W∗ρ′ the outer potential."""
        internal, grid = self.problem.at(t + tau).problem.internal, mu.grid
        rho = np.maximum(mu.values, floor * mu.values.max())
        return LinearizedNewton(internal, tau, grid.spacing, rho, outer, 1.0, grid.periodic)

    def pull(self, tape: tuple, cotangent: dict):
        new, phi, given = tape
        mu, _, floor, t, tau = given
        equation = _Equation(self, self.newton(*given), phi, mu.grid, t + tau)
        c = cotangent["values"].reshape(equation.newton.shape)
        u, of_field, residual = equation.solved(c)
        by_tau = equation.by_tau(u, of_field)
        cells = mu.grid.cells
        parameters, time = self.slopes(
            equation.now.density.reshape(cells), new.values, of_field.reshape(cells), t + tau
        )
        raised = mu.values < floor * mu.values.max()
        before = np.where(raised, 0.0, u.reshape(cells))
        return Pulled({"values": before}, parameters, by_tau + time, time, residual)


class _Equation(DualEquation):
    """In the layout of the step's Newton method."""

    def __init__(self, step: LinearizedStep, newton: LinearizedNewton, phi: np.ndarray, grid: Grid, t: float):
        self.newton, self.now = newton, newton.at(phi)
        self.step, self.t, self.tau, self.grid = step, t, newton.tau, grid
        with np.errstate(all="ignore"):
            curvature = 1.0 / newton.internal.second_derivative(self.now.density)
        self.curvature = np.where(self.now.density > 0.0, curvature, 0.0)
        self.cycle = newton.preconditioner(self.now)
        self.weight = 1.0 / np.sqrt(self.now.diagonal)

    def advected(self, u: np.ndarray):
        return self._applied(advected, u, self.now.phi)

    def adjoint(self, work: np.ndarray, u: np.ndarray):
        """Aᵀ work − τ∇·(ρ∇u)."""
        return self._applied(adjoint, work, self.now.phi, self.now.density, u)

    def _applied(self, loop, *fields):
        fields = [np.ascontiguousarray(field) for field in fields]
        return self.newton.faces.apply(loop, *fields, scale=self.newton.scale)

    def by_tau(self, u: np.ndarray, of_field: np.ndarray) -> float:
        """−∫½|∇φ|² of the field's cotangent, and u against ∇·(ρ∇φ)."""
        newton, now = self.newton, self.now
        square = self._applied(hamilton_jacobi, now.phi, now.phi) / self.tau
        flux = (now.density - newton.before) / self.tau
        return float(np.vdot(u, flux) - np.vdot(of_field, square))
