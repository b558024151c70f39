"""The quadratic model of a Lagrangian step at given edges, and edges made admissible."""

from __future__ import annotations

import numpy as np


def quadratic_model(line, modelled, X, start, tau):
    """Linear `[n+1]` and quadratic terms on the displacement: the model at X, the transport cost."""
    w = line.masses
    bend = np.zeros((2, w.size))
    if line.potential is not None:
        least = min(max(line.potential.modulus, -0.9 / tau), line.potential.greatest)
        bend += np.maximum(line.potential.second_derivative(line.nodes(X)), least)
    diagonal, off = line.bands(0.5 * w * bend)
    linear = line.potential_force(X)
    if modelled is not None:
        s = np.where(line.held, line.density(X), 1.0)
        push = np.where(line.held, line.pressure(modelled, s), 0.0)
        stiff = np.where(line.held, s * s * modelled.second_derivative(s) / np.diff(X), 0.0)
        linear[:-1] += push
        linear[1:] -= push
        diagonal[:-1] += stiff
        diagonal[1:] += stiff
        off = off - stiff
    d = X - start
    linear -= diagonal * d
    linear[:-1] -= off * d[1:]
    linear[1:] -= off * d[:-1]
    transport_diagonal, transport_off = line.bands(np.stack([w, w]) / (2.0 * tau))
    return linear, _tridiagonal(diagonal + transport_diagonal, off + transport_off)


def admissible_edges(X, masses, box, cap):
    """Edges in the box with widths that the cap allows, next to those of a solver."""
    least = np.full(masses.size, 1e-14 * (box[1] - box[0]))
    if cap is not None:
        least = np.maximum(least, masses / cap)
    widths = np.maximum(np.diff(X), least)
    room = box[1] - box[0]
    if widths.sum() > room:
        widths = least + (widths - least) * max(
            0.0, (room - least.sum()) / max((widths - least).sum(), 1e-300)
        )
    first = np.clip(X[0], box[0], max(box[0], box[1] - widths.sum()))
    return np.minimum(np.concatenate([[first], first + np.cumsum(widths)]), box[1])


def _tridiagonal(diagonal, off):
    import scipy.sparse as sp

    return sp.diags_array([diagonal, off, off], offsets=[0, 1, -1], format="coo")
