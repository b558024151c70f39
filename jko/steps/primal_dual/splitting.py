"""Alternating directions for the dynamic step: a projection by cosine transforms, then proxes in each
place.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import fft

from jko.loops.elliptic.dynamic_step import add_laplacian, cell_pass, face_pass, gathered

RELAXATION = 1.8


class Splitting:
    """The iterates of one step of `problem` from `start` in the field f, with weights (s, g, m)."""

    def __init__(self, problem, start: np.ndarray, tau: float, field: np.ndarray, weights: tuple):
        self.problem, self.start = problem, start
        self.actions = problem.actions(tau)
        self.field = np.ascontiguousarray(field)
        self.s, self.g, self.m = weights
        K, shape = problem.slices, problem.shape
        self.most = [np.full(shape, np.inf)] * (K - 1) + [problem.most]
        self.flow = problem.no_flows()
        self.theta = [[problem.mean(start, a) for a in problem.axes] for _ in range(K)]
        self.density = [np.minimum(start, self.most[k]) for k in range(K)]
        self.flow_dual = problem.no_flows()
        self.theta_dual = problem.no_flows()
        self.density_dual = [np.zeros(shape) for _ in range(K)]
        self.wall = [[self._walls(start, a) for a in problem.axes] for _ in range(K)]
        self.potential = [np.zeros(shape) for _ in range(K)]
        lines = [
            4.0 * np.sin(0.5 * np.pi * np.arange(n) / n).reshape([-1 if a == b else 1 for b in range(3)]) ** 2
            for a, n in enumerate(shape)
        ]
        self._lines = lines[: problem.grid.dimension]
        self._scratch()

    def _walls(self, cells: np.ndarray, axis: int):
        lines = self._lined(cells, axis)
        return np.ascontiguousarray(lines[:, [0, -1], :])

    def _lined(self, field: np.ndarray, axis: int):
        """[outer, n, inner] along an axis."""
        outer = math.prod(field.shape[:axis])
        return field.reshape(outer, field.shape[axis], -1)

    def _scratch(self):
        K, shape = self.problem.slices, self.problem.shape
        self._divergence = [np.zeros(shape) for _ in range(K)]
        self._means = [np.zeros(shape) for _ in range(K)]
        self._factor_inverse()

    def _factor_inverse(self):
        """(I + L T M Tᵀ)^{-1} for each mode, T summing over later slices."""
        K, n = self.problem.slices, len(self._lines)
        laplacian = sum(line / s for line, s in zip(self._lines, self.s, strict=True)) + np.zeros(
            self.problem.shape
        )
        mean = n - 0.25 * sum(self._lines) + np.zeros(self.problem.shape)
        if K == 1:
            self._inverse = 1.0 / (1.0 + laplacian * (0.25 * self.g * mean + self.m))
            return
        pairs = 2.0 * np.eye(K) + np.eye(K, k=1) + np.eye(K, k=-1)
        pairs[-1, -1] = 1.0
        later = np.triu(np.ones((K, K)))
        inner = 0.25 * self.g * mean[..., None, None] * pairs + self.m * np.eye(K)
        system = np.eye(K) + laplacian[..., None, None] * (later @ inner @ later.T)
        self._inverse = np.linalg.inv(system)

    def gather(self):
        """Recompute what one iteration hands to the next from the variables."""
        for k in range(self.problem.slices):
            self._divergence[k][...] = 0.0
            self._means[k][...] = 0.0
            for a in self.problem.axes:
                gathered(
                    *(
                        self._lined(x[k][a], a)
                        for x in (self.flow, self.flow_dual, self.theta, self.theta_dual)
                    ),
                    self.wall[k][a],
                    self._lined(self._divergence[k], a),
                    self._lined(self._means[k], a),
                )

    def restart(self, potential: list, flow: list):
        """Set all variables to those of a saddle point with this potential and these flows."""
        problem, r = self.problem, self.start
        K = problem.slices
        kinetic = []
        for k in range(K):
            new = np.maximum(problem.advance(r, flow[k]), 0.0)
            self.potential[k] = potential[k].copy()
            self.density[k] = np.minimum(new, self.most[k])
            middle = 0.5 * (r + self.density[k])
            speed = np.zeros(problem.shape)
            for a in problem.axes:
                drop = problem.drop(potential[k], a)
                self.flow[k][a] = np.where(problem.closed[a], 0.0, flow[k][a])
                self.theta[k][a] = problem.mean(middle, a)
                self.flow_dual[k][a] = drop / self.s[a]
                slope = -(drop**2) / (4.0 * self.actions[a])
                self.theta_dual[k][a] = slope / self.g
                problem.spread(0.5 * slope, a, speed)
                self.wall[k][a] = self._walls(middle, a)
            kinetic.append(speed)
            r = self.density[k]
        for k in range(K):
            later = 0.0 if k == K - 1 else potential[k + 1] + kinetic[k + 1]
            self.density_dual[k] = (potential[k] - kinetic[k] - later) / self.m
        self.gather()

    def iterate(self):
        """One iteration; returns the squared residuals of flows, θ and densities as (primal, dual) pairs."""
        problem, K = self.problem, self.problem.slices
        sums, cell_sums = np.zeros(4), np.zeros(2)
        ahead, before = [], self.start
        for k in range(K):
            before = before - self._divergence[k]
            ahead.append(before)
        slopes = self._slopes(ahead)
        self._solve(slopes)
        before, densities = self.start, []
        for k in range(K):
            shift = self._weighted_laplacian(self.potential[k])
            base = self.start if k == 0 else densities[-1]
            densities.append(base - self._divergence[k] - shift)
        for k in range(K):
            self._divergence[k][...] = 0.0
            self._means[k][...] = 0.0
            for a in problem.axes:
                lined = self._lined
                face_pass(
                    lined(before, a), lined(densities[k], a), lined(self.potential[k], a),
                    lined(self.flow[k][a], a), lined(self.flow_dual[k][a], a),
                    lined(self.theta[k][a], a), lined(self.theta_dual[k][a], a), self.wall[k][a],
                    lined(problem.closed[a], a), self.actions[a], (self.s[a], self.g), RELAXATION,
                    lined(self._divergence[k], a), lined(self._means[k], a), sums,
                )  # fmt: skip
            self._cells(k, densities[k], cell_sums)
            before = densities[k]
        return np.concatenate([sums, cell_sums])

    def _cells(self, k: int, projected: np.ndarray, sums: np.ndarray):
        energies, none = self.problem.cells, np.zeros(0)
        last = k == self.problem.slices - 1
        field = self.field if last else np.zeros_like(self.field)
        if last and energies.general:
            self._general_cells(projected, sums)
            return
        T, powers, factors = (
            (energies.temperature, energies.powers, energies.factors) if last else (0.0, none, none)
        )
        cell_pass(
            projected.ravel(), self.density[k].ravel(), self.density_dual[k].ravel(), field.ravel(),
            self.most[k].ravel(), self.m, RELAXATION, T, powers, factors, sums,
        )  # fmt: skip

    def _general_cells(self, projected, sums):
        """The same for any convex U, through its derivatives."""
        old = self.density[-1]
        r0 = RELAXATION * projected + (1.0 - RELAXATION) * old + self.density_dual[-1]
        r = self.problem.cells.prox(r0 - self.field / self.m, old, self.most[-1], self.m)
        sums += [float(np.vdot(projected - r, projected - r)), float(np.vdot(r - old, r - old))]
        self.density[-1], self.density_dual[-1] = r, r0 - r

    def _slopes(self, ahead: list):
        """t^k = ½g Sᵀ(θ − θ₀) of both slices that r^k is part of + m (r − r₀), at densities `ahead`."""
        K = self.problem.slices
        parts, before = [], self.start
        for k in range(K):
            middle = 0.5 * (before + ahead[k])
            parts.append(0.5 * self.g * (self._mean_squared(middle) - self._means[k]))
            before = ahead[k]
        slopes = []
        for k in range(K):
            t = parts[k] if k == K - 1 else parts[k] + parts[k + 1]
            slopes.append(t + self.m * (ahead[k] - self.density[k] + self.density_dual[k]))
        return slopes

    def _mean_squared(self, r: np.ndarray):
        """Σ SᵀS r over the axes, with mirrored walls."""
        out = self.problem.grid.dimension * r
        for a in self.problem.axes:
            add_laplacian(self._lined(r, a), -0.25, self._lined(out, a))
        return out

    def _weighted_laplacian(self, p: np.ndarray):
        """Σ D Dᵀp/s over the axes."""
        out = np.zeros_like(p)
        for a in self.problem.axes:
            add_laplacian(self._lined(p, a), 1.0 / self.s[a], self._lined(out, a))
        return out

    def _solve(self, slopes: list):
        """p = (I + L T M Tᵀ)^{-1} T t."""
        K = self.problem.slices
        axes = tuple(self.problem.axes)
        later, sums = 0.0, [None] * K
        for k in reversed(range(K)):
            later = slopes[k] + later
            sums[k] = fft.dctn(later, axes=axes, workers=1)
        if K == 1:
            solved = [sums[0] * self._inverse]
        else:
            stacked = np.einsum("...ij,...j->...i", self._inverse, np.stack(sums, axis=-1))
            solved = [np.ascontiguousarray(stacked[..., k]) for k in range(K)]
        self.potential = [fft.idctn(p, axes=axes, workers=1, overwrite_x=True) for p in solved]

    def rescale(self, flow: float, theta: float, density: float):
        """Multiply the weights; scaled duals keep what they stand for."""
        self.s = [s * flow for s in self.s]
        self.g *= theta
        self.m *= density
        for k in range(self.problem.slices):
            for a in self.problem.axes:
                self.flow_dual[k][a] /= flow
                self.theta_dual[k][a] /= theta
            self.density_dual[k] /= density
        self._factor_inverse()
        self.gather()
