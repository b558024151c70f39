"""(a − bΔ)⁻¹ on a box with no flux through its walls or on a torus, by cosine and Fourier transforms."""

from __future__ import annotations

import numpy as np


class PoissonSolver:
    """(a − bΔ_h)⁻¹ r for the 2d+1-point Laplacian with mirrored walls, or with joined ends along `periodic`
    axes; in single precision, a preconditioner.

    One solver a grid; `a` > 0 and `b` ≥ 0 may change from call to call.
    """

    def __init__(self, cells: tuple, spacing: tuple, dtype=np.float32, periodic: tuple[bool, ...] = ()):
        self.dtype = dtype
        periodic = periodic or (False,) * len(cells)
        self.turning = [axis for axis, turns in enumerate(periodic) if turns]
        self.mirrored = [axis for axis, turns in enumerate(periodic) if not turns]
        eigenvalues = np.zeros(cells)
        for axis, (n, h, turns) in enumerate(zip(cells, spacing, periodic, strict=True)):
            line = 4.0 * np.sin((1.0 if turns else 0.5) * np.pi * np.arange(n) / n) ** 2 / h**2
            eigenvalues += line.reshape([-1 if a == axis else 1 for a in range(len(cells))])
        if self.turning:  # transforms of real fields are stored by half along the last of these axes
            half = cells[self.turning[-1]] // 2 + 1
            eigenvalues = eigenvalues.take(range(half), self.turning[-1])
        self.eigenvalues = eigenvalues.astype(dtype)

    def __call__(self, r: np.ndarray, a: float, b: float, threads: int = 1):
        """The solution in double precision."""
        from scipy import fft

        workers = threads if threads > 1 else None
        spectrum = r.astype(self.dtype)
        if self.mirrored:
            spectrum = fft.dctn(spectrum, type=2, axes=self.mirrored, workers=workers, overwrite_x=True)
        if self.turning:
            spectrum = fft.rfftn(spectrum, axes=self.turning, workers=workers)
        spectrum /= self.dtype(a) + self.dtype(b) * self.eigenvalues
        if self.turning:
            lengths = [r.shape[axis] for axis in self.turning]
            spectrum = fft.irfftn(spectrum, lengths, self.turning, workers=workers, overwrite_x=True)
        if self.mirrored:
            spectrum = fft.idctn(spectrum, type=2, axes=self.mirrored, workers=workers, overwrite_x=True)
        return spectrum.astype(float)
