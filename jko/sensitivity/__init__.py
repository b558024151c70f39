"""Derivatives of a flow: by the functional's parameters, the initial measure and τ."""

from jko.sensitivity.gradient import By, GradientRecord, Of, ValueAndGradient, value_and_gradient

__all__ = ["By", "GradientRecord", "Of", "ValueAndGradient", "value_and_gradient"]
