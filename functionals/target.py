"""What a functional is compared with: a measure with a density, or the logarithm of one."""

from __future__ import annotations

from collections.abc import Callable

from functionals.pointwise import describe


def log_density_of(name: str, target) -> Callable:
    """log π as a jax function, of a measure that has one, or given as such; in the name of an argument."""
    log_density = getattr(target, "log_density_function", target)
    if not callable(log_density):
        raise TypeError(
            f"{name}: expected a measure with a density, or its logarithm as a jax function of a point, got "
            f"{type(target).__name__}"
        )
    return log_density


def require_dimension(target, dimension: int) -> None:
    """Refuse points of another dimension than the target, where it has one."""
    own = getattr(target, "dimension", None)
    if own not in (None, dimension):
        raise ValueError(
            f"target: expected a measure in {dimension}D like the one it is compared with, got {own}D"
        )


def target_text(target) -> str:
    """The target as a functional's repr shows it."""
    return repr(target) if hasattr(target, "log_density_function") else describe(target)
