"""Wasserstein gradient flows: JKO steps, particles and the PDEs they converge to, from one functional."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from jko import descent, exact, limits, sharding, steps, transport
from jko.driver import flow
from jko.measures import (
    ConfinedParticles,
    Density,
    Gaussian,
    Grid,
    LineDensity,
    Particles,
    Population,
    Species,
    dissipation,
)
from jko.mobility import Exclusion, Mobility
from jko.scheme import Records, Scheme, State, Status, StepInfo
from jko.trajectory import Trajectory
from jko.transport import wasserstein

if TYPE_CHECKING:
    from jko import diffusion, films, learn, plotting, sensitivity
    from jko.ensembles import ensemble
    from jko.films import animate
    from jko.report import compare, convergence
    from jko.stationary import continuation, equilibrium

__version__ = "0.2.0"

__all__ = [
    "ConfinedParticles",
    "Density",
    "Exclusion",
    "Gaussian",
    "Grid",
    "LineDensity",
    "Mobility",
    "Particles",
    "Population",
    "Records",
    "Scheme",
    "Species",
    "State",
    "Status",
    "StepInfo",
    "Trajectory",
    "animate",
    "compare",
    "continuation",
    "convergence",
    "descent",
    "diffusion",
    "dissipation",
    "ensemble",
    "equilibrium",
    "exact",
    "films",
    "flow",
    "learn",
    "limits",
    "plotting",
    "sensitivity",
    "sharding",
    "steps",
    "transport",
    "wasserstein",
]

# What is wanted after a run is imported after a run: a tenth of a second less at the start.
_ROOMS_ON_DEMAND = ("diffusion", "films", "learn", "plotting", "sensitivity")
_AFTER_A_RUN = {
    "animate": "jko.films",
    "compare": "jko.report",
    "continuation": "jko.stationary",
    "convergence": "jko.report",
    "ensemble": "jko.ensembles",
    "equilibrium": "jko.stationary",
}


def __getattr__(name: str):
    if name in _ROOMS_ON_DEMAND:
        return import_module(f"jko.{name}")
    if name in _AFTER_A_RUN:
        return getattr(import_module(_AFTER_A_RUN[name]), name)
    raise AttributeError(f"module 'jko' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
