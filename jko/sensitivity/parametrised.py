"""A functional as a function of its parameters, read in jax: what depends on ϑ in the equations of a step."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from functionals.algebra import Sum
from functionals.array import Array
from functionals.base import Functional
from functionals.pointwise import describe
from functionals.programs import kept
from functionals.reading import as_it_reads_now
from functionals.time_dependence import AtTime, NumbersInTime
from jko.errors import shown
from jko.measures import Grid

MakeFunctional = Callable[[Any], Functional]


def checked_parameters(parameters: Any):
    """The parameters with every leaf an array of float64; refuses what is no finite real number."""
    leaves, tree = jax.tree.flatten(parameters)
    if not leaves:
        raise ValueError("parameters: expected numbers or arrays to differentiate by, got none")
    arrays = []
    for leaf in leaves:
        array = np.asarray(leaf)
        if array.dtype.kind not in "iuf":
            raise TypeError(f"parameters: expected a pytree of real numbers, got the leaf {shown(leaf)}")
        if not np.all(np.isfinite(array)):
            raise ValueError(f"parameters: expected finite numbers, got {shown(leaf)}")
        arrays.append(array.astype(float)[()])
    return jax.tree.unflatten(tree, arrays)


def made(make_functional: MakeFunctional, parameters: Any) -> Functional:
    """make_functional(parameters), which must be a functional."""
    F = make_functional(parameters)
    if not isinstance(F, Functional):
        raise TypeError(f"make_functional: expected a function that returns a functional, got {shown(F)}")
    return F


def compiled_once(make_functional: MakeFunctional, parameters: Any) -> Functional:
    """make_functional(parameters) with potentials and kernels as functions of points and of the parameters,
    so that one program serves all parameters: what the time is to a potential that depends on it."""
    F = made(make_functional, parameters)
    leaves, tree = jax.tree.flatten(parameters)
    shapes, reading = tuple(map(np.shape, leaves)), as_it_reads_now(make_functional)
    flat = np.concatenate([np.ravel(leaf) for leaf in leaves])
    terms = []
    for place, (c, atom) in enumerate(F.primitives()):
        name = _function_of(atom)
        if name is not None:
            timed, atom = atom.depends_on_time, copy.copy(atom)
            function = _parametrised(reading, place, name, tree, shapes, timed)
            setattr(atom, name, NumbersInTime(function, flat) if timed else AtTime(function, flat))
        terms.append((c, atom))
    return Sum(tuple(terms))


def _function_of(atom: Functional) -> str | None:
    """The attribute that holds a potential's or a kernel's function, where nothing is known of it by name."""
    if atom.kind == "potential":
        return "V"
    named = atom.kind != "interaction" or atom.general or hasattr(atom.W, "terms")
    return None if named else "W"


@kept
def _parametrised(make_functional: Callable, place: int, name: str, tree, shapes: tuple, timed: bool):
    """(x, all parameters in a row, or that and the time) ↦ V(x) or W(x) of the term number `place`."""
    sizes = np.cumsum([int(np.prod(shape)) for shape in shapes])

    def function(x: Array, numbers: Any):
        row, t = numbers if timed else (numbers, 0.0)
        parts = jnp.split(row, sizes[:-1])
        parameters = jax.tree.unflatten(tree, [p.reshape(s) for p, s in zip(parts, shapes, strict=True)])
        F = traced(make_functional, parameters, t)
        return value_of(getattr(F.primitives()[place][1], name), x)

    function.__name__ = f"{name} in {describe(make_functional)}(parameters)"
    return function


def traced(make_functional: MakeFunctional, parameters: Any, t: float) -> Functional:
    """The functional of traced parameters at the traced time t."""
    try:
        return made(make_functional, parameters).at(t)
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError) as error:
        raise TypeError(
            f"make_functional: {describe(make_functional)} cannot be traced by jax in its parameters; write "
            "it with jax.numpy, without float(…), if or numpy on a parameter, and potentials and kernels as "
            "functions of a point"
        ) from error


def value_of(f: Callable, x: Array) -> jax.Array:
    """f at one point `[d]`, as a number."""
    return jnp.reshape(jnp.asarray(f(x)), ())


def potential(F: Functional, x: Array) -> jax.Array:
    """V of a traced functional at one point `[d]`."""
    return sum((c * value_of(atom.V, x) for c, atom in F.parts.potential), jnp.zeros(()))


def potentials(F: Functional, points: Array) -> jax.Array:
    """V of a traced functional at points `[n, d]`."""
    return jax.vmap(lambda x: potential(F, x), in_axes=1)(points.T)  # along memory


def first_variation(F: Functional, density: Array, rho: Array, grid: Grid) -> jax.Array:
    """U′(density) + V + W∗ρ of a traced functional in the cells of a grid, where the density is positive."""
    total = potentials(F, jnp.asarray(grid.points)).reshape(grid.cells) + convolved(F, rho, grid)
    internal = F.parts.internal_energy
    return total if internal is None else total + internal.derivative(density)


def convolved(F: Functional, rho: Array, grid: Grid) -> jax.Array:
    """W∗ρ of a traced functional in the cells of a grid, as `measures.fields.convolve` sums it."""
    total, axes = jnp.zeros(grid.cells), tuple(range(grid.dimension))
    for c, atom in F.parts.interaction:
        table = _kernel_values(atom, grid)
        shape = tuple(n + m - 1 for n, m in zip(table.shape, grid.cells, strict=True))
        spectrum = jnp.fft.rfftn(table, shape, axes) * jnp.fft.rfftn(rho * grid.cell_volume, shape, axes)
        full = jnp.fft.irfftn(spectrum, shape, axes)
        total = total + c * full[tuple(slice(n - 1, 2 * n - 1) for n in grid.cells)]
    return total


def _kernel_values(atom: Functional, grid: Grid):
    """W at every difference of cell centres, `[2·cells − 1]`."""
    steps = [h * np.arange(1 - n, n) for n, h in zip(grid.cells, grid.spacing, strict=True)]
    offsets = jnp.asarray(np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1))
    values = jax.vmap(lambda z: value_of(atom.W, z))(offsets.reshape(-1, grid.dimension))
    return values.reshape(offsets.shape[:-1])
