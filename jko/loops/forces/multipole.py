"""Sums of a kernel that is smooth away from 0 over clouds of any shape, by a tree of boxes.

Near pairs are summed one by one, boxes far apart meet through their charges [FongDarve2009].
"""

from __future__ import annotations

import numpy as np
from numba import njit

from jko.loops.forces import expansions
from jko.loops.forces.elementary import FAST
from jko.loops.forces.one_to_many import meet, room
from jko.loops.forces.profiles import BLOCK
from jko.loops.forces.tolerances import TOLERANCES
from jko.loops.forces.tree import Tree, encounters, grow, runs
from jko.loops.forces.tree_resolution import SEPARATION, Detail
from jko.loops.threads import shared


class Boxes:
    """The tree of one cloud `[d, n]` and what meets what in it."""

    def __init__(self, x: np.ndarray, detail: Detail):
        self.detail, self.dimension = detail, x.shape[0]
        self.tree: Tree = grow(x, detail.leaf)
        t = self.tree
        few = detail.points ** (2 * x.shape[0])
        self.far, near = encounters(t.start, t.stop, t.after, t.centre, t.half, SEPARATION, few)
        self.near = runs(near, t.start, t.stop)

    def _near_cost(self):
        return (self.near[:, 1] - self.near[:, 0]).astype(float) * (self.near[:, 3] - self.near[:, 2])

    def sums(self, order: int, terms, x: np.ndarray, v: np.ndarray, w: np.ndarray):
        """The sums over all j of `meeting.meet`, `[1, n]` of order 0 and `[d, n]` of the others."""
        t = self.tree
        x, v, w = (np.ascontiguousarray(a[..., t.order]) for a in (x, v, w))
        out = _near(order, x, v, w, self.near, _ends(self._near_cost()), *terms.arrays, terms.zero(0))
        if order == 2:
            size = TOLERANCES.tree_difference * float(t.half.min()) / max(float(np.abs(v).max()), 1e-290)
            ahead, behind = (self._far(terms, x + sign * size * v, w)[1:] for sign in (1.0, -1.0))
            far = (ahead - behind) / (2.0 * size)
        else:
            far = self._far(terms, x, w)
            far = far[1:] if order else far[:1]
        result = np.empty_like(out)
        result[:, t.order] = out + (far[3 - self.dimension :] if order else far)
        return result

    def _far(self, terms, x: np.ndarray, w: np.ndarray):
        t, d = self.tree, self.dimension
        if len(self.far) == 0:
            return np.zeros((4, x.shape[1]))
        shape = np.array([1] * (3 - d) + [self.detail.points] * d)
        three = np.zeros((3, x.shape[1]))
        three[3 - d :] = x
        centre = np.roll(t.centre, 3 - d, axis=1)
        boxes = t.start, t.stop, t.parent, t.after, centre, t.half
        q = expansions.charges(three, w, *boxes, shape)
        ends = _ends(np.ones(len(self.far)))
        potentials = expansions.fields(q, self.far, ends, centre, t.half, shape, d, *terms.arrays)
        return expansions.readings(potentials, three, *boxes, shape)


def _ends(cost: np.ndarray):
    # shares of about equal cost, in order
    total = np.concatenate([[0.0], np.cumsum(cost, dtype=float)])
    return np.append(
        np.searchsorted(total, np.linspace(0.0, total[-1], TOLERANCES.tree_shares + 1)[:-1]), len(cost)
    )


def _near(order: int, x: np.ndarray, v: np.ndarray, w: np.ndarray, near: np.ndarray, ends: np.ndarray,
          codes: np.ndarray, numbers: np.ndarray, table: np.ndarray, zero: float):  # fmt: skip
    d, n = x.shape
    shares = ends.size - 1
    sums = np.zeros((shares, d if order > 0 else 1, n))
    shared(_near_some, shares, order, x, v, w, near, ends, codes, numbers, table, zero, sums)
    total = sums.sum(axis=0)
    if order == 0:
        total[0] += w * zero
    return total


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _near_some(
    begin_share: int,
    end_share: int,
    order: int,
    x: np.ndarray,
    v: np.ndarray,
    w: np.ndarray,
    near: np.ndarray,
    ends: np.ndarray,
    codes: np.ndarray,
    numbers: np.ndarray,
    table: np.ndarray,
    zero: float,
    sums: np.ndarray,
):
    scratch = room(x)
    for share in range(begin_share, end_share):
        out = sums[share]
        for pair in range(ends[share], ends[share + 1]):
            first, end, begin, stop = near[pair]
            for i in range(first, end):
                last = min(stop, i)
                for lo in range(begin, last, BLOCK):
                    m = min(BLOCK, last - lo)
                    meet(order, i, lo, m, x, v, w, codes, numbers, table, zero, scratch, out)
