"""The regularised internal energy of particles, and its exact gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np

from functionals.conjugate import GatheredInternal
from functionals.programs import kept
from jko.descent.fields.program import Field, Flow, readings
from jko.descent.tolerances import TOLERANCES
from jko.loops.sums.gaussian_mesh import REACH, gaussian_mesh_sum, mesh_size
from jko.loops.sums.pair_sums import radial_gradient_sum, radial_sum


@dataclass(frozen=True)
class BlobField(Flow):
    """F_ε(α) = ∫U(φ_ε∗α)/(φ_ε∗α) dα + G(α) and its Wasserstein gradient [CarrilloCraigPatacchini2019].

    With f(s) = U(s)/s and ρ_i = Σ_j w_j φ_ε(x_i − x_j) the gradient of the first part at x_i is Σ_j w_j
    (f′(ρ_i) + f′(ρ_j)) ∇φ_ε(x_i − x_j). φ_ε is the density of N(0, ε² I), summed over all pairs or, where
    `mesh` gives a size, through a mesh. `internal` and `outside` are tuples of (coefficient, functional).
    """

    internal: tuple
    outside: tuple
    bandwidth: float
    mesh: int | None = None
    readings: tuple = ()  # what the functions read when this was made

    @property
    def terms(self):
        """Those of G."""
        return self.outside

    @property
    def settings(self):
        return self.internal, self.bandwidth, self.mesh

    def with_terms(self, terms):
        return replace(self, outside=terms, readings=())

    def energy(self, x, w):
        """F_ε(α) + G(α)."""
        density = self.density(x, w)
        blob = jnp.sum(w * GatheredInternal(self.internal).density(density) / density)
        return blob + Field(self.outside).energy(x, w)

    def gradient(self, x, w):
        """∇_W of the energy at the particles, `[n, d]`."""
        U = GatheredInternal(self.internal)
        if self.mesh is None:
            density = self.density(x, w)
            slope = slope_of(U, density)
            unit = x / self.bandwidth
            scale = self._peak(x.shape[1]) / self.bandwidth
            blob = scale * radial_gradient_sum(_slope_profile, unit, unit, (slope, w))
        else:
            density, density_gradient = gaussian_mesh_sum(x, w, self.bandwidth, self.mesh)
            slope = slope_of(U, density)
            _, other = gaussian_mesh_sum(x, w * slope, self.bandwidth, self.mesh)
            blob = slope[:, None] * density_gradient + other
        return (blob + Field(self.outside).gradient(x, w)).astype(x.dtype)

    def density(self, x, w):
        """φ_ε∗α at the particles, `[n]`."""
        if self.mesh is not None:
            return gaussian_mesh_sum(x, w, self.bandwidth, self.mesh)[0]
        unit = x / self.bandwidth
        return self._peak(x.shape[1]) * radial_sum(_profile, unit, unit, w)

    def _peak(self, dimension: int):
        return (2.0 * math.pi * self.bandwidth**2) ** (-0.5 * dimension)


def blob_field(internal, outside, bandwidth, mesh=None) -> BlobField:
    """The same `BlobField` for the same arguments, as long as what their functions read does not change."""
    return _blob_field(internal, outside, bandwidth, mesh, readings(internal + outside))


@kept
def _blob_field(*settings):
    return BlobField(*settings)


def slope_of(U, s):
    """f′(s) for f(s) = U(s)/s."""
    return (U.derivative(s) * s - U.density(s)) / (s * s)


def _profile(squared):
    return jnp.exp(-0.5 * squared)


def _slope_profile(squared):
    return -jnp.exp(-0.5 * squared)


def mesh_for(positions: np.ndarray, bandwidth: float, wanted: bool = False) -> int | None:
    """The size of a mesh for blobs `[n, d]` of this width; None where all pairs cost less, unless it is
    wanted."""
    n, d = positions.shape
    size = mesh_size(positions, bandwidth)
    cheaper = n > 10 * (2 * REACH + 1) ** d and size <= TOLERANCES.largest_mesh
    return size if wanted or cheaper else None
