"""The three curves between two measures side by side."""

from dataclasses import dataclass, field

import numpy as np

from jko.errors import finite_array
from jko.measures import Density, Gaussian
from jko.transport.interpolation import KINDS, convolved, dilated, interpolate
from jko.transport.kinetic import kinetic_energy_of_flux, kinetic_energy_of_rate
from jko.transport.modes import number_of_modes
from jko.transport.pairs import alike, common_grid
from jko.transport.wasserstein import wasserstein


@dataclass(frozen=True)
class Curves:
    """Curves between two measures, each of `"displacement"`, `"mixture"`, `"product"` a key of the three
    dicts: `measures` (a list over the times), `kinetic_energy` `[k]` and `modes` `[k]` (whole numbers)."""

    times: np.ndarray
    measures: dict = field(repr=False)
    kinetic_energy: dict
    modes: dict


def curves(mu, nu, times) -> Curves:
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
    mu, nu = alike(mu, nu)
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
