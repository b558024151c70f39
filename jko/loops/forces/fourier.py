"""Sums of a smooth even kernel over particles by Fourier series, in time proportional to the particles.

Particles are spread to a mesh with a window, the mesh is convolved by FFT with the kernel over the window's
transform squared, and the result is read off with the same window [PottsSteidl2003;
BarnettMaglandAfKlinteberg2019]. What is read is therefore a symmetric function of pairs, and the gradient the
exact derivative of the sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from jko.loops.forces import regularised, spreading
from jko.loops.forces.mesh_resolution import ROOM, Resolution, steps_across
from jko.loops.forces.terms import Terms
from jko.loops.forces.window import transform, window


@dataclass(frozen=True, eq=False)
class Mesh:
    """A periodic mesh for clouds that fit `lengths`, and the kernel's transform on it.

    `spacing` [d] of the fine mesh, `shape` [d] of its period, `inner` [d] of the part that particles reach.
    """

    lengths: tuple[float, ...]
    period: tuple[float, ...]
    shape: tuple[int, ...]
    inner: tuple[int, ...]
    width: int
    oversampling: float
    multiplier: np.ndarray

    @property
    def spacing(self):
        """Distance of mesh points along each axis."""
        return tuple(p / n for p, n in zip(self.period, self.shape, strict=True))

    def sums(self, x: np.ndarray, w: np.ndarray, derivatives: bool = True):
        """(Σ_j w_j K(x_i − x_j) `[n]`, its gradient `[d, n]` or None), x `[d, n]`."""
        d, n = x.shape
        pieces, slopes, _ = window(self.width, self.oversampling)
        low, high = x.min(axis=1), x.max(axis=1)
        scale = np.array([1.0 / h for h in self.spacing])
        # the cloud in the middle of the inner part, by whole numbers of mesh points from the origin
        spare = (np.array(self.inner) - ROOM - (high - low) * scale) * 0.5
        shift = np.floor(low * scale - spare) / scale
        three = np.zeros((3, n))
        three[3 - d :] = x
        scale3, shift3 = np.ones(3), np.zeros(3)
        scale3[3 - d :], shift3[3 - d :] = scale, shift
        shape3 = np.ones(3, np.int64)
        shape3[3 - d :] = self.inner
        order, starts = _sorted(three, scale3, shift3, shape3, 3 - d, self.width)
        mesh = spreading.spread(three, np.asarray(w, float), order, starts, scale3, shift3, pieces,
        self.width,
                                shape3)  # fmt: skip
        mesh = self._convolved(mesh.reshape(self.inner)).reshape(tuple(shape3))
        out = spreading.read(mesh, three, order, scale3, shift3, pieces, slopes, self.width, derivatives)
        return out[0], (out[4 - d :] if derivatives else None)

    def _convolved(self, mesh: np.ndarray):
        # the mesh is empty beyond its inner part, and only that part is read: most lines are not transformed
        from scipy import fft

        d = mesh.ndim
        hat = fft.rfft(mesh, self.shape[-1], axis=-1, workers=-1)
        for axis in range(d - 2, -1, -1):
            hat = fft.fft(hat, self.shape[axis], axis=axis, workers=-1)
        hat *= self.multiplier
        for axis in range(d - 1):
            hat = fft.ifft(hat, axis=axis, workers=-1, overwrite_x=True)
            hat = hat[(slice(None),) * axis + (slice(self.inner[axis]),)]
        hat = fft.irfft(hat, self.shape[-1], axis=-1, workers=-1)
        return np.ascontiguousarray(hat[..., : self.inner[-1]])


def _sorted(x: np.ndarray, scale: np.ndarray, shift: np.ndarray, shape: np.ndarray, axis: int, width: int):
    slab = max(width, 8)
    slabs = int(shape[axis]) // slab + 1
    columns = int(shape[2]) // 8 + 1 if axis < 2 else 1
    keys = spreading.bin_keys(x, scale, shift, slab, columns, width, axis)
    order, starts = spreading.sorted_into_bins(keys, slabs * columns)
    return order, np.ascontiguousarray(starts[::columns])


def extents(lengths: tuple, fine: Resolution):
    """(period, modes, shape, inner), each `[d]`: a box that differences of a cloud of these lengths fit."""
    period, modes, shape, inner = [], [], [], []
    for length in lengths:
        number = _even_fast(math.ceil(fine.oversampling * steps_across(length, fine)))
        period.append(number * fine.step / fine.oversampling)
        modes.append(2 * int(number / fine.oversampling / 2.0))
        shape.append(number)
        reach = math.ceil(length * fine.oversampling / fine.step) + fine.width + ROOM + 2
        inner.append(min(number, reach))
    return tuple(period), tuple(modes), tuple(shape), tuple(inner)


def _even_fast(number: int) -> int:
    from scipy import fft

    number += number % 2
    while fft.next_fast_len(number, real=True) != number:
        number += 2
    return number


def radial_mesh(terms: Terms, cutoff: float, near: np.ndarray, lengths: tuple, fine: Resolution) -> Mesh:
    """The mesh of a radial kernel, smooth but for the polynomial `near` within the cutoff."""
    from scipy import fft

    period, modes, shape, inner = extents(lengths, fine)
    s = np.zeros(())
    for axis, (p, m) in enumerate(zip(period, modes, strict=True)):
        z = regularised.folded(np.arange(m // 2 + 1) * (p / m), p, fine.turn)
        s = s[..., None] + z**2 if axis else z**2
    values = regularised.smooth_profile(terms, s, cutoff, near)
    hat = fft.dctn(values, type=1, workers=-1) / math.prod(modes)
    multiplier = _multiplier(hat, modes, shape, fine)
    return Mesh(tuple(lengths), period, shape, inner, fine.width, fine.oversampling, multiplier)


def _multiplier(hat: np.ndarray, modes: tuple, shape: tuple, fine: Resolution):
    # from frequencies 0 … M/2 along each axis to the layout of the real transform, over the window's
    # transform
    for axis, (m, n) in enumerate(zip(modes, shape, strict=True)):
        k = np.arange(m // 2)
        psi = transform(fine.width, fine.oversampling, 2.0 * np.pi * k / n)
        scaled = np.moveaxis(hat, axis, -1)[..., : m // 2] * (n / psi**2)
        last = axis == len(shape) - 1
        wide = np.zeros((*scaled.shape[:-1], n // 2 + 1 if last else n))
        wide[..., : m // 2] = scaled
        if not last:
            wide[..., n - m // 2 + 1 :] = scaled[..., :0:-1]
        hat = np.moveaxis(wide, -1, axis)
    return np.ascontiguousarray(hat)
