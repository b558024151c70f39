"""Sums with a Gaussian kernel in the log domain, axis by axis: log Σ_j exp(l_j − Σ_a s_a(i_a − j_a)²).

A line is one column of a matrix product where float64 spans what its sum spans. Where it does not, outputs
are taken a few at a time: with the largest term of the first as reference, the kernel between a block of
outputs and a window of inputs is e^{2sk(j − j₀)}, one table for all blocks, so that exponentials are needed
once a block and not once a pair. The largest terms, and the windows outside of which nothing is above
e^{−38}, move monotonically along a line, because the kernel is totally positive; the largest come from the
upper envelope of parabolas [FelzenszwalbHuttenlocher2012].
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from jko.loops.sums.tolerances import TOLERANCES

NEGLIGIBLE = -38.0  # below the largest exponent: e⁻³⁸ is of no weight in float64


class LogGaussian:
    """The kernel exp(−Σ_a decay_a (i_a − j_a)²) on a box of cells, applied to logarithms.

    `periodic` wraps an axis round: each output then sees one image of every input, and those within half a
    turn on either side of the line.
    """

    def __init__(self, cells: tuple, decay: list, periodic: tuple | None = None):
        self.cells, self.decay = tuple(cells), tuple(decay)
        self.periodic = tuple(periodic or (False,) * len(self.cells))
        self.axes = tuple(
            _Axis(n, s, p) for n, s, p in zip(self.cells, self.decay, self.periodic, strict=True)
        )

    def __call__(self, logs: np.ndarray):
        """log of the sums at every cell, `[*cells]`, from logarithms `[*cells]`; −∞ stands for 0."""
        lines = logs
        for axis in reversed(self.axes):
            lines = axis(np.ascontiguousarray(lines).reshape(-1, axis.n))
        return lines.reshape(self.cells)


class _Axis:
    def __init__(self, n: int, decay: float, periodic: bool):
        self.n, self.decay = n, decay
        self.pad = n // 2 if periodic else 0
        length = n + 2 * self.pad
        steps = np.arange(length, dtype=float)
        self.matrix = None
        if decay * n * n < TOLERANCES.most_decay:
            with np.errstate(under="ignore"):
                self.matrix = np.exp(-decay * (steps[self.pad : self.pad + n, None] - steps) ** 2)
        window = math.sqrt(-NEGLIGIBLE / decay)
        reach = min(length, math.ceil(TOLERANCES.table_windows * window) + TOLERANCES.widest_block)
        safe = TOLERANCES.largest_exponent / (2.0 * decay * reach)
        self.block = int(
            np.clip(min(safe, math.sqrt(TOLERANCES.exponential_cost * window)), 1, TOLERANCES.widest_block)
        )
        self.table = np.exp(2.0 * decay * np.outer(np.arange(self.block), np.arange(-reach, reach + 1)))

    def __call__(self, lines: np.ndarray):
        """`[count, n]` to `[n, count]`."""
        if self.pad:
            lines = np.concatenate([lines[:, -self.pad :], lines, lines[:, : self.pad]], axis=1)
        if self.matrix is None:
            return self._careful(lines)
        top = lines.max(axis=1)
        top[~np.isfinite(top)] = 0.0
        with np.errstate(under="ignore", divide="ignore"):
            sums = self.matrix @ np.exp(lines - top[:, None]).T
            lost = sums.min(axis=0) < TOLERANCES.lowest
            out = np.log(sums, out=sums)
            out += top
        if lost.any():
            out[:, lost] = self._careful(np.ascontiguousarray(lines[lost]))
        return out

    def _careful(self, lines: np.ndarray):
        out = np.empty((lines.shape[0], lines.shape[1] - 2 * self.pad))
        _log_sums(lines, self.decay, self.pad, self.table, out)
        return np.ascontiguousarray(out.T)


@njit(cache=True, fastmath={"contract", "nsz"})
def _envelope(line: np.ndarray, decay: float, largest: np.ndarray, height: np.ndarray):
    """largest[i] = argmax_j line[j] − decay(i − j)², height[i] the maximum; False for a line of −∞."""
    n = line.shape[0]
    vertex = np.empty(n, np.int64)
    start = np.empty(n)
    top = -1
    for j in range(n):
        if line[j] == -math.inf:
            continue
        where = -math.inf
        while top >= 0:
            k = vertex[top]
            where = 0.5 * (line[k] - line[j] + decay * (j * j - k * k)) / (decay * (j - k))
            if where > start[top]:
                break
            top -= 1
            where = -math.inf
        top += 1
        vertex[top], start[top] = j, where
    if top < 0:
        return False
    k = 0
    for i in range(n):
        while k < top and start[k + 1] <= i:
            k += 1
        j = vertex[k]
        largest[i], height[i] = j, line[j] - decay * (i - j) * (i - j)
    return True


@njit(cache=True)
def _windows(
    line: np.ndarray,
    decay: float,
    block: int,
    first: int,
    last: int,
    height: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
):
    """The inputs that matter to each block of outputs: low from its first output, high from its last."""
    j = 0
    for b in range(low.shape[0]):
        i = first + b * block
        while line[j] - decay * (i - j) * (i - j) < height[i] + NEGLIGIBLE:
            j += 1
        low[b] = j
    j = line.shape[0] - 1
    for b in range(low.shape[0] - 1, -1, -1):
        i = min(first + (b + 1) * block, last) - 1
        while line[j] - decay * (i - j) * (i - j) < height[i] + NEGLIGIBLE:
            j -= 1
        high[b] = j + 1


@njit(cache=True, fastmath={"contract", "nsz", "reassoc"})
def _block_sums(weights: np.ndarray, table: np.ndarray, shift: int, width: int, out: np.ndarray):
    for k in range(width):
        row = table[k, shift : shift + weights.shape[0]]
        total = 0.0
        for j in range(weights.shape[0]):
            total += weights[j] * row[j]
        out[k] = total


@njit(cache=True)
def _direct(
    line: np.ndarray,
    decay: float,
    height: np.ndarray,
    first: int,
    width: int,
    start: int,
    end: int,
    out: np.ndarray,
):
    for k in range(width):
        i, total = first + k, 0.0
        for j in range(start, end):
            total += math.exp(line[j] - decay * (i - j) * (i - j) - height[i])
        out[k] = height[i] + math.log(total)


@njit(cache=True)
def _log_sums(lines: np.ndarray, decay: float, pad: int, table: np.ndarray, out: np.ndarray):
    count, n = lines.shape
    block, middle = table.shape[0], table.shape[1] // 2
    blocks = (n - 2 * pad + block - 1) // block
    largest, height = np.empty(n, np.int64), np.empty(n)
    low, high = np.empty(blocks, np.int64), np.empty(blocks, np.int64)
    weights, sums = np.empty(n), np.empty(block)
    for l in range(count):
        line = lines[l]
        if not _envelope(line, decay, largest, height):
            out[l] = -math.inf
            continue
        _windows(line, decay, block, pad, n - pad, height, low, high)
        for b in range(blocks):
            i = pad + b * block
            width = min(block, n - pad - i)
            j0, peak, start, end = largest[i], height[i], low[b], high[b]
            if start < j0 - middle or end > j0 + middle:
                _direct(line, decay, height, i, width, start, end, out[l, i - pad : i - pad + width])
                continue
            for j in range(start, end):
                weights[j - start] = math.exp(line[j] - decay * (i - j) * (i - j) - peak)
            _block_sums(weights[: end - start], table, middle + start - j0, width, sums)
            for k in range(width):
                tilt = 2.0 * decay * k * (j0 - i) - decay * k * k
                out[l, i - pad + k] = peak + tilt + math.log(sums[k])
