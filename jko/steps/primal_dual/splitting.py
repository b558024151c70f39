"""Alternating directions for the dynamic step: a projection by fast transforms, then proxes in each place."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import fft

from jko.loops.elliptic.cell_proxes import cell_pass
from jko.loops.elliptic.slice_modes import applied_to_modes, inverses_of_modes
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
    """Fields `[.., *shape]` in the eigenvectors of DDᵀ: cosines along axes with walls, complex waves along
    those that turn."""

    def __init__(self, periodic: tuple, shape: tuple):
        self._walled = tuple(a - 3 for a, turns in enumerate(periodic) if not turns)
        self._turned = tuple(a - 3 for a, turns in enumerate(periodic) if turns)
        self._cells = tuple(shape[a] for a in self._turned)

    def forward(self, fields: np.ndarray) -> np.ndarray:
        """The modes of fields, which may be overwritten."""
        if self._walled:
            fields = fft.dctn(fields, axes=self._walled, workers=1, overwrite_x=True)
        return fft.rfftn(fields, axes=self._turned, workers=1) if self._turned else fields

    def backward(self, modes: np.ndarray) -> np.ndarray:
        """The fields of modes, which may be overwritten."""
        if self._turned:
            modes = fft.irfftn(modes, self._cells, axes=self._turned, workers=1, overwrite_x=True)
        if self._walled:
            modes = fft.idctn(modes, axes=self._walled, workers=1, overwrite_x=True)
        return np.ascontiguousarray(modes)

    def held(self, modes: np.ndarray) -> np.ndarray:
        """Of numbers for each mode those that `forward` keeps: a real field needs half of the last waves."""
        if not self._turned:
            return modes
        last = self._turned[-1]
        return np.moveaxis(np.moveaxis(modes, last, 0)[: modes.shape[last] // 2 + 1], 0, last)


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
        self.density = np.minimum(start, self.most)
        self.density_dual, self.potential = np.zeros((K, *shape)), np.zeros((K, *shape))
        self._divergence, self._means = np.zeros((K, *shape)), np.zeros((K, *shape))
        self._transform = Transform(problem.grid.periodic, shape)
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
        self._divergence[...] = self._means[...] = 0.0
        for copies, *out in zip(self.copies, self._divergence, self._means, strict=True):
            for exchange, copy in zip(self.problem.exchanges, copies, strict=True):
                exchange.gather(copy, out)

    def restart(self, potential: list, flow: list):
        """Set all variables to those of a saddle point with this potential and these flows."""
        problem, r = self.problem, self.start
        K = problem.slices
        kinetic = []
        self.potential = np.stack(potential)
        for k in range(K):
            new = np.maximum(problem.advance(r, flow[k]), 0.0)
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
        problem = self.problem
        sums, cell_sums = np.zeros((len(self.s), 4)), np.zeros(2)
        self._solve()
        d = problem.grid.dimension
        factors = (sum(1.0 / s for s in self.s[d:]), [1.0 / s for s in self.s[:d]])
        densities = self._reached(self._laplacians(self.potential, *factors, 1.0, self._divergence))
        self._divergence[...] = self._means[...] = 0.0
        for k, (before, after) in enumerate(itertools.pairwise(densities)):
            out = self._divergence[k], self._means[k]
            for e, exchange in enumerate(problem.exchanges):
                exchange.proximal(
                    before, after, self.potential[k], self.copies[k][e], self.actions[e],
                    (self.s[e], self.g), RELAXATION, out, sums[e],
                )  # fmt: skip
            self._cells(k, after, cell_sums)
        return self._blocks(sums, cell_sums)

    def _reached(self, moved: np.ndarray) -> np.ndarray:
        """r⁰ … r^K, of which `moved` is what each slice takes away."""
        densities = np.empty((len(moved) + 1, *self.start.shape))
        densities[0] = self.start
        for k, taken in enumerate(moved):
            np.subtract(densities[k], taken, out=densities[k + 1])
        return densities

    def _blocks(self, sums: np.ndarray, cell_sums: np.ndarray):
        """Residuals of flows through faces, of θ, of densities, and of sources where there are any."""
        faces = self.problem.grid.dimension
        parts = [sums[:faces, :2].sum(axis=0), sums[:, 2:].sum(axis=0), cell_sums, *sums[faces:, :2]]
        return np.concatenate(parts)

    def _cells(self, k: int, projected: np.ndarray, sums: np.ndarray):
        """r ← the prox of the energy at the relaxed projection, that of 0 ≤ r ≤ most in slices before the
        last."""
        energies, last = self.problem.cells, k == self.problem.slices - 1
        density, dual, most = self.density[k], self.density_dual[k], self.most[k]
        free = self.problem.doors if last and energies.curved else None
        before = None if free is None else (density.copy(), dual.copy())
        if last and energies.general:
            r0 = RELAXATION * projected + (1.0 - RELAXATION) * density + dual
            r = energies.prox(r0 - self.field / self.m, density, most, self.m)
            sums += [float(np.vdot(projected - r, projected - r)), float(np.vdot(r - density, r - density))]
            density[...], dual[...] = r, r0 - r
        else:
            none = np.zeros(0)
            paid, field = (0.0, (0.0, np.inf), none, none), np.zeros_like(self.field)
            if last:
                paid, field = energies.known, self.field
            flat = (x.ravel() for x in (projected, density, dual, field, most))
            cell_pass(*flat, self.m, RELAXATION, *paid, sums)
        if before is not None:
            self._free_of_charge(projected, *before)

    def _free_of_charge(self, projected: np.ndarray, old: np.ndarray, dual: np.ndarray):
        """The cells of doors anew, where no internal energy is paid."""
        at = self.problem.doors.reshape(self.problem.shape)
        r0 = RELAXATION * projected[at] + (1.0 - RELAXATION) * old[at] + dual[at]
        r = np.maximum(r0 - self.field[at] / self.m, 0.0)
        self.density[-1][at], self.density_dual[-1][at] = r, r0 - r

    def _solve(self):
        """p = (I + L T M Tᵀ)^{-1} T t at what the copies would make of the densities, T summing over later
        slices, t^k = ½g Sᵀ(θ − θ₀) of both slices that r^k is part of + m (r − r₀)."""
        K, d = self.problem.slices, self.problem.grid.dimension
        ahead, g = self._reached(self._divergence), self.g
        # SᵀS is 1 − DDᵀ/4 along each axis
        factors = (0.25 * g * len(self.s), [-0.0625 * g] * d)
        lacking = self._laplacians(ahead[:-1] + ahead[1:], *factors, -0.5 * g, self._means)
        slopes = ahead[1:]
        slopes -= self.density
        slopes += self.density_dual
        slopes *= self.m
        slopes += lacking
        slopes[:-1] += lacking[1:]
        for k in reversed(range(K - 1)):
            slopes[k] += slopes[k + 1]
        modes = self._transform.forward(slopes)
        if K == 1:
            modes *= self._inverse
        else:
            applied_to_modes(self._inverse, modes.reshape(K, len(self._inverse), -1))
        self.potential = self._transform.backward(modes)

    def _laplacians(self, fields, base: float, factors: list, share: float, others) -> np.ndarray:
        """base·field + Σ factor·DDᵀ field over the axes + share·other, of each slice."""
        grid, species, out = self.problem.grid, self.problem.species, np.empty_like(fields)
        none = 3 - grid.dimension
        rows = (-1, *(1,) * none, *grid.cells[:-1], grid.cells[-1] * species)
        axes = (*(0.0,) * none, *factors), (*(False,) * none, *grid.periodic)
        for field, other, found in zip(*(x.reshape(rows) for x in (fields, others, out)), strict=True):
            put_laplacians(field, float(base), *axes, species, share, other, found)
        return out

    def rescale(self, flow: float, theta: float, density: float, *sources: float):
        """Multiply the weights; scaled duals keep what they stand for."""
        flows = [flow] * self.problem.grid.dimension + list(sources)
        self.s = [s * factor for s, factor in zip(self.s, flows, strict=True)]
        self.g *= theta
        self.m *= density
        self.density_dual /= density
        for copies in self.copies:
            for copy, factor in zip(copies, flows, strict=True):
                copy.flow_dual /= factor
                copy.theta_dual /= theta
        self._factor_inverse()
        self.gather()
