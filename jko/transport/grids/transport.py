"""Optimal transport between two densities on grids: what the ascent found, in the coordinates of both."""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from jko.loops.grids import torus
from jko.measures import Density, Grid
from jko.transport.distances.distance import Certificate
from jko.transport.grids.overlap import Overlap, fills
from jko.transport.grids.tolerances import TOLERANCES

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
        """W₂², of the potentials."""
        return max(2.0 * self.inner.value + self.overlap.surplus, 0.0)

    @property
    def error(self) -> float:
        """What W₂ may err by, an estimate: the gap and `grid_error`; on a box of 8 cells or fewer, with no
        coarser ones, the gap and atoms at the centres of cells."""
        root = math.sqrt(self.squared)
        if math.isnan(self.inner.coarse):
            cells = math.sqrt(sum(h * h for h in self.overlap.spacing) / 3.0)
            return math.sqrt(self.squared + self.gap) - root + cells
        off = self.gap + grid_error(self.overlap, self.inner)
        return max(math.sqrt(self.squared + off) - root, root - math.sqrt(max(self.squared - off, 0.0)))

    @property
    def gap(self) -> float:
        """Primal minus dual, in units of W₂²."""
        return 2.0 * self.inner.gap

    def certificate(self) -> Certificate:
        """The potentials on the grids of both, conjugate to each other."""
        rim = (0,) * len(self.overlap.spacing)
        wide, inside, first, second = self._union(rim)
        phi = self._conjugate(self.inner.psi, wide, inside, second)
        psi = self._conjugate(phi, wide, second, first)
        return Certificate(self._moved_back(psi, phi, rim), self.gap)

    def extended(self, rim) -> tuple:
        """(ψ, φ), each the conjugate of the other round its support alone, on grids `rim` cells wider at
        both ends of each axis: what a map does off the support sends nothing further than that. Round
        periodic axes they go on by periods."""
        around = tuple(r if turns else 0 for r, turns in zip(rim, self._turning, strict=True))
        rim = tuple(r - a for r, a in zip(rim, around, strict=True))
        if self.inner.smooth:  # on the whole torus, walls and all
            given = (
                np.pad(field, [(r, r) for r in rim], mode="edge")
                for field in (self.inner.psi, self.inner.phi)
            )
            return tuple(torus.continued(field, around) for field in given)
        wide, inside, first, second = self._union(rim)
        psi = self._conjugate(self.inner.phi, wide, inside, first)
        phi = self._conjugate(self.inner.psi, wide, inside, second)
        return tuple(torus.continued(field, around) for field in self._moved_back(psi, phi, rim))

    @property
    def _turning(self) -> tuple[bool, ...]:
        return self.overlap.periodic or (False,) * len(self.overlap.spacing)

    def _conjugate(self, potential: np.ndarray, wide: tuple, given: tuple, wanted: tuple):
        from jko.loops.transport.c_transform import c_transform

        spread = np.full(wide, -np.inf)
        spread[given] = potential
        return c_transform(spread, self.overlap.spacing, 1.0, periodic=self.overlap.periodic)[wanted]

    def _moved_back(self, psi: np.ndarray, phi: np.ndarray, rim: tuple):
        """From the coordinates of the box to those of both measures."""
        shift = self.overlap.shift
        psi = psi - _wider(self.source, rim) @ shift
        return psi, phi + _wider(self.target, rim) @ shift - 0.5 * shift @ shift

    def _union(self, rim: tuple):
        """Cells of a box round both grids, and where the ascent's box and the two grids lie in it."""
        starts = [
            np.zeros(len(rim), int),
            -self.overlap.cells_of(self.source) - rim,
            -self.overlap.cells_of(self.target, self.overlap.shift) - rim,
        ]
        sizes = [
            self.overlap.first.shape,
            *(np.add(g.cells, 2 * np.array(rim)) for g in (self.source, self.target)),
        ]
        low = np.min(starts, axis=0)
        high = np.max([s + n for s, n in zip(starts, sizes, strict=True)], axis=0)
        places = [
            tuple(slice(a, a + n) for a, n in zip(s - low, size, strict=True))
            for s, size in zip(starts, sizes, strict=True)
        ]
        return tuple(high - low), *places


