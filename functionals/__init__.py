"""Functionals of measures: energies, first variations and Wasserstein gradients, known by name."""

from functionals.algebra import Sum
from functionals.base import Functional
from functionals.constraint import Cap
from functionals.discrepancy import MMD, EnergyDistance
from functionals.divergence import KL
from functionals.entropies import Entropy, FermiDirac, Power
from functionals.gradient_energy import Dirichlet, FisherInformation, GradientEnergy
from functionals.gridded import GriddedFunction
from functionals.interaction import Interaction
from functionals.internal import InternalEnergy
from functionals.local_energy import LocalEnergy
from functionals.moment import Barycentre, Moment
from functionals.named_kernels import NAMED_KERNELS
from functionals.named_potentials import NAMED_POTENTIALS
from functionals.parts import Parts
from functionals.potential import Potential
from functionals.registry import available, create, lookup, register
from functionals.relative import ChiSquared, PhiDivergence, Renyi
from functionals.reward import Reward
from functionals.sinkhorn_divergence import SinkhornDivergence
from functionals.sliced import SlicedWasserstein
from functionals.species import Cross, Each, On, SpeciesFunctional, TotalCap, TotalInternal, each, on
from functionals.two_layer_network import TwoLayerNetwork

__all__ = [
    "KL",
    "MMD",
    "NAMED_KERNELS",
    "NAMED_POTENTIALS",
    "Barycentre",
    "Cap",
    "ChiSquared",
    "Cross",
    "Dirichlet",
    "Each",
    "EnergyDistance",
    "Entropy",
    "FermiDirac",
    "FisherInformation",
    "Functional",
    "GradientEnergy",
    "GriddedFunction",
    "Interaction",
    "InternalEnergy",
    "LocalEnergy",
    "Moment",
    "On",
    "Parts",
    "PhiDivergence",
    "Potential",
    "Power",
    "Renyi",
    "Reward",
    "SinkhornDivergence",
    "SlicedWasserstein",
    "SpeciesFunctional",
    "Sum",
    "TotalCap",
    "TotalInternal",
    "TwoLayerNetwork",
    "available",
    "create",
    "each",
    "lookup",
    "on",
    "register",
]
