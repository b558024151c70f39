"""Particle integrators: explicit and implicit descent, Langevin dynamics, and the blob method."""

from jko.descent.schemes.adaptive_integration import AdaptiveRungeKutta
from jko.descent.schemes.backward_euler import BackwardEuler
from jko.descent.schemes.birth_death import BirthDeath
from jko.descent.schemes.blob import Blob
from jko.descent.schemes.forward_euler import ForwardEuler
from jko.descent.schemes.noise_injection import NoiseInjection
from jko.descent.schemes.overdamped import Langevin, LeimkuhlerMatthews, StochasticHeun
from jko.descent.schemes.preconditioned import PreconditionedLangevin
from jko.descent.schemes.species_blob import SpeciesBlob
from jko.descent.schemes.species_euler import SpeciesEuler
from jko.descent.schemes.svgd import SVGD
from jko.descent.schemes.trapezoidal import Trapezoidal
from jko.descent.schemes.underdamped import UnderdampedLangevin

__all__ = [
    "SVGD",
    "AdaptiveRungeKutta",
    "BackwardEuler",
    "BirthDeath",
    "Blob",
    "ForwardEuler",
    "Langevin",
    "LeimkuhlerMatthews",
    "NoiseInjection",
    "PreconditionedLangevin",
    "SpeciesBlob",
    "SpeciesEuler",
    "StochasticHeun",
    "Trapezoidal",
    "UnderdampedLangevin",
]
