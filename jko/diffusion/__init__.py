"""An SDE as paths, as a density and as an ODE; scores, their parametrisations and samplers."""

from jko.diffusion.density_path import DensityPath
from jko.diffusion.flow import Flow
from jko.diffusion.named import ornstein_uhlenbeck, reversible, variance_exploding, variance_preserving
from jko.diffusion.noised_mixture import NoisedMixture
from jko.diffusion.parametrisation import PARAMETRISATIONS, convert
from jko.diffusion.paths import Paths
from jko.diffusion.samplers import METHODS, even_times, guided, sample
from jko.diffusion.schedule import Schedule
from jko.diffusion.scores import circulation, curl, kernel_score, log_density_difference
from jko.diffusion.sde import SDE
from jko.diffusion.views import Views

__all__ = [
    "METHODS",
    "PARAMETRISATIONS",
    "SDE",
    "DensityPath",
    "Flow",
    "NoisedMixture",
    "Paths",
    "Schedule",
    "Views",
    "circulation",
    "convert",
    "curl",
    "even_times",
    "guided",
    "kernel_score",
    "log_density_difference",
    "ornstein_uhlenbeck",
    "reversible",
    "sample",
    "variance_exploding",
    "variance_preserving",
]
