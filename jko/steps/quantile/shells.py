"""The step in Lagrangian form between radii: the optimal map of radial measures is radial and increasing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np

from functionals import Potential
from functionals.array import Array
from functionals.parts import Parts
from functionals.time_dependence import AtTime, split
from jko.errors import UnsupportedFunctional
from jko.measures import LineGrid
from jko.steps.quantile.tolerances import TOLERANCES


@dataclass(frozen=True)
class Profile:
    """r ↦ V(r e₁) as a jax function of `[1]`, of a V on R^d."""

    V: Callable
    dimension: int

    def __call__(self, r: Array, *time):
        return self.V(jnp.concatenate([r, jnp.zeros(self.dimension - 1, r.dtype)]), *time)


def radial_parts(parts: Parts, grid: LineGrid) -> Parts:
    """The parts as functionals of the law of |x|, its potentials as functions of r; raises ValueError for a
    potential that is not radial, UnsupportedFunctional for what has no such form."""
    if parts.interaction or parts.constraint:
        _, atom = (parts.interaction + parts.constraint)[0]
        raise UnsupportedFunctional(
            f"steps.Quantile takes on a radial grid internal energies and potentials, got {atom!r}: take "
            "limits.FiniteVolume"
        )
    for _, atom in parts.internal:
        if atom.displacement_modulus(grid.dimension) is None:
            raise UnsupportedFunctional(
                f"steps.Quantile takes on a radial grid internal energies that are displacement convex in "
                f"{grid.dimension} dimensions, got {atom!r}: declare displacement_convex=True where it "
                "holds, or take limits.FiniteVolume"
            )
    return replace(parts, potential=tuple((c, _profile(atom, grid)) for c, atom in parts.potential))


def _profile(atom, grid: LineGrid) -> Potential:
    grid.require_radial(atom.V)
    function, time = split(atom.V)
    profile = Profile(function, grid.dimension)
    return Potential(AtTime(profile, *time) if time else profile, modulus=atom.modulus)


def shell_energy(U, grid: LineGrid, edges: np.ndarray, widths: np.ndarray, masses: np.ndarray):
    """(Σ vU(w/v), the same of absolute values, the rigidity `[n]`, the force and the stiffness at the edges
    `[n + 1]`), v the volume of the shell between two edges.

    With a the area of a sphere, ∂v = (−a, a′) at the two edges, and the second derivative of a shell's
    energy is s²U″/v (∂v)(∂v)ᵀ + P diag(∂a, −∂a), P = sU′ − U: the rigidity is less its mixed entry, the
    stiffness the sum of its rows. Convex in the edges where ∫U is displacement convex in R^d: v^{1/d} is
    concave in them by the inequality of Bellman [BeckenbachBellman1961], and v ↦ vU(w/v) convex and falling
    in it.
    """
    if U is None:
        return 0.0, 0.0, np.zeros(masses.size), (np.zeros(edges.size), np.zeros(edges.size))
    low, high, d = edges[:-1], edges[1:], grid.dimension
    volume, area = grid.volume_between(low, widths), grid.area(edges)
    held = masses > 0.0
    s, v = masses[held] / volume[held], volume[held]
    density = U.density(s)
    pressure, bend = np.zeros(masses.size), np.zeros(masses.size)
    pressure[held] = s * U.derivative(s) - density
    thick = np.maximum(s, TOLERANCES.thinnest)
    bend[held] = thick * thick * U.second_derivative(thick) / v
    growth = (
        grid.sphere * widths * sum(low**k * high ** (d - 2 - k) for k in range(d - 1))
    )  # of a over a cell
    slope = (d - 1) * grid.sphere * edges ** max(d - 2, 0)
    force, stiffness = np.zeros(edges.size), np.zeros(edges.size)
    force[:-1] += pressure * area[:-1]
    force[1:] -= pressure * area[1:]
    stiffness[:-1] += pressure * slope[:-1] - bend * area[:-1] * growth
    stiffness[1:] += bend * area[1:] * growth - pressure * slope[1:]
    rigidity = bend * area[:-1] * area[1:]
    return float(v @ density), float(v @ np.abs(density)), rigidity, (force, stiffness)


def in_volume(grid: LineGrid, change: Callable, edges: np.ndarray, masses: np.ndarray):
    """(edges, widths, masses) that `change` of the edges as volumes and masses gives, a density constant on
    cells being so in the volume."""
    volumes, parts, masses = change(grid.volume_within(edges), masses)
    edges, d = grid.radius_of(volumes), grid.dimension
    if not grid.radial:
        return edges, parts, masses
    steepness = sum(edges[:-1] ** k * edges[1:] ** (d - 1 - k) for k in range(d))
    return edges, parts * d / grid.sphere / steepness, masses
