"""The dynamic JKO step by a primal–dual method."""

from jko.steps.primal_dual.scheme import PrimalDual

__all__ = ["PrimalDual"]
