"""What tests of grid steps share: a step by a fresh scheme, L1, and the Ornstein–Uhlenbeck problem."""

import jax.numpy as jnp
import numpy as np

import functionals as fn
import jko
from tests.first_step import first_step


def quadratic(x):
    return 0.5 * jnp.sum(x**2)


def take_step(scheme, F, rho, tau):
    """(ρ′, its record)."""
    new, _, info = first_step(scheme, F, rho, tau)
    return new, info


def distance(a, b):
    """L1 between densities on one grid."""
    return np.abs(a.values - b.values).sum() * a.grid.cell_volume


def ornstein_uhlenbeck(dimension, cells, half_width=4.5, tau=0.1):
    """F = Entropy + ½|x|², a Gaussian of mean e₁ and std .6, and its exact JKO step."""
    grid = jko.Grid.uniform((-half_width,) * dimension, (half_width,) * dimension, (cells,) * dimension)
    mean = np.eye(dimension)[0]
    rho = jko.Density.gaussian(grid, mean=mean, std=0.6)
    exact = jko.exact.GaussianJKO(mean=mean, std=0.6, tau=tau).at(tau).on(grid)
    return fn.Entropy() + fn.Potential(quadratic), rho, exact


def attracted(rho):
    """ρ after a step of τ = .1 of the entropy with ½∬|x−y|²/2, which acts on a Gaussian of mean e₁ and
    std .6 as ½∫|x − e₁|² does."""
    std = (0.6 + np.sqrt(0.36 + 0.44)) / 2.2
    return jko.Density.gaussian(rho.grid, mean=np.eye(rho.dimension)[0], std=std)
