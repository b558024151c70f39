"""Distances between measures, the maps and curves that realise them, and envelopes of functions."""

from jko.transport.brenier import AffineMap, BarycentricMap, MonotoneMap, OptimalMap, brenier_map
from jko.transport.curves import Curves, curves
from jko.transport.dynamic import DynamicTransport, benamou_brenier
from jko.transport.grading import graded
from jko.transport.interpolation import interpolate
from jko.transport.modes import number_of_modes
from jko.transport.moreau import conjugate, inf_convolution, moreau_envelope, prox
from jko.transport.remap import cut, remap
from jko.transport.wasserstein import Distance, wasserstein, wasserstein_distance

__all__ = [
    "AffineMap",
    "BarycentricMap",
    "Curves",
    "Distance",
    "DynamicTransport",
    "MonotoneMap",
    "OptimalMap",
    "benamou_brenier",
    "brenier_map",
    "conjugate",
    "curves",
    "cut",
    "graded",
    "inf_convolution",
    "interpolate",
    "moreau_envelope",
    "number_of_modes",
    "prox",
    "remap",
    "wasserstein",
    "wasserstein_distance",
]
