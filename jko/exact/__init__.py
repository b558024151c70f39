"""Exact answers to test a scheme against."""

from jko.exact.aggregation import AggregationSteadyState
from jko.exact.barenblatt import Barenblatt
from jko.exact.base import ExactSolution
from jko.exact.fokker_planck_boundary import FokkerPlanckBoundary
from jko.exact.gaussian_jko import GaussianJKO
from jko.exact.gaussian_mixture import GaussianMixture
from jko.exact.heat import Heat
from jko.exact.keller_segel import KellerSegelMoment
from jko.exact.moving_trap import MovingTrap
from jko.exact.ornstein_uhlenbeck import OrnsteinUhlenbeck

__all__ = [
    "AggregationSteadyState",
    "Barenblatt",
    "ExactSolution",
    "FokkerPlanckBoundary",
    "GaussianJKO",
    "GaussianMixture",
    "Heat",
    "KellerSegelMoment",
    "MovingTrap",
    "OrnsteinUhlenbeck",
]
