"""Particle integrators: explicit and implicit descent, Langevin dynamics, and the blob method."""

from jko.descent.adaptive_integration import AdaptiveRungeKutta
from jko.descent.backward_euler import BackwardEuler
from jko.descent.blob import Blob
from jko.descent.forward_euler import ForwardEuler
from jko.descent.langevin import Langevin
from jko.descent.leimkuhler_matthews import LeimkuhlerMatthews
from jko.descent.noise_injection import NoiseInjection
from jko.descent.stochastic_heun import StochasticHeun
from jko.descent.svgd import SVGD
from jko.descent.trapezoidal import Trapezoidal
from jko.descent.underdamped import UnderdampedLangevin

__all__ = [
    "SVGD",
    "AdaptiveRungeKutta",
    "BackwardEuler",
    "Blob",
    "ForwardEuler",
    "Langevin",
    "LeimkuhlerMatthews",
    "NoiseInjection",
    "StochasticHeun",
    "Trapezoidal",
    "UnderdampedLangevin",
]
