"""The derivative of `transport.remap`: of the density on a grid by the edges that carry its mass."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from functionals.array import Array
from functionals.programs import kept
from jko.measures import Grid
from jko.sensitivity.tolerances import TOLERANCES


def edge_cotangent(
    edges: np.ndarray, masses: np.ndarray, grid: Grid, cap, cotangent: np.ndarray
) -> np.ndarray:
    """(∂ρ/∂X)ᵀ c at edges X `[n+1]` for the cotangents c of the cells `[*cells]`, masses `[n]` fixed.

    The mass left of a face of the grid depends on the four edges next to it alone: a cubic within the cell
    where the face lies, whose slopes are limited means over its neighbours [FritschCarlson1980]. Where a
    limiter turns, the derivative is one-sided.
    """
    faces = np.asarray(grid.edges[0])
    place = np.clip(np.searchsorted(edges, faces, side="right") - 1, 0, masses.size - 1)
    beside = place[:, None] + np.arange(-1, 3)
    near = edges[np.clip(beside, 0, masses.size)]
    weights = masses[np.clip(beside[:, :3], 0, masses.size - 1)]
    inside = (beside[:, :3] >= 0) & (beside[:, :3] < masses.size)
    weights = np.where(inside, weights, 0.0)
    below = np.append(0.0, np.cumsum(masses))[place]
    cells = np.inf if cap is None else cap
    with jax.enable_x64(True):
        slopes = np.asarray(
            _slopes(grid.spacing[0], cap is not None)(near, weights, faces, below, cells, cotangent)
        )
    out = np.zeros(edges.size)
    np.add.at(out, np.clip(beside, 0, masses.size), np.where(np.isfinite(slopes), slopes, 0.0))
    return out


@kept
def _slopes(width: float, capped: bool):
    def density(near: Array, weights: Array, faces: Array, below: Array, cap: Array):
        smooth, flat = jax.vmap(_mass_within)(near, weights, faces)
        sharp = _point_values(jnp.diff(below + smooth) / width)
        return _limited(jnp.diff(below + flat) / width, sharp, cap) if capped else sharp

    def pulled(near: Array, weights: Array, faces: Array, below: Array, cap: Array, cotangent: Array):
        return jax.vjp(lambda x: density(x, weights, faces, below, cap), near)[1](cotangent)[0]

    return jax.jit(pulled)


def _mass_within(near: Array, weights: Array, face: Array):
    """The mass between the second of four edges and the face, by the cubic and with a constant density."""
    widths = jnp.diff(near)
    solid = (weights > 0.0) & (widths > 0.0)
    density = jnp.where(solid, weights / jnp.where(solid, widths, 1.0), 0.0)
    joined = solid[1:] & solid[:-1]
    total = jnp.maximum(widths[:-1] + widths[1:], TOLERANCES.touching)
    inner = (widths[:-1] * density[1:] + widths[1:] * density[:-1]) / total
    inner = jnp.minimum(inner, 3.0 * jnp.minimum(density[1:], density[:-1]))
    own = density[1]
    border = partial(jnp.clip, min=0.0, max=3.0 * own)
    left = jnp.where(joined[0], inner[0], jnp.where(joined[1], border(2.0 * own - inner[1]), own))
    right = jnp.where(joined[1], inner[1], jnp.where(joined[0], border(2.0 * own - inner[0]), own))
    width = jnp.where(widths[1] > 0.0, widths[1], 1.0)
    s = jnp.clip((face - near[1]) / width, 0.0, 1.0)
    w, a, b = weights[1], width * left, width * right
    cubic = s * (a + s * (3.0 * w - 2.0 * a - b + s * (a + b - 2.0 * w)))
    return jnp.where(solid[1], cubic, 0.0), jnp.where(solid[1], w * s, 0.0)


def _point_values(averages: Array):
    """As `transport.remap.point_values`."""
    low = jnp.minimum(averages[1:], averages[:-1])
    bend = averages[2:] - 2.0 * averages[1:-1] + averages[:-2]
    held = (averages[2:] > 0.0) & (averages[1:-1] > 0.0) & (averages[:-2] > 0.0)
    curvature = jnp.pad(jnp.where(held, bend, 0.0), 1)
    flux = jnp.diff(averages - curvature / 24.0) / 24.0
    flux = -jnp.clip(flux, -0.25 * low, 0.25 * low)
    return averages + jnp.pad(flux, (0, 1)) - jnp.pad(flux, (1, 0))


def _limited(flat: Array, sharp: Array, cap: Array):
    """Fluxes from `flat` to `sharp`, limited so that no cell exceeds the cap [Zalesak1979]."""
    flux = jnp.cumsum(flat - sharp)[:-1]
    up, down = jnp.maximum(flux, 0.0), jnp.maximum(-flux, 0.0)
    into = jnp.pad(up, (1, 0)) + jnp.pad(down, (0, 1))
    out = jnp.pad(up, (0, 1)) + jnp.pad(down, (1, 0))
    room = jnp.minimum(1.0, jnp.maximum(cap - flat, 0.0) / jnp.where(into > 0.0, into, 1.0))
    stock = jnp.minimum(1.0, flat / jnp.where(out > 0.0, out, 1.0))
    share = jnp.where(flux > 0.0, jnp.minimum(stock[:-1], room[1:]), jnp.minimum(stock[1:], room[:-1]))
    flux = flux * share
    return jnp.maximum(flat - jnp.pad(flux, (0, 1)) + jnp.pad(flux, (1, 0)), 0.0)
