"""The derivative of `steps.BackAndForth`, by conjugate gradients with the Hessian of its dual."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from jko.loops.elliptic.poisson import PoissonSolver
from jko.measures import Density, fields
from jko.scheme import State
from jko.sensitivity.engine import Pulled, Taken
from jko.sensitivity.grid import DualEquation, GridStep, newton_inverse
from jko.sensitivity.monge_ampere import MongeAmpereStep
from jko.sensitivity.tolerances import TOLERANCES
from jko.steps.back_and_forth.scheme import BackAndForth
from jko.steps.monge_ampere import MongeAmpere


class BackAndForthStep(GridStep):
    """ρ′ = U*′(−φ − V − W∗ρ′) = T_#ρ_k, T = id − τ∇φᶜ with the inverse S = id − τ∇φ, differentiated in φ.

    The Hessian of the dual is H = κ − τ∇·(ρ′(DS)⁻¹∇) with κ = U*″ [JacobsLeeLeger2021]. For the cotangent c
    of ρ′, Hλ = κc gives κ(λ − c) as that of V + U′ + W∗ρ′, λ∘T as that of ρ_k and Σρ′∇λ·(DS)⁻¹∇φ as that of
    τ. The minima over cells of the scheme's transforms have no derivative; this is that of the step itself,
    to second order in h. Where ρ′ = 0, κ = 0 and nothing moves: a front goes with the mass behind it.

    Without vacuum the equation that the ascent solves, ρ′ = ρ_k(S)·det DS, has a derivative on the grid:
    the step is solved on by Newton's method to rounding, and the derivative is `MongeAmpereStep`'s.
    """

    scheme: BackAndForth

    def __init__(self, *given):
        super().__init__(*given)
        if self.scheme.obstacle is not None or self.initial.grid.is_room:
            self.refuse("obstacles and rooms", "a box without any")
        if self.initial.grid.is_periodic:
            self.refuse("a periodic grid", "steps.MongeAmpere, or a grid with walls")
        newton = MongeAmpere(tolerance=TOLERANCES.polished)
        positive = self.problem.at(0.0).full_support
        self.newton = MongeAmpereStep(*given[:-1], newton) if positive else None

    def step(self, mu: Any, state: State, t: float, tau: float, count: int = 1):
        values, info, share, found = self.scheme.solved(self.problem, mu, t, tau)
        if info.converged and self.newton is not None:
            polished = self.newton.polished(mu, state, t, tau)
            if polished is not None:
                return polished._replace(tape=_Polished(polished.tape))
        if info.converged and share < 1.0:
            self.refuse(f"a step of which the share {share:.2g} was taken", "a finer grid or a larger tau")
        return Taken(Density(mu.grid, values), state, info, (mu, Density(mu.grid, values), found, t, tau))

    def pull(self, tape: tuple, cotangent: dict):
        if isinstance(tape, _Polished):
            return self.newton.pull(tape.of_newton, cotangent)
        mu, new, found, t, tau = tape
        equation = _Equation(self, new, found, t + tau, tau)
        u, of_field, residual = equation.solved(cotangent["values"])
        by_tau = float(np.vdot(u, equation.spread(equation.phi))) / tau
        held = mu.values > TOLERANCES.told * mu.values.max()
        before = np.where(held, equation.at_targets(u), 0.0)
        parameters, time = self.slopes(new.values, new.values, of_field, t + tau)
        return Pulled({"values": before}, parameters, by_tau + time, time, residual)


class _Polished(NamedTuple):
    """The tape of a step that Newton's method polished."""

    of_newton: tuple


