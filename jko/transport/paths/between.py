"""The three curves between two measures side by side."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np

from jko.errors import finite_array, positive_number
from jko.measures import Density, Gaussian, Grid, Particles
from jko.transport.distances.common_kind import CURVE_IN_FREE_SPACE, alike, common_grid
from jko.transport.dynamic.kinetic import kinetic_energy_of_flux, kinetic_energy_of_rate
from jko.transport.paths.interpolation import KINDS, convolved, dilated, interpolate
from jko.transport.tolerances import TOLERANCES
from jko.transport.wasserstein import wasserstein


@dataclass(frozen=True)
class Curves:
    """Curves between two measures, each of `"displacement"`, `"mixture"`, `"product"` a key of the three
    dicts: `measures` (a list over the times), `kinetic_energy` `[k]` and `modes` `[k]` (whole numbers)."""

    times: np.ndarray
    measures: dict = field(repr=False)
    kinetic_energy: dict
    modes: dict


def curves(mu: Density, nu: Density, times: list) -> Curves:
    """`interpolate` at times `[k]` in [0, 1] along all three kinds, with kinetic energy and number of modes.

    The kinetic energy is that of the least velocity, min ∫|v|² dmu_t under ∂t mu_t + div(mu_t v) = 0, which
    is the squared metric derivative |mu'|²(t) [AmbrosioGigliSavare2008]: W₂² at every t along the
    displacement and more on average along any other curve. Infinite where mass vanishes at one place to
    appear at another, as along a mixture of clouds. Raises as `interpolate`.
    """
    times = np.atleast_1d(finite_array("times", times))
    if times.ndim != 1 or not times.size or times.min() < 0.0 or times.max() > 1.0:
        raise ValueError(
            f"times: expected numbers between 0 and 1, a list or array [k], got {times.tolist()!r:.60}"
        )
    mu, nu = alike(mu, nu, instead=CURVE_IN_FREE_SPACE)
    measures = {kind: [interpolate(mu, nu, float(t), kind) for t in times] for kind in KINDS}
    energies = {
        "displacement": np.full(times.size, wasserstein(mu, nu) ** 2),
        "mixture": np.array([_mixture_energy(mu, nu, t) for t in times]),
        "product": np.array([_product_energy(mu, nu, t) for t in times]),
    }
    modes = {kind: np.array([number_of_modes(m) for m in measures[kind]]) for kind in KINDS}
    return Curves(times, measures, energies, modes)


def _mixture_energy(mu, nu, t):
    if isinstance(mu, Gaussian):
        grid = common_grid(mu, nu)
        mu, nu = mu.on(grid), nu.on(grid)
    if not isinstance(mu, Density):
        return np.inf
    return kinetic_energy_of_rate(mu.grid, (1.0 - t) * mu.values + t * nu.values, nu.values - mu.values)


def _product_energy(mu, nu, t):
    if isinstance(mu, Gaussian):
        return _gaussian_product_energy(mu, nu, t)
    if not isinstance(mu, Density):
        shift = np.sum((mu.mean() - nu.mean()) ** 2)
        return float(shift + np.trace(mu.covariance()) + np.trace(nu.covariance()))
    scale = mu.grid.cell_volume / mu.mass
    first, second = dilated(mu.values, 1.0 - t), dilated(nu.values, t)
    # about the middle of the box, since the two parts of the flux cancel far from 0
    points = np.moveaxis(mu.grid.centers - mu.mean(), -1, 0)
    flux = [
        convolved(first, dilated(x * nu.values, t)) - convolved(dilated(x * mu.values, 1.0 - t), second)
        for x in points
    ]
    return kinetic_energy_of_flux(
        mu.grid, np.maximum(convolved(first, second), 0.0) * scale, np.array(flux) * scale
    )


def _gaussian_product_energy(mu, nu, t):
    """|m1 - m0|² + tr(B S B) with B S + S B = dS/dt: the gradient velocity of a curve of Gaussians."""
    from scipy.linalg import solve_continuous_lyapunov

    S0, S1 = mu.covariance(), nu.covariance()
    S = (1.0 - t) ** 2 * S0 + t**2 * S1
    B = solve_continuous_lyapunov(S, 2.0 * t * S1 - 2.0 * (1.0 - t) * S0)
    return float(np.sum((nu.mean() - mu.mean()) ** 2) + np.trace(B @ S @ B))


def number_of_modes(mu: Density, prominence: float = 0.01):
    """How many maxima of the density rise by more than `prominence` times its largest value above the highest
    saddle that leads to a higher one (the persistence of a maximum, [EdelsbrunnerHarer2010]).

    A Gaussian has one, and so has a single point. A cloud is counted in its kernel estimate, up to three
    dimensions, along the axes in which it is not flat. Neighbours on a
    grid are the 3^d - 1 cells around.
    """
    if not positive_number("prominence", prominence) < 1.0:
        raise ValueError(f"prominence: expected less than 1, a fraction of the highest, got {prominence:g}")
    if isinstance(mu, Gaussian):
        return 1
    if isinstance(mu, Particles):
        spread = np.ptp(mu.positions, axis=0) > 0.0  # a cloud is counted along the axes that it has
        if not spread.any():
            return 1
        mu = _estimate(Particles(mu.positions[:, spread], mu.weights))
    if not isinstance(mu, Density):
        raise TypeError(f"mu: expected a Density, Particles or a Gaussian, got {type(mu).__name__}")
    return _persistent_maxima(mu.values, prominence * mu.values.max())


def _estimate(mu):
    if mu.dimension > 3:
        raise ValueError(
            f"mu: modes are counted on a grid, of 3 dimensions at most, got {mu.dimension}; project the cloud"
        )
    low, high = mu.positions.min(axis=0), mu.positions.max(axis=0)
    margin = TOLERANCES.mode_margin * (high - low).max()
    cells = (TOLERANCES.mode_cells[mu.dimension - 1],) * mu.dimension
    return Density.kernel_estimate(mu, Grid.uniform(tuple(low - margin), tuple(high + margin), cells))


def _persistent_maxima(values: np.ndarray, least: float):
    """Cells enter from the highest down, and components of what has entered merge at saddles."""
    padded = np.pad(values, 1, constant_values=-1.0).ravel()
    steps = _neighbour_steps([n + 2 for n in values.shape])
    order = np.flatnonzero(padded > 0.0)
    order = order[np.argsort(-padded[order], kind="stable")]
    parent, heights = {}, padded.tolist()
    count = 0
    for cell in order.tolist():
        roots = {_root(parent, cell + step) for step in steps if cell + step in parent}
        parent[cell] = cell
        for root in roots:
            low, high = sorted((root, _root(parent, cell)), key=heights.__getitem__)
            count += low != cell and heights[low] - heights[cell] > least
            parent[low] = high
    summits = [cell for cell, above in parent.items() if cell == above and heights[cell] > least]
    return int(count) + len(summits)


def _neighbour_steps(shape: list):
    strides = np.cumprod([1, *shape[:0:-1]])[::-1]
    offsets = itertools.product((-1, 0, 1), repeat=len(shape))
    return [int(np.dot(offset, strides)) for offset in offsets if any(offset)]


def _root(parent: dict, cell: int):
    while parent[cell] != cell:
        parent[cell] = parent[parent[cell]]
        cell = parent[cell]
    return cell
