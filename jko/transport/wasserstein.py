"""The 2-Wasserstein distance between any two measures of the house."""

from __future__ import annotations

import numpy as np

from jko.errors import one_of, whole_number
from jko.measures import CellDensity, Density, Gaussian, Measure, Particles, Population
from jko.transport.distances import methods
from jko.transport.distances.common_kind import MOST_CELLS, cells_for, check_pair, mass_of, torus_of
from jko.transport.distances.distance import Distance
from jko.transport.tolerances import TOLERANCES

METHODS = {
    "quantile": methods.quantile,
    "circle": methods.circle,
    "bures": methods.bures,
    "back-and-forth": methods.back_and_forth,
    "exact": methods.exact,
    "mixture-path": methods.mixture_path,
    "semi-discrete": methods.semi_discrete,
    "entropic": methods.entropic,
}
_ON_A_TORUS = ("circle", "exact")


def wasserstein(
    mu: Density, nu: Measure, method=None, *, epsilon=None, threads: int = 1, torus=None
) -> Distance:
    """W₂(mu, nu) = (min over couplings of ∫|x − y|²)^½, a float that says how it was found: a `Distance`
    with `.method`, `.reason`, `.error_bound` (`Distance` says of what), and, computed when asked for,
    `.potentials` and the duality `.gap`.

    Without `method` it is chosen:

    - `"quantile"` on the line: the quantile functions, exactly, a Density being constant on each cell; and
      between two radial densities on shells, by those of |x|, since the optimal map is radial;
    - `"bures"` between Gaussians: the closed form [Gelbrich1990];
    - `"back-and-forth"` between densities in the plane and in space on grids of one spacing, or a
      density and a Gaussian: the dual on a grid, nested and preconditioned [JacobsLeger2020]; the values
      of a density are those at cell centres, and smooth ones err by O(h²);
    - `"semi-discrete"` between a density or a Gaussian and at most 4000 points in the plane: the power
      cells [KitagawaMerigotThibert2019], exact for a density that is constant on each cell;
    - `"exact"` for clouds and the rest: the network simplex between atoms [BonneelEtAl2011], densities
      gathered to at most 1200 of them with the error in `.error_bound`;
    - `"mixture-path"`, an upper bound, sharp where densities are close [Peyre2018]: where back-and-forth
      does not close its gap and the bound is below the plan.

    On request also `"entropic"`: the Sinkhorn divergence at temperature `epsilon`, a squared length, as
    `sinkhorn` takes it, by default 2e-3 of the total variance, or h² where that is more.
    threads: of the loops of back-and-forth.

    Beside a density on a periodic grid, or with `torus` a periodic Grid for two clouds, the cost is the
    squared distance to the nearest image: `"circle"` on the line, by quantile functions of which one is
    turned [DelonSalomonSobolevski2010], `"exact"` between atoms in more dimensions.

    In a room the cost is that of straight lines, which may lead through its walls, and `.reason` says so: it
    bounds the way round them from below, which `steps.PrimalDual` pays.

    Measures of a common mass M other than 1 are M^½ as far apart as they are once normalised.

    Raises TypeError for what is no measure, ValueError for measures of different dimension or mass, clouds
    whose exact plan would not fit in memory, and a method that does not take these measures.
    """
    check_pair(mu, nu, free=False, clouds_of_any_mass=True, lines=True)
    scale, threads = float(np.sqrt(mass_of(mu))), whole_number("threads", threads)
    mu, nu = (m.normalized() if isinstance(m, Population) else m for m in (mu, nu))
    options = methods.Options(scale, threads, epsilon, torus_of(mu, nu, torus))
    if epsilon is not None and method != "entropic":
        raise ValueError(
            f'epsilon: it is for method="entropic" alone, got {epsilon!r} with method={method!r}'
        )
    if options.torus is not None and one_of("method", method or "circle", METHODS) not in _ON_A_TORUS:
        raise ValueError(f"method: on a torus there are {' and '.join(_ON_A_TORUS)}, got {method!r}")
    uneven = any(isinstance(m, CellDensity) and not m.grid.is_uniform for m in (mu, nu))
    if uneven and method not in (None, "quantile"):
        raise ValueError(
            f'method: with edges of one\'s own there is "quantile", got {method!r}; leave it out'
        )
    if method is None:
        found = _chosen(mu, nu, options)
    else:
        found = METHODS[one_of("method", method, METHODS)](mu, nu, options, "asked for")
    if any(isinstance(m, Density) and m.grid.room is not None for m in (mu, nu)):
        found.reason += "; the cost is that of straight lines, through the walls of the room"
    return found


