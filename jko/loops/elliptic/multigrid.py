"""Conjugate gradients with multigrid for δ − κ/ρ ∇·(ρ g ∇δ) on a box without flux or a torus, in single
precision.

The operator is symmetric for the inner product Σ (ρ/κ) u v and scaled row by row: a log ρ that falls by
hundreds does no harm. Faces carry harmonic means of ρ: a row's coefficients stay bounded however steep ρ is.
"""

from __future__ import annotations

import numpy as np

from jko.loops.elliptic import multigrid_loops as loops
from jko.loops.elliptic.tolerances import TOLERANCES


class Multigrid:
    """Solves δᵢ + Σⱼ cᵢⱼ(δᵢ − δⱼ) = rᵢ, cᵢⱼ = κᵢ g_f · 2ρⱼ/(ρᵢ + ρⱼ) over the faces f of cell i.

    log_density: log ρ `[*cells]`; stiffness: κ, a number or `[*cells]`; mobility: for each axis g `[*cells]`
    over the square of the spacing, averaged to the faces. A V-cycle with Chebyshev–Jacobi smoothing of degree
    2 is the preconditioner. `periodic` joins the ends of axes.
    """

    def __init__(
        self, log_density: np.ndarray, stiffness: np.ndarray, mobility: list, periodic: tuple | None = None
    ):
        cells = log_density.shape
        periodic = (False,) * (3 - len(cells)) + tuple(periodic or (False,) * len(cells))
        shape = (1,) * (3 - len(cells)) + cells
        log_density = np.asarray(log_density, np.float32).reshape(shape)
        stiffness = np.broadcast_to(np.asarray(stiffness, np.float32), cells).reshape(shape)
        weight = log_density - np.log(np.maximum(stiffness, 1e-30))
        with np.errstate(under="ignore"):
            weight = np.exp(weight - weight.max())
        self.weight = np.where(weight < 1e-30, np.float32(0.0), weight)
        mobility = [None] * (3 - len(cells)) + [np.asarray(g, np.float32).reshape(shape) for g in mobility]
        self.cells, self.levels = cells, []
        while True:
            level = _Level(log_density, stiffness, mobility, periodic)
            self.levels.append(level)
            if max(level.shape) <= TOLERANCES.coarsest or level.largest < TOLERANCES.local:
                break
            log_density, stiffness = _halve(log_density), _halve(stiffness)
            mobility = [
                None if g is None else _halve(g) * np.float32(0.25 if g.shape[axis] > 1 else 1.0)
                for axis, g in enumerate(mobility)
            ]

    def solve(self, right: np.ndarray, tolerance: float, most: int = 30):
        """(δ, iterations) with the weighted residual reduced by `tolerance`; δ in single precision."""
        r = np.ascontiguousarray(right, np.float32).reshape(self.levels[0].shape).copy()
        x, d, q = np.zeros_like(r), np.zeros_like(r), np.empty_like(r)
        top = self.levels[0]
        start = loops.dot(self.weight, r, r)
        goal, rz, alpha, beta = tolerance * tolerance * start, 1.0, 0.0, 0.0
        if not start > 0.0:
            return x.reshape(self.cells), 0
        for iteration in range(1, most + 1):
            z = self.cycle(r)
            if iteration > 1:
                beta = -alpha * loops.dot(self.weight, z, q) / rz
            rz = loops.dot(self.weight, z, r)
            if not rz > 0.0:
                break
            loops.combine(d, np.float32(beta), z)
            curvature = loops.apply(d, self.weight, q, *top.faces)
            if not curvature > 0.0:
                break
            alpha = rz / curvature
            if loops.advance(x, r, d, q, self.weight, np.float32(alpha)) <= goal:
                break
        return x.reshape(self.cells), iteration

    def cycle(self, right: np.ndarray, depth: int = 0):
        """One V-cycle for the residual `right`."""
        level = self.levels[depth]
        if depth + 1 == len(self.levels):
            return level.smooth(None, right, TOLERANCES.last_degree)
        u = level.smooth(None, right, 2)
        coarse = np.empty(self.levels[depth + 1].shape, np.float32)
        loops.restricted_residual(u, right, level.work, coarse, *level.faces)
        loops.add_prolonged(u, self.cycle(coarse, depth + 1))
        return level.smooth(u, right, 2)


class _Level:
    """The operator on one grid: coefficients towards the six neighbours, and the inverse of its diagonal."""

    def __init__(
        self, log_density: np.ndarray, stiffness: np.ndarray, mobility: list, periodic: tuple = (False,) * 3
    ):
        self.shape = log_density.shape
        none = np.zeros((1, 1, 1), np.float32)
        self.faces, total = [], np.zeros(self.shape, np.float32)
        for axis, g in enumerate(mobility):
            if g is None or self.shape[axis] == 1:
                self.faces += [none, none]
                continue
            up, down = _faces(log_density, stiffness, g, axis, periodic[axis])
            self.faces += [up, down]
            total += up
            total += down
        self.largest = float(total.max())
        total += 1.0
        self.inverse = np.reciprocal(total, out=total)
        self.work = np.empty(self.shape, np.float32)

    def smooth(self, u: np.ndarray | None, right: np.ndarray, degree: int):
        """Chebyshev–Jacobi from u, or from 0."""
        centre, half = (
            0.5 * (TOLERANCES.highest_damped + TOLERANCES.lowest_damped),
            0.5 * (TOLERANCES.highest_damped - TOLERANCES.lowest_damped),
        )
        sigma = centre / half
        rho, first = 1.0 / sigma, u is None
        if first:
            u = np.empty_like(right)
            loops.jacobi(u, self.work, right, self.inverse, np.float32(1.0 / centre))
        else:
            loops.relax(u, self.work, right, self.inverse, np.float32(0), np.float32(1 / centre), *self.faces)
        for _ in range(degree - 1):
            new = 1.0 / (2.0 * sigma - rho)
            a, b = np.float32(new * rho), np.float32(2.0 * new / half)
            loops.relax(u, self.work, right, self.inverse, a, b, *self.faces)
            rho = new
        return u


def _faces(log_density: np.ndarray, stiffness: np.ndarray, g: np.ndarray, axis: int, periodic: bool):
    """Coefficients towards the upper and lower neighbours along an axis, 0 at the walls."""
    sides = [(slice(None, -1), slice(1, None))]
    if periodic:
        sides.append((slice(-1, None), slice(None, 1)))
    up, down = np.zeros_like(log_density), np.zeros_like(log_density)
    for side in sides:
        lower, upper = (tuple(s if a == axis else slice(None) for a in range(3)) for s in side)
        with np.errstate(over="ignore"):
            share = 1.0 / (1.0 + np.exp(log_density[lower] - log_density[upper]))
        mean = g[lower] + g[upper]
        up[lower] = stiffness[lower] * mean * share
        down[upper] = stiffness[upper] * mean * (1.0 - share)
    return up, down


def _halve(field: np.ndarray):
    """Means over pairs of cells along each axis of more than one; the last of an odd number stands alone."""
    for axis, n in enumerate(field.shape):
        if n > 1:
            even = field.take(range(0, n, 2), axis) if n % 2 else field[_every(axis, 0)]
            odd = even.copy()
            odd[_first(axis, n // 2)] = field[_every(axis, 1)]
            field = np.float32(0.5) * (even + odd)
    return np.ascontiguousarray(field)


def _every(axis: int, start: int):
    return tuple(slice(start, None, 2) if a == axis else slice(None) for a in range(3))


def _first(axis: int, count: int):
    return tuple(slice(None, count) if a == axis else slice(None) for a in range(3))
