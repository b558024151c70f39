"""Newton's method for the potentials of a step's slices, on the dual of its proximal regularisation."""

from __future__ import annotations

import itertools

import numpy as np
import scipy.sparse as sparse

from jko.loops.elliptic.factors import factored
from jko.steps.primal_dual.exchange import Faces
from jko.steps.primal_dual.tolerances import TOLERANCES


class DualNewton:
    """Iterates of max over p¹ … p^K of Σ(p¹ − w¹)ρ_k − Σ_k Σ Φ_k*(g^k), g^k = p^k + w^k − p^{k+1} + w^{k+1}
    for k < K, g^K = p^K + w^K − f, w = ½Sᵀ(Dᵀp)²/4α.

    Φ_K is the energy of the cells with their bounds, Φ_k that of r ≥ 0 alone, each plus σ(r − r̄)²/2, the
    proximal point method [Rockafellar1976], whose r̄ are the last maximisers. σ = κ·stiffness·max r̄/r̄ asks
    for the same relative change in tails and in crowds. Φ_k* increases and w is convex, so that the maximand
    is concave; its gradient is r^{k−1} − Dv^k − r^k, v = θDᵀp/2α, and its Hessian, which couples neighbouring
    slices, that of the w beside the generalised one of the Φ* [LiSunToh2018].
    """

    def __init__(self, problem, start: np.ndarray, actions: list, stiffness: float, first: list):
        self.problem, self.stiffness, self._start = problem, stiffness, start.ravel()
        self._r = self._centre = np.stack(first)
        self._share, self._damping = TOLERANCES.proximal, TOLERANCES.least_ridge
        matrices = [face_matrices(exchange, start.shape) for exchange in problem.exchanges]
        self._drop, self._mean = (sparse.vstack(found, format="csr") for found in zip(*matrices, strict=True))
        self._sizes = [exchange.closed.size for exchange in problem.exchanges]
        self._alpha = np.concatenate([action.ravel() for action in actions])

    def start_from(self, potentials: list, field: np.ndarray):
        """Take the potentials with the largest maximand, each a list of slices: alternating directions may
        have strayed far."""
        flat = [np.stack([p.ravel() for p in slices]) for slices in potentials]
        fixed = (field, self._centre, self._weight())
        values = [self._value(p, *fixed)[0] for p in flat]
        self._p = flat[int(np.argmax(np.nan_to_num(values, nan=-np.inf)))]

    @property
    def potential(self) -> list:
        """p¹ … p^K."""
        return [p.reshape(self.problem.shape) for p in self._p]

    @property
    def flow(self) -> list:
        """v, of each slice and exchange."""
        shapes, ends = [e.shape for e in self.problem.exchanges], np.cumsum(self._sizes)[:-1]
        return [
            [v.reshape(shape) for shape, v in zip(shapes, np.split(flow, ends), strict=True)]
            for flow in self._flows()
        ]

    def iterate(self, field: np.ndarray) -> int:
        """Newton steps for p, and an update of r̄ where they have settled; returns how many."""
        weight, limit = self._weight(), TOLERANCES.newton_settled
        fixed = (field, self._centre, weight)
        value, self._r = self._value(self._p, *fixed)
        steps, share, settled = 0, 1.0, False
        while steps < TOLERANCES.newton_steps and share > 0.0 and not settled:
            steps += 1
            gradient = self._gradient()
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
            gain = float(np.vdot(gradient, way))
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

    def _densities(self) -> np.ndarray:
        """r⁰ … r^K."""
        return np.vstack([self._start, self._r.reshape(self.problem.slices, -1)])

    def _thetas(self) -> list:
        r = self._densities()
        return [self._mean @ (0.5 * (before + after)) for before, after in itertools.pairwise(r)]

    def _flows(self) -> list:
        carried = zip(self._thetas(), self._p, strict=True)
        return [theta * (self._drop @ p) / (2.0 * self._alpha) for theta, p in carried]

    def _gradient(self) -> np.ndarray:
        r = self._densities()
        return r[:-1] - r[1:] - np.stack([self._drop.T @ v for v in self._flows()])

    def _weight(self) -> np.ndarray:
        """σ, alike for all species of a cell."""
        total = self._centre
        if self.problem.species > 1:
            total = np.broadcast_to(total.sum(axis=-1, keepdims=True), total.shape)
        largest = float(total.max())
        return self._share * self.stiffness * largest / np.maximum(total, TOLERANCES.thinnest * largest)

    def _value(self, p: np.ndarray, field: np.ndarray, centre: np.ndarray, weight: np.ndarray):
        """The maximand, and the densities at which the Φ* are attained."""
        cells, limits = self.problem.cells, np.stack(self.problem.limits)
        w = 0.125 * np.stack([self._mean.T @ ((self._drop @ q) ** 2 / self._alpha) for q in p])
        gain = (p + w).reshape(centre.shape)
        gain[:-1] -= (p - w)[1:].reshape(centre[1:].shape)
        gain[-1] -= field
        r = np.clip(centre + gain / weight, 0.0, limits)
        r[-1] = cells.prox(centre[-1] + gain[-1] / weight[-1], self._r[-1], limits[-1], weight[-1])
        paid = np.vdot(0.5 * weight * (r - centre), r - centre) - np.vdot(gain, r)
        return float(self._start @ (p[0] - w[0]) + paid + cells.density(r[-1]).sum()), r

    def _direction(self, gradient: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """The Newton step for p, with the damping on the diagonal."""
        K, limits = self.problem.slices, self.problem.limits
        one = sparse.identity(self._start.size, format="csr")
        speeds = [
            self._mean.T @ sparse.diags(self._drop @ p / (4.0 * self._alpha)) @ self._drop for p in self._p
        ]
        moves = [[None] * K for _ in range(K)]
        for k, speed in enumerate(speeds):
            moves[k][k] = one + speed
            if k > 0:
                moves[k - 1][k] = speed - one
        soft = [
            sparse.diags(np.where((r > 0.0) & (r < most), 1.0 / sigma, 0.0).ravel())
            for r, most, sigma in zip(self._r[:-1], limits[:-1], weight[:-1], strict=True)
        ]
        soft.append(self.problem.cells.softness(self._r[-1], limits[-1], weight[-1]))
        flows = [
            self._drop.T @ sparse.diags(theta / (2.0 * self._alpha)) @ self._drop for theta in self._thetas()
        ]
        gains = sparse.bmat(moves, format="csr")
        hessian = sparse.block_diag(flows, format="csr") + gains.T @ sparse.block_diag(soft) @ gains
        held = hessian.diagonal()
        hessian = hessian + sparse.diags(TOLERANCES.ridge * held + self._damping * held.max())
        options = {"SymmetricMode": True}
        factors = factored(hessian, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
        return factors.solve(gradient.ravel()).reshape(gradient.shape)


def face_matrices(exchange: Faces, shape: tuple) -> tuple:
    """Dᵀ, with nothing for closed faces, and S, from cells `shape` to faces."""
    cells = np.arange(np.prod(shape)).reshape(shape)
    sides = np.concatenate([side.ravel() for side in exchange.sides(cells)])
    faces = np.tile(np.arange(exchange.closed.size), 2)
    opened = (~exchange.closed).ravel().astype(float)
    size = (exchange.closed.size, cells.size)
    drop = sparse.csr_matrix((np.concatenate([opened, -opened]), (faces, sides)), shape=size)
    return drop, sparse.csr_matrix((np.full(sides.size, 0.5), (faces, sides)), shape=size)
