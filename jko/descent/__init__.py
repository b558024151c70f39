"""Particle integrators: explicit and implicit descent, Langevin, and the blob method."""

from jko.descent.backward_euler import BackwardEuler
from jko.descent.blob import Blob
from jko.descent.forward_euler import ForwardEuler
from jko.descent.langevin import Langevin
from jko.descent.trapezoidal import Trapezoidal

__all__ = ["BackwardEuler", "Blob", "ForwardEuler", "Langevin", "Trapezoidal"]
