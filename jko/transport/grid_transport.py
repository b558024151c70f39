"""Optimal transport between two densities on grids: what the ascent found, in the coordinates of both."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from jko.transport.distance import Certificate
from jko.transport.overlap import Overlap

_KEPT = 4
_solved: OrderedDict = OrderedDict()


@dataclass(frozen=True, eq=False)
class GridTransport:
    """W₂² (`squared`) and its `gap`, for densities divided by their masses; `inner` are the potentials
    on the box of `overlap`."""

    source: object
    target: object
    overlap: Overlap
    inner: object

    @property
    def squared(self) -> float:
        return max(2.0 * self.inner.value + self.overlap.surplus, 0.0)

    @property
    def gap(self) -> float:
        return 2.0 * self.inner.gap

    def certificate(self) -> Certificate:
        """The potentials on the grids of both, conjugate to each other."""
        from jko.kernels.c_transform import c_transform

        wide, inside, first, second = self._union()
        psi = np.full(wide, -np.inf)
        psi[inside] = self.inner.psi
        phi = c_transform(psi, self.overlap.spacing, 1.0)[second]
        spread = np.full(wide, -np.inf)
        spread[second] = phi
        psi = c_transform(spread, self.overlap.spacing, 1.0)[first]
        shift = self.overlap.shift
        away = self.source.centers - self.overlap.origin
        back = self.target.centers - shift - self.overlap.origin
        offset = shift @ self.overlap.origin
        psi = psi - away @ shift - offset
        phi = phi + back @ shift + offset + 0.5 * shift @ shift
        return Certificate((psi, phi), self.gap)

    def _union(self):
        """Cells of a box round both grids, and where the ascent's box and the two grids lie in it."""
        starts = [
            np.zeros(len(self.overlap.spacing), int),
            -self.overlap.cells_of(self.source),
            -self.overlap.cells_of(self.target, self.overlap.shift),
        ]
        sizes = [self.overlap.first.shape, self.source.cells, self.target.cells]
        low = np.min(starts, axis=0)
        high = np.max([s + n for s, n in zip(starts, sizes, strict=True)], axis=0)
        places = [
            tuple(slice(a, a + n) for a, n in zip(s - low, size, strict=True))
            for s, size in zip(starts, sizes, strict=True)
        ]
        return tuple(high - low), *places


def grid_transport(mu, nu, threads=1) -> GridTransport:
    """Solved once for the last few pairs."""
    from jko.kernels.threads import kernel_threads
    from jko.transport.back_and_forth import solve

    key = (mu.grid, nu.grid, _digest(mu), _digest(nu))
    if key not in _solved:
        overlap = Overlap.of(mu, nu)
        with kernel_threads(threads):
            _solved[key] = GridTransport(mu.grid, nu.grid, overlap, solve(overlap, threads=threads))
        while len(_solved) > _KEPT:
            _solved.popitem(last=False)
    _solved.move_to_end(key)
    return _solved[key]


def _digest(mu):
    return blake2b(np.ascontiguousarray(mu.values), digest_size=16).digest()
