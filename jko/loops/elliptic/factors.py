"""Factors of a sparse matrix of finite entries: SuperLU ends the process at others."""

from __future__ import annotations

from typing import Any

import numpy as np


class NotFinite(ValueError):
    """A matrix that was to be factored has entries that are infinite or not numbers."""


def factored(matrix: Any, **options: Any) -> Any:
    """The factors of a sparse matrix `[n, n]` by `scipy.sparse.linalg.splu`, which takes the options; raises
    NotFinite, and RuntimeError where it is exactly singular."""
    from scipy.sparse import csc_array
    from scipy.sparse.linalg import splu

    columns = csc_array(matrix)
    bad = int(np.sum(~np.isfinite(columns.data)))
    if bad:
        raise NotFinite(f"matrix: expected finite entries, got {bad} others of {columns.data.size}")
    return splu(columns, **options)
