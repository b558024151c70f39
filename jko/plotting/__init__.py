"""Pictures of runs: energies, errors, densities, clouds, convergence. Matplotlib is loaded late."""

from jko.plotting.branch import plot_branch
from jko.plotting.convergence import plot_convergence
from jko.plotting.density import plot_density
from jko.plotting.energy import plot_energy
from jko.plotting.errors import has_bounds, plot_errors
from jko.plotting.learning import plot_identifiability, plot_landscape, plot_prediction, plot_score
from jko.plotting.particles import plot_particles
from jko.plotting.trajectory import plot_trajectory

__all__ = [
    "has_bounds",
    "plot_branch",
    "plot_convergence",
    "plot_density",
    "plot_energy",
    "plot_errors",
    "plot_identifiability",
    "plot_landscape",
    "plot_particles",
    "plot_prediction",
    "plot_score",
    "plot_trajectory",
]
