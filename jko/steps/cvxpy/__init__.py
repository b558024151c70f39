"""The JKO step as a convex program, the reference."""

from jko.steps.cvxpy.scheme import Cvxpy

__all__ = ["Cvxpy"]
