"""Wasserstein gradient flows: JKO steps, particles and the PDEs they converge to, from one functional."""

from jko import descent, exact, limits, plotting, steps, transport
from jko.driver import flow
from jko.measures import Density, Gaussian, Grid, Particles
from jko.plotting import animate
from jko.report import compare, convergence
from jko.scheme import Records, Scheme, State, StepInfo
from jko.trajectory import Trajectory
from jko.transport import wasserstein

__version__ = "0.1.0"

__all__ = [
    "Density",
    "Gaussian",
    "Grid",
    "Particles",
    "Records",
    "Scheme",
    "State",
    "StepInfo",
    "Trajectory",
    "animate",
    "compare",
    "convergence",
    "descent",
    "exact",
    "flow",
    "limits",
    "plotting",
    "steps",
    "transport",
    "wasserstein",
]
