"""The Fokker–Planck equation of an SDE on a grid: positive, conservative, of second order."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from jko.diffusion.arguments import instance, within
from jko.diffusion.coefficients import at_points
from jko.diffusion.density_path import DensityPath
from jko.diffusion.extrapolation import coarsened, extrapolated
from jko.diffusion.generator import centred, generator
from jko.diffusion.paths import checked_times, refine
from jko.diffusion.tolerances import TOLERANCES
from jko.errors import one_of, whole_number
from jko.measures import Density, Grid

_GAMMA = 1.0 - math.sqrt(0.5)  # of the step: both stages of the L-stable Runge–Kutta method of order 2


def solve(
    sde, density: Density, times: ArrayLike, substeps: int = 1, order: int = 2, fluxes: str = "fitted"
) -> DensityPath:
    """∂ₜp = −∇·(fp) + ½ Σ ∂ᵢ∂ⱼ[(GGᵀ)ᵢⱼ p] without flux through the boundary, d = 1, 2, G of full rank.

    Space is a Markov chain between cells (`generator`), time the two-stage L-stable SDIRK method
    [Alexander1977]; where it undershoots, its fluxes are limited to the positive ones of implicit Euler
    [Zalesak1979]. Mass is kept to rounding, p ≥ 0. With `order=4` a second solution on cells twice as wide
    removes the error in h² of log p. Raises ValueError for a GGᵀ that is singular on the grid.

    Where the drift outruns the noise from one cell to the next, the chain adds noise of its own, the share
    (P/2) coth(P/2) − 1 of GGᵀ, where P is the path's `cell_peclet`, on the line 2|f|h/g². Above a tenth,
    averaged over the mass at the worst time, warns RuntimeWarning, with the grid that it takes. With
    `fluxes="centred"` nothing is added, and the error is of order h² whatever the noise; where the density
    undershoots it is cut at 0, and ValueError is raised once that has made 1 % of mass. Order 2 only.
    """
    instance("density", density, Density, ": put it on a grid first")
    density.grid.require_box("density", "take limits.FiniteVolume on a torus or in a room")
    if density.dimension > 2:
        raise ValueError(
            f"density: expected one or two dimensions, got {density.dimension}: use simulate in more"
        )
    sde.check(density.dimension)
    times = checked_times(times, backward=False)
    within("times", times, sde.known_times)
    substeps = whole_number("substeps", substeps)
    if one_of("fluxes", fluxes, ("fitted", "centred")) == "centred":
        if one_of("order", order, (2, 4)) == 4:
            raise ValueError("order: centred fluxes are of order 2")
        return _solve_centred(sde, density, times, substeps)
    if one_of("order", order, (2, 4)) == 2:
        return _warned(_solve(sde, density, times, substeps))
    coarse = coarsened(density)
    fine = _solve(sde, density, times, substeps)
    return _warned(extrapolated(fine, _solve(sde, coarse, times, substeps)))


def _warned(path: DensityPath):
    if path.note:
        warnings.warn(path.note, RuntimeWarning, stacklevel=4)
    return path


def excess_note(excess: float, grid: Grid):
    """What to say of a chain that adds this share of noise, and its cell Péclet number."""
    from scipy.optimize import brentq

    # along one offset, the share is (P/2) coth(P/2) − 1
    peclet = 0.0
    if excess > 0.0:
        peclet = brentq(lambda p: 0.5 * p - (1.0 + excess) * math.tanh(0.5 * p), 1e-9, 3.0 + 2.0 * excess)
    if excess <= TOLERANCES.excess_noise:
        return peclet, ""
    wanted = " x ".join(str(2 * math.ceil(0.5 * n * peclet)) for n in grid.cells)
    return peclet, (
        f"fokker_planck: drift outruns noise between cells (cell Péclet number {peclet:.2g} at the worst "
        f"time): the grid adds noise, up to {100.0 * excess:.3g} % of GGᵀ, and the density spreads too far; "
        f"take about {wanted} cells or a smaller box, fluxes='centred', or simulate"
    )


def _solve(sde, density: Density, times: np.ndarray, substeps: int):
    chain = Chain(sde, density.grid)
    fine = refine(times, substeps)
    values, stored, excess = density.values.ravel().copy(), [density], 0.0
    for number, (t, dt) in enumerate(zip(fine[:-1], np.diff(fine), strict=True), start=1):
        share = values / values.sum()
        values = step(chain, values, t, dt)
        excess = max(excess, float(share @ chain.known[2].excess))
        if number % substeps == 0:
            stored.append(density.with_values(values.reshape(density.grid.cells)))
    peclet, note = excess_note(excess, density.grid)
    return DensityPath(times, stored, cell_peclet=peclet, note=note)


def _solve_centred(sde, density: Density, times: np.ndarray, substeps: int):
    chain = Chain(sde, density.grid, centred)
    fine, cut = refine(times, substeps), 0.0
    values, stored = density.values.ravel().copy(), [density]
    for number, (t, dt) in enumerate(zip(fine[:-1], np.diff(fine), strict=True), start=1):
        found, mass = _stages(chain(t + _GAMMA * dt), chain(t + dt), values, dt)[1], values.sum()
        values = np.maximum(found, 0.0)
        cut += 0.5 * float(np.abs(found - values).sum() + abs(values.sum() - mass)) / mass
        if not cut <= TOLERANCES.cut_mass:
            raise ValueError(
                f"density: centred fluxes undershoot by {100.0 * cut:.2g} % of the mass by t = {t + dt:g}: "
                "take more cells or shorter steps"
            )
        values *= mass / values.sum()
        if number % substeps == 0:
            stored.append(density.with_values(values.reshape(density.grid.cells)))
    return DensityPath(times, stored)


class Chain:
    """The generator at a time, kept while the coefficients stay what they are."""

    def __init__(self, sde, grid: Grid, build: Callable = generator, noisy: bool = True):
        self.sde, self.grid, self.build, self.noisy = sde, grid, build, noisy
        self.known = None

    def __call__(self, t: float):
        points = self.grid.points
        drift = at_points(self.sde.drift, points, t)
        covariance = at_points(self.sde.covariance, points, t)
        if self.known is None or not (
            np.array_equal(drift, self.known[0]) and np.array_equal(covariance, self.known[1])
        ):
            _check(drift, covariance, points, t, self.noisy)
            self.known = drift, covariance, self.build(self.grid, drift, covariance)
        return self.known[2]


def step(chain: Chain, p: np.ndarray, t: float, dt: float):
    first, second = chain(t + _GAMMA * dt), chain(t + dt)
    one, two = _stages(first, second, p, dt)
    if two.min() > 0.0:
        return two * (p.sum() / two.sum())
    low = np.maximum(second.solve(dt, p), 0.0)
    if np.array_equal(first.i, second.i) and np.array_equal(first.j, second.j):
        high = (1.0 - _GAMMA) * first.flux(one) + _GAMMA * second.flux(two)
        low = _limited(second, low, dt * (high - second.flux(low)))
    return low * (p.sum() / low.sum())


def _stages(first, second, p: np.ndarray, dt: float):
    one = first.solve(_GAMMA * dt, p)
    carried = p + (1.0 - _GAMMA) * dt * first.gathered(first.flux(one))
    return one, second.solve(_GAMMA * dt, carried)


def _limited(chain, low, flux):
    """low plus the fluxes, cut so that each cell keeps the share `kept` of low."""
    leaving = np.bincount(chain.i, np.maximum(flux, 0.0), chain.size) + np.bincount(
        chain.j, np.maximum(-flux, 0.0), chain.size
    )
    room = (1.0 - TOLERANCES.kept) * low
    share = np.where(leaving > room, room / np.maximum(leaving, np.finfo(float).tiny), 1.0)
    return np.maximum(low + chain.gathered(flux * np.where(flux > 0, share[chain.i], share[chain.j])), 0.0)


def _check(drift: np.ndarray, covariance: np.ndarray, points: np.ndarray, t: float, noisy: bool):
    if not (np.all(np.isfinite(drift)) and np.all(np.isfinite(covariance))):
        raise ValueError(f"drift, diffusion: NaN or infinite on the grid at t = {t:g}: narrow the grid")
    if not noisy:
        return
    least = np.linalg.eigvalsh(covariance)[:, 0]
    if least.min() <= 1e-12 * np.abs(covariance).max():
        where = points[least.argmin()].tolist()
        raise ValueError(
            f"diffusion: GGᵀ must be positive definite on the grid, got an eigenvalue {least.min():.3g} "
            f"at {where}, t = {t:g}: add a little noise, or use simulate"
        )
