"""The convex saddle point of dynamic transport on one staggered grid, by a relaxed primal-dual iteration."""

from __future__ import annotations

import numpy as np

from jko.transport.dynamic.tolerances import TOLERANCES


class Saddle:
    """min over u = (ρ, m) with ∂tρ + div m = 0 of Σ |I m|²/2 I ρ, I the mean of two faces, for scaled data.

    `u` are its components on faces, `y` the dual variables at centres: at the solution y = (-|v|²/2, v).
    The ends are densities `[n, m]`, `lengths` the spacings of the axes. The iteration is that of
    [ChambollePock2011] with over-relaxation [Condat2013]: an orthogonal projection on the continuity
    equation by cosine transforms [PapadakisPeyreOudet2014], a projection on a paraboloid in every cell.
    """

    def __init__(self, first: np.ndarray, last: np.ndarray, steps: int, lengths: list, dtype=np.float32):
        n, m = first.shape
        self.shape, self.dtype = (steps, n, m), dtype
        self.exact_rates = (float(steps), 1.0 / lengths[0], 1.0 / lengths[1])
        self.rates = tuple(dtype(r) for r in self.exact_rates)
        self.ends = first, last
        self.inverse = _inverse_eigenvalues(self.shape, self.rates, dtype)
        t = np.linspace(0.0, 1.0, steps + 1)[:, None, None]
        straight = (1.0 - t) * first + t * last
        flows = np.zeros((steps, n + 1, m)), np.zeros((steps, n, m + 1))
        self.u = [np.ascontiguousarray(x, dtype=dtype) for x in (straight, *flows)]
        self.y = [np.zeros(self.shape, dtype) for _ in range(3)]
        self.iterations, self.mismatch, self.change = 0, np.inf, np.inf

    def start_from(self, coarse: Saddle):
        """The fields of a coarser grid, interpolated linearly."""
        first, last = self.u[0][0].copy(), self.u[0][-1].copy()
        for component in range(3):
            self.u[component] = _refined(coarse.u[component], self.u[component].shape, component)
            self.y[component] = _refined(coarse.y[component], self.shape, None)
        self.u[0][0], self.u[0][-1] = first, last

    def solve(self, tolerance: float, most: int):
        """Iterate until the value moves by less than tolerance/10 in ten iterations and ‖I u - V‖₁ falls
        below 10·tolerance, V being the minimiser over cells."""
        from jko.loops.elliptic.staggered import climb, combine, descend

        sigma, tau = self.dtype(TOLERANCES.sigma), self.dtype(1.0 / TOLERANCES.sigma)
        new_u, ahead = ([np.empty_like(x) for x in self.u] for _ in range(2))
        new_y = [np.empty_like(x) for x in self.y]
        before = np.inf
        while self.iterations < most:
            descend(*self.u, *self.y, tau, *new_u)
            project(new_u, self.rates, self.inverse)
            for x, new, out in zip(self.u, new_u, ahead, strict=True):
                combine(x.ravel(), new.ravel(), self.dtype(2.0), out.ravel())
            climb(*ahead, *self.y, sigma, *new_y)
            self.iterations += 1
            if self.iterations % TOLERANCES.check == 0:
                means = centred(new_u)
                self._measure(means, ahead, new_y, sigma)
                value = pairing(means, new_y)
                self.change, before = (
                    abs(value - before) / max(value, TOLERANCES.still * means[0].sum()),
                    value,
                )
                if self.change < 0.1 * tolerance and self.mismatch < 10.0 * tolerance:
                    self.u, self.y = new_u, new_y
                    return True
            for x, new in zip(self.u + self.y, new_u + new_y, strict=True):
                combine(x.ravel(), new.ravel(), self.dtype(TOLERANCES.relaxation), x.ravel())
        return False

    def _measure(self, means: tuple, ahead: list, new_y: list, sigma: float):
        density = (self.y[0] - new_y[0]) / sigma + centred(ahead)[0]
        self.mismatch = float(np.abs(means[0] - density).sum(dtype=float) / means[0].sum(dtype=float))


def project(u: list, rates: tuple, inverse: np.ndarray):
    """The orthogonal projection of u on ∂tρ + div m = 0 with its values on the outer faces kept, in place."""
    from scipy import fft

    from jko.loops.elliptic.staggered import add_gradient, divergence

    excess = np.empty(inverse.shape, inverse.dtype)
    divergence(*u, rates, excess)
    spectrum = fft.dctn(excess, type=2, overwrite_x=True)
    spectrum *= inverse
    add_gradient(*u, fft.idctn(spectrum, type=2, overwrite_x=True), rates)


def project_in_double(u: list, saddle: Saddle):
    """(u projected in float64 with exact ends, what is left of ∂tρ + div m at the centres)."""
    from jko.loops.elliptic.staggered import divergence

    rates = saddle.exact_rates
    u = [x.astype(float) for x in u]
    u[0][0], u[0][-1] = saddle.ends
    project(u, rates, _inverse_eigenvalues(saddle.shape, rates, float))
    left = np.empty(saddle.shape)
    divergence(*u, rates, left)
    return u, left


def centred(u: list):
    """The means of both faces of every cell, three fields at centres."""
    density, across, along = u
    return (
        0.5 * (density[1:] + density[:-1]),
        0.5 * (across[:, 1:] + across[:, :-1]),
        0.5 * (along[:, :, 1:] + along[:, :, :-1]),
    )


def pairing(means: tuple, y: list) -> float:
    """⟨I u, y⟩, the value at the saddle point, off it by a product of two errors."""
    return float(sum(np.sum(a * b, dtype=float) for a, b in zip(means, y, strict=True)))


def _inverse_eigenvalues(shape: tuple, rates: tuple, dtype):
    """Of the negative Laplacian with mirrored walls; 0 for the constant."""
    total = np.zeros(shape)
    for axis, (n, r) in enumerate(zip(shape, rates, strict=True)):
        line = 4.0 * np.sin(0.5 * np.pi * np.arange(n) / n) ** 2 * float(r) ** 2
        total += line.reshape([-1 if a == axis else 1 for a in range(3)])
    total[0, 0, 0] = np.inf
    return (1.0 / total).astype(dtype)


def _refined(field: np.ndarray, shape: tuple, staggered: int | None):
    for axis, n in enumerate(shape):
        field = np.moveaxis(field, axis, 0)
        old = len(field)
        if old != n:
            nodes = np.linspace(0.0, old - 1.0, n)
            place = nodes if axis == staggered else (np.arange(n) + 0.5) * (old / n) - 0.5
            low = np.clip(np.floor(place).astype(int), 0, max(old - 2, 0))
            weight = np.clip(place - low, 0.0, 1.0).reshape(-1, 1, 1).astype(field.dtype)
            field = (1.0 - weight) * field[low] + weight * field[np.minimum(low + 1, old - 1)]
        field = np.moveaxis(field, 0, axis)
    return np.ascontiguousarray(field)
