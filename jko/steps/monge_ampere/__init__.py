"""The JKO step by Newton's method on the Monge–Ampère equation."""

from jko.steps.monge_ampere.scheme import MongeAmpere

__all__ = ["MongeAmpere"]
