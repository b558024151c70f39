"""(a − bΔ)⁻¹ on a box with no flux through its walls, by cosine transforms."""

from __future__ import annotations

import numpy as np


class NeumannSolver:
    """(a − bΔ_h)⁻¹ r for the 2d+1-point Laplacian with mirrored walls; in single precision, a preconditioner.

    One solver a grid; `a` > 0 and `b` ≥ 0 may change from call to call.
    """

    def __init__(self, cells: tuple, spacing: tuple, dtype=np.float32):
        self.dtype = dtype
        eigenvalues = np.zeros(cells)
        for axis, (n, h) in enumerate(zip(cells, spacing, strict=True)):
            line = 4.0 * np.sin(0.5 * np.pi * np.arange(n) / n) ** 2 / h**2
            eigenvalues += line.reshape([-1 if a == axis else 1 for a in range(len(cells))])
        self.eigenvalues = eigenvalues.astype(dtype)

    def __call__(self, r: np.ndarray, a: float, b: float, threads: int = 1):
        """The solution in double precision."""
        from scipy import fft

        workers = threads if threads > 1 else None
        spectrum = fft.dctn(r.astype(self.dtype), type=2, workers=workers, overwrite_x=True)
        spectrum /= self.dtype(a) + self.dtype(b) * self.eigenvalues
        return fft.idctn(spectrum, type=2, workers=workers, overwrite_x=True).astype(float)
