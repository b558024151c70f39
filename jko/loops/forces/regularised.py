"""A radial kernel made smooth: near 0 by a Taylor polynomial, far out by folding it into a periodic box."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from jko.loops.forces.cells import ORDER
from jko.loops.forces.elementary import FAST
from jko.loops.forces.profiles import BLOCK, fill
from jko.loops.forces.terms import Terms, interpolation_matrix
from jko.loops.forces.tolerances import TOLERANCES
from jko.loops.threads import shared


def taylor(terms: Terms, cutoff: float, order: int) -> np.ndarray:
    """`[3, ORDER]`: f, 2f′ and 4f″ about |z|² = cutoff² as polynomials of u = |z|²/cutoff² − 1.

    Within the cutoff the polynomial of f stands for f: the kernel that results has order − 1 derivatives, and
    only pairs within the cutoff feel the difference [PottsSteidl2003].
    """
    nodes = np.cos((np.arange(TOLERANCES.taylor_degree + 1) + 0.5) * np.pi / (TOLERANCES.taylor_degree + 1))
    samples = profile(terms, cutoff**2 * (1.0 + TOLERANCES.taylor_reach * nodes))
    powers = (
        interpolation_matrix(nodes)
        @ samples
        / TOLERANCES.taylor_reach ** np.arange(TOLERANCES.taylor_degree + 1)
    )[:order]
    rows = np.zeros((3, ORDER))
    rows[0, :order] = powers
    for k in (1, 2):
        rows[k, :-1] = rows[k - 1, 1:] * np.arange(1, ORDER) * 2.0 / cutoff**2
    return rows


def profile(terms: Terms, s: np.ndarray, order: int = 0) -> np.ndarray:
    """f, 2f′ or 4f″ at squared distances."""
    s = np.ascontiguousarray(s, dtype=float)
    out, blocks = np.empty(s.size), -(-s.size // BLOCK)
    arguments = (order, s.ravel(), *terms.arrays, terms.zero(order), out)
    if s.size > TOLERANCES.few_samples:
        shared(_profile, blocks, *arguments)
    else:
        _profile(0, blocks, *arguments)
    return out.reshape(s.shape)


def smooth_profile(terms: Terms, s: np.ndarray, cutoff: float, near: np.ndarray) -> np.ndarray:
    """f at squared distances, the polynomial `near` in its place within the cutoff."""
    values = profile(terms, s)
    if cutoff > 0.0:
        inside = s < cutoff**2
        values[inside] = np.polynomial.polynomial.polyval(s[inside] / cutoff**2 - 1.0, near[0])
    return values


def folded(z: np.ndarray, period: float, turn: float) -> np.ndarray:
    """|z| up to where it turns smoothly at P/2, on 0 ≤ z ≤ P/2: even and of period P when continued.

    The mean of P/2 − |z − P/2| over a Gaussian e^{−u²/turn²}: it differs from |z| by e^{−a²} at a distance of
    a turn from P/2, and has no more than that left at frequencies above 2a/turn.
    """
    from scipy.special import erf

    u = (np.asarray(z, dtype=float) - 0.5 * period) / turn
    return 0.5 * period - turn * (u * erf(u) + np.exp(-(u**2)) / math.sqrt(math.pi))


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _profile(begin: int, end: int, order: int, s: np.ndarray, codes: np.ndarray, numbers: np.ndarray,
             table: np.ndarray, zero: float, out: np.ndarray):  # fmt: skip
    for block in range(begin, end):
        lo = block * BLOCK
        m = min(BLOCK, s.size - lo)
        fill(order, s[lo : lo + m], m, codes, numbers, table, zero, out[lo : lo + m])
