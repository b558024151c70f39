"""JKO steps: one solver of min W₂²(ρ_k, ρ)/2τ + F(ρ), one file."""

from jko.steps.adaptive import Adaptive
from jko.steps.back_and_forth import BackAndForth
from jko.steps.choice import Chosen, auto
from jko.steps.cvxpy import Cvxpy
from jko.steps.entropic import Entropic
from jko.steps.fisher_rao import FisherRao
from jko.steps.gaussian import Gaussian
from jko.steps.hellinger_kantorovich import HellingerKantorovich
from jko.steps.linearized import Linearized
from jko.steps.monge_ampere import MongeAmpere
from jko.steps.primal_dual import PrimalDual
from jko.steps.quantile import Quantile
from jko.steps.second_order import SecondOrder
from jko.steps.species_in_turn import SpeciesInTurn
from jko.steps.variational_bdf2 import VariationalBDF2

__all__ = [
    "Adaptive",
    "BackAndForth",
    "Chosen",
    "Cvxpy",
    "Entropic",
    "FisherRao",
    "Gaussian",
    "HellingerKantorovich",
    "Linearized",
    "MongeAmpere",
    "PrimalDual",
    "Quantile",
    "SecondOrder",
    "SpeciesInTurn",
    "VariationalBDF2",
    "auto",
]
