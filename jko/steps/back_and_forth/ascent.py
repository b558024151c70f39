"""Back-and-forth ascent of the dual of a JKO step on one grid [JacobsLeeLeger2021]."""

from __future__ import annotations

import math

import numpy as np

from jko.loops.elliptic.poisson import PoissonSolver
from jko.loops.grids.torus import continued, within
from jko.loops.transport.c_transform import c_transform
from jko.loops.transport.push import pull_back
from jko.steps.back_and_forth.tolerances import TOLERANCES


def _far_from_support(rho: np.ndarray, rim: int, periodic: tuple[bool, ...]):
    """Cells further than `rim` from all mass, or None."""
    if rho.all():
        return None
    from scipy.ndimage import binary_dilation

    around = tuple(rim if turns else 0 for turns in periodic)
    return ~within(binary_dilation(continued(rho > 0, around), iterations=rim), around)


class DualAscent:
    """Maximises J(φ) = ∫φᶜ dρ_k − ∫U*(−φ − V), c = |x − y|²/2τ, on one grid.

    Each half-step is preconditioned by the Hessian U*″ − τ∇·(ρ∇) with its coefficients frozen so that cosine
    transforms invert it, on periodic axes Fourier transforms: by constants where vacuum occurs (U′ finite at
    0), else by √ρ(κ − τΔ)√ρ, which agrees with the Hessian up to the term τΔ√ρ/√ρ that κ covers. `caution`
    multiplies the metric: about 1 guarantees ascent, less is faster until it is not.
    """

    def __init__(self, level, energy, tau: float, full_support: bool, caution: float, threads: int = 1):
        self.spacing, self.rho, self.blocked = level.spacing, level.rho, level.blocked
        self.periodic = level.periodic or (False,) * level.rho.ndim
        self.energy, self.tau, self.potential = energy, tau, level.potential
        if self.blocked is not None:
            self.potential = np.where(self.blocked, TOLERANCES.blocked_potential, level.potential)
            self.continued = Continuation(self.blocked)
        self.empty = _far_from_support(
            self.rho, TOLERANCES.rim_full_support if full_support else TOLERANCES.rim, self.periodic
        )
        self.full_support = full_support
        self.threads = threads if self.rho.size >= TOLERANCES.shared_cells else 1
        self.total = float(self.rho.sum())
        self.poisson = PoissonSolver(self.rho.shape, self.spacing, periodic=self.periodic)
        self.caution, self._curvature = caution, 0.0
        self.iterations = 0

    def transform(self, phi: np.ndarray):
        """φᶜ; blocked cells are left out of the minimum."""
        if self.blocked is not None:
            phi = np.where(self.blocked, -np.inf, phi)
        return c_transform(phi, self.spacing, self.tau, self.threads, periodic=self.periodic)

    def conjugate(self, psi: np.ndarray):
        """ψᶜ everywhere, from ψ where ρ_k has mass: elsewhere ψ is free, and −∞ gives the largest ψᶜ."""
        if self.empty is not None:
            psi = np.where(self.empty, -np.inf, psi)
        return c_transform(psi, self.spacing, self.tau, self.threads, periodic=self.periodic)

    def normalise(self, phi: np.ndarray, tolerance: float = TOLERANCES.loose_mass):
        """(φ shifted, ρ′) with ρ′ = U*′(−φ − V) of the mass of ρ_k."""
        c, density = self.energy.normalise(phi + self.potential, self.total, tolerance)
        return phi - c, density

    def push(self, phi: np.ndarray):
        """T_#ρ_k as the pull-back ρ_k(S)·det DS, S = id − τ∇φ, and the coefficient of its linearisation."""
        if self.blocked is not None:
            phi = self.continued(phi)
        pushed, coefficient = self.pull_back(self.rho, phi)
        if self.blocked is not None:
            pushed[self.blocked] = 0.0
        return pushed, coefficient

    def pull_back(self, density: np.ndarray, phi: np.ndarray):
        """The density moved by the inverse of id − τ∇φ, and the coefficient of the linearisation."""
        return pull_back(density, phi, self.tau, self.spacing, self.threads, self.periodic)

    def ascend(self, phi: np.ndarray, iterations: int):
        """φ after some iterations; where ρ′ − T_#ρ_k grows much, on from the best with half the step."""
        best, kept = math.inf, phi
        for number in range(iterations):
            phi, density = self.normalise(phi)
            pushed, coefficient = self.push(phi)
            residual = density - pushed
            size = float(np.abs(residual).sum()) / self.total
            if not size <= 2.0 * best + TOLERANCES.stray:
                phi, self.caution = kept, 2.0 * self.caution
                continue
            if size < best:
                best, kept = size, phi
            if number % TOLERANCES.renew == 0:
                self._curvature = self._mean_curvature(density)
            psi = self.transform(phi + self._precondition(residual, coefficient, density))
            phi, density = self.normalise(self.conjugate(psi))
            back, coefficient = self.pull_back(density, psi)
            phi = self.conjugate(psi + self._precondition(self.rho - back, coefficient, self.rho))
            self.iterations += 1
        return phi

    def _precondition(self, residual: np.ndarray, coefficient: np.ndarray, density: np.ndarray):
        curvature = self.caution * self._curvature
        if not self.full_support:
            largest = self.tau * float(max(coefficient.max(), density.max()))
            return self.poisson(residual, curvature, self.caution * largest, self.threads)
        weight = np.maximum(coefficient, density)
        root = 1.0 / np.sqrt(weight + TOLERANCES.metric_floor * weight.max())
        return root * self.poisson(residual * root, curvature, self.caution * self.tau, self.threads)

    def _mean_curvature(self, density: np.ndarray):
        """The preconditioner's constant: U*″ averaged over ρ′, or for √ρ max U*″/ρ and an allowance."""
        if self.full_support:
            top = np.array([self.rho.max()])
            return TOLERANCES.allowance / float(top[0] * self.energy.internal.second_derivative(top)[0])
        dense = np.where(density > 0.05 * density.max(), density, 0.0)
        return float(np.vdot(self.energy.curvature(density), dense) / dense.sum())


