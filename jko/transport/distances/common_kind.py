"""Two measures checked, and made to be of one kind."""

from __future__ import annotations

import numpy as np

from jko.errors import finite_array
from jko.measures import (
    CellDensity,
    ConfinedParticles,
    Density,
    Gaussian,
    Grid,
    Measure,
    Particles,
    Population,
)
from jko.transport.distances.tolerances import TOLERANCES

MOST_CELLS = 4e6
IN_FREE_SPACE = "this is transport in free space; on a torus and in a room take jko.wasserstein"
CURVE_IN_FREE_SPACE = (
    "the product curve is one of free space; on a torus take transport.interpolate with "
    'kind="displacement" or "mixture"'
)


def check_pair(
    mu,
    nu,
    free: bool = True,
    clouds_of_any_mass: bool = False,
    lines: bool = False,
    tori: bool = False,
    instead: str = IN_FREE_SPACE,
):
    """Raises TypeError for what is no measure, ValueError for measures of different dimension or mass, and
    with `free` for densities on periodic grids, but with `tori`, and in rooms. With `lines` also densities
    on edges of one's own are taken. `instead` is what a refusal of a torus or a room advises."""
    for name, measure in (("mu", mu), ("nu", nu)):
        if not isinstance(measure, (CellDensity if lines else Density) | Particles | Gaussian):
            raise TypeError(
                f"{name}: expected a Density, Particles or a Gaussian, got {type(measure).__name__}; "
                "convert it to one of these"
            )
        if free and isinstance(measure, Density) and not (tori and not measure.grid.is_room):
            measure.grid.require_box(name, instead)
        if free and isinstance(measure, ConfinedParticles):
            measure.domain.require_box(name, instead)
        if isinstance(measure, Population) and not clouds_of_any_mass:
            raise ValueError(
                f"{name}: expected particles of mass 1, got {measure!r}, whose mass would be lost: call "
                ".normalized() on it, or take hellinger_kantorovich"
            )
    if mu.dimension != nu.dimension:
        raise ValueError(
            f"mu, nu: expected the same dimension, got {mu.dimension} and {nu.dimension}; project one "
            "or lift the other"
        )
    if abs(mass_of(mu) - mass_of(nu)) > TOLERANCES.same_mass * max(mass_of(mu), mass_of(nu)):
        raise ValueError(
            f"mu, nu: expected the same mass, got {mass_of(mu):.6g} and {mass_of(nu):.6g}; call "
            ".normalized() on them, or take hellinger_kantorovich, which lets mass grow"
        )


def torus_of(mu: Density, nu: Measure, torus=None):
    """The grid on whose torus two measures lie: the one given, else that of a density or of particles in a
    box; None in free space. Raises TypeError for what is no grid, ValueError for boxes that differ and for a
    Gaussian."""
    grids = [m.grid for m in (mu, nu) if isinstance(m, Density)]
    grids += [m.domain for m in (mu, nu) if isinstance(m, ConfinedParticles)]
    if torus is not None and not isinstance(torus, Grid):
        raise TypeError(f"torus: expected a Grid, got {type(torus).__name__}: make one with Grid.uniform")
    if torus is None:
        torus = next((grid for grid in grids if grid.is_periodic), None)
    if torus is None or not torus.is_periodic:
        return None
    if torus.dimension != mu.dimension:
        raise ValueError(f"torus: expected {mu.dimension} dimensions, the measures', got {torus.dimension}")
    for grid in grids:
        sides = np.array([grid.lower, grid.upper]), np.array([torus.lower, torus.upper])
        size = np.ptp(sides[1], axis=0)
        if grid.periodic != torus.periodic or np.any(
            np.abs(sides[0] - sides[1]) > TOLERANCES.same_box * size
        ):
            raise ValueError(
                f"mu, nu: expected densities on one torus, got {grid!r} and {torus!r}; make both on one box"
            )
    if any(isinstance(m, Gaussian) for m in (mu, nu)):
        raise ValueError("mu, nu: a Gaussian lives in free space; on a torus put it on the grid or sample it")
    return torus


def checked_points(x: np.ndarray, dimension: int) -> np.ndarray:
    """Points `[n, d]`; on the line `[n]` will do."""
    x = finite_array("x", x)
    if dimension == 1 and x.ndim < 2:
        x = x.reshape(-1, 1)
    if x.ndim != 2 or x.shape[1] != dimension:
        raise ValueError(f"x: expected points of shape [n, {dimension}], got {x.shape}")
    return x


def merged(cloud: Particles):
    """The cloud with equal points made one of their weights' sum, and for each point given the number of its
    own `[n]`."""
    positions, number = np.unique(np.asarray(cloud.positions) + 0.0, axis=0, return_inverse=True)
    number = number.ravel()
    if len(positions) == cloud.n:
        return cloud, np.arange(cloud.n)
    weights = np.bincount(number, np.asarray(cloud.weights, dtype=float))
    return Particles(positions, weights / weights.sum()), number


