"""The entropic step's potentials, from coarse grids to fine."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from jko.loops.anderson import Anderson
from jko.steps.scaling.prox import DensityProx

_COARSEST, _COARSEST_TURN = 16, 32
_DEPTH = 8
_START_MIXING = 0.5
_LARGEST = 600.0


@dataclass(frozen=True, eq=False)
class EntropicStep:
    """What one grid sees of a step: densities, V, the cap (or None) and h, τ, ε. `share` is the part of the
    plan's entropy that is given back: 0, or ½ to remove the bias."""

    rho: np.ndarray
    potential: np.ndarray
    cap: np.ndarray | None
    internal: object
    spacing: tuple[float, ...]
    tau: float
    epsilon: float
    share: float
    periodic: tuple[bool, ...] | None = None

    @property
    def alpha(self) -> float:
        """ε/τ."""
        return self.epsilon / self.tau

    def heat(self):
        """l ↦ log ∫N(x − y; ε)e^l dy over the box."""
        from jko.loops.log_gaussian import LogGaussian

        decay = [0.5 * h * h / self.epsilon for h in self.spacing]
        kernel = LogGaussian(self.rho.shape, decay, self.periodic)
        scale = sum(math.log(h) - 0.5 * math.log(2.0 * math.pi * self.epsilon) for h in self.spacing)
        return lambda logs: kernel(logs) + scale


@dataclass(frozen=True, eq=False)
class Scaled:
    """A plan e^{f + g}ρ_k N of first marginal ρ_k exactly, whose second is `density`; `wanted` is the density
    that the energy asks for at the same potentials and `mismatch` their L1 distance over the mass. Both by
    their logarithms, which vacuum does not lose."""

    step: EntropicStep
    f: np.ndarray
    g: np.ndarray
    log_density: np.ndarray
    log_wanted: np.ndarray
    mismatch: float
    iterations: int

    @property
    def density(self) -> np.ndarray:
        """The second marginal."""
        return np.exp(self.log_density)

    @property
    def wanted(self) -> np.ndarray:
        """The density that the energy asks for."""
        return np.exp(self.log_wanted)

    @property
    def slope(self) -> np.ndarray:
        """α(g − share·log ρ), which is −δF/δρ at the optimum."""
        return self.step.alpha * (self.g - self.step.share * self.log_density)


def solve(step: EntropicStep, tolerance, max_iterations, start=None) -> Scaled:
    """On the grid of `step`, begun on halved grids whose ε is no less than their h², or from a `Scaled`."""
    guess = start
    for level in [step] if start else _levels(step):
        with np.errstate(over="ignore", invalid="ignore"):
            guess = _scale(level, tolerance, max_iterations, *_start(level, guess))
        if not math.isfinite(guess.mismatch):
            break
    return guess


def _start(level, coarse):
    if coarse is None:
        return np.zeros(level.rho.shape), None
    slope, r = coarse.slope, coarse.log_wanted
    if slope.shape != level.rho.shape:
        from jko.loops.resample import interpolate

        ratios = [a / b for a, b in zip(slope.shape, level.rho.shape, strict=True)]
        slope, r = (interpolate(f, level.rho.shape, (0.0,) * len(ratios), ratios) for f in (slope, r))
    return slope / level.alpha + level.share * r, r


def _scale(step, tolerance, most, g, r):
    """Iteration [Peyre2015]: f sets the first marginal right, g what the energy asks of the second."""
    heat, alpha = step.heat(), step.alpha
    prox = DensityProx(step.internal, (1.0 - step.share) * alpha, step.rho.sum(), step.cap)
    with np.errstate(divide="ignore"):
        log_rho = np.log(step.rho)
    mixing = None
    for done in range(1, most + 1):
        f = -heat(g)
        blurred = heat(f + log_rho)
        if r is None:
            r = blurred if step.cap is None else np.minimum(blurred, np.log(step.cap))
        r, _ = prox(alpha * blurred - step.potential, r)
        image, wanted = r - blurred, np.exp(r)
        excess = np.expm1(np.minimum(g - image, _LARGEST))
        mismatch = float(np.abs(wanted * excess).sum() / step.rho.sum())
        if mismatch <= tolerance or done == most or not math.isfinite(mismatch):
            break
        mixing = mixing or Anderson(step.rho + wanted, _DEPTH)
        g = mixing(g, image) if mismatch < _START_MIXING else image
    return Scaled(step, f, g, g + blurred, r, mismatch, done)


def _levels(step):
    from jko.loops.resample import average

    shapes = [step.rho.shape]
    coarsest = _COARSEST_TURN if any(step.periodic or ()) else _COARSEST
    while max(shapes[0]) > coarsest:
        shapes.insert(0, tuple(math.ceil(n / 2) if n > 2 else n for n in shapes[0]))
    extent = [n * h for n, h in zip(step.rho.shape, step.spacing, strict=True)]
    for shape in shapes[:-1]:
        spacing = tuple(e / n for e, n in zip(extent, shape, strict=True))
        yield EntropicStep(
            average(step.rho, shape),
            average(step.potential, shape),
            None if step.cap is None else average(step.cap, shape),
            step.internal,
            spacing,
            step.tau,
            max(step.epsilon, max(spacing) ** 2),
            step.share,
            step.periodic,
        )
    yield step