def _wider(grid: Grid, rim: tuple):
    axes = [
        x[0] + h * np.arange(-r, len(x) + r) for x, h, r in zip(grid.axes, grid.spacing, rim, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def grid_transport(mu: Density, nu: Density, threads: int = 1, fine: bool = False) -> GridTransport:
    """Solved once for the last few pairs; `fine` where the map is wanted, whose error is the root of the
    value's."""
    from jko.loops.threads import loop_threads
    from jko.transport.grids import monge_ampere
    from jko.transport.grids.back_and_forth import FINE, solve

    key = (mu.grid, nu.grid, _digest(mu), _digest(nu), fine)
    if key not in _solved:
        overlap = Overlap.of(mu, nu)
        with loop_threads(threads):
            inner = monge_ampere.solve(overlap, threads) if fine and monge_ampere.takes(overlap) else None
            if inner is None or inner.gap > TOLERANCES.newton_gap * inner.value:
                ascent = solve(overlap, threads=threads, **(FINE if fine else {}))
                inner = ascent if inner is None or ascent.gap < inner.gap else inner
            _solved[key] = GridTransport(mu.grid, nu.grid, overlap, inner)
        while len(_solved) > TOLERANCES.kept_pairs:
            _solved.popitem(last=False)
    _solved.move_to_end(key)
    return _solved[key]


def trusted(mu, nu):
    """Potentials good enough for a map. Raises RuntimeError where the gap stays open."""
    found = grid_transport(mu, nu, fine=True)
    if found.gap > TOLERANCES.open_gap * found.squared + max(mu.grid.spacing) ** 2:
        raise RuntimeError(
            f"mu, nu: back-and-forth left a gap of {found.gap:.1e} in W2² = {found.squared:.1e}, too much "
            "for a map; take a finer grid, smooth the densities, or sample them into Particles"
        )
    return found


def _digest(mu: Density):
    return blake2b(np.ascontiguousarray(mu.values), digest_size=16).digest()


def grid_error(overlap: Overlap, potentials) -> float:
    """Of W₂² between densities known at the cells of an `Overlap`, the sum of two estimates.

    How far the value is from that on cells twice as wide; and how far samples on every second cell along
    each axis move it, to first order, ∫ψ dδμ + ∫φ dδν, at worst over where they begin: kinks and edges of
    supports between the cells. Both have the order 2 of what they estimate, and are some three times as
    large.
    """
    halving = 2.0 * abs(potentials.value - potentials.coarse)
    axes = [h * np.arange(n) for h, n in zip(overlap.spacing, overlap.first.shape, strict=True)]
    places = np.meshgrid(*axes, indexing="ij", sparse=True)
    tilt = sum(s * x for s, x in zip(overlap.shift, places, strict=True))
    return halving + sum(
        _sampling(2.0 * (field + sign * tilt), density)
        for field, density, sign in (
            (potentials.psi, overlap.first, -1.0),
            (potentials.phi, overlap.second, 1.0),
        )
    )


def _sampling(field: np.ndarray, density: np.ndarray):
    whole, worst = _mean(field, density), 0.0
    ends = [(0, n) for n in density.shape]
    # where mass lies along walls, cells on every second place would move the walls
    choices = [
        (slice(None),) if fills(density, axis, ends) else (slice(0, None, 2), slice(1, None, 2))
        for axis in range(density.ndim)
    ]
    for every in itertools.product(*choices):
        if density[every].any():
            worst = max(worst, abs(_mean(field[every], density[every]) - whole))
    return worst


def _mean(field: np.ndarray, density: np.ndarray):
    return float(np.vdot(field, density) / density.sum())
