"""JKO steps: one solver of min W₂²(ρ_k, ρ)/2τ + F(ρ), one file."""

from jko.steps.back_and_forth import BackAndForth
from jko.steps.cvxpy import Cvxpy
from jko.steps.gaussian import Gaussian
from jko.steps.quantile import Quantile

__all__ = ["BackAndForth", "Cvxpy", "Gaussian", "Quantile"]
