"""Fields on a grid: differences, and convolution with a kernel.

Along a periodic axis differences wrap round, and a kernel W is taken at the difference to the nearest image,
at half a turn as the mean over both.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from functionals import pointwise
from functionals.programs import kept
from jko.measures.cell_averages import cell_averages


def gradient(grid, field: np.ndarray) -> np.ndarray:
    """∇ of a cell-centred field by centred differences, `[*cells, d]`.

    Second order inside and at walls, and across the ends of a periodic axis; next to a cell where the field
    is infinite (log ρ in vacuum), and at the walls of a room, one-sided, of order 1, and 0 where no finite
    neighbour is left.
    """
    if grid.room is not None:
        field = np.where(grid.inside, field, np.nan)
    axes = enumerate(zip(grid.spacing, grid.periodic, strict=True))
    slopes = [(_wrapped_gradient if turns else _axis_gradient)(field, axis, h) for axis, (h, turns) in axes]
    return np.stack(slopes, axis=-1)


def _wrapped_gradient(field, axis: int, h):
    field = np.asarray(field, dtype=float)
    around = [(1, 1) if a == axis else (0, 0) for a in range(field.ndim)]
    slope = _axis_gradient(np.pad(field, around, mode="wrap"), axis, h)
    return np.take(slope, np.arange(1, field.shape[axis] + 1), axis)


def _axis_gradient(field: np.ndarray, axis: int, h: float):
    field = np.moveaxis(np.asarray(field, dtype=float), axis, 0)
    finite = np.isfinite(field)
    if finite.all() and len(field) > 2:
        return np.moveaxis(np.gradient(field, h, axis=0, edge_order=2), 0, axis)
    safe = np.where(finite, field, 0.0)
    slope = np.diff(safe, axis=0) / h
    usable = finite[1:] & finite[:-1]
    total = np.zeros_like(safe)
    count = np.zeros(safe.shape)
    for side in (slice(None, -1), slice(1, None)):
        total[side] += np.where(usable, slope, 0.0)
        count[side] += usable
    return np.moveaxis(total / np.maximum(count, 1.0), 0, axis)


def faces(grid) -> list[tuple[tuple, tuple]]:
    """The indices (lower cells, upper cells) of the faces across each axis; on a periodic axis one more, from
    the last cell to the first. Raises ValueError for a room, some of whose faces are closed."""
    if grid.room is not None:
        raise ValueError(f"measure: an energy of the gradient knows no walls, got a density on {grid!r}")
    pairs = []
    for axis, (n, turns) in enumerate(zip(grid.cells, grid.periodic, strict=True)):
        low = np.arange(n if turns else n - 1)
        before = (slice(None),) * axis
        pairs.append(((*before, low), (*before, (low + 1) % n)))
    return pairs


def squared_jumps(grid, field: np.ndarray):
    """Σ over all faces of (jump of the field/h)²."""
    pairs = zip(faces(grid), grid.spacing, strict=True)
    return sum((((field[high] - field[low]) / h) ** 2).sum() for (low, high), h in pairs)


def laplacian(grid, field: np.ndarray) -> np.ndarray:
    """Δ of a field `[*cells]` by its three-point differences, no flux through walls."""
    out = np.zeros(grid.cells)
    for (low, high), h in zip(faces(grid), grid.spacing, strict=True):
        jump = (field[high] - field[low]) / h**2
        out[low] += jump
        out[high] -= jump
    return out


def convolve(grid, W: Callable, masses: np.ndarray):
    """Σ_j W(x_i − x_j) a_j on the grid, `[*cells]`, by zero-padded FFT.

    Walls reflect no images; on a periodic axis x_i − x_j is the difference to the nearest image.
    """
    transform, shape = _kernel_transform(grid, W)
    return _convolve(transform, shape, grid.cells, masses)


def convolve_gradient(grid, W: Callable, masses: np.ndarray):
    """Σ_j ∇W(x_i − x_j) a_j on the grid, `[*cells, d]`."""
    transforms, shape = _gradient_transforms(grid, W)
    xp = jnp if isinstance(masses, jax.Array) else np
    return xp.stack([_convolve(t, shape, grid.cells, masses) for t in transforms], axis=-1)


def _convolve(transform: np.ndarray, shape: tuple, cells: tuple, masses: np.ndarray):
    axes = tuple(range(len(cells)))
    if isinstance(masses, jax.Array):
        full = jnp.fft.irfftn(jnp.fft.rfftn(masses, shape, axes) * transform, shape, axes)
    else:
        from scipy import fft

        full = fft.irfftn(fft.rfftn(masses, shape, axes) * transform, shape, axes)
    return full[tuple(slice(n - 1, 2 * n - 1) for n in cells)]


def is_singular(W: Callable, dimension: int) -> bool:
    """Whether W is infinite or undefined at 0."""
    return not np.isfinite(pointwise.values(W, np.zeros((1, dimension)))[0])


@kept
def _kernel_transform(grid, W: Callable):
    table = kernel_table(grid, W)
    return _transform(table)


@kept
def _gradient_transforms(grid, W: Callable):
    pairs = [_transform(table) for table in gradient_tables(grid, W)]
    return tuple(t for t, _ in pairs), pairs[0][1]


def _transform(table: np.ndarray):
    from scipy import fft

    shape = tuple(fft.next_fast_len(n, real=True) for n in table.shape)
    return fft.rfftn(table, shape), shape


def kernel_table(grid, W: Callable) -> np.ndarray:
    """W at every difference of cell centres, `[2·cells − 1]`; of a singular kernel its cell averages.

    On a periodic axis the difference is the one to the nearest image.
    """
    return _mean([_kernel_values(grid, W, offsets) for offsets in _offsets(grid)])


def _kernel_values(grid, W: Callable, offsets: np.ndarray):
    if is_singular(W, grid.dimension):
        return cell_averages(W, offsets, grid.spacing)
    return pointwise.values(W, offsets.reshape(-1, grid.dimension)).reshape(offsets.shape[:-1])


def _mean(tables: list):
    return tables[0] if len(tables) == 1 else sum(tables) / len(tables)


def gradient_tables(grid, W: Callable) -> list[np.ndarray]:
    """∂W along each axis at every difference of cell centres, 0 at 0.

    For a kernel singular at 0 the centred differences of its cell averages: point values of ∂W would leave
    out what the cell round 0 contributes, an error of first order.
    """
    if is_singular(W, grid.dimension):
        averages = _mean([cell_averages(W, offsets, grid.spacing) for offsets in _offsets(grid, margin=1)])
        return [_centred_difference(averages, axis, h) for axis, h in enumerate(grid.spacing)]
    tables = [
        pointwise.gradients(W, offsets.reshape(-1, grid.dimension)).reshape(offsets.shape)
        for offsets in _offsets(grid)
    ]
    table = np.array(_mean(tables))
    table[tuple(n - 1 for n in grid.cells)] = 0.0
    return [table[..., axis] for axis in range(grid.dimension)]


def _centred_difference(table: np.ndarray, axis: int, h: float):
    inner = tuple(slice(1, -1) if a != axis else slice(None) for a in range(table.ndim))
    table = np.moveaxis(table[inner], axis, 0)
    return np.moveaxis((table[2:] - table[:-2]) / (2.0 * h), 0, axis)


def _offsets(grid, margin: int = 0) -> list[np.ndarray]:
    """Differences of cell centres, wrapped where an axis turns; several where half a turn has two images."""
    axes = []
    for n, h, turns in zip(grid.cells, grid.spacing, grid.periodic, strict=True):
        steps = np.arange(1 - n - margin, n + margin)
        if turns:
            steps = (steps + n // 2) % n - n // 2
        both = (steps, np.where(2 * steps == -n, n // 2, steps)) if turns and n % 2 == 0 else (steps,)
        axes.append([h * s for s in both])
    return [np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1) for sides in itertools.product(*axes)]
