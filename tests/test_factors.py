"""Sparse factors: what they solve, and that no matrix of other than finite entries reaches them."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csc_array

from jko.loops.elliptic.factors import NotFinite, factored

JKO = Path(__file__).parent.parent / "jko"


def test_factors_solve():
    matrix = np.array([[4.0, 1.0], [0.0, 2.0]])
    assert factored(csc_array(matrix)).solve(matrix @ [3.0, -1.0]) == pytest.approx([3.0, -1.0], rel=1e-15)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_matrix_that_is_not_finite_is_refused(bad):
    with pytest.raises(NotFinite, match="matrix: expected finite entries, got 1 others of 2"):
        factored(csc_array(np.diag([1.0, bad])))


def test_all_sparse_elimination_goes_through_them():
    direct = r"\b(splu|spsolve|factorized|spilu)\b"
    found = {path.name for path in JKO.rglob("*.py") if re.search(direct, path.read_text())}
    assert found == {"factors.py"}
