"""The heat semigroup of free space on a grid, applied to logarithms: log ∫ N(x − y; variance) e^{l(y)} dy.

Where the Gaussian is as wide as a cell its samples are its quadrature, exact to e^{−2π² variance/h²}. Along
an axis where it is narrower the logarithm is interpolated to fine cells that it can see: to fifth order where
it is smooth, by the least bent parabola of one side beside jumps and −∞ [HartenEtAl1987]. A field whose
logarithm varies by many units in a cell, as those of a bridge of little noise do, moves under the heat flow
by more than it widens, so that nothing cruder will do.
"""

from __future__ import annotations

import math

import numpy as np

from jko.loops.sums.log_gaussian import LogGaussian
from jko.loops.sums.tolerances import TOLERANCES


def log_heat(logs: np.ndarray, spacing: tuple, variance: float):
    """log of the heated field `[*cells]` from its logarithm; outside of the grid there is nothing. A variance
    below (h/65)² is reached by linear interpolation of the logarithm in the variance."""
    if variance == 0.0:
        return logs
    least = max((h / TOLERANCES.finest_heat) ** 2 for h in spacing)
    if variance < least:
        share = variance / least
        with np.errstate(invalid="ignore"):
            between = (1.0 - share) * logs + share * log_heat(logs, spacing, least)
        return np.where(np.isfinite(logs), between, -np.inf)
    for axis in reversed(range(logs.ndim)):
        logs = _along(logs.reshape(-1, logs.shape[-1]), spacing[axis], variance).reshape(
            logs.shape[-1], *logs.shape[:-1]
        )
    return logs


def _along(lines: np.ndarray, h: float, variance: float):
    """`[count, n]` to `[n, count]`."""
    n = lines.shape[1]
    ratio = 2 * math.ceil(0.5 * (h / math.sqrt(variance) - 1.0)) + 1 if variance < h * h else 1
    fine = h / ratio
    if ratio > 1:
        lines = _refined(lines, ratio)
    kernel = LogGaussian((n * ratio,), [0.5 * fine * fine / variance]).axes[0]
    heated = kernel(np.ascontiguousarray(lines))[ratio // 2 :: ratio]
    return np.ascontiguousarray(heated) + math.log(fine) - 0.5 * math.log(2.0 * math.pi * variance)


def _refined(lines: np.ndarray, ratio: int):
    """Each cell cut into an odd number of cells, each with the value at its centre of a polynomial."""
    n = lines.shape[1]
    if n < 5:
        return np.repeat(lines, ratio, axis=1)
    place = (np.arange(ratio) - ratio // 2) / ratio
    slope, bend = _one_sided(lines)
    out = lines[:, :, None] + slope[:, :, None] * place + bend[:, :, None] * (0.5 * place**2)
    smooth = _smooth(lines)
    stencils = np.stack([lines[:, k : n - 4 + k] for k in range(5)], axis=-1)[smooth[:, 2:-2]]
    inner = out[:, 2:-2]
    inner[smooth[:, 2:-2]] = stencils @ np.stack([_lagrange(node, place) for node in range(-2, 3)])
    return out.reshape(len(lines), n * ratio)


def _one_sided(lines: np.ndarray):
    """First and second differences at each cell of the least bent parabola through it and two neighbours on
    either side or one on each; a line, or nothing, where there are fewer."""
    far = np.pad(lines, [(0, 0), (2, 2)], constant_values=-np.inf)
    with np.errstate(invalid="ignore"):
        step = far[:, 1:] - far[:, :-1]
        bends = step[:, 1:] - step[:, :-1]
    behind, ahead = step[:, 1:-2], step[:, 2:-1]
    left, middle, right = bends[:, :-2], bends[:, 1:-1], bends[:, 2:]
    size = [np.where(np.isfinite(b), np.abs(b), np.inf) for b in (middle, left, right)]
    choice = np.argmin(np.stack(size), axis=0)
    bend = np.choose(choice, [middle, left, right])
    with np.errstate(invalid="ignore"):
        slope = np.choose(choice, [0.5 * (behind + ahead), behind + 0.5 * left, ahead - 0.5 * right])
    no_bend = ~np.isfinite(bend)
    alone = np.where(np.isfinite(behind), behind, np.where(np.isfinite(ahead), ahead, 0.0))
    return np.where(no_bend, alone, slope), np.where(no_bend, 0.0, bend)


def _smooth(lines: np.ndarray):
    """Where the three second differences about a cell are alike, so that the quartic is to be trusted."""
    smooth = np.zeros(lines.shape, bool)
    with np.errstate(invalid="ignore"):
        bends = lines[:, 2:] - 2.0 * lines[:, 1:-1] + lines[:, :-2]
        three = np.stack([bends[:, :-2], bends[:, 1:-1], bends[:, 2:]])
        smooth[:, 2:-2] = np.ptp(three, axis=0) < TOLERANCES.alike_bends * (
            np.abs(three).max(axis=0) + TOLERANCES.alike_bends
        )
    return smooth


def _lagrange(node: int, place: np.ndarray):
    others = [m for m in range(-2, 3) if m != node]
    return np.prod([(place - m) / (node - m) for m in others], axis=0)
