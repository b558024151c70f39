"""Where the mass of a displaced density came from, of smooth potentials on a torus."""

from __future__ import annotations

import numpy as np

from jko.measures import Grid
from jko.transport.grids.tolerances import TOLERANCES


class InverseMap:
    """x ↦ x + t∇φ(x) inverted at the cells z of a grid, φ by periods and mirrored at walls, and what a
    density, known by its logarithm, becomes under it.

    ∇φ, D²φ by centred differences and log ρ are cubic splines; walls are taken in by an even continuation.
    """

    def __init__(self, phi: np.ndarray, log_density: np.ndarray, grid: Grid):
        from scipy.ndimage import spline_filter

        self.grid, self.dimension = grid, grid.dimension
        phi, log_density = (self._closed(field) for field in (phi, log_density))
        self.pairs = [(a, b) for a in range(self.dimension) for b in range(a, self.dimension)]
        slopes = [self._difference(phi, a) for a in range(self.dimension)]
        bends = [self._second(phi, a) if a == b else self._difference(slopes[a], b) for a, b in self.pairs]
        fields = [*slopes, *bends, log_density]
        self.splines = [spline_filter(field, order=3, mode="grid-wrap") for field in fields]

    def at(self, t: float):
        """(the density at z `[*cells]`, ∇φ where its mass came from `[*cells, d]`), None where Newton's
        method does not end."""
        d, h = self.dimension, np.array(self.grid.spacing)
        z = h * np.stack([axis.ravel() for axis in np.indices(self.grid.cells)], axis=1)
        x = z.copy()
        fields = self._fields(x)
        off = x + t * fields[:, :d] - z
        for _ in range(TOLERANCES.inverse_iterations):
            if np.abs(off / h).max() <= TOLERANCES.inverse:
                values = np.exp(fields[:, -1]) / np.linalg.det(self._jacobian(fields, t))
                return values.reshape(self.grid.cells), fields[:, :d].reshape(*self.grid.cells, d)
            correction = -np.linalg.solve(self._jacobian(fields, t), off[..., None])[..., 0]
            length = np.ones((len(x), 1))
            for _ in range(TOLERANCES.inverse_halvings):
                trial = x + length * correction
                new = self._fields(trial)
                left = trial + t * new[:, :d] - z
                worse = np.sum(left**2, axis=1) > np.sum(off**2, axis=1)
                if not worse.any():
                    break
                length[worse] *= 0.5
            x, fields, off = trial, new, left
        return None

    def _fields(self, x: np.ndarray) -> np.ndarray:
        """∇φ, D²φ by `pairs` and log ρ at points `[n, d]` from the first centre on."""
        from scipy.ndimage import map_coordinates

        place = (x / self.grid.spacing).T
        settings = {"order": 3, "mode": "grid-wrap", "prefilter": False}
        return np.stack([map_coordinates(spline, place, **settings) for spline in self.splines], axis=1)

    def _jacobian(self, fields: np.ndarray, t: float) -> np.ndarray:
        """I + tD²φ `[n, d, d]`."""
        d = self.dimension
        found = np.zeros((len(fields), d, d)) + np.eye(d)
        for (a, b), bend in zip(self.pairs, fields[:, d:-1].T, strict=True):
            found[:, a, b] += t * bend
            if a != b:
                found[:, b, a] += t * bend
        return found

    def _closed(self, field: np.ndarray) -> np.ndarray:
        """A field with its image in the walls beside it, which goes on by periods along every axis."""
        for axis, turns in enumerate(self.grid.periodic):
            if not turns:
                field = np.concatenate([field, np.flip(field, axis)], axis)
        return field

    def _difference(self, field: np.ndarray, axis: int) -> np.ndarray:
        return (np.roll(field, -1, axis) - np.roll(field, 1, axis)) / (2.0 * self.grid.spacing[axis])

    def _second(self, field: np.ndarray, axis: int) -> np.ndarray:
        bend = np.roll(field, -1, axis) + np.roll(field, 1, axis) - 2.0 * field
        return bend / self.grid.spacing[axis] ** 2
