"""The loops of `linearized_flux` in a room: over the faces between cells of the inside alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jko.loops.elliptic.linearized_flux import adjoint, advected, balance, hamilton_jacobi


def faces_between(held: np.ndarray, periodic: tuple) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(lower cells, higher cells, axes) of the faces between two cells that are `held`, booleans of any
    dimension, periodic axes joined; cells as flat indices."""
    number = np.arange(held.size).reshape(held.shape)
    lows, highs, axes = [], [], []
    for axis, turns in enumerate(periodic):
        opened = held & np.roll(held, -1, axis)
        if not turns:
            opened[tuple(slice(-1, None) if a == axis else slice(None) for a in range(held.ndim))] = False
        lows.append(number[opened])
        highs.append(np.roll(number, -1, axis)[opened])
        axes.append(np.full(lows[-1].size, axis))
    return np.concatenate(lows), np.concatenate(highs), np.concatenate(axes)


class RoomFaces:
    """The faces of a room, boolean `[planes, rows, n]`, through which mass passes, periodic axes joined.

    Cells of the walls have none: what stands in them stays by itself.
    """

    def __init__(self, inside: np.ndarray, periodic: tuple):
        self._low, self._high, self._axis = faces_between(inside, periodic)
        self._size = inside.size
        self._loops: dict[Callable, Callable] = {
            hamilton_jacobi: self._hamilton_jacobi,
            balance: self._balance,
            advected: self._advected,
            adjoint: self._adjoint,
        }

    def apply(
        self, loop: Callable, *fields: np.ndarray, scale: np.ndarray, out: np.ndarray | None = None
    ) -> np.ndarray:
        """The result of loop(*fields, scale, ·), as `linearized_flux.Faces` gives it."""
        shape = fields[0].shape
        found = self._loops[loop](*(field.reshape(-1) for field in fields), scale[self._axis]).reshape(shape)
        if out is None:
            return found
        out[:] = found
        return out

    def squared_slope(self, phi: np.ndarray, axis: int) -> np.ndarray:
        """(∂φ)²h² along an axis, the sum over both faces."""
        return self._to_both(np.where(self._axis == axis, self._jump(phi.reshape(-1)) ** 2, 0.0)).reshape(
            phi.shape
        )

    def _jump(self, field: np.ndarray) -> np.ndarray:
        return field[self._high] - field[self._low]

    def _flux(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """½(a + a′)(b′ − b) towards the higher cell."""
        return 0.5 * (a[self._low] + a[self._high]) * self._jump(b)

    def _to_both(self, faces: np.ndarray) -> np.ndarray:
        return np.bincount(self._low, faces, self._size) + np.bincount(self._high, faces, self._size)

    def _gathered(self, flux: np.ndarray) -> np.ndarray:
        return np.bincount(self._low, flux, self._size) - np.bincount(self._high, flux, self._size)

    def _hamilton_jacobi(self, phi, potential, scale):
        return phi + 0.25 * self._to_both(scale * self._jump(phi) ** 2) - potential

    def _balance(self, rho, phi, before, scale):
        return before - rho + self._gathered(scale * self._flux(rho, phi))

    def _advected(self, u, phi, scale):
        return u + 0.5 * self._to_both(scale * self._jump(phi) * self._jump(u))

    def _adjoint(self, work, phi, rho, u, scale):
        return work - self._gathered(scale * (self._flux(work, phi) + self._flux(rho, u)))
