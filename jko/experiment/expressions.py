"""A function written in a table as an expression, and what is asked of it."""

from __future__ import annotations

import numpy as np

from functionals import pointwise
from functionals.expression import PointExpression
from jko.experiment.table import prefixed


def expression(table, key, dimension, letters):
    """The function of a point, or of two, written at a key; a refusal names the key."""
    with prefixed(table.at(key)):
        return PointExpression(table.value(key), dimension, letters)


def require_symmetric(table, W, dimension):
    """An even W, probed at a few points; a general kernel k(x, y) need not be symmetric."""
    z = np.random.default_rng(0).standard_normal((8, dimension))
    if W.letters == "z" and not np.allclose(pointwise.values(W, z), pointwise.values(W, -z), rtol=1e-8):
        table.refuse("kernel", "must be even, W(-z) = W(z); general = true takes a k(x, y) in x1, …, y1, …")


def require_numbers(table, key, V, grid):
    """A V that is a number, or infinite, in every cell."""
    wrong = int(np.sum(np.isnan(pointwise.values(V, grid.points))))
    if wrong:
        table.refuse(key, f"is no number in {wrong} of the grid's {grid.size} cells")
