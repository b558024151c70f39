"""An SDE as paths, as a density and as an ODE; scores, their parametrisations and samplers."""

from jko.diffusion.density_path import DensityPath
from jko.diffusion.flow import Flow
from jko.diffusion.named import ornstein_uhlenbeck, reversible, variance_exploding, variance_preserving
from jko.diffusion.paths import Paths
from jko.diffusion.sde import SDE
from jko.diffusion.views import Views

__all__ = [
    "SDE",
    "DensityPath",
    "Flow",
    "Paths",
    "Views",
    "ornstein_uhlenbeck",
    "reversible",
    "variance_exploding",
    "variance_preserving",
]
