"""Derivatives of a flow: by the functional's parameters, the initial measure and τ."""

from jko.sensitivity.gradient import By, GradientRecord, Of, ValueAndGradient, value_and_gradient
from jko.sensitivity.step import differentiable_step

__all__ = ["By", "GradientRecord", "Of", "ValueAndGradient", "differentiable_step", "value_and_gradient"]
