"""A measure as a small picture for notebooks, read from its fields."""

from __future__ import annotations

import numpy as np

from jko import inline
from jko.measures.visible import VIEW, Cloud, Gridded, Moments, Seen, seen


def thumbnail(mu) -> str:
    """HTML of a small picture; empty where the fields of the measure give none."""
    try:
        shown = seen(mu)
    except NotImplementedError:  # a kind of measure that is not yet written to files
        return ""
    return picture(shown, repr(mu))


def picture(shown: Seen | None, label: str) -> str:
    """HTML of a curve, a map, dots, or what else there is to be seen."""
    if isinstance(shown, Gridded):
        if shown.dimension == 1:
            return inline.curve(shown.axes[0], shown.values, zero=True, label=label)
        return inline.image(_coarse(shown.marginal((0, 1)).values), label)
    if isinstance(shown, Cloud):
        lower, upper = shown.extent()
        if shown.dimension == 1:
            edges = np.linspace(lower[0], upper[0], VIEW.small_bins + 1)
            heights, _ = np.histogram(shown.positions[:, 0], edges, weights=shown.weights)
            return inline.curve(np.repeat(edges, 2)[1:-1], np.repeat(heights, 2), zero=True, label=label)
        kept = np.random.default_rng(0).permutation(len(shown.positions))[: VIEW.small_dots]
        return inline.dots(shown.positions[kept, :2], lower, upper, label)
    if isinstance(shown, Moments):
        return _bell(shown, label)
    if shown is not None and shown.values.ndim == 1:
        return inline.curve(np.arange(len(shown.values)), shown.values, label=label)
    return ""


def _bell(shown: Moments, label: str) -> str:
    """N(m, Σ) of the first one or two coordinates."""
    lower, upper = shown.extent()
    if shown.dimension == 1:
        x = np.linspace(lower[0], upper[0], 120)
        return inline.curve(
            x, np.exp(-0.5 * (x - shown.mean[0]) ** 2 / shown.covariance[0, 0]), zero=True, label=label
        )
    axes = [np.linspace(lower[a], upper[a], VIEW.small_cells) - shown.mean[a] for a in (0, 1)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    precision = np.linalg.inv(shown.covariance[:2, :2])
    return inline.image(np.exp(-0.5 * np.einsum("ijk,kl,ijl->ij", points, precision, points)), label)


def _coarse(values: np.ndarray) -> np.ndarray:
    """Averages over blocks of cells, so that a picture has at most `VIEW.small_cells` along an axis."""
    for axis in range(2):
        block = -(-values.shape[axis] // VIEW.small_cells)
        starts = np.arange(0, values.shape[axis], block)
        sizes = np.diff(np.append(starts, values.shape[axis]))
        values = np.add.reduceat(values, starts, axis=axis) / np.expand_dims(sizes, 1 - axis)
    return values
