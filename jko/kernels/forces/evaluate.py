"""Sums of a radial kernel by a plan, and their error against direct sums at some of the particles."""

from __future__ import annotations

import numpy as np

from jko.kernels.forces import cells, direct
from jko.kernels.forces.plan import Plan, mesh_of, near_of
from jko.kernels.forces.terms import Terms

_CHECKED = 64
_STEP = 0.03  # mesh points: small against the window, large against its jumps


def values(terms: Terms, x, w, chosen: Plan):
    """Σ_j w_j W(x_i − x_j) `[n]` over all j; positions `[d, n]`, weights `[n]`."""
    total = _quadratic_values(terms.quadratic, x, w)
    if terms.empty:
        return total
    zero = terms.zero(0)
    if chosen.method == "direct":
        return total + _direct(0, terms, x, x, w)[0]
    x64, w64 = _double(x, w)
    if chosen.method != "cells":
        total = total + mesh_of(terms, chosen).sums(x64, w64, derivatives=False)[0]
    if chosen.cutoff > 0.0:
        near = _near(terms, chosen)
        total = total + cells.near_sums(x64, w64, chosen.cutoff, terms.arrays, zero, near, gradients=False)[0]
    return total.astype(x.dtype)


def gradients(terms: Terms, x, w, chosen: Plan):
    """Σ_j w_j ∇W(x_i − x_j) `[d, n]`."""
    total = terms.quadratic * _about_mean(x, w)
    if terms.empty:
        return total
    if chosen.method == "direct":
        return total + _direct(1, terms, x, x, w)
    x64, w64 = _double(x, w)
    if chosen.method != "cells":
        total = total + mesh_of(terms, chosen).sums(x64, w64)[1]
    if chosen.cutoff > 0.0:
        near = _near(terms, chosen)
        total = total + cells.near_sums(x64, w64, chosen.cutoff, terms.arrays, 0.0, near, values=False)[1]
    return total.astype(x.dtype)


def both(terms: Terms, x, w, chosen: Plan):
    """(values `[n]`, gradients `[d, n]`), for the price of the gradients where a mesh gives them."""
    if chosen.method == "direct" or terms.empty:
        return values(terms, x, w, chosen), gradients(terms, x, w, chosen)
    total = [_quadratic_values(terms.quadratic, x, w), terms.quadratic * _about_mean(x, w)]
    x64, w64 = _double(x, w)
    parts = []
    if chosen.method != "cells":
        parts.append(mesh_of(terms, chosen).sums(x64, w64))
    if chosen.cutoff > 0.0:
        near = _near(terms, chosen)
        parts.append(cells.near_sums(x64, w64, chosen.cutoff, terms.arrays, terms.zero(0), near))
    return tuple((a + sum(part[k] for part in parts)).astype(x.dtype) for k, a in enumerate(total))


def products(terms: Terms, x, v, w, chosen: Plan):
    """Σ_j w_j D²W(x_i − x_j)(v_i − v_j) `[d, n]`; of a mesh by central differences of its gradients."""
    total = terms.quadratic * _about_mean(v, w)
    if terms.empty:
        return total
    if chosen.method == "direct":
        return total + _direct(2, terms, x, v, w)
    x64, w64 = _double(x, w)
    v64 = np.ascontiguousarray(v, dtype=float)
    if chosen.method != "cells":
        mesh = mesh_of(terms, chosen)
        size = _STEP * min(mesh.spacing) / max(float(np.abs(v64).max()), 1e-290)
        ahead, behind = (mesh.sums(x64 + sign * size * v64, w64)[1] for sign in (1.0, -1.0))
        total = total + (ahead - behind) / (2.0 * size)
    if chosen.cutoff > 0.0:
        near = _near(terms, chosen)
        total = (
            total + cells.near_sums(x64, w64, chosen.cutoff, terms.arrays, 0.0, near, values=False, v=v64)[1]
        )
    return total.astype(x.dtype)


def errors(terms: Terms, x, w, chosen: Plan, seed: int = 0):
    """(error of the values, of the gradients): root mean squares over 64 particles, relative, against direct
    sums."""
    if chosen.method == "direct":
        return 0.0, 0.0
    x64, w64 = _double(x, w)
    n = x.shape[1]
    targets = np.random.default_rng(seed).choice(n, min(n, _CHECKED), replace=False)
    rest = terms.without_quadratic()
    exact = direct.row_sums(targets, x64, w64, *terms.arrays, terms.zero(0))
    got = values(rest, x64, w64, chosen)[targets], gradients(rest, x64, w64, chosen)[:, targets]
    return tuple(_relative(a, b) for a, b in zip(got, exact, strict=True))


def _relative(got, exact):
    return float(np.sqrt(np.sum((got - exact) ** 2) / max(float(np.sum(exact**2)), 1e-290)))


def _near(terms, chosen):
    return cells.NOTHING if chosen.method == "cells" else near_of(terms, chosen.cutoff)


def _double(x, w):
    return np.ascontiguousarray(x, dtype=float), np.ascontiguousarray(w, dtype=float)


def _direct(order, terms, x, v, w):
    x, v, w = (np.ascontiguousarray(a, dtype=x.dtype) for a in (x, v, w))
    return direct.pair_sums(order, x, v, w, *terms.arrays, x.dtype.type(terms.zero(0)))


def _about_mean(x, w):
    mass = w.sum(dtype=float)
    return (mass * x - (x.astype(float) @ np.asarray(w, float))[:, None]).astype(x.dtype)


def _quadratic_values(strength, x, w):
    if strength == 0.0:
        return np.zeros(x.shape[1], x.dtype)
    w = np.asarray(w, dtype=float)
    centred = x - ((x @ w) / w.sum())[:, None]
    square = np.sum(centred**2, axis=0)
    return (0.5 * strength * (w.sum() * square + square @ w)).astype(x.dtype)
