"""The forward equation of a process with jumps on a grid: positive, conservative, of second order in time."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jko.diffusion.arguments import instance, within
from jko.diffusion.coefficients import at_points
from jko.diffusion.density_path import DensityPath
from jko.diffusion.fokker_planck import Chain, excess_note, step
from jko.diffusion.generator import upwind
from jko.diffusion.jumps import Jumps, require_density
from jko.diffusion.paths import checked_times, refine
from jko.diffusion.sde import SDE
from jko.diffusion.tolerances import TOLERANCES
from jko.measures import Density, Grid

if TYPE_CHECKING:
    from jko.diffusion.markov_generator import Generator


def solve(generator: Generator, density: Density, times: ArrayLike, substeps: int = 1) -> DensityPath:
    """∂ₜp = −∇·(bp) + ½Σ∂ᵢ∂ⱼ[(GGᵀ)ᵢⱼp] + ∫λ(x)k(·|x)p(x)dx − λp without flux through the boundary.

    Drift and noise are the Markov chain between cells of `SDE.fokker_planck`, of order 2 in the cells, or
    upwind fluxes of order 1 where there is no noise; jumps lead from the centre of a cell to the centres of
    all others, each row of k(y | x)|c| made to sum to 1, so that no jump leaves the grid. Half a step of
    jumps, one of the rest and half a step of jumps [Strang1968]: order 2. The exponential of the jumps is a
    sum of positive terms by uniformisation [Jensen1953], so that p ≥ 0 and mass is kept to rounding.
    Warns where a hundredth of the jumps led beyond the grid or between its cells, where drift outruns noise
    as `SDE.fokker_planck` does, and where upwind fluxes add a tenth of the variance; the path's `note` keeps
    the sentence.
    """
    instance("density", density, Density, ": put it on a grid first")
    density.grid.require_box("density", "take a box that holds the law")
    if density.dimension > 2:
        raise ValueError(
            f"density: expected one or two dimensions, got {density.dimension}: use simulate in more"
        )
    generator.check(density.dimension)
    times = checked_times(times, backward=False)
    within("times", times, generator.known_times)
    chain = _local(generator, density.grid)
    jumps = _JumpMatrix(generator.jumps, density.grid) if generator.jumps else None
    values, stored, excess = density.values.ravel().copy(), [density], 0.0
    added = np.zeros(density.dimension)  # variance along each axis
    fine = refine(times, substeps)
    for number, (t, dt) in enumerate(zip(fine[:-1], np.diff(fine), strict=True), start=1):
        if chain is None and jumps is not None:
            values = jumps.carried(values, t + 0.5 * dt, dt)
        elif chain is not None:
            if jumps is not None:
                values = jumps.carried(values, t + 0.25 * dt, 0.5 * dt)
            share = values / values.sum()
            values = step(chain, values, t, dt)
            if chain.noisy:
                excess = max(excess, float(share @ chain.known[2].excess))
            else:
                added += dt * (share @ np.abs(chain.known[0])) * density.grid.spacing
            if jumps is not None:
                values = jumps.carried(values, t + 0.75 * dt, 0.5 * dt)
        if number % substeps == 0:
            stored.append(density.with_values(values.reshape(density.grid.cells)))
    peclet, note = excess_note(excess, density.grid)
    spread = _spread_note(added, stored[-1]) if chain is not None and not chain.noisy else ""
    notes = [text for text in (note, spread, jumps.note if jumps is not None else "") if text]
    for text in notes:
        warnings.warn(text, RuntimeWarning, stacklevel=3)
    return DensityPath(times, stored, cell_peclet=peclet if chain else None, note="; ".join(notes))


def _local(generator: Generator, grid: Grid):
    """The chain between neighbours of drift and noise, None without either."""
    if generator.diffusion is not None:
        return Chain(SDE(generator.drift or _still, generator.diffusion), grid)
    if generator.drift is not None:
        return Chain(generator, grid, upwind, noisy=False)
    return None


def _spread_note(added: np.ndarray, end: Density) -> str:
    """Empty, or what to say of the variance |b|h a unit of time that upwind fluxes add along each axis."""
    share = float(np.max(added / np.diag(end.covariance())))
    if share <= TOLERANCES.excess_noise:
        return ""
    wanted = math.ceil(share / TOLERANCES.excess_noise)
    return (
        f"forward: drift without noise is carried by upwind fluxes, which add {100.0 * share:.3g} % of the "
        f"variance that the density has at the end: take {wanted} times as many cells, or simulate"
    )


def _still(x, t):
    return jnp.zeros_like(x)


class _JumpMatrix:
    """Rates `[n]` and targets `[n, n]` of jumps between cells, and the exponential of their generator."""

    def __init__(self, parts: tuple[Jumps, ...], grid: Grid):
        if grid.size > TOLERANCES.jump_cells:
            raise ValueError(
                f"density: jumps between all pairs of {grid.size} cells do not fit: take at most "
                f"{TOLERANCES.jump_cells} cells, or simulate"
            )
        self.parts, self.grid, self.lost = parts, grid, 0.0
        densities = [require_density(part.kernel) for part in parts]
        self._fixed = [not _reads_time(log_k, grid.dimension) for log_k in densities]
        self._rows_of = [
            jax.jit(jax.vmap(jax.vmap(log_k, in_axes=(0, None, None)), in_axes=(None, 0, None)))
            for log_k in densities
        ]
        self._targets: list = [None] * len(parts)
        self._defects: list = [None] * len(parts)

    def carried(self, p: np.ndarray, t: float, length: float) -> np.ndarray:
        """exp(length · Q*)p at the rates of a time."""
        rates, targets = self._at(t)
        total = sum(rates)
        bound = float(total.max(initial=0.0))
        if bound == 0.0:
            return p
        shares = [float(p @ (rate * defect)) for rate, defect in zip(rates, self._defects, strict=True)]
        self.lost = max(self.lost, sum(shares) / max(float(p @ total), np.finfo(float).tiny))
        pieces = int(np.ceil(bound * length / TOLERANCES.series_events))
        for _ in range(pieces):
            p = self._series(p, rates, targets, total, bound, bound * length / pieces)
        return p

    def _series(self, p, rates, targets, total, bound: float, mean: float) -> np.ndarray:
        """Σ e^{−mean} meanᵐ/m! (I + Q*/bound)ᵐp, every term positive."""
        number, weight, term, result = 0, float(np.exp(-mean)), p, np.exp(-mean) * p
        while number < mean or weight > TOLERANCES.poisson_tail:
            number += 1
            gathered = sum(K.T @ (rate * term) for rate, K in zip(rates, targets, strict=True))
            term = np.maximum(1.0 - total / bound, 0.0) * term + gathered / bound
            weight *= mean / number
            result = result + weight * term
        return result * (p.sum() / result.sum())

    @property
    def note(self) -> str:
        """Empty, or what to say of jumps that the grid does not hold."""
        if self.lost <= TOLERANCES.lost_jumps:
            return ""
        return (
            f"forward: up to {100.0 * self.lost:.2g} % of the jumps lead beyond the "
            "grid or fall between its cells, and are put back in proportion: take a larger box or more cells"
        )

    def _at(self, t: float):
        points, rates = self.grid.points, []
        for k, part in enumerate(self.parts):
            rate = at_points(part.rate, points, t)
            if not (np.all(np.isfinite(rate)) and rate.min() >= 0.0):
                where = points[int(np.argmin(np.where(np.isfinite(rate), rate, -np.inf)))].tolist()
                raise ValueError(
                    f"rate: expected finite rates of at least 0 on the grid, not so at {where}, t = {t:g}"
                )
            if self._targets[k] is None or not self._fixed[k]:
                self._targets[k], self._defects[k] = self._rows(self._rows_of[k], t)
            rates.append(rate)
        return rates, self._targets

    def _rows(self, every: Callable, t: float) -> tuple[np.ndarray, np.ndarray]:
        """k(y | x)|c| with rows of sum 1, and by how much the sums were not."""
        points, rows = self.grid.points, TOLERANCES.jump_rows
        with jax.enable_x64(True):
            blocks = [
                np.exp(np.asarray(every(points, points[k : k + rows], float(t))))
                for k in range(0, len(points), rows)
            ]
        K = np.concatenate(blocks) * self.grid.cell_volume
        sums = K.sum(axis=1)
        if not sums.min() > 0.0:
            where = points[int(sums.argmin())].tolist()
            raise ValueError(f"kernel: jumps from {where} do not reach the grid at t = {t:g}: widen it")
        return K / sums[:, None], np.abs(sums - 1.0)


def _reads_time(log_density, dimension: int) -> bool:
    """Whether the program of log k(y | x, t) has t among what it computes with."""
    with jax.enable_x64(True):
        x = jnp.zeros(dimension)
        program = jax.make_jaxpr(log_density)(x, x, jnp.zeros(())).jaxpr
    t = program.invars[-1]
    return any(t is read for equation in program.eqns for read in equation.invars) or t in program.outvars
