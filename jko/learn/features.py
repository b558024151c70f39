"""Families of functions φ_1, …, φ_m of a point, of which a potential or a kernel is a sum: numbers for the
least squares, one jax function for the engines."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields
from functools import cached_property
from typing import dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np

from functionals import pointwise
from functionals.array import Array
from functionals.time_dependence import AtTime

ENTRIES = 4_000_000  # numbers of functions or gradients held at once: 32 MB


class Features:
    """φ_1, …, φ_m on R^d, `size` m."""

    dimension: int
    size: int

    @property
    def penalised(self) -> np.ndarray:
        """The share of the regularisation that each function carries, `[m]`."""
        return np.ones(self.size)

    def values(self, x: np.ndarray) -> np.ndarray:
        """φ_j at points `[n, d]`: `[n, m]`."""
        raise NotImplementedError

    def gradients(self, x: np.ndarray) -> np.ndarray:
        """∇φ_j at points `[n, d]`: `[n, d, m]`."""
        out = np.empty((len(x), self.dimension, self.size))
        self.fill_gradients(np.asarray(x, dtype=float), out)
        return out

    def fill_gradients(self, x: np.ndarray, out: np.ndarray) -> None:
        """The same written to `out` `[n, d, m]`."""
        raise NotImplementedError

    def laplacians(self, x: np.ndarray) -> np.ndarray:
        """Δφ_j at points `[n, d]`: `[n, m]`."""
        raise NotImplementedError

    def slopes(self, x: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """∇Σ c_jφ_j at points `[n, d]`: `[n, d]`."""
        return self.gradients(x) @ coefficients

    def hessians(self, x: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """D²Σ c_jφ_j at points `[n, d]`: `[n, d, d]`, by jax where a family has no other way."""
        return pointwise.hessians(AtTime(combined, (self, coefficients)), x)

    def at(self, x, coefficients):
        """Σ c_j φ_j at one point `[d]`, in jax; the coefficients `[m]` may be traced."""
        raise NotImplementedError

    def describe(self, j: int) -> str:
        """φ_j in words."""
        raise NotImplementedError


class Combination(pointwise.InNumpy, AtTime):
    """x ↦ Σ c_jφ_j(x), its numbers operands of one program for all of its form."""

    features: Features
    coefficients: np.ndarray

    def __init__(self, features: Features, coefficients: np.ndarray):
        super().__init__(combined, (features, coefficients))
        # set beside the fields of a frozen dataclass
        self.__dict__.update(features=features, coefficients=coefficients)

    @property
    def work(self) -> int:
        """The number of functions."""
        return self.features.size

    def derivatives(self, order: int, x: np.ndarray):
        f, c = self.features, self.coefficients
        what = (lambda x, c: f.values(x) @ c), f.slopes, f.hessians
        block = max(1, ENTRIES // f.size)
        parts = [what[order](x[first : first + block], c) for first in range(0, max(len(x), 1), block)]
        return np.concatenate(parts)


def combined(x: Array, numbers: tuple[Features, Array]):
    """Σ c_jφ_j(x) of `numbers` (φ, c)."""
    features, coefficients = numbers
    return features.at(x, coefficients)


@dataclass_transform(frozen_default=True, eq_default=False)
def family(*arrays: str):
    """A frozen dataclass whose `arrays` are operands of programs; what else it holds is part of them."""

    def made(cls: type):
        cls = dataclass(frozen=True, eq=False)(cls)
        settings = [f.name for f in fields(cls) if f.name not in arrays]
        return jax.tree_util.register_dataclass(cls, list(arrays), settings)

    return made


@family("middle", "scale")
class Monomials(Features):
    """Π_a z_a^{e_a} with z = (x − middle)/scale and exponents e, `rows` `[m][d]`."""

    rows: tuple[tuple[int, ...], ...]
    middle: np.ndarray
    scale: np.ndarray

    @cached_property
    def exponents(self) -> np.ndarray:
        """The same as an array `[m, d]`."""
        return np.array(self.rows)

    @classmethod
    def up_to(cls, degree: int, middle: np.ndarray, scale: np.ndarray) -> Monomials:
        """All of total degree 1 to `degree`."""
        d, rows = len(middle), []
        for total in range(1, degree + 1):
            for chosen in itertools.combinations_with_replacement(range(d), total):
                rows.append(tuple(np.bincount(chosen, minlength=d).tolist()))
        return cls(tuple(rows), np.asarray(middle, dtype=float), np.asarray(scale, dtype=float))

    @property
    def dimension(self):
        return len(self.middle)

    @property
    def size(self):
        return len(self.exponents)

    @property
    def penalised(self):
        # slopes and curvatures are what the data know best, higher powers what runs away off them
        return (self.exponents.sum(axis=1) > 2).astype(float)

    def _powers(self, x: np.ndarray):
        """z^k of each axis, `[k + 1, d, n]`."""
        z = ((np.asarray(x, dtype=float) - self.middle) / self.scale).T
        powers = np.ones((self.exponents.max() + 1, *z.shape))
        for k in range(1, len(powers)):
            np.multiply(powers[k - 1], z, out=powers[k])
        return powers

    def _products(self, powers: np.ndarray, lowered: np.ndarray):
        """Π over axes of z^{e − lowered} with the factors that differentiation leaves, `[n, m]`."""
        total = np.empty((self.size, powers.shape[2]))
        for j, exponents in enumerate(self.exponents):
            factor = 1.0
            for a, times in enumerate(lowered):
                for k in range(times):
                    factor *= max(exponents[a] - k, 0) / self.scale[a]
            total[j] = factor
            if factor:
                for a, times in enumerate(lowered):
                    if exponents[a] > times:
                        total[j] *= powers[exponents[a] - times, a]
        return total.T

    def values(self, x: np.ndarray):
        return self._products(self._powers(x), [0] * self.dimension)

    def fill_gradients(self, x: np.ndarray, out: np.ndarray):
        powers, unit = self._powers(x), np.eye(self.dimension, dtype=int)
        for a, row in enumerate(unit):
            out[:, a] = self._products(powers, row)

    def slopes(self, x: np.ndarray, coefficients: np.ndarray):
        powers, unit = self._powers(x), np.eye(self.dimension, dtype=int)
        return np.stack([self._products(powers, row) @ coefficients for row in unit], axis=1)

    def laplacians(self, x: np.ndarray):
        powers, unit = self._powers(x), np.eye(self.dimension, dtype=int)
        return sum(self._products(powers, 2 * row) for row in unit)

    def hessians(self, x: np.ndarray, coefficients: np.ndarray):
        powers, unit = self._powers(x), np.eye(self.dimension, dtype=int)
        out = np.empty((len(x), self.dimension, self.dimension))
        for a, b in itertools.combinations_with_replacement(range(self.dimension), 2):
            out[:, a, b] = out[:, b, a] = self._products(powers, unit[a] + unit[b]) @ coefficients
        return out

    def at(self, x: Array, coefficients: np.ndarray):
        z = (x - jnp.asarray(self.middle, x.dtype)) / jnp.asarray(self.scale, x.dtype)
        powers = [jnp.ones_like(z)]
        for _ in range(int(self.exponents.max())):
            powers.append(powers[-1] * z)
        # chosen by products with 0 and 1: entries picked by index take the compiler four times as long
        chosen = np.equal.outer(self.exponents, np.arange(len(powers))).astype(x.dtype)
        factors, total = (
            jnp.einsum("map,pa->am", chosen, jnp.stack(powers)),
            jnp.asarray(coefficients, x.dtype),
        )
        for factor in factors:
            total = total * factor
        return jnp.sum(total)

    def describe(self, j: int):
        letters = [f"x{'₁₂₃₄₅₆₇₈₉'[a]}" if a < 9 else f"x[{a + 1}]" for a in range(self.dimension)]
        if self.dimension == 1:
            letters = ["x"]
        powers = ["", "", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"]
        named = zip(letters, self.exponents[j], strict=True)
        return "".join(f"{x}{powers[e] if e < 10 else f'^{e}'}" for x, e in named if e)


@family("centres", "width")
class Bumps(Features):
    """exp(−|x − c_j|²/2w²) about centres c `[m, d]` of one width w."""

    centres: np.ndarray
    width: float

    @property
    def dimension(self):
        return self.centres.shape[1]

    @property
    def size(self):
        return len(self.centres)

    def values(self, x: np.ndarray):
        x = np.asarray(x, dtype=float)
        middle = self.centres.mean(axis=0)
        a, b = (x - middle) / self.width, (self.centres - middle) / self.width
        squares = np.add.outer(np.sum(a**2, axis=1), np.sum(b**2, axis=1)) - 2.0 * a @ b.T
        return np.exp(-0.5 * np.maximum(squares, 0.0))

    def fill_gradients(self, x: np.ndarray, out: np.ndarray):
        np.subtract(self.centres.T, x[:, :, None], out=out)
        out *= (self.values(x) / self.width**2)[:, None, :]

    def slopes(self, x: np.ndarray, coefficients: np.ndarray):
        shares = self.values(x) * (coefficients / self.width**2)
        return shares @ self.centres - shares.sum(axis=1)[:, None] * np.asarray(x, dtype=float)

    def laplacians(self, x: np.ndarray):
        bumps = self.values(x)
        squares = -2.0 * np.log(np.maximum(bumps, np.finfo(float).tiny))
        return bumps * (squares - self.dimension) / self.width**2

    def hessians(self, x: np.ndarray, coefficients: np.ndarray):
        # Σ s_j (x − c_j)(x − c_j)ᵀ about the middle, where the terms do not cancel
        middle, d = self.centres.mean(axis=0), self.dimension
        c, x = self.centres - middle, np.asarray(x, dtype=float)
        shares, y = self.values(x) * (coefficients / self.width**2), x - middle
        whole, first = shares.sum(axis=1)[:, None, None], shares @ c
        second = (shares @ (c[:, :, None] * c[:, None, :]).reshape(len(c), d * d)).reshape(-1, d, d)
        mixed = y[:, :, None] * first[:, None, :]
        square = whole * y[:, :, None] * y[:, None, :] - mixed - mixed.transpose(0, 2, 1) + second
        return square / self.width**2 - whole * np.eye(d)

    def at(self, x: Array, coefficients: np.ndarray):
        away = (x - jnp.asarray(self.centres, x.dtype)) / jnp.asarray(self.width, x.dtype)
        return jnp.asarray(coefficients, x.dtype) @ jnp.exp(-0.5 * jnp.sum(away**2, axis=1))

    def describe(self, j: int):
        place = ", ".join(f"{c:.2g}" for c in self.centres[j][:4])
        return f"the bump at ({place}{', …' if self.dimension > 4 else ''})"


@family("frequencies", "phases")
class Waves(Features):
    """√(2/m) cos(ω_j·x + b_j), random Fourier features of a Gaussian kernel [RahimiRecht2007]."""

    frequencies: np.ndarray
    phases: np.ndarray

    @property
    def dimension(self):
        return self.frequencies.shape[1]

    @property
    def size(self):
        return len(self.frequencies)

    @property
    def _height(self):
        return np.sqrt(2.0 / self.size)

    def values(self, x: np.ndarray):
        return self._height * np.cos(np.asarray(x, dtype=float) @ self.frequencies.T + self.phases)

    def fill_gradients(self, x: np.ndarray, out: np.ndarray):
        slopes = -self._height * np.sin(x @ self.frequencies.T + self.phases)
        np.multiply(slopes[:, None, :], self.frequencies.T, out=out)

    def laplacians(self, x: np.ndarray):
        return -self.values(x) * np.sum(self.frequencies**2, axis=1)

    def at(self, x: Array, coefficients: np.ndarray):
        angles = jnp.asarray(self.frequencies, x.dtype) @ x + jnp.asarray(self.phases, x.dtype)
        return jnp.asarray(self._height, x.dtype) * (jnp.asarray(coefficients, x.dtype) @ jnp.cos(angles))

    def describe(self, j: int):
        return f"the wave of length {2.0 * np.pi / np.linalg.norm(self.frequencies[j]):.2g}"


@family("lower", "upper")
class TensorSplines(Features):
    """Products of cubic B-splines on `cells` cells an axis of the box [lower, upper]; constant beyond it."""

    lower: np.ndarray
    upper: np.ndarray
    cells: int

    @property
    def dimension(self):
        return len(self.lower)

    @property
    def size(self):
        return (self.cells + 3) ** self.dimension

    def _axes(self, x: np.ndarray):
        """For each axis the cell of each point `[n]` and the four splines over it, and their first and second
        derivatives, `[3, n, 4]`; beyond the box the derivatives vanish."""
        axes = []
        for a in range(self.dimension):
            h = (self.upper[a] - self.lower[a]) / self.cells
            u = (np.asarray(x, dtype=float)[:, a] - self.lower[a]) / h
            inside = (u >= 0.0) & (u <= self.cells)
            u = np.clip(u, 0.0, self.cells)
            cell = np.minimum(u.astype(int), self.cells - 1)
            weights = np.stack([np.stack(_cubic(u - cell, k), axis=1) / h**k for k in range(3)])
            weights[1:] *= inside[:, None]
            axes.append((cell, weights))
        return axes

    def _numbers(self, axes: list):
        """The numbers `[n, 4^d]` of the splines that do not vanish at each point."""
        number = np.zeros((len(axes[0][0]), 1), dtype=int)
        for cell, _ in axes:
            along = cell[:, None] + np.arange(4)
            number = (number[:, :, None] * (self.cells + 3) + along[:, None, :]).reshape(len(cell), -1)
        return number

    def _products(self, axes: list, orders: list):
        """Π over the axes of the splines or their derivatives of these orders, `[n, 4^d]`."""
        total = np.ones((len(axes[0][0]), 1))
        for (_, weights), order in zip(axes, orders, strict=True):
            total = (total[:, :, None] * weights[order][:, None, :]).reshape(len(total), -1)
        return total

    def _derived(self, axes: list, order: int):
        """The derivatives of an order along each axis, `[n, 4^d]` each."""
        return [self._products(axes, order * unit) for unit in np.eye(self.dimension, dtype=int)]

    def _spread(self, number: np.ndarray, products: np.ndarray, out: np.ndarray):
        out[np.arange(len(out))[:, None], number] = products
        return out

    def values(self, x: np.ndarray):
        axes = self._axes(x)
        products = self._products(axes, [0] * self.dimension)
        return self._spread(self._numbers(axes), products, np.zeros((len(x), self.size)))

    def fill_gradients(self, x: np.ndarray, out: np.ndarray):
        axes = self._axes(x)
        number = self._numbers(axes)
        out[:] = 0.0
        for a, products in enumerate(self._derived(axes, 1)):
            self._spread(number, products, out[:, a])

    def slopes(self, x: np.ndarray, coefficients: np.ndarray):
        axes = self._axes(x)
        near = coefficients[self._numbers(axes)]
        return np.stack([np.einsum("nk,nk->n", p, near) for p in self._derived(axes, 1)], axis=1)

    def laplacians(self, x: np.ndarray):
        axes = self._axes(x)
        return self._spread(self._numbers(axes), sum(self._derived(axes, 2)), np.zeros((len(x), self.size)))

    def at(self, x: Array, coefficients: np.ndarray):
        lower, upper = (jnp.asarray(corner, x.dtype) for corner in (self.lower, self.upper))
        u = jnp.clip((x - lower) / (upper - lower) * self.cells, 0, self.cells)
        cell = jnp.minimum(jnp.floor(u).astype(int), self.cells - 1)
        weights = _cubic(u - cell, 0)
        table = jnp.asarray(coefficients, x.dtype).reshape((self.cells + 3,) * self.dimension)
        total = 0.0
        for offsets in itertools.product(range(4), repeat=self.dimension):
            term = table[tuple(cell[a] + o for a, o in enumerate(offsets))]
            for a, o in enumerate(offsets):
                term = term * weights[o][a]
            total = total + term
        return total

    def describe(self, j: int):
        place = np.unravel_index(j, (self.cells + 3,) * self.dimension)
        h = (self.upper - self.lower) / self.cells
        return f"the spline at ({', '.join(f'{c:.2g}' for c in self.lower + h * (np.array(place) - 1.0))})"


def _cubic(t: np.ndarray, order: int):
    """The four cubic B-splines over a cell at t in [0, 1], or their derivatives in t."""
    if order == 0:
        return (
            (1.0 - t) ** 3 / 6.0,
            (3.0 * t**3 - 6.0 * t**2 + 4.0) / 6.0,
            (-3.0 * t**3 + 3.0 * t**2 + 3.0 * t + 1.0) / 6.0,
            t**3 / 6.0,
        )
    if order == 1:
        return (
            -0.5 * (1.0 - t) ** 2,
            1.5 * t**2 - 2.0 * t,
            -1.5 * t**2 + t + 0.5,
            0.5 * t**2,
        )
    return 1.0 - t, 3.0 * t - 2.0, -3.0 * t + 1.0, t


@family("families")
class Together(Features):
    """The functions of several families, one after the other."""

    families: tuple[Features, ...]

    @property
    def dimension(self):
        return self.families[0].dimension

    @property
    def size(self):
        return sum(f.size for f in self.families)

    @property
    def penalised(self):
        return np.concatenate([f.penalised for f in self.families])

    def values(self, x: np.ndarray):
        return np.concatenate([f.values(x) for f in self.families], axis=1)

    def _parts(self, along: np.ndarray):
        """(each family, its part of an array or a vector along its last axis)."""
        ends = np.cumsum([f.size for f in self.families])[:-1]
        return zip(self.families, np.split(along, ends, axis=-1), strict=True)

    def fill_gradients(self, x: np.ndarray, out: np.ndarray):
        for f, part in self._parts(out):
            f.fill_gradients(x, part)

    def slopes(self, x: np.ndarray, coefficients: np.ndarray):
        return sum(f.slopes(x, part) for f, part in self._parts(coefficients))

    def hessians(self, x: np.ndarray, coefficients: np.ndarray):
        return sum(f.hessians(x, part) for f, part in self._parts(coefficients))

    def laplacians(self, x: np.ndarray):
        return np.concatenate([f.laplacians(x) for f in self.families], axis=1)

    def at(self, x: Array, coefficients: np.ndarray):
        total, first = 0.0, 0
        for f in self.families:
            total = total + f.at(x, coefficients[first : first + f.size])
            first += f.size
        return total

    def describe(self, j: int):
        for f in self.families:
            if j < f.size:
                return f.describe(j)
            j -= f.size
        raise IndexError(f"no function {j}")


@family("scale")
class EvenPowers(Features):
    """(|z|/s)^{2p}, p = 1 … `count`, of a difference z: smooth even kernels. The first is ½|z|² in units of
    ½s²."""

    dimension: int
    count: int
    scale: float

    @property
    def size(self):
        return self.count

    @property
    def penalised(self):
        return (np.arange(self.count) > 0).astype(float)

    def _even(self, x: np.ndarray):
        """(|z|/s)^{2k}, k = 0 … `count`, `[count + 1, n]`."""
        x = np.asarray(x, dtype=float)
        squares = np.einsum("nd,nd->n", x, x) / self.scale**2
        powers = np.ones((self.count + 1, len(x)))
        for k in range(1, self.count + 1):
            np.multiply(powers[k - 1], squares, out=powers[k])
        return powers

    def values(self, x: np.ndarray):
        return self._even(x)[1:].T

    def fill_gradients(self, x: np.ndarray, out: np.ndarray):
        slopes = (2.0 / self.scale**2) * np.arange(1, self.count + 1) * self._even(x)[:-1].T
        np.multiply(x[:, :, None], slopes[:, None, :], out=out)

    def laplacians(self, x: np.ndarray):
        p = np.arange(1, self.count + 1)
        return 2.0 * p * (2.0 * p - 2.0 + self.dimension) * self._even(x)[:-1].T / self.scale**2

    def at(self, x: Array, coefficients: np.ndarray):
        square = jnp.sum(x**2) / jnp.asarray(self.scale**2, x.dtype)
        total, coefficients = jnp.zeros((), x.dtype), jnp.asarray(coefficients, x.dtype)
        for p in reversed(range(self.count)):
            total = (total + coefficients[p]) * square
        return total

    def describe(self, j: int):
        return f"|z|{'²⁴⁶⁸'[j]}" if j < 4 else f"|z|^{2 * (j + 1)}"


@family("widths")
class Rings(Features):
    """exp(−|z|²/2w_j²) of widths w `[m]`: radial kernels, smooth and even at 0, of every range."""

    dimension: int
    widths: np.ndarray

    @property
    def size(self):
        return len(self.widths)

    def values(self, x: np.ndarray):
        return np.exp(-0.5 * np.sum(np.asarray(x, dtype=float) ** 2, axis=1)[:, None] / self.widths**2)

    def fill_gradients(self, x: np.ndarray, out: np.ndarray):
        np.multiply(-x[:, :, None], (self.values(x) / self.widths**2)[:, None, :], out=out)

    def laplacians(self, x: np.ndarray):
        squares = np.sum(np.asarray(x, dtype=float) ** 2, axis=1)[:, None] / self.widths**2
        return self.values(x) * (squares - self.dimension) / self.widths**2

    def at(self, x: Array, coefficients: np.ndarray):
        squares = jnp.sum(x**2) / jnp.asarray(self.widths**2, x.dtype)
        return jnp.asarray(coefficients, x.dtype) @ jnp.exp(-0.5 * squares)

    def describe(self, j: int):
        return f"the kernel of range {self.widths[j]:.2g}"
