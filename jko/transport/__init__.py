"""Distances between measures, the maps and curves that realise them, and envelopes of functions."""

from importlib import import_module
from typing import TYPE_CHECKING

from jko.transport.grading import graded
from jko.transport.remap import cut, remap
from jko.transport.wasserstein import Distance, wasserstein, wasserstein_distance

if TYPE_CHECKING:
    from jko.transport.between import Curves, curves
    from jko.transport.brenier import AffineMap, BarycentricMap, MonotoneMap, brenier_map
    from jko.transport.bridge import SchrodingerBridge
    from jko.transport.dynamic import DynamicTransport, benamou_brenier
    from jko.transport.entropic import EntropicTransport
    from jko.transport.functional_envelope import WassersteinEnvelope, wasserstein_envelope
    from jko.transport.grid_geodesic import geodesic_velocity
    from jko.transport.grid_map import GridMap
    from jko.transport.interpolation import interpolate
    from jko.transport.modes import number_of_modes
    from jko.transport.moreau import conjugate, inf_convolution, moreau_envelope, prox
    from jko.transport.optimal_map import OptimalMap
    from jko.transport.power_map import PowerMap
    from jko.transport.schrodinger import schrodinger_bridge
    from jko.transport.semi_discrete_transport import SemiDiscrete, semi_discrete
    from jko.transport.sinkhorn_divergence import sinkhorn

__all__ = [
    "AffineMap",
    "BarycentricMap",
    "Curves",
    "Distance",
    "DynamicTransport",
    "EntropicTransport",
    "GridMap",
    "MonotoneMap",
    "OptimalMap",
    "PowerMap",
    "SchrodingerBridge",
    "SemiDiscrete",
    "WassersteinEnvelope",
    "benamou_brenier",
    "brenier_map",
    "conjugate",
    "curves",
    "cut",
    "geodesic_velocity",
    "graded",
    "inf_convolution",
    "interpolate",
    "moreau_envelope",
    "number_of_modes",
    "prox",
    "remap",
    "schrodinger_bridge",
    "semi_discrete",
    "sinkhorn",
    "wasserstein",
    "wasserstein_distance",
    "wasserstein_envelope",
]

# What no scheme needs is imported when it is asked for.
_ROOMS = {
    "brenier": ("AffineMap", "BarycentricMap", "MonotoneMap", "brenier_map"),
    "grid_geodesic": ("geodesic_velocity",),
    "grid_map": ("GridMap",),
    "optimal_map": ("OptimalMap",),
    "power_map": ("PowerMap",),
    "between": ("Curves", "curves"),
    "dynamic": ("DynamicTransport", "benamou_brenier"),
    "interpolation": ("interpolate",),
    "modes": ("number_of_modes",),
    "moreau": ("conjugate", "inf_convolution", "moreau_envelope", "prox"),
    "entropic": ("EntropicTransport",),
    "bridge": ("SchrodingerBridge",),
    "schrodinger": ("schrodinger_bridge",),
    "semi_discrete_transport": ("SemiDiscrete", "semi_discrete"),
    "sinkhorn_divergence": ("sinkhorn",),
    "functional_envelope": ("WassersteinEnvelope", "wasserstein_envelope"),
}


def __getattr__(name):
    for room, names in _ROOMS.items():
        if name in names:
            return getattr(import_module(f"jko.transport.{room}"), name)
    raise AttributeError(f"module 'jko.transport' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
