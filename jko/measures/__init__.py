"""Measures: densities on grids, particles, Gaussians."""

from jko.measures.cell_density import CellDensity
from jko.measures.confined import ConfinedParticles
from jko.measures.density import Density
from jko.measures.dissipation import dissipation
from jko.measures.gaussian import Gaussian
from jko.measures.grid import Grid
from jko.measures.line_density import LineDensity
from jko.measures.line_grid import LineGrid
from jko.measures.measure import Measure
from jko.measures.particles import Particles
from jko.measures.population import Population
from jko.measures.species import Species

__all__ = [
    "CellDensity",
    "ConfinedParticles",
    "Density",
    "Gaussian",
    "Grid",
    "LineDensity",
    "LineGrid",
    "Measure",
    "Particles",
    "Population",
    "Species",
    "dissipation",
]
