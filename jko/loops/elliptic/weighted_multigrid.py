"""The same equation as `multigrid`'s where its stiffness jumps from cell to cell.

Rows of very different scale may not be averaged as they stand: coarse rows are here the sums of the symmetric
fine ones, each weighed by ρ/κ, so that a V-cycle stays positive whatever the rows' scale.
"""

from __future__ import annotations

import numpy as np

from jko.loops.elliptic import multigrid_loops as loops
from jko.loops.elliptic.multigrid import Multigrid, _Level
from jko.loops.elliptic.tolerances import TOLERANCES


class WeightedMultigrid(Multigrid):
    """`Multigrid` with coarse levels by weighed aggregation."""

    def __init__(self, log_density, stiffness, mobility, periodic: tuple | None = None):
        cells = log_density.shape
        periodic = (False,) * (3 - len(cells)) + tuple(periodic or (False,) * len(cells))
        shape = (1,) * (3 - len(cells)) + cells
        stiffness = np.asarray(stiffness, np.float32).reshape(shape)
        log_density = np.asarray(log_density, np.float32).reshape(shape)
        mobility = [None] * (3 - len(cells)) + [np.asarray(g, np.float32).reshape(shape) for g in mobility]
        log_weight = log_density - np.log(np.maximum(stiffness, 1e-30))
        level = _Level(log_density, stiffness, mobility, periodic)
        self.cells, self.levels = cells, [level]
        with np.errstate(under="ignore"):
            weight = np.exp(log_weight - log_weight.max())
        self.weight = np.where(weight < 1e-30, np.float32(0.0), weight)
        while max(level.shape) > TOLERANCES.coarsest and level.largest >= TOLERANCES.local:
            level, log_weight = _coarser(level, log_weight)
            self.levels.append(level)

    def cycle(self, right, depth: int = 0):
        """One V-cycle for the residual `right`."""
        level = self.levels[depth]
        if depth + 1 == len(self.levels):
            return level.smooth(None, right, 8)
        u = level.smooth(None, right, 2)
        loops.apply(u, right, level.work, *level.faces)
        residual = right - level.work
        residual *= level.share
        coarse = np.ascontiguousarray(_sums(residual))
        loops.add_prolonged(u, self.cycle(coarse, depth + 1))
        return level.smooth(u, right, 2)


class _CoarseLevel(_Level):
    """An operator by its coefficients."""

    def __init__(self, faces, shape):
        self.shape, self.faces = shape, faces
        total = np.zeros(shape, np.float32)
        for face in faces:
            if face.shape == shape:
                total += face
        self.largest = float(total.max())
        total += 1.0
        self.inverse = np.reciprocal(total, out=total)
        self.work = np.empty(shape, np.float32)


def _coarser(level, log_weight):
    """The next level, and the logarithm of its weight; sets the shares of the finer level's cells."""
    top = _maxima(log_weight)
    with np.errstate(under="ignore"):
        scaled = np.exp(log_weight - _spread(top, level.shape))
        total = _sums(scaled)
        level.share = scaled / _spread(total, level.shape)
        log_total = top + np.log(total)
    faces = []
    for axis in range(3):
        for side, face in enumerate(level.faces[2 * axis : 2 * axis + 2]):
            if face.shape != level.shape:
                faces.append(face)
                continue
            flux = level.share * face
            outer = np.zeros_like(flux)
            where = slice(1, None, 2) if side == 0 else slice(0, None, 2)
            index = tuple(where if a == axis else slice(None) for a in range(3))
            outer[index] = flux[index]
            if (
                side == 0 and level.shape[axis] % 2
            ):  # the last cell stands alone, and may be joined to the first
                last = tuple(slice(-1, None) if a == axis else slice(None) for a in range(3))
                outer[last] = flux[last]
            faces.append(np.ascontiguousarray(np.float32(0.5) * _sums(outer)))
    return _CoarseLevel(faces, log_total.shape), log_total


def _blocks(field, fill):
    """The 2 × 2 × 2 blocks of a field, of one cell along axes of one, as axes 1, 3 and 5."""
    pad = [(0, n % 2 if n > 1 else 0) for n in field.shape]
    if any(p for _, p in pad):
        field = np.pad(field, pad, constant_values=fill)
    shape = []
    for n in field.shape:
        shape += [n // 2, 2] if n > 1 else [1, 1]
    return field.reshape(shape)


def _sums(field):
    return _blocks(field, 0.0).sum(axis=(1, 3, 5))


def _maxima(field):
    return _blocks(field, -np.inf).max(axis=(1, 3, 5))


def _spread(field, shape):
    for axis, n in enumerate(shape):
        if n > 1:
            field = np.repeat(field, 2, axis=axis)
            if n % 2:
                field = field.take(range(n), axis)
    return field
