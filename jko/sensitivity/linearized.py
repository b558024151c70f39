"""The derivative of `steps.Linearized`, by conjugate gradients with the Hessian of its Newton method."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jko.loops.elliptic.linearized_flux import adjoint, advected, hamilton_jacobi
from jko.measures import Density
from jko.scheme import State
from jko.sensitivity.engine import Pulled, Taken
from jko.sensitivity.grid import GridStep, conjugate_gradients, eliminated, solved
from jko.sensitivity.tolerances import TOLERANCES
from jko.steps.linearized.newton import LinearizedNewton


class LinearizedStep(GridStep):
    """ρ = U*′(q), q = φ + (τ/2)|∇φ|² − V − W∗ρ, ρ − τ∇·(ρ∇φ) = ρ_k, differentiated as one system.

    With A u = u + τ∇φ·∇u and κ = U*″(q), the Hessian of the step is H = AᵀκA − τ∇·(ρ∇). For the cotangent c
    of ρ, Hu = Aᵀκc gives u, the cotangent of ρ_k, and κ(Au − c), that of V + U′ + W∗ρ; an interaction sends
    its part of c back, and both are solved together.
    """

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


class _Equation:
    """The linear equations at a solution, in the layout of the step's Newton method."""

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
        self.cycle = self.newton.preconditioner(self.now)
        self.weight = 1.0 / np.sqrt(self.now.diagonal)

    def _advected(self, u: np.ndarray):
        return self._applied(advected, u, self.now.phi)

    def _adjoint(self, work: np.ndarray, u: np.ndarray):
        """Aᵀ work − τ∇·(ρ∇u)."""
        return self._applied(adjoint, work, self.now.phi, self.now.density, u)

    def _applied(self, loop, *fields):
        fields = [np.ascontiguousarray(field) for field in fields]
        return self.newton.faces.apply(loop, *fields, scale=self.newton.scale)

    def _hessian(self, u: np.ndarray):
        return self._adjoint(self.curvature * self._advected(u), u)

    def _sent(self, of_field: np.ndarray):
        sent = self.step.convolved(of_field.reshape(self.grid.cells), self.t)
        return None if sent is None else sent.reshape(self.newton.shape)

    def solved(self, c: np.ndarray):
        """(u, the cotangent of V + U′ + W∗ρ, the relative residual)."""
        if self._sent(c) is None:
            right = self._adjoint(self.curvature * c, np.zeros_like(c))
            u, residual = conjugate_gradients(self._hessian, right, self.cycle, self.weight)
            if residual > TOLERANCES.enough:
                u, residual = conjugate_gradients(self._hessian, right, self._eliminated(), self.weight)
            return u, self.curvature * (self._advected(u) - c), residual
        return self._together(c)

    def _eliminated(self):
        """H⁻¹ by elimination, for vacuum that the V-cycle fills."""
        cells, shape = self.grid.cells, self.newton.shape
        inverse = eliminated(lambda u: self._hessian(u.reshape(shape)).reshape(cells), cells)
        return lambda r: inverse(r).reshape(shape)

    def _together(self, c: np.ndarray):
        """The same for c with what W sends back of the answer: (u, c) at once, c in the second half."""
        size = float(np.abs(self.curvature).max())

        def of_field(u: np.ndarray, whole: np.ndarray):
            return self.curvature * (self._advected(u) - whole)

        def operator(pair: np.ndarray):
            u, whole = pair
            first = self._hessian(u) - self._adjoint(self.curvature * whole, np.zeros_like(whole))
            return np.stack([first, size * (whole - self._sent(of_field(u, whole)))])

        def preconditioned(inverse: Callable):
            return lambda pair: np.stack([inverse(pair[0]), pair[1] / size])

        right = np.stack([np.zeros_like(c), size * c])
        weight = np.stack([self.weight, np.full_like(c, size**-0.5)])
        (u, whole), residual = solved(operator, right, preconditioned(self.cycle), weight)
        if residual > TOLERANCES.enough:
            (u, whole), residual = solved(operator, right, preconditioned(self._eliminated()), weight)
        return u, of_field(u, whole), residual

    def by_tau(self, u: np.ndarray, of_field: np.ndarray) -> float:
        """−∫½|∇φ|² of the field's cotangent, and u against ∇·(ρ∇φ)."""
        newton, now = self.newton, self.now
        square = self._applied(hamilton_jacobi, now.phi, now.phi) / self.tau
        flux = (now.density - newton.before) / self.tau
        return float(np.vdot(u, flux) - np.vdot(of_field, square))
