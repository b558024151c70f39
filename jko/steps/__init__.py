"""JKO steps: one solver of min W₂²(ρ_k, ρ)/2τ + F(ρ), one file."""

from jko.steps.cvxpy import Cvxpy
from jko.steps.gaussian import Gaussian
from jko.steps.quantile import Quantile

__all__ = ["Cvxpy", "Gaussian", "Quantile"]
