"""Sums of a radial kernel by a plan, and their error against direct sums at some of the particles."""

from __future__ import annotations

import numpy as np

from jko.loops.forces import cells, direct
from jko.loops.forces.multipole import Boxes
from jko.loops.forces.plan import Plan, mesh_of, near_of
from jko.loops.forces.terms import Terms
from jko.loops.forces.tolerances import TOLERANCES

MISS = 3.0  # times the tolerance


def values(terms: Terms, x: np.ndarray, w: np.ndarray, chosen: Plan):
    """Σ_j w_j W(x_i − x_j) `[n]` over all j; positions `[d, n]`, weights `[n]`."""
    return _sums(0, terms, x, x, w, chosen)[0]


def gradients(terms: Terms, x: np.ndarray, w: np.ndarray, chosen: Plan):
    """Σ_j w_j ∇W(x_i − x_j) `[d, n]`."""
    return _sums(1, terms, x, x, w, chosen)


def products(terms: Terms, x: np.ndarray, v: np.ndarray, w: np.ndarray, chosen: Plan):
    """Σ_j w_j D²W(x_i − x_j)(v_i − v_j) `[d, n]`; far away by central differences of the gradients."""
    return _sums(2, terms, x, v, w, chosen)


def both(terms: Terms, x, w, chosen: Plan):
    """(values `[n]`, gradients `[d, n]`), for the price of the gradients where a mesh gives them."""
    if chosen.method != "fourier" or terms.empty:
        return values(terms, x, w, chosen), gradients(terms, x, w, chosen)
    total = _quadratic(0, terms.quadratic, x, x, w)[0], _quadratic(1, terms.quadratic, x, x, w)
    parts = mesh_of(terms, chosen).sums(*_double(x, w))
    return tuple((a + part).astype(x.dtype) for a, part in zip(total, parts, strict=True))


def _sums(order: int, terms: Terms, x: np.ndarray, v: np.ndarray, w: np.ndarray, chosen: Plan):
    total = _quadratic(order, terms.quadratic, x, v, w)
    if terms.empty:
        return total
    if chosen.method == "direct":
        x, v, w = (np.ascontiguousarray(a, dtype=x.dtype) for a in (x, v, w))
        return total + direct.pair_sums(order, x, v, w, *terms.arrays, x.dtype.type(terms.zero(0)))
    return (total + _fast(order, terms, chosen, *_double(x, v, w))).astype(x.dtype)


def _fast(order: int, terms: Terms, chosen: Plan, x: np.ndarray, v: np.ndarray, w: np.ndarray):
    # without the quadratic
    if chosen.method == "tree":
        return np.atleast_2d(Boxes(x, chosen.detail).sums(order, terms, x, v, w))
    total = 0.0 if chosen.method == "cells" else _meshed(order, mesh_of(terms, chosen), x, v, w)
    return total + _near(order, terms, x, v, w, chosen) if chosen.cutoff > 0.0 else total


def watched_sums(order: int, terms: Terms, x, w, ways: list[Plan], tolerance: float):
    """(the sums `[1 or d, n]` of order 0 or 1, their plan, [(plan, error) of those that missed]).

    By the first of the plans whose sums are within three times the tolerance of direct ones at 32 particles,
    the same at every call for a cloud of that size; or else by the one that came closest.
    """
    if len(ways) == 1 or ways[0].method in ("direct", "cells"):
        return _sums(order, terms, x, x, w, ways[0]), ways[0], []
    x64, w64 = _double(x, w)
    n = x.shape[1]
    targets = np.random.default_rng(20260107).choice(n, min(n, TOLERANCES.watched), replace=False)
    exact = direct.row_sums(targets, x64, w64, *terms.arrays, terms.zero(0))[order]
    missed, closest = [], None
    for way in ways:
        if way.method in ("direct", "cells"):
            return _sums(order, terms, x, x, w, way), way, missed
        got = _fast(order, terms, way, x64, x64, w64)
        error = _relative(got[:, targets], np.atleast_2d(exact))
        if closest is None or error < closest[1]:
            closest = got, error, way
        if error <= MISS * tolerance:
            break
        missed.append((way, error))
    got, _, way = closest
    missed = [pair for pair in missed if pair[0] is not way]
    return (_quadratic(order, terms.quadratic, x, x, w) + got).astype(x.dtype), way, missed


def _meshed(order: int, mesh, x: np.ndarray, v: np.ndarray, w: np.ndarray):
    if order < 2:
        return np.atleast_2d(mesh.sums(x, w, derivatives=order == 1)[order])
    size = TOLERANCES.mesh_difference * min(mesh.spacing) / max(float(np.abs(v).max()), 1e-290)
    ahead, behind = (mesh.sums(x + sign * size * v, w)[1] for sign in (1.0, -1.0))
    return (ahead - behind) / (2.0 * size)


def _near(order: int, terms: Terms, x: np.ndarray, v: np.ndarray, w: np.ndarray, chosen: Plan):
    near = cells.NOTHING if chosen.method == "cells" else near_of(terms, chosen.cutoff)
    return cells.near_sums(order, x, v, w, chosen.cutoff, terms.arrays, terms.zero(order), near)


def errors(terms: Terms, x: np.ndarray, w: np.ndarray, chosen: Plan, seed: int = 0):
    """(error of the values, of the gradients): root mean squares over 64 particles, relative, against direct
    sums."""
    if chosen.method == "direct":
        return 0.0, 0.0
    x64, w64 = _double(x, w)
    n = x.shape[1]
    targets = np.random.default_rng(seed).choice(n, min(n, TOLERANCES.checked), replace=False)
    rest = terms.without_quadratic()
    exact = direct.row_sums(targets, x64, w64, *terms.arrays, terms.zero(0))
    got = values(rest, x64, w64, chosen)[targets], gradients(rest, x64, w64, chosen)[:, targets]
    return tuple(_relative(a, b) for a, b in zip(got, exact, strict=True))


def _relative(got: np.ndarray, exact: np.ndarray):
    return float(np.sqrt(np.sum((got - exact) ** 2) / max(float(np.sum(exact**2)), 1e-290)))


def _double(*arrays):
    return tuple(np.ascontiguousarray(a, dtype=float) for a in arrays)


def _quadratic(order: int, strength: float, x: np.ndarray, v: np.ndarray, w: np.ndarray):
    # of strength |z|²/2, from moments: `[1 or d, n]`
    if order == 0:
        return _quadratic_values(strength, x, w)[None]
    moved = v if order == 2 else x
    about_mean = w.sum(dtype=float) * moved - (moved.astype(float) @ np.asarray(w, float))[:, None]
    return (strength * about_mean).astype(x.dtype)


def _quadratic_values(strength: float, x: np.ndarray, w: np.ndarray):
    if strength == 0.0:
        return np.zeros(x.shape[1], x.dtype)
    w = np.asarray(w, dtype=float)
    centred = x - ((x @ w) / w.sum())[:, None]
    square = np.sum(centred**2, axis=0)
    return (0.5 * strength * (w.sum() * square + square @ w)).astype(x.dtype)
