"""Two measures made to be of one kind."""

from jko.measures import Density, Gaussian, Particles
from jko.transport.wasserstein import _check as check_pair


def alike(mu, nu):
    """(mu, nu) as two densities on one grid, two clouds or two Gaussians; a Gaussian beside a density is put
    on its grid. Raises TypeError and ValueError for what is no measure, differs in mass or dimension, or
    cannot be made alike."""
    check_pair(mu, nu)
    if isinstance(mu, Density) and isinstance(nu, Gaussian):
        nu = nu.on(mu.grid).with_values(nu.on(mu.grid).values * mu.mass)
    elif isinstance(mu, Gaussian) and isinstance(nu, Density):
        mu = mu.on(nu.grid)
    if isinstance(mu, Particles) != isinstance(nu, Particles):
        raise ValueError(
            f"mu, nu: expected measures of one kind, got {type(mu).__name__} and {type(nu).__name__}; sample "
            "the other into Particles, or put the cloud on a grid by Density.kernel_estimate"
        )
    if isinstance(mu, Density) and mu.grid != nu.grid:
        raise ValueError(f"mu, nu: expected densities on one grid, got {mu.grid!r} and {nu.grid!r}")
    return mu, nu
