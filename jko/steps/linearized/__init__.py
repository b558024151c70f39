"""The step of implicit Euler for W₂ linearised at the new density."""

from jko.steps.linearized.scheme import Linearized

__all__ = ["Linearized"]