wasserstein_distance = wasserstein


def _chosen(mu: Density, nu: Measure, options):
    if options.torus is not None and mu.dimension == 1:
        return methods.circle(mu, nu, options, "on a circle quantile functions, turned, are exact")
    if options.torus is not None:
        return methods.exact(mu, nu, options, "on a torus measures are taken as atoms")
    if isinstance(mu, Gaussian) and isinstance(nu, Gaussian):
        return methods.bures(mu, nu, options, "both are Gaussian: a closed form")
    if any(isinstance(m, CellDensity) and m.grid.is_radial for m in (mu, nu)):
        return methods.quantile(mu, nu, options, "between radial measures the optimal map is radial")
    if mu.dimension == 1:
        return methods.quantile(mu, nu, options, "on the line quantile functions are exact")
    if _is_semi_discrete(mu, nu):
        try:
            return methods.semi_discrete(mu, nu, options, "a density and a cloud in the plane")
        except (RuntimeError, ValueError) as trouble:
            return methods.exact(mu, nu, options, f"the semi-discrete problem was refused: {trouble}")
    reason = _unfit(mu, nu)
    if reason is not None:
        return methods.exact(mu, nu, options, reason)
    found = methods.back_and_forth(mu, nu, options, "densities on grids of one spacing")
    squared = float(found) ** 2
    if found.gap <= TOLERANCES.open_gap * squared + TOLERANCES.rounding * float(np.trace(mu.covariance())):
        return found
    why = f"back-and-forth left a gap of {found.gap:.1e} on so coarse a grid"
    others = [methods.exact(mu, nu, options, why)]
    if (
        isinstance(mu, Density)
        and isinstance(nu, Density)
        and mu.grid == nu.grid
        and mu.grid.size <= TOLERANCES.exact_cells
    ):
        others.append(methods.mixture_path(mu, nu, options, why))
    best = min(others, key=float)
    # the plan's bound holds that of atoms at the centres of cells, in which back-and-forth shares
    spacing = (mu if isinstance(mu, Density) else nu).grid.spacing
    cells = options.scale * np.sqrt(np.sum(np.square(spacing)) / 3.0) if best.method == "exact" else 0.0
    return best if best.error_bound - cells < np.sqrt(squared + found.gap) - float(found) else found


def _is_semi_discrete(mu: Measure, nu: Measure):
    clouds = [m for m in (mu, nu) if isinstance(m, Particles)]
    return mu.dimension == 2 and len(clouds) == 1 and clouds[0].n <= TOLERANCES.most_points


def _unfit(mu: Measure, nu: Measure):
    """Why two measures are not for back-and-forth, or None."""
    pair = mu, nu
    if any(isinstance(m, Particles) for m in pair):
        return "a cloud is its own atoms; a density or Gaussian beside it is gathered to atoms"
    if mu.dimension > 3:
        return "no grid has so many dimensions"
    if not any(isinstance(m, Gaussian) for m in pair):
        alike = np.allclose(mu.grid.spacing, nu.grid.spacing, rtol=1e-9, atol=0.0)
        return None if alike else "the grids differ in spacing: densities are gathered to atoms"
    gaussian, density = pair if isinstance(mu, Gaussian) else pair[::-1]
    too_wide = cells_for(gaussian, density) > MOST_CELLS
    return (
        "the Gaussian is too wide for the density's cells: both are gathered to atoms" if too_wide else None
    )
