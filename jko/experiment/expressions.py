"""A function written in a table as an expression, and what is asked of it."""

from __future__ import annotations

import numpy as np

from functionals import pointwise
from functionals.expression import PointExpression
from functionals.time_dependence import frozen, with_time
from jko.experiment.table import prefixed
from jko.measures import Grid


def expression(table, key: str, dimension: int, letters: str, time: bool = False):
    """The function of a point, or of two (and of the time), written at a key; a refusal names the key."""
    with prefixed(table.at(key)):
        return PointExpression(table.value(key), dimension, letters, time)


def require_symmetric(table, W, dimension: int):
    """An even W, probed at a few points; a general kernel k(x, y) need not be symmetric."""
    z, letters = np.random.default_rng(0).standard_normal((8, dimension)), W.letters
    W = frozen(with_time(W, len(letters)), 0.0)
    if letters == "z" and not np.allclose(pointwise.values(W, z), pointwise.values(W, -z), rtol=1e-8):
        table.refuse("kernel", "must be even, W(-z) = W(z); general = true takes a k(x, y) in x1, …, y1, …")


def require_numbers(table, key: str, V: PointExpression, grid: Grid):
    """A V that is a number, or infinite, in every cell at the time 0."""
    wrong = int(np.sum(np.isnan(pointwise.values(frozen(with_time(V), 0.0), grid.points))))
    if wrong:
        table.refuse(key, f"is no number in {wrong} of the grid's {grid.size} cells")
