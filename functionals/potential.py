"""The potential energy ∫V dρ."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np

from functionals import pointwise
from functionals.base import Functional
from functionals.gridded import GriddedFunction
from functionals.named_potentials import NAMED_POTENTIALS
from functionals.registry import register
from functionals.time_dependence import TimeDependent, frozen, with_time


@register("potential")
class Potential(Functional):
    """F(ρ) = ∫V dρ; δF/δρ = V and ∇_W F = ∇V. F is λ-displacement convex with V.

    `V` is a jax function of a point `[d]`, or of a point and the time, V(x, t), or the name of one with its
    parameters: `Potential("quadratic", stiffness=2.0)`, `Potential("double_well", height=3.0)`.
    `Potential.gridded` takes data. What V reads from outside is read when the functional is made and used:
    make a new functional after changing it. `modulus` declares λ, the least eigenvalue of D²V at all times,
    for a function; a named one knows it.
    """

    example = 'fn.Potential("quadratic")'
    kind = "potential"
    linearly_convex = True

    def __init__(self, V: Callable | str, *, modulus: float | None = None, **parameters):
        self._label = pointwise.describe(V) if callable(V) else repr(V)
        if isinstance(V, str):
            if V not in NAMED_POTENTIALS:
                raise ValueError(f"unknown potential {V!r}; known are {', '.join(NAMED_POTENTIALS)}")
            self._label = ", ".join([repr(V)] + [f"{k}={v!r}" for k, v in parameters.items()])
            try:
                V, named_modulus = NAMED_POTENTIALS[V](**parameters)
            except TypeError as error:
                raise TypeError(f"potential {self._label}: {error}") from None
            modulus = named_modulus if modulus is None else modulus
        elif parameters:
            raise TypeError(f"only a named potential takes parameters, got {', '.join(parameters)}")
        elif not callable(V):
            raise TypeError(
                f"V must be a jax function of a point or a potential's name, got {type(V).__name__}"
            )
        self.V = with_time(V)
        self.modulus = modulus

    @classmethod
    def gridded(
        cls, values: np.ndarray, lower: float | tuple, upper: float | tuple, *, modulus: float | None = None
    ) -> Potential:
        """From samples `[*cells]` at the cell centres of the box [lower, upper], cubic in between."""
        return cls(GriddedFunction(values, lower, upper), modulus=modulus)

    def at(self, t: float):
        return self._frozen_at(t) if self.depends_on_time else self

    def _frozen_at(self, t: float):
        here = copy.copy(self)
        here.V, here._label = frozen(self.V, t), f"{self._label} at t={t!s:.9}"
        return here

    @property
    def depends_on_time(self):
        return isinstance(self.V, TimeDependent)

    def energy(self, mu):
        return mu.integrate(self.V)

    def values(self, points: np.ndarray):
        """V at points `[n, d]`."""
        return pointwise.values(self.V, points)

    def first_variation(self, mu):
        return mu.at_points(pointwise.values(self.V, mu.points))

    def wasserstein_gradient(self, mu):
        return mu.at_points(pointwise.gradients(self.V, mu.points))

    def probe(self, mu):
        here = self.at(0.0)
        return [np.asarray(here.values(np.asarray(mu.points)[:512]))]

    def displacement_modulus(self, dimension: int):
        return self.modulus

    def __repr__(self):
        return f"Potential({self._label})"
