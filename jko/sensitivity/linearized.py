"""The derivative of `steps.Linearized`, by conjugate gradients with the Hessian of its Newton method."""

from __future__ import annotations

import numpy as np

from jko.loops.elliptic.linearized_flux import adjoint, advected, hamilton_jacobi
from jko.measures import Density
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
    """

    def __init__(self, *arguments):
        super().__init__(*arguments)
        if self.initial.grid.is_room:
            self.refuse("rooms", "a box without any")

    def step(self, mu: Density, state: State, t: float, tau: float, count: int = 1):
        new, info, found = self.scheme.solved(self.problem, mu, t, tau)
        return Taken(new, state, info, (mu, new, found, t, tau))

    def pull(self, tape: tuple, cotangent: dict):
        mu, new, found, t, tau = tape
        equation = _Equation(self, mu, new, found, t + tau, tau)
        c = cotangent["values"].reshape(equation.newton.shape)
        u, of_field, residual = equation.solved(c)
        by_tau = equation.by_tau(u, of_field)
        cells = mu.grid.cells
        parameters, time = self.slopes(
            equation.now.density.reshape(cells), new.values, of_field.reshape(cells), t + tau
        )
        raised = mu.values < found.details["floor"] * mu.values.max()
        before = np.where(raised, 0.0, u.reshape(cells))
        return Pulled({"values": before}, parameters, by_tau + time, time, residual)


class _Equation(DualEquation):
    """In the layout of the step's Newton method."""

    def __init__(self, step: LinearizedStep, mu: Density, new: Density, found, t: float, tau: float):
        problem, grid = step.problem.at(t).problem, mu.grid
        outer = problem.outer(problem.interaction(new.values))
        rho = np.maximum(mu.values, found.details["floor"] * mu.values.max())
        self.newton = LinearizedNewton(problem.internal, tau, grid.spacing, rho, outer, 1.0, grid.periodic)
        start = self.newton.at(found.found.phi, found.found.pressure)
        self.now = self.newton.at(self.newton.solve(start, TOLERANCES.sharp_gap, TOLERANCES.polish).phi)
        self.step, self.t, self.tau, self.grid = step, t, tau, grid
        with np.errstate(all="ignore"):
            curvature = 1.0 / problem.internal.second_derivative(self.now.density)
        self.curvature = np.where(self.now.density > 0.0, curvature, 0.0)
        self.cycle = self.newton.cycle or self.newton.preconditioner(self.now)
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
