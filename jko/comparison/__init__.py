"""Runs side by side: distances, energies, decay rates; and observed orders under refinement."""

from jko.comparison.convergence import Convergence, convergence
from jko.comparison.decay import DecayRate, fit_decay
from jko.comparison.distances import l1_distance
from jko.comparison.side_by_side import Comparison, compare

__all__ = ["Comparison", "Convergence", "DecayRate", "compare", "convergence", "fit_decay", "l1_distance"]
