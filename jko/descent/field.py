"""The energy and the Wasserstein gradient of a functional on particles, as jax functions compiled once."""

from __future__ import annotations

from functools import cached_property, lru_cache

import jax
import jax.numpy as jnp

from functionals import pointwise
from jko.measures import Particles


class Field:
    """x ↦ F(α) and x ↦ ∇_W F(α)(x_i), α = Σ w_i δ_{x_i}, for a sum of terms (coefficient, functional).

    `energy` and `gradient` take positions `[n, d]` and weights `[n]`, and can be traced; on n equal particles
    the gradient is n ∂F/∂x_i. Ask `field` for one, which keeps them.
    """

    mesh = None  # of devices; where there is one, see jko.descent.sharded_field

    def __init__(self, terms):
        self.terms = terms

    def energy(self, x, w):
        """F(α), a scalar."""
        mu = Particles(x, w)
        return sum(
            (c * jnp.asarray(atom.energy(mu)) for c, atom in self.terms), jnp.zeros((), x.dtype)
        ).astype(x.dtype)

    def gradient(self, x, w):
        """∇_W F(α) at the particles, `[n, d]`."""
        return self.columns_gradient(x.T, w).T

    def columns_gradient(self, columns, w):
        """The gradient with coordinates first, `[d, n]` to `[d, n]`, for long inner loops."""
        total = jnp.zeros_like(columns)
        for c, atom in self.terms:
            total = total + c * _term_gradient(atom, columns, w).astype(columns.dtype)
        return total

    @cached_property
    def compiled_energy(self):
        return jax.jit(self.energy)

    @cached_property
    def compiled_gradient(self):
        return jax.jit(self.gradient)


def _term_gradient(atom, columns, w):
    if atom.kind == "potential":
        return jax.vmap(jax.grad(pointwise.scalar(atom.V)), in_axes=1, out_axes=1)(columns)
    if atom.kind == "interaction":
        return jnp.asarray(atom.wasserstein_gradient(Particles(columns.T, w))).T
    return jax.grad(lambda y: jnp.asarray(atom.energy(Particles(y.T, w))))(columns) / w


@lru_cache(maxsize=64)
def field(terms) -> Field:
    """The `Field` of a tuple of (coefficient, functional); the same object for the same tuple."""
    return Field(terms)


def outside_terms(parts):
    """All terms of a functional that particles can carry as they are: everything but internal energies."""
    return tuple((float(c), atom) for c, atom in parts.potential + parts.interaction + parts.rest)
