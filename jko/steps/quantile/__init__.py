"""The JKO step on the line, in the quantile function."""

from jko.steps.quantile.scheme import Quantile

__all__ = ["Quantile"]
