"""Which versions of what made a page."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

_BESIDE = ("numpy", "scipy", "jax", "cvxpy", "numba", "POT")  # whose versions change numbers


def versions() -> str:
    """jko, Python and the libraries that compute, and the day."""
    from jko import __version__

    found = [f"jko {__version__}", f"Python {platform.python_version()}"]
    for name in _BESIDE:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return f"{', '.join(found)}; written on {datetime.now(UTC):%Y-%m-%d}"
