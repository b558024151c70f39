"""Distances between measures and the maps that realise them."""

from jko.transport.grading import graded
from jko.transport.remap import cut, remap
from jko.transport.wasserstein import Distance, wasserstein, wasserstein_distance

__all__ = ["Distance", "cut", "graded", "remap", "wasserstein", "wasserstein_distance"]