class Continuation:
    """Quadratic extrapolation into blocked cells, layer by layer: the mean over the directions that offer
    three known cells; where none does, the field is left as it is."""

    def __init__(self, blocked: np.ndarray):
        known = ~blocked
        self.layers = []
        for _ in range(TOLERANCES.continued_layers):
            targets, sources = _directions(known)
            self.layers.append((*np.unique(targets, return_inverse=True), sources))
            known = known.copy()
            known.reshape(-1)[targets] = True

    def __call__(self, field: np.ndarray):
        """The field with the cells beside the free ones replaced."""
        out = field.copy()
        flat = out.reshape(-1)
        for cells, owner, sources in self.layers:
            guesses = 3.0 * flat[sources[0]] - 3.0 * flat[sources[1]] + flat[sources[2]]
            flat[cells] = np.bincount(owner, guesses, len(cells)) / np.bincount(owner, minlength=len(cells))
        return out


def _directions(known: np.ndarray):
    """Flat indices of unknown cells `[k]`, and of the three known cells next to each in a line `[3, k]`."""
    index = np.arange(known.size).reshape(known.shape)
    targets, sources = [], []
    for axis, n in enumerate(known.shape):
        for lines in (slice(None), slice(None, None, -1)):
            cells = np.moveaxis(index, axis, 0)[lines]
            sure = np.moveaxis(known, axis, 0)[lines]
            usable = ~sure[: n - 3] & sure[1 : n - 2] & sure[2 : n - 1] & sure[3:]
            targets.append(cells[: n - 3][usable])
            sources.append([cells[s : n - 3 + s][usable] for s in (1, 2, 3)])
    return np.concatenate(targets), np.concatenate(sources, axis=1)
