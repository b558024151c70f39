"""Alternating directions for the dynamic step: a projection by fast transforms, then proxes in each place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from jko.loops.elliptic.dynamic_step import applied_to_modes, cell_pass, inverses_of_modes
from jko.loops.elliptic.stencils import put_laplacians

RELAXATION = 1.8


@dataclass
class Copy:
    """The copy of what an exchange carries in a slice: flows and densities θ with their scaled duals, and the
    densities at the walls."""

    flow: np.ndarray
    theta: np.ndarray
    flow_dual: np.ndarray
    theta_dual: np.ndarray
    wall: np.ndarray


class Transform:
    """Fields in the eigenvectors of DDᵀ: cosines along axes with walls, complex waves along those that
    turn."""

    def __init__(self, periodic: tuple):
        self._walled = tuple(a for a, turns in enumerate(periodic) if not turns)
        self._turned = tuple(a for a, turns in enumerate(periodic) if turns)

    def forward(self, field: np.ndarray) -> np.ndarray:
        """The modes of a field."""
        if self._walled:
            field = fft.dctn(field, axes=self._walled, workers=1)
        return fft.rfftn(field, axes=self._turned, workers=1) if self._turned else field

    def backward(self, modes: np.ndarray, shape: tuple) -> np.ndarray:
        """The field of modes, which may be overwritten."""
        if self._turned:
            cells = tuple(shape[a] for a in self._turned)
            modes = fft.irfftn(modes, cells, axes=self._turned, workers=1, overwrite_x=True)
        if self._walled:
            modes = fft.idctn(modes, axes=self._walled, workers=1, overwrite_x=True)
        return np.ascontiguousarray(modes)

    def held(self, modes: np.ndarray) -> np.ndarray:
        """Of numbers for each mode those that `forward` keeps: a real field needs half of the last waves."""
        if not self._turned:
            return modes
        last = self._turned[-1]
        return modes[(slice(None),) * last + (slice(modes.shape[last] // 2 + 1),)]


class Splitting:
    """The iterates of one step of `problem` from `start` in the field f, with weights (s, g, m), s one for
    each exchange."""

    def __init__(self, problem, start: np.ndarray, tau: float, field: np.ndarray, weights: tuple):
        self.problem, self.start = problem, start
        self.actions = problem.actions(tau, start)
        self.field = np.ascontiguousarray(field)
        self.s, self.g, self.m = list(weights[0]), *weights[1:]
        K, shape = problem.slices, problem.shape
        self.most = problem.limits
        self.copies = [
            [Copy(e.zeros(), e.mean(start), e.zeros(), e.zeros(), e.walls(start)) for e in problem.exchanges]
            for _ in range(K)
        ]
        self.density = [np.minimum(start, self.most[k]) for k in range(K)]
        self.density_dual = [np.zeros(shape) for _ in range(K)]
        self.potential = [np.zeros(shape) for _ in range(K)]
        self._divergence = [np.zeros(shape) for _ in range(K)]
        self._means = [np.zeros(shape) for _ in range(K)]
        self._transform = Transform(problem.grid.periodic)
        self._factor_inverse()

    @property
    def flow(self) -> list:
        """What each exchange carries, by slices."""
        return [[copy.flow for copy in copies] for copies in self.copies]

    def _factor_inverse(self):
        """(I + L T M Tᵀ)^{-1} for each mode, T summing over later slices."""
        K, held = self.problem.slices, self._transform.held
        exchanges = self.problem.exchanges
        laplacian = held(sum(e.modes / s for e, s in zip(exchanges, self.s, strict=True)))
        mean = held(sum(e.mean_modes for e in exchanges))
        if K == 1:
            self._inverse = 1.0 / (1.0 + laplacian * (0.25 * self.g * mean + self.m))
            return
        laplacian, mean = (np.ascontiguousarray(x).ravel() for x in np.broadcast_arrays(laplacian, mean))
        self._inverse = np.empty((laplacian.size, K, K))
        inverses_of_modes(laplacian, mean, 0.25 * self.g, self.m, self._inverse)

    def gather(self):
        """Recompute what one iteration hands to the next from the variables."""
        for k, copies in enumerate(self.copies):
            out = self._emptied(k)
            for exchange, copy in zip(self.problem.exchanges, copies, strict=True):
                exchange.gather(copy, out)

    def _emptied(self, k: int):
        """The divergence and the means of a slice, to be summed anew."""
        out = self._divergence[k], self._means[k]
        for field in out:
            field[...] = 0.0
        return out

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
            for e, exchange in enumerate(problem.exchanges):
                drop, mean = exchange.drop(potential[k]), exchange.mean(middle)
                slope = -exchange.rate(drop, self.actions[e], mean)
                exchange.spread(0.5 * slope, speed)
                self.copies[k][e] = Copy(
                    np.where(exchange.closed, 0.0, flow[k][e]),
                    mean,
                    drop / self.s[e],
                    slope / self.g,
                    exchange.walls(middle),
                )
            kinetic.append(speed)
            r = self.density[k]
        for k in range(K):
            later = 0.0 if k == K - 1 else potential[k + 1] + kinetic[k + 1]
            self.density_dual[k] = (potential[k] - kinetic[k] - later) / self.m
        self.gather()

    def iterate(self):
        """One iteration; returns the squared residuals of each kind of flow, of θ and of densities as
        (primal, dual) pairs."""
        problem, K = self.problem, self.problem.slices
        sums, cell_sums = np.zeros((len(self.s), 4)), np.zeros(2)
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
            out = self._emptied(k)
            for e, exchange in enumerate(problem.exchanges):
                exchange.proximal(
                    before, densities[k], self.potential[k], self.copies[k][e], self.actions[e],
                    (self.s[e], self.g), RELAXATION, out, sums[e],
                )  # fmt: skip
            self._cells(k, densities[k], cell_sums)
            before = densities[k]
        return self._blocks(sums, cell_sums)

    def _blocks(self, sums: np.ndarray, cell_sums: np.ndarray):
        """Residuals of flows through faces, of θ, of densities, and of sources where there are any."""
        faces = self.problem.grid.dimension
        parts = [sums[:faces, :2].sum(axis=0), sums[:, 2:].sum(axis=0), cell_sums, *sums[faces:, :2]]
        return np.concatenate(parts)

    def _cells(self, k: int, projected: np.ndarray, sums: np.ndarray):
        energies, none = self.problem.cells, np.zeros(0)
        last = k == self.problem.slices - 1
        field = self.field if last else np.zeros_like(self.field)
        if last and energies.general:
            self._general_cells(projected, sums)
            return
        T, holes, powers, factors = (0.0, (0.0, np.inf), none, none)
        if last:
            T, holes = energies.temperature, energies.holes
            powers, factors = energies.powers, energies.factors
        doors = self.problem.doors if last and energies.internal is not None else None
        before = None if doors is None else (self.density[k].copy(), self.density_dual[k].copy())
        cell_pass(
            projected.ravel(), self.density[k].ravel(), self.density_dual[k].ravel(), field.ravel(),
            self.most[k].ravel(), self.m, RELAXATION, T, holes, powers, factors, sums,
        )  # fmt: skip
        if before is not None:
            self._free_of_charge(k, projected, *before)

    def _free_of_charge(self, k: int, projected: np.ndarray, old: np.ndarray, dual: np.ndarray):
        """The cells of doors in slice k anew, where no internal energy is paid."""
        at = self.problem.doors.reshape(self.problem.shape)
        r0 = RELAXATION * projected[at] + (1.0 - RELAXATION) * old[at] + dual[at]
        r = np.maximum(r0 - self.field[at] / self.m, 0.0)
        self.density[k][at], self.density_dual[k][at] = r, r0 - r

    def _general_cells(self, projected, sums):
        """The same for any convex U, through its derivatives."""
        old = self.density[-1]
        r0 = RELAXATION * projected + (1.0 - RELAXATION) * old + self.density_dual[-1]
        r = self.problem.cells.prox(r0 - self.field / self.m, old, self.most[-1], self.m)
        sums += [float(np.vdot(projected - r, projected - r)), float(np.vdot(r - old, r - old))]
        dual = self.density_dual[-1]
        self.density[-1], self.density_dual[-1] = r, r0 - r
        if self.problem.doors is not None:
            self._free_of_charge(self.problem.slices - 1, projected, old, dual)

    def _slopes(self, ahead: list):
        """t^k = ½g Sᵀ(θ − θ₀) of both slices that r^k is part of + m (r − r₀), at densities `ahead`."""
        K = self.problem.slices
        parts, before = [], self.start
        for k in range(K):
            part = self._mean_squared(0.5 * (before + ahead[k]))
            part -= self._means[k]
            part *= 0.5 * self.g
            parts.append(part)
            before = ahead[k]
        slopes = []
        for k in range(K):
            t = ahead[k] - self.density[k]
            t += self.density_dual[k]
            t *= self.m
            t += parts[k]
            if k < K - 1:
                t += parts[k + 1]
            slopes.append(t)
        return slopes

    def _mean_squared(self, r: np.ndarray):
        """Σ SᵀS r over the exchanges, with mirrored walls."""
        return self._laplacians(r, len(self.s), [-0.25] * self.problem.grid.dimension)

    def _weighted_laplacian(self, p: np.ndarray):
        """Σ D Dᵀp/s over the exchanges."""
        d = self.problem.grid.dimension
        return self._laplacians(p, sum(1.0 / s for s in self.s[d:]), [1.0 / s for s in self.s[:d]])

    def _laplacians(self, field: np.ndarray, base: float, factors: list):
        """base·field + Σ factor·DDᵀ field over the axes."""
        grid, species, out = self.problem.grid, self.problem.species, np.empty_like(field)
        none = 3 - grid.dimension
        rows = (*(1,) * none, *grid.cells[:-1], grid.cells[-1] * species)
        axes = (*(0.0,) * none, *factors), (*(False,) * none, *grid.periodic)
        put_laplacians(field.reshape(rows), float(base), *axes, species, out.reshape(rows))
        return out

    def _solve(self, slopes: list):
        """p = (I + L T M Tᵀ)^{-1} T t."""
        K = self.problem.slices
        transform, shape = self._transform, self.problem.shape
        later, sums = 0.0, [None] * K
        for k in reversed(range(K)):
            later = slopes[k] + later
            sums[k] = transform.forward(later)
        if K == 1:
            solved = [sums[0] * self._inverse]
        else:
            solved = np.stack(sums)
            applied_to_modes(self._inverse, solved.reshape(K, len(self._inverse), -1))
        self.potential = [transform.backward(p, shape) for p in solved]

    def rescale(self, flow: float, theta: float, density: float, *sources: float):
        """Multiply the weights; scaled duals keep what they stand for."""
        flows = [flow] * self.problem.grid.dimension + list(sources)
        self.s = [s * factor for s, factor in zip(self.s, flows, strict=True)]
        self.g *= theta
        self.m *= density
        for copies, dual in zip(self.copies, self.density_dual, strict=True):
            for copy, factor in zip(copies, flows, strict=True):
                copy.flow_dual /= factor
                copy.theta_dual /= theta
            dual /= density
        self._factor_inverse()
        self.gather()
