"""Edges of cells of fixed mass, and the second-order terms between them and a smooth density.

A piecewise constant density through exact quantiles X has the variance of the smooth one plus ΔX²/6:
cutting a density spreads it by ∂((ΔX²/12)∂ρ). `sharpen` takes that from the masses once, when the density
is cut, and `soften` puts it back when it is read off, so that the moments of the piecewise constant
measure, on which potential, transport and entropy act, are those of the density itself.
"""

from __future__ import annotations

import numpy as np

from jko.transport.remap import cut, merge_empty, remap

_TAIL = 1e-12
_FEW = 16  # cells with mass, below which a step could not shape a density


def cut_edges(mu, plain: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Edges `[n+1]` and masses `[n]` of cells that carry a density on the line, as many as the grid has
    over its support.

    A tail of less than 1e-12 of the mass at either end, and cells of less than 1e-15 inside, are emptied
    and the rest scaled up. `plain` keeps the grid's own cells and their midpoint masses, which never exceed
    a cap that holds for mu. A density on fewer than 16 cells is cut into as many as the grid has.
    """
    if plain:
        edges, masses = merge_empty(np.asarray(mu.grid.edges[0]), _without_tails(np.asarray(mu.masses)))
        return _split(edges, masses, mu.grid.size)
    edges, masses = cut(mu)
    edges, masses = _split(*merge_empty(edges, _without_tails(masses)), mu.grid.size)
    if np.all(masses > 0.0) and masses.size > 3:
        edges, masses = _resample(edges, masses, mu.grid.size)
    return edges, sharpen(edges, masses)


def _split(edges, masses, most):
    """The same piecewise constant density by more cells, up to `most`, where few have mass."""
    held = masses > 0.0
    if np.count_nonzero(held) >= _FEW:
        return edges, masses
    parts = np.where(held, max(most // np.count_nonzero(held), 1), 1)
    shares = np.concatenate([np.arange(1, n + 1) / n for n in parts])
    left, widths = np.repeat(edges[:-1], parts), np.repeat(np.diff(edges), parts)
    return np.append(edges[0], left + shares * widths), np.repeat(masses / parts, parts)


def density_on(grid, edges, masses, plain: bool = False):
    """The Density on a grid of the mass between edges; `plain` averages the piecewise constant density."""
    from jko.measures import Density

    if not plain:
        return remap(edges, soften(edges, masses), grid)
    total = np.interp(grid.edges[0], edges, np.concatenate([[0.0], np.cumsum(masses)]))
    return Density(grid, np.maximum(np.diff(total), 0.0) / grid.spacing[0])


def sharpen(edges, masses):
    """Masses less the spread of piecewise constancy, at most a quarter of a cell through an edge."""
    most = 0.25 * np.minimum(masses[1:], masses[:-1])
    return _moved(masses, -np.clip(_spread(edges, masses), -most, most))


def soften(edges, masses):
    """Masses with the spread of piecewise constancy, the inverse of `sharpen` to fourth order."""
    return _moved(masses, _spread(edges, masses))


def _spread(edges, masses):
    """(ΔX²/12)∂ρ at the inner edges, 0 at the border of a gap."""
    widths = np.maximum(np.diff(edges), 1e-300)
    density = masses / widths
    flux = (density[1:] - density[:-1]) * (widths[1:] + widths[:-1]) / 24.0
    most = 0.25 * np.maximum(masses[1:], masses[:-1])
    return np.where((masses[1:] > 0.0) & (masses[:-1] > 0.0), np.clip(flux, -most, most), 0.0)


def _moved(masses, flux):
    out = masses.copy()
    out[:-1] += flux
    out[1:] -= flux
    return out


def _without_tails(masses):
    total = masses.sum()
    kept = np.where(masses > 1e-15 * total, masses, 0.0)
    kept[np.cumsum(kept) < _TAIL * total] = 0.0
    kept[np.cumsum(kept[::-1])[::-1] < _TAIL * total] = 0.0
    return kept * (total / kept.sum())


def _resample(edges, masses, n):
    """n equal cells over the same support, by parabolas with the given averages [ColellaWoodward1984]."""
    h = edges[1] - edges[0]
    mean = masses / h
    face = np.empty(masses.size + 1)
    face[2:-2] = (7.0 * (mean[1:-2] + mean[2:-1]) - (mean[:-3] + mean[3:])) / 12.0
    face[1], face[-2] = 0.5 * (mean[0] + mean[1]), 0.5 * (mean[-2] + mean[-1])
    face[0], face[-1] = 2.0 * mean[0] - face[1], 2.0 * mean[-1] - face[-2]
    padded = np.concatenate([[mean[0]], mean, [mean[-1]]])
    face = np.clip(face, 0.0, 3.0 * np.minimum(padded[1:], padded[:-1]))
    new = np.linspace(edges[0], edges[-1], n + 1)
    cell = np.clip(((new - edges[0]) / h).astype(int), 0, masses.size - 1)
    s = np.clip((new - edges[cell]) / h, 0.0, 1.0)
    a, b, w = face[cell] * h, face[cell + 1] * h, masses[cell]
    part = s * (a + s * (3.0 * w - 2.0 * a - b + s * (a + b - 2.0 * w)))
    total = np.concatenate([[0.0], np.cumsum(masses)])
    fine = np.diff(total[cell] + part)
    return (new, fine * (masses.sum() / fine.sum())) if np.all(fine > 0.0) else (edges, masses)
