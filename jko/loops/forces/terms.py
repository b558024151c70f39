"""A radial kernel as numbers that compiled loops read: named terms, or a table of any profile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

GAUSSIAN, LOG, POWER, EXPONENTIAL = range(4)
DEGREE = 9
_LOWEST, _HIGHEST = -160, 120  # binary exponents of s = |z|² that a table covers, eight intervals each
FIRST_BIN = (1023 + _LOWEST) << 3
_BINS = (_HIGHEST - _LOWEST) << 3  # eight intervals for each exponent


@dataclass(frozen=True, eq=False)
class Terms:
    """W(z) = f(|z|²): `quadratic` |z|²/2 times a number, which moments sum, and what `profiles.fill` reads.

    A `table` is read at |z|² times `numbers[0, 0]`.
    `at_zero` is W(0), None where W is infinite there. `cutoff` is a radius beyond which W is 0, or None.
    """

    codes: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    numbers: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    table: np.ndarray = field(default_factory=lambda: np.zeros((0, 3, DEGREE + 1)))
    at_zero: float | None = 0.0
    quadratic: float = 0.0
    cutoff: float | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing is left beside the quadratic."""
        return self.codes.size == 0 and len(self.table) == 0

    @property
    def arrays(self):
        """(codes, numbers, table) for the compiled loops."""
        return self.codes, self.numbers, self.table

    def zero(self, order: int) -> float:
        """What a coincident pair contributes."""
        return float(self.at_zero or 0.0) if order == 0 else 0.0

    def without_quadratic(self) -> Terms:
        """The rest of the kernel."""
        return replace(self, quadratic=0.0)


def named_terms(terms: tuple, at_zero: float | None) -> Terms:
    """From ("gaussian", s, w), ("logarithm", s), ("power", c, a): c|z|^a, ("exponential", c, ℓ),
    ("quadratic", s)."""
    codes, numbers, quadratic = [], [], 0.0
    for name, *values in terms:
        if name == "quadratic":
            quadratic += values[0]
        elif name == "power" and values[1] == 2.0:
            quadratic += 2.0 * values[0]
        elif name == "gaussian":
            codes.append(GAUSSIAN)
            numbers.append((values[0], -0.5 / values[1] ** 2))
        elif name == "logarithm":
            codes.append(LOG)
            numbers.append((values[0], 0.0))
        elif name == "power":
            codes.append(POWER)
            numbers.append((values[0], 0.5 * values[1]))
        elif name == "exponential":
            codes.append(EXPONENTIAL)
            numbers.append((values[0], values[1]))
        else:
            raise ValueError(f"unknown term {name!r} of a kernel")
    return Terms(np.array(codes, np.int64), np.array(numbers, float).reshape(-1, 2), at_zero=at_zero,
                 quadratic=quadratic)  # fmt: skip


def tabulated_terms(
    derivatives: Callable, at_zero: float, tolerance: float = 1e-11, cutoff=None
) -> Terms | None:
    """A table of f, 2f′ and 4f″ from `derivatives(s) -> [3, n]`; None where a table does not hold them.

    s = |z|² runs over 280 binades, each in eight intervals with a polynomial of degree 9: a profile smooth
    on the scale of its own argument is held to 1e-14. Values between the nodes are compared, relative to the
    size of each derivative nearby. A `cutoff` is put between two intervals, since f may have a kink there.
    """
    scale = 1.0 if cutoff is None else float(2.0 ** np.ceil(np.log2(cutoff**2))) / cutoff**2
    nodes = np.cos((np.arange(DEGREE + 1) + 0.5) * np.pi / (DEGREE + 1))
    left = _left_ends()
    s = (left[:, None] + (nodes + 1.0) / 16.0 * _binade(left)[:, None]) / scale
    values = np.asarray(derivatives(s.ravel()), dtype=float).reshape(3, *s.shape)
    if not np.all(np.isfinite(values)):
        values = _nearest_finite(values)
        if values is None:
            return None
    table = np.ascontiguousarray(np.einsum("ab,kib->ika", interpolation_matrix(nodes), values))
    if not _holds(table, derivatives, left, scale, tolerance):
        return None
    return Terms(numbers=np.array([[scale, 0.0]]), table=table, at_zero=at_zero)


def interpolation_matrix(nodes: np.ndarray):
    """[k, k]: values at the Chebyshev nodes to the coefficients 1, u, u², … of their polynomial."""
    count = len(nodes)
    to_chebyshev = 2.0 / count * np.polynomial.chebyshev.chebvander(nodes, count - 1).T
    to_chebyshev[0] *= 0.5
    to_powers = np.zeros((count, count))
    for k in range(count):
        to_powers[: k + 1, k] = np.polynomial.chebyshev.cheb2poly(np.eye(count)[k])[: k + 1]
    return to_powers @ to_chebyshev


def _left_ends():
    return np.ldexp(1.0 + np.arange(_BINS) % 8 / 8.0, _LOWEST + np.arange(_BINS) // 8)


def _binade(s: np.ndarray):
    return np.ldexp(1.0, np.frexp(s)[1] - 1)


def _nearest_finite(values):
    # far or near enough, a profile overflows: those intervals repeat the last that does not
    finite = np.all(np.isfinite(values), axis=(0, 2))
    good = np.flatnonzero(finite)
    if good.size < 64 or not np.all(finite[good[0] : good[-1] + 1]):
        return None
    return values[:, np.clip(np.arange(len(finite)), good[0], good[-1])]


def _holds(table: np.ndarray, derivatives: Callable, left: np.ndarray, scaling: float, tolerance: float):
    generator = np.random.default_rng(20260103)
    u = generator.uniform(-1.0, 1.0, len(left))
    s = (left + (u + 1.0) / 16.0 * _binade(left)) / scaling
    exact = np.asarray(derivatives(s), dtype=float)
    got = np.einsum("ika,ia->ki", table, np.polynomial.polynomial.polyvander(u, DEGREE))
    # weigh each derivative as it acts, f against 2f′s and 4f″s²
    powers = s ** np.arange(3)[:, None]
    exact, got = exact * powers, got * powers
    usable = np.isfinite(exact) & np.isfinite(got)
    scale = np.max(np.where(usable, np.abs(exact), 0.0), axis=0)
    scale = np.minimum(scale, 1e300)
    wide = _largest_nearby(scale)
    error = np.where(usable, np.abs(got - exact), 0.0)
    return bool(np.all(error <= np.maximum(tolerance * scale, 0.1 * tolerance * wide) + 1e-290))


def _largest_nearby(scale: np.ndarray, bins: int = 48):
    # the largest within six binades below: what decays is held relative to its size before
    padded = np.concatenate([np.full(bins, scale[0]), scale])
    return np.lib.stride_tricks.sliding_window_view(padded, bins + 1).max(axis=1)