class _Equation(DualEquation):
    """On the whole grid, with φ and φᶜ continued as constants beyond the box of the ascent."""

    def __init__(self, step: BackAndForthStep, new: Density, found, t: float, tau: float):
        self.step, self.t, self.tau, self.grid = step, t, tau, new.grid
        first, cells = found.region.first, found.region.cells
        room = [(a, n - a - m) for a, n, m in zip(first, self.grid.cells, cells, strict=True)]
        self.phi, self.psi = (
            np.pad(field, room, mode="edge") for field in (found.phi, found.ascent.transform(found.phi))
        )
        self.curvature = found.ascent.energy.curvature(new.values)
        self._moving(new.values)
        rho, self.weight = new.values, np.ones(self.grid.cells)
        if found.ascent.full_support and rho.all():
            stiffness = rho / self.curvature
            cycle = newton_inverse(
                self.grid.spacing, np.log(rho), stiffness, self.diagonal, tau, self.grid.periodic, 1
            )
            self.cycle = lambda r: cycle(r / self.curvature)
            self.weight /= np.sqrt(rho + TOLERANCES.metric_floor * rho.max())
        else:
            level, spread = (float(np.vdot(field, rho)) / rho.sum() for field in (self.curvature, rho))
            solver = PoissonSolver(self.grid.cells, self.grid.spacing, np.float64)
            self.cycle = partial(solver, a=level, b=tau * spread)

    def _moving(self, rho: np.ndarray):
        """τρ′(DS)⁻¹: its diagonal on the faces, over h², and the rest in the cells."""
        from scipy.ndimage import binary_erosion

        d, spacing = self.grid.dimension, self.grid.spacing
        held = rho > 0.0

        def gradient(field: np.ndarray):
            return fields.gradient(self.grid, np.where(held, field, np.inf))

        slopes = gradient(self.phi)
        bend = np.stack([gradient(slopes[..., a]) for a in range(d)], axis=-1)
        jacobian = np.eye(d) - 0.5 * self.tau * (bend + np.swapaxes(bend, -1, -2))
        values, vectors = np.linalg.eigh(jacobian)
        inverse = (vectors / np.maximum(values, TOLERANCES.folded)[..., None, :]) @ np.swapaxes(
            vectors, -1, -2
        )
        self.diagonal = [inverse[..., a, a] for a in range(d)]
        moving = self.tau * rho[..., None, None] * inverse
        self.faces = fields.faces(self.grid)
        self.across = [
            0.5 * (moving[..., a, a][low] + moving[..., a, a][high]) / spacing[a] ** 2
            for a, (low, high) in enumerate(self.faces)
        ]
        inner = binary_erosion(held, np.ones((3,) * d), border_value=1)
        self.mixed = {(a, b): np.where(inner, moving[..., a, b], 0.0) for a in range(d) for b in range(a)}
        alone = ~held
        for weight, (low, high) in zip(self.across, self.faces, strict=True):
            alone[low] &= weight == 0.0
            alone[high] &= weight == 0.0
        self.alone = np.where(alone, self.curvature.max(), 0.0)

    def spread(self, u: np.ndarray):
        """−τ∇·(ρ′(DS)⁻¹∇u)."""
        out = np.zeros_like(u)
        for weight, (low, high) in zip(self.across, self.faces, strict=True):
            flux = weight * (u[high] - u[low])
            out[low] -= flux
            out[high] += flux
        for (a, b), weight in self.mixed.items():
            for one, other in ((a, b), (b, a)):
                out += _centred_transposed(weight * self._centred(u, other), one, self.grid.spacing[one])
        return out

    def _centred(self, u: np.ndarray, axis: int):
        return _centred(u, axis, self.grid.spacing[axis])

    def advected(self, u: np.ndarray):
        return u

    def adjoint(self, work: np.ndarray, u: np.ndarray):
        return work + self.spread(u) + self.alone * u

    def at_targets(self, u: np.ndarray):
        """u∘T, T = id − τ∇φᶜ."""
        from scipy.ndimage import map_coordinates

        index = np.stack(np.meshgrid(*map(np.arange, self.grid.cells), indexing="ij")).astype(float)
        for axis, h in enumerate(self.grid.spacing):
            index[axis] -= self.tau / h * np.take(fields.gradient(self.grid, self.psi), axis, -1)
        return map_coordinates(u, index, order=1, mode="nearest")


def _centred(u: np.ndarray, axis: int, h: float):
    """(u(x + h) − u(x − h))/2h, mirrored at walls."""
    ends = np.concatenate([u.take([0], axis), u, u.take([-1], axis)], axis)
    n = u.shape[axis]
    return (ends.take(range(2, n + 2), axis) - ends.take(range(n), axis)) / (2.0 * h)


def _centred_transposed(u: np.ndarray, axis: int, h: float):
    """The transposed of `_centred`."""
    ends = np.concatenate([-u.take([0], axis), u, -u.take([-1], axis)], axis)
    n = u.shape[axis]
    return (ends.take(range(n), axis) - ends.take(range(2, n + 2), axis)) / (2.0 * h)