def mass_of(mu: Density) -> float:
    """The mass of a measure, 1 but for densities and populations."""
    return float(mu.mass)


def alike(mu: Measure, nu: Measure, tori: bool = False, instead: str = IN_FREE_SPACE):
    """(mu, nu) as two densities on one grid, two clouds or two Gaussians; a Gaussian beside a density is
    put on its grid. With `tori` densities may lie on one torus. Raises TypeError and ValueError for what is
    no measure, differs in mass or dimension, or cannot be made alike."""
    check_pair(mu, nu, tori=tori, instead=instead)
    if tori:
        torus_of(mu, nu)
    mu, nu = _beside_densities(mu, nu)
    if isinstance(mu, Particles) != isinstance(nu, Particles):
        raise ValueError(
            f"mu, nu: expected measures of one kind, got {type(mu).__name__} and {type(nu).__name__}; make "
            "the other a cloud by .sample(n, seed), or the cloud a Density.kernel_estimate(cloud, grid)"
        )
    if isinstance(mu, Density) and mu.grid != nu.grid:
        raise ValueError(
            f"mu, nu: expected densities on one grid, got {mu.grid!r} and {nu.grid!r}; make the second anew "
            "on the first's grid, or take Density.histogram(nu.sample(n, seed), mu.grid)"
        )
    return mu, nu


def as_densities(mu: Density, nu: Density, method: str):
    """(mu, nu) as two densities on grids of one spacing, Gaussians on grids that reach seven standard
    deviations. Raises ValueError for clouds, and for Gaussians too wide for the other's cells."""
    if isinstance(mu, Particles) or isinstance(nu, Particles):
        raise ValueError(
            f'method: "{method}" takes densities on grids, got {type(mu).__name__} and {type(nu).__name__}; '
            "make the cloud a Density.kernel_estimate, or leave the method out"
        )
    if isinstance(mu, Gaussian) and isinstance(nu, Gaussian):
        grid = common_grid(mu, nu)
        return mu.on(grid), nu.on(grid)
    if isinstance(nu, Gaussian):
        return mu, _on_such_cells(nu, mu, method)
    if isinstance(mu, Gaussian):
        return _on_such_cells(mu, nu, method), nu
    return mu, nu


def cells_for(gaussian, density) -> float:
    """How many of a density's cells a Gaussian spans."""
    return float(np.prod(_span(gaussian, density)[1]))


def _span(gaussian, density):
    grid, h = density.grid, np.asarray(density.grid.spacing)
    reach = TOLERANCES.reach * np.sqrt(np.diag(gaussian.covariance())) + h
    lower = grid.lower + np.floor((gaussian.mean() - reach - grid.lower) / h) * h
    return lower, np.ceil((gaussian.mean() + reach - lower) / h)


def _on_such_cells(gaussian, density, method):
    lower, cells = _span(gaussian, density)
    if not np.prod(cells) <= MOST_CELLS:
        raise ValueError(
            f'method: "{method}" needs {np.prod(cells):.1e} of the density\'s cells for so wide a Gaussian; '
            'take method="exact", or a coarser grid'
        )
    upper = lower + cells * density.grid.spacing
    found = gaussian.on(Grid.uniform(tuple(lower), tuple(upper), tuple(int(n) for n in cells)))
    return found.with_values(found.values * (density.mass / found.mass))


def _beside_densities(mu: Measure, nu: Measure):
    if isinstance(mu, Density) and isinstance(nu, Gaussian):
        on_grid = nu.on(mu.grid)
        return mu, on_grid.with_values(on_grid.values * mu.mass)
    if isinstance(mu, Gaussian) and isinstance(nu, Density):
        on_grid = mu.on(nu.grid)
        return on_grid.with_values(on_grid.values * nu.mass), nu
    return mu, nu


def common_grid(mu, nu):
    """A grid that reaches seven standard deviations from both of two Gaussians."""
    if mu.dimension > 3:
        raise ValueError(
            f"mu, nu: a mixture of Gaussians is put on a grid, of 3 dimensions at most, got {mu.dimension}; "
            "sample them into Particles"
        )
    reach = [(m.mean(), TOLERANCES.reach * np.sqrt(np.diag(m.covariance()))) for m in (mu, nu)]
    lower, upper = np.min([m - r for m, r in reach], axis=0), np.max([m + r for m, r in reach], axis=0)
    return Grid.uniform(tuple(lower), tuple(upper), (TOLERANCES.cells[mu.dimension - 1],) * mu.dimension)
