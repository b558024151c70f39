"""An even kernel on the line taken apart: quadratic, |z|, logarithm, powers, and a table of the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from functionals import pointwise
from functionals.quadratic_form import quadratic_form
from jko.errors import UnsupportedFunctional
from jko.steps.line.table import smooth_length, tabulated, without_kink

_PROBES = np.array([1.0, 2.0, 4.0, 0.3, 0.7, 3.0, 1.7])
_SAME = 1e-11


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

    def bounded_curvature(self, z):
        """W″ of the rest."""
        out = np.zeros_like(z)
        for a, s in self.powers:
            if a > 1.0:
                out += s * (a - 1.0) * np.maximum(z, self.spacing) ** (a - 2.0)
        if len(self.bend):
            out += np.interp(z, self.spacing * np.arange(len(self.bend)), self.bend)
        return out

    @classmethod
    def of(cls, terms, extent) -> LineKernel:
        """The kernel Σ c W of terms (c, atom) up to a distance `extent`."""
        sums = {"constant": 0.0, "quadratic": 0.0, "absolute": 0.0, "logarithm": 0.0}
        powers, rest = [], []
        for c, atom in terms:
            known = _parts(atom)
            if known is None:
                rest.append((c, atom.W))
                continue
            for name, value in known.items():
                if name == "power":
                    powers.append((value[0], c * value[1]))
                else:
                    sums[name] += c * value
        powers = np.array(powers, dtype=float).reshape(-1, 2)
        table, spacing, bend = tabulated(rest, extent)
        if len(table):
            sums["absolute"] += without_kink(table, spacing)
        longest, tolerance = smooth_length(table, spacing, extent)
        least = sums["quadratic"] + _least_curvature(sums["logarithm"], powers, bend, extent)
        return cls(**sums, powers=powers, table=table, spacing=spacing, longest=longest,
                   tolerance=tolerance, least_curvature=least, bend=bend)  # fmt: skip


def _parts(atom):
    """{part: value} of q z²/2 + a logarithm, |z| or power + c, or None for a W that goes into the table."""
    form = quadratic_form(atom.W, 1)
    if form is not None:
        return {"quadratic": form.A[0, 0], "constant": form.c}
    z = _PROBES[:, None]
    values, slopes = pointwise.values(atom.W, z), pointwise.gradients(atom.W, z)[:, 0]
    found = _power_and_quadratic(slopes)
    if found is not None:
        a, s, q = found
        if a <= -1.0:
            raise UnsupportedFunctional(
                f"steps.Quantile takes powers above −1, whose energy on the line is finite, got {atom!r}"
            )
        if abs(a) < _SAME:
            return {"logarithm": -s, "quadratic": q, "constant": values[0] - 0.5 * q}
        part = {"absolute": s} if abs(a - 1.0) < _SAME else {"power": (a, s)}
        return part | {"quadratic": q, "constant": values[0] - 0.5 * q - s / a}
    if not np.isfinite(pointwise.values(atom.W, np.zeros((1, 1)))[0]):
        raise UnsupportedFunctional(
            "steps.Quantile takes kernels infinite at 0 that are a power or a logarithm, and a multiple of "
            f"z², got {atom!r}; give them as a sum of such interactions, or take steps.Cvxpy"
        )
    return None


def _power_and_quadratic(slopes):
    """(a, s, q) with W′ = s z^(a−1) + q z at the probes, the first three of them 1, 2 and 4, or None."""
    if not np.all(np.isfinite(slopes)):
        return None
    g = slopes / _PROBES
    ratio = (g[2] - g[1]) / (g[1] - g[0]) if g[1] != g[0] else 0.0
    if ratio <= 0.0:
        return None
    a = _rounded(np.log2(ratio) + 2.0)
    if abs(a - 2.0) < _SAME:
        return None
    s = (g[1] - g[0]) / (2.0 ** (a - 2.0) - 1.0)
    q = g[0] - s
    q = 0.0 if abs(q) < _SAME * abs(s) else _rounded(q)
    fitted = s * _PROBES ** (a - 1.0) + q * _PROBES
    same = np.abs(fitted - slopes).max() <= 1e-11 * np.abs(slopes).max()
    return (a, _rounded(s), q) if same else None


def _rounded(value):
    near = np.round(value, 10)
    return float(near if abs(value - near) < 1e-12 * abs(value) else value)


def _least_curvature(logarithm, powers, bend, extent):
    least = 0.0 if logarithm >= 0.0 else -np.inf
    for a, s in powers:
        strength = s * (a - 1.0)
        if strength < 0.0:
            least += strength * extent ** (a - 2.0) if a > 2.0 else -np.inf
    return least + (float(bend.min()) if len(bend) else 0.0)
