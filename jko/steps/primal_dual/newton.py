"""Newton's method for the potential of a step in one slice, on the dual of its proximal regularisation."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse

from jko.loops.elliptic.factors import factored
from jko.steps.primal_dual.exchange import Faces
from jko.steps.primal_dual.tolerances import TOLERANCES


class DualNewton:
    """Iterates of max over p of Σ(p − w)ρ_k − Σ Φ*(p + w − f), w = ½Sᵀ(Dᵀp)²/4α.

    Φ is the energy of the cells with their bounds plus σ(r − r̄)²/2, the proximal point method
    [Rockafellar1976], whose r̄ is the last maximiser. σ = κ·stiffness·max r̄/r̄ asks for the same relative
    change in tails and in crowds. The maximand is concave, its gradient is ρ_k − Dv − r, v = θDᵀp/2α, and its
    Hessian that of the w beside the generalised one of Φ* [LiSunToh2018].
    """

    def __init__(self, problem, start: np.ndarray, actions: list, stiffness: float, first: np.ndarray):
        self.problem, self.stiffness, self._start = problem, stiffness, start.ravel()
        self._r = self._centre = first
        self._share, self._damping = TOLERANCES.proximal, TOLERANCES.least_ridge
        matrices = [_matrices(exchange, start.shape) for exchange in problem.exchanges]
        self._drop, self._mean = (sparse.vstack(found, format="csr") for found in zip(*matrices, strict=True))
        self._sizes = [exchange.closed.size for exchange in problem.exchanges]
        self._alpha = np.concatenate([action.ravel() for action in actions])

    def start_from(self, potentials: list, field: np.ndarray):
        """Take the potential with the largest maximand: alternating directions may have strayed far."""
        fixed = (field, self._centre, self._weight())
        values = [self._value(p.ravel(), *fixed)[0] for p in potentials]
        self._p = potentials[int(np.argmax(np.nan_to_num(values, nan=-np.inf)))].ravel()

    @property
    def potential(self) -> list:
        """p, of the one slice."""
        return [self._p.reshape(self._r.shape)]

    @property
    def flow(self) -> list:
        """v, of the one slice and each exchange."""
        parts = np.split(self._flow(), np.cumsum(self._sizes)[:-1])
        return [[v.reshape(e.shape) for e, v in zip(self.problem.exchanges, parts, strict=True)]]

    def iterate(self, field: np.ndarray) -> int:
        """Newton steps for p, and an update of r̄ where they have settled; returns how many."""
        weight, limit = self._weight(), TOLERANCES.newton_settled
        fixed = (field, self._centre, weight)
        value, self._r = self._value(self._p, *fixed)
        steps, share, settled = 0, 1.0, False
        while steps < TOLERANCES.newton_steps and share > 0.0 and not settled:
            steps += 1
            gradient = self._start - self._drop.T @ self._flow() - self._r.ravel()
            way, gain, share = self._step(gradient, value, fixed)
            moved = float(np.vdot(weight, (self._r - self._centre) ** 2))
            self._p = self._p + share * way
            value, self._r = self._value(self._p, *fixed)
            near = np.abs(gradient).sum() <= limit * self._start.sum()
            settled = near and (gain <= limit * moved or share == 0.0)
        if settled:
            self._centre, self._share = self._r, self._share * TOLERANCES.proximal_fall
        return steps

    def _step(self, gradient: np.ndarray, value: float, fixed: tuple) -> tuple:
        """The Newton step, what its slope promises and the share of it to take, damped until that is no small
        one [Levenberg1944]: where no mass is, the maximand has no curvature and a step may lead anywhere."""
        while True:
            way = self._direction(gradient, fixed[2])
            gain = float(gradient @ way)
            share = self._share_of(way, gain, value, fixed)
            if share >= TOLERANCES.damped_below or self._damping >= 1.0:
                break
            self._damping *= TOLERANCES.damping
        if share == 1.0:
            self._damping = max(self._damping / TOLERANCES.damping, TOLERANCES.least_ridge)
        return way, gain, share

    def _share_of(self, way: np.ndarray, gain: float, value: float, fixed: tuple) -> float:
        """The first of halved shares of a step that keeps to Armijo's rule; 0 where none does."""
        share = 1.0
        while share > TOLERANCES.shortest:
            if self._value(self._p + share * way, *fixed)[0] >= value + TOLERANCES.armijo * share * gain:
                return share
            share *= 0.5
        return 0.0

    def _flow(self) -> np.ndarray:
        return self._theta() * (self._drop @ self._p) / (2.0 * self._alpha)

    def _theta(self) -> np.ndarray:
        return self._mean @ (0.5 * (self._start + self._r.ravel()))

    def _weight(self) -> np.ndarray:
        """σ, alike for all species of a cell."""
        total = self._centre
        if self.problem.species > 1:
            total = np.broadcast_to(total.sum(axis=-1, keepdims=True), total.shape)
        largest = float(total.max())
        return self._share * self.stiffness * largest / np.maximum(total, TOLERANCES.thinnest * largest)

    def _value(self, p: np.ndarray, field: np.ndarray, centre: np.ndarray, weight: np.ndarray):
        """The maximand, and the densities at which Φ* is attained."""
        cells, w = self.problem.cells, 0.125 * (self._mean.T @ ((self._drop @ p) ** 2 / self._alpha))
        gain = (p + w).reshape(field.shape) - field
        r = cells.prox(centre + gain / weight, self._r, self.problem.most, weight)
        paid = np.vdot(0.5 * weight * (r - centre), r - centre) - np.vdot(gain, r) + cells.density(r).sum()
        return float(self._start @ (p - w) + paid), r

    def _direction(self, gradient: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """The Newton step for p, with the damping on the diagonal."""
        speed = self._mean.T @ sparse.diags(self._drop @ self._p / (4.0 * self._alpha)) @ self._drop
        moves = sparse.identity(self._p.size, format="csr") + speed
        soft = self.problem.cells.softness(self._r, self.problem.most, weight)
        flows = self._drop.T @ sparse.diags(self._theta() / (2.0 * self._alpha)) @ self._drop
        hessian = flows + moves.T @ soft @ moves
        held = hessian.diagonal()
        hessian = hessian + sparse.diags(TOLERANCES.ridge * held + self._damping * held.max())
        options = {"SymmetricMode": True}
        factors = factored(hessian, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
        return factors.solve(gradient)


def _matrices(exchange: Faces, shape: tuple) -> tuple:
    """Dᵀ, with nothing for closed faces, and S, from cells `shape` to faces."""
    cells = np.arange(np.prod(shape)).reshape(shape)
    sides = np.concatenate([side.ravel() for side in exchange.sides(cells)])
    faces = np.tile(np.arange(exchange.closed.size), 2)
    opened = (~exchange.closed).ravel().astype(float)
    size = (exchange.closed.size, cells.size)
    drop = sparse.csr_matrix((np.concatenate([opened, -opened]), (faces, sides)), shape=size)
    return drop, sparse.csr_matrix((np.full(sides.size, 0.5), (faces, sides)), shape=size)
