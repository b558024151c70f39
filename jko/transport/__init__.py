"""Distances between measures, the maps and curves that realise them, and envelopes of functions."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from jko.transport.grids.remap import cut, graded, remap
from jko.transport.wasserstein import Distance, wasserstein, wasserstein_distance

if TYPE_CHECKING:
    from jko.transport.distances.unbalanced import HellingerKantorovichDistance, hellinger_kantorovich
    from jko.transport.dynamic.benamou_brenier import DynamicTransport, benamou_brenier
    from jko.transport.entropic.bridge import SchrodingerBridge
    from jko.transport.entropic.schrodinger import schrodinger_bridge
    from jko.transport.entropic.sinkhorn import EntropicTransport, sinkhorn
    from jko.transport.envelopes.functional import WassersteinEnvelope, wasserstein_envelope
    from jko.transport.envelopes.moreau import conjugate, inf_convolution, moreau_envelope, prox
    from jko.transport.grids.geodesic import geodesic_velocity
    from jko.transport.grids.map import GridMap
    from jko.transport.maps.brenier import (
        AffineMap,
        BarycentricMap,
        CircleMap,
        MonotoneMap,
        OptimalMap,
        brenier_map,
    )
    from jko.transport.paths.between import Curves, curves, number_of_modes
    from jko.transport.paths.interpolation import interpolate
    from jko.transport.paths.unbalanced import HellingerKantorovichGeodesic
    from jko.transport.semi_discrete_transport.map import PowerMap
    from jko.transport.semi_discrete_transport.transport import SemiDiscrete, semi_discrete
    from jko.transport.squared_distance import SquaredDistance

__all__ = [
    "AffineMap",
    "BarycentricMap",
    "CircleMap",
    "Curves",
    "Distance",
    "DynamicTransport",
    "EntropicTransport",
    "GridMap",
    "HellingerKantorovichDistance",
    "HellingerKantorovichGeodesic",
    "MonotoneMap",
    "OptimalMap",
    "PowerMap",
    "SchrodingerBridge",
    "SemiDiscrete",
    "SquaredDistance",
    "WassersteinEnvelope",
    "benamou_brenier",
    "brenier_map",
    "conjugate",
    "curves",
    "cut",
    "geodesic_velocity",
    "graded",
    "hellinger_kantorovich",
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
    "maps.brenier": ("AffineMap", "BarycentricMap", "CircleMap", "MonotoneMap", "OptimalMap", "brenier_map"),
    "grids.geodesic": ("geodesic_velocity",),
    "grids.map": ("GridMap",),
    "semi_discrete_transport.map": ("PowerMap",),
    "paths.between": ("Curves", "curves", "number_of_modes"),
    "dynamic.benamou_brenier": ("DynamicTransport", "benamou_brenier"),
    "paths.interpolation": ("interpolate",),
    "paths.unbalanced": ("HellingerKantorovichGeodesic",),
    "distances.unbalanced": ("HellingerKantorovichDistance", "hellinger_kantorovich"),
    "envelopes.moreau": ("conjugate", "inf_convolution", "moreau_envelope", "prox"),
    "entropic.sinkhorn": ("EntropicTransport", "sinkhorn"),
    "entropic.bridge": ("SchrodingerBridge",),
    "entropic.schrodinger": ("schrodinger_bridge",),
    "squared_distance": ("SquaredDistance",),
    "semi_discrete_transport.transport": ("SemiDiscrete", "semi_discrete"),
    "envelopes.functional": ("WassersteinEnvelope", "wasserstein_envelope"),
}


def __getattr__(name: str):
    for room, names in _ROOMS.items():
        if name in names:
            return getattr(import_module(f"jko.transport.{room}"), name)
    raise AttributeError(f"module 'jko.transport' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
