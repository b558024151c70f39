"""An even kernel on the line taken apart: quadratic, |z|, logarithm, powers, and a table of the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev

from functionals import Functional, pointwise
from functionals.power_sum import power_sum
from jko.errors import UnsupportedFunctional
from jko.steps.quantile.tolerances import TOLERANCES

_SUMMED = {0.0: "constant", 1.0: "absolute", 2.0: "quadratic"}  # powers that moments and ranks sum


@dataclass(frozen=True)
class LineKernel:
    """W(z) = c + q z²/2 + s|z| − ℓ log z + Σ s z^a/a + table for z > 0, up to the length of the grid.

    `longest` is the length of blocks above which the table is not smooth enough for 16 Chebyshev nodes;
    `tolerance` what is left of it then, relative to max |W|.
    """

    constant: float
    quadratic: float
    absolute: float
    logarithm: float
    powers: np.ndarray
    table: np.ndarray
    spacing: float
    longest: float
    tolerance: float
    least_curvature: float
    bend: np.ndarray

    @property
    def rest(self) -> bool:
        """Whether there is more than what moments and order statistics sum."""
        return bool(self.logarithm or len(self.powers) or len(self.table))

    @property
    def keeps_open(self) -> bool:
        """Whether W repels so much at 0 that no cell ever closes."""
        return self.logarithm > 0.0 or any(s * (a - 1.0) > 0.0 and a < 1.0 for a, s in self.powers)

    def value(self, z: np.ndarray):
        """W at distances z > 0, the table read along straight lines."""
        out = self.constant + 0.5 * self.quadratic * z**2 + self.absolute * z
        if self.logarithm:
            out -= self.logarithm * np.log(z)
        for a, s in self.powers:
            out += s * z**a / a
        if len(self.table):
            out += np.interp(z, self.spacing * np.arange(len(self.table)), self.table[:, 0])
        return out

    def barrier(self, z):
        """(B, B′, B″) of the convex part of W that is singular at 0: where W″ cannot be integrated."""
        value, slope, bend = np.zeros_like(z), np.zeros_like(z), np.zeros_like(z)
        if self.logarithm > 0.0:
            value, slope, bend = -self.logarithm * np.log(z), -self.logarithm / z, self.logarithm / z**2
        for a, s in self.powers:
            if s * (a - 1.0) > 0.0 and a < 1.0:
                power = s * z**a
                value, slope = value + power / a, slope + power / z
                bend = bend + (a - 1.0) * power / z**2
        return value, slope, bend

    def bounded_curvature(self, z: np.ndarray):
        """W″ of the rest."""
        out = np.zeros_like(z)
        for a, s in self.powers:
            if a > 1.0:
                out += s * (a - 1.0) * np.maximum(z, self.spacing) ** (a - 2.0)
        if len(self.bend):
            out += np.interp(z, self.spacing * np.arange(len(self.bend)), self.bend)
        return out

    @classmethod
    def of(cls, terms: tuple, extent: float, cells: int = 0) -> LineKernel:
        """The kernel Σ c W of terms (c, atom) up to a distance `extent`, that of so many cells of a grid."""
        sums = {"constant": 0.0, "quadratic": 0.0, "absolute": 0.0, "logarithm": 0.0}
        powers, rest = [], []
        for c, atom in terms:
            known = _parts(atom)
            if known is None:
                rest.append((c, atom.W))
                continue
            sums["logarithm"] -= c * known.logarithm
            for a, strength in known.powers.items():
                if a in _SUMMED:
                    sums[_SUMMED[a]] += c * strength * max(a, 1.0)
                else:
                    powers.append((a, c * strength * a))
        powers = np.array(powers, dtype=float).reshape(-1, 2)
        table, spacing, bend = tabulated(rest, extent, cells)
        if len(table):
            sums["absolute"] += without_kink(table, spacing)
        longest, tolerance = smooth_length(table, spacing, extent)
        least = sums["quadratic"] + _least_curvature(sums["logarithm"], powers, bend, extent)
        return cls(**sums, powers=powers, table=table, spacing=spacing, longest=longest,
                   tolerance=tolerance, least_curvature=least, bend=bend)  # fmt: skip


def _parts(atom: Functional):
    """{exponent: coefficient} and the logarithm's of a W that is known to be a sum of powers, or None for
    one that goes into the table."""
    known = power_sum(atom.W)
    if known is None:
        if not np.isfinite(pointwise.values(atom.W, np.zeros((1, 1)))[0]):
            raise UnsupportedFunctional(
                "steps.Quantile takes kernels infinite at 0 that are a power or a logarithm, and a multiple "
                f"of z², got {atom!r}; give them as a sum of such interactions, or take steps.Cvxpy"
            )
        return None
    if min(known.powers, default=0.0) <= -1.0:
        raise UnsupportedFunctional(
            f"steps.Quantile takes powers above −1, whose energy on the line is finite, got {atom!r}"
        )
    return known


def _least_curvature(logarithm: float, powers: np.ndarray, bend: np.ndarray, extent: float):
    least = 0.0 if logarithm >= 0.0 else -np.inf
    for a, s in powers:
        strength = s * (a - 1.0)
        if strength < 0.0:
            least += strength * extent ** (a - 2.0) if a > 2.0 else -np.inf
    return least + (float(bend.min()) if len(bend) else 0.0)


NODES = 16  # of the Chebyshev interpolation between blocks


def tabulated(terms: list, extent: float, cells: int = 0):
    """(W and W′ `[T, 2]` at distances spaced so that cubics between them are W, the spacing, W″ `[T]`); at
    least four a cell of a grid of so many."""
    if not terms:
        return np.zeros((0, 2)), extent, np.zeros(0)

    def evaluated(function, z):
        z = np.maximum(z, 1e-14 * extent)[:, None]  # the slope beside 0, where |z| has none
        return sum(c * function(W, z).reshape(-1) for c, W in terms)

    coarsest = min(
        max(TOLERANCES.table_powers[0], int(np.ceil(np.log2(max(1, 4 * cells))))), TOLERANCES.table_powers[1]
    )
    for power in range(coarsest, TOLERANCES.table_powers[1] + 1):
        intervals = 2**power
        spacing = extent / intervals
        z = spacing * np.arange(intervals + 2)
        value, slope = evaluated(pointwise.values, z), evaluated(pointwise.gradients, z)
        value[0] = sum(c * pointwise.values(W, np.zeros((1, 1)))[0] for c, W in terms)
        middle = 0.5 * (value[1:] + value[:-1]) - 0.125 * spacing * np.diff(slope)
        error = np.abs(middle - evaluated(pointwise.values, z[:-1] + 0.5 * spacing)).max()
        if error <= TOLERANCES.table_error * np.abs(value).max():
            break
    bend = evaluated(pointwise.hessians, z)
    return np.stack([value, slope], axis=1), spacing, bend


def without_kink(table, spacing):
    """The kink of W at 0, taken out of the table: |z| is summed exactly."""
    kink = float(table[0, 1])
    if abs(kink) <= TOLERANCES.least_slope * np.abs(table[:, 1]).max():
        return 0.0
    table[:, 0] -= kink * spacing * np.arange(len(table))
    table[:, 1] -= kink
    return kink


def smooth_length(table: np.ndarray, spacing: float, extent: float):
    """The length up to which the table, at any distance no less, is a polynomial of 16 terms; the error."""
    if not len(table):
        return np.inf, 0.0
    t, probe = np.cos((np.arange(NODES) + 0.5) * np.pi / NODES), np.linspace(-1.0, 1.0, 33)
    scale = np.ptp(table[:, 0]) + 1e-300
    longest, tolerance = 0.0, 0.0
    for length in extent / 3.0 * 0.5 ** np.arange(TOLERANCES.length_halvings, -1, -1):
        starts = length * np.geomspace(1.0, extent / length - 1.0, 40)
        read = _reader(table, spacing, starts, length)
        fitted = chebyshev.chebval(probe, chebyshev.chebfit(t, read(t).T, NODES - 1))
        error = float(np.abs(fitted - read(probe)).max() / scale)
        if longest and error > TOLERANCES.smooth_error:
            break
        longest, tolerance = length, max(error, tolerance)
    return longest, tolerance


def _reader(table, spacing, starts, length):
    from jko.loops.sums.line_sums import tabulated

    read = np.vectorize(lambda z: tabulated(z, table, spacing)[0])
    return lambda t: read(starts[:, None] + 0.5 * length * (1.0 + t))
