"""What optimal maps have in common: they are gradients of convex functions, and that is checked."""

from __future__ import annotations

import numpy as np

from jko.transport.pairs import checked_points

_LARGEST_CHECK = 4e6


class OptimalMap:
    """T = ∇u with u convex [Brenier1991]: `T(x)` `[n, d]` and `T.potential(x)` `[n]` at points `[n, d]`.

    `T.convexity_defect` is what was measured when it was made: how far, relative to the size of u, the
    support inequality u(x') ≥ u(x) + T(x)·(x' - x) fails at worst over the data; 0 for an exactly convex u.
    """

    dimension: int
    convexity_defect: float = 0.0

    def __call__(self, x) -> np.ndarray:
        """T(x) `[n, d]` at points `[n, d]`."""
        raise NotImplementedError

    def potential(self, x) -> np.ndarray:
        """u(x) `[n]` at points `[n, d]`, up to a constant."""
        raise NotImplementedError

    def _points(self, x):
        return checked_points(x, self.dimension)


def support_defect(x, images, u):
    """max over i, k of u(x_i) + T(x_i)·(x_k - x_i) - u(x_k), relative to the range of the products x·y.

    Rounding is that of the sizes of x, T(x) and u: give them from the middles of both clouds.
    """
    some = np.linspace(0, len(x) - 1, min(len(x), int(_LARGEST_CHECK**0.5))).astype(int)
    support = u[some] - np.sum(images[some] * x[some], axis=1)
    worst = np.max(x @ images[some].T + support - u[:, None])
    size = float(np.ptp(x, axis=0) @ np.ptp(images, axis=0))
    return max(float(worst), 0.0) / size if size > 0.0 else 0.0


def require_convex(defect, allowed):
    """Raises RuntimeError where a map is further from a convex function's gradient than `allowed`."""
    if not defect <= allowed:
        raise RuntimeError(
            f"mu, nu: the map found is not the gradient of a convex function, it fails by {defect:.1e} of "
            "its range; it did not converge: subsample the clouds, or take a finer grid"
        )
