"""The PDEs that JKO converges to as τ → 0."""

from jko.limits.finite_volume import FiniteVolume

__all__ = ["FiniteVolume"]
