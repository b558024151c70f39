"""Quadratic forms: declared, or proved from the program of a jax function, never guessed from its values."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from functionals import pointwise
from functionals.programs import kept
from functionals.reading import as_it_reads_now
from functionals.time_dependence import split

# primitives that only move or add up the entries of their first operand
LINEAR = frozenset(
    ("broadcast_in_dim", "reshape", "squeeze", "expand_dims", "slice", "transpose", "rev", "reduce_sum",
     "cumsum", "copy", "copy_p", "neg", "real", "convert_element_type", "dynamic_slice", "gather")
)  # fmt: skip
SUMS = frozenset(("add", "sub", "add_any", "concatenate", "stack", "pad"))
_PRODUCTS = frozenset(("mul", "dot_general"))
CALLS = frozenset(
    ("jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint")
)


class QuadraticForm(NamedTuple):
    """V(x) = ½(x−z)ᵀA(x−z) + b·(x−z) + c about a centre z `[d]`, with A `[d, d]`, b `[d]`, c a number."""

    A: np.ndarray
    b: np.ndarray
    c: float


def quadratic_form(V: Callable, dimension: int, centre: np.ndarray | None = None) -> QuadraticForm | None:
    """The quadratic form about `centre` (0 by default) that V provably is on the whole of R^dimension.

    Proved where the program of V, a jaxpr, is made of sums, products and powers of degree 2 at most;
    the coefficients are the derivatives of V at the centre. None where that is not proved: a function
    with a branch, a root or a table may be quadratic wherever one looks and not elsewhere.
    """
    declared = _declared(V, dimension)
    function, numbers = split(V)
    leaves, tree = jax.tree.flatten(numbers)
    shapes = tuple(map(np.shape, leaves))
    if declared is None and not _is_quadratic(as_it_reads_now(function), dimension, tree, shapes):
        return None
    centre = np.zeros(dimension) if centre is None else np.asarray(centre, dtype=float)
    value = float(pointwise.values(V, centre[None])[0])
    if declared is not None:
        return QuadraticForm(declared, declared @ centre, value)
    A, b = pointwise.hessians(V, centre[None])[0], pointwise.gradients(V, centre[None])[0]
    if not (np.all(np.isfinite(A)) and np.all(np.isfinite(b))):  # |x|² as the square of a root
        beside = centre + np.outer([1.0, -1.0], np.sqrt(1.0 + np.arange(dimension)))
        A, b = pointwise.hessians(V, beside)[0], pointwise.gradients(V, beside).mean(axis=0)
    if not (np.all(np.isfinite(A)) and np.all(np.isfinite(b)) and np.isfinite(value)):
        return None
    return QuadraticForm(0.5 * (A + A.T), b, value)


def _declared(W: Callable, dimension: int):
    """A of a kernel that says it is ½zᵀAz, or None."""
    stiffness = 0.0
    for name, *numbers in getattr(W, "terms", None) or [("unknown",)]:
        if name == "quadratic":
            stiffness += numbers[0]
        elif name == "power" and numbers[1] == 2.0:
            stiffness += 2.0 * numbers[0]
        else:
            return None
    return stiffness * np.eye(dimension)


@kept
def _is_quadratic(V, dimension: int, tree, shapes: tuple) -> bool:
    # at all times at once: the time is a constant, as are parameters
    x, *leaves = (jax.ShapeDtypeStruct(shape, np.float64) for shape in ((dimension,), *shapes))
    with jax.enable_x64(True):
        traced = jax.make_jaxpr(pointwise.scalar(V))(x, *jax.tree.unflatten(tree, leaves))
    (degree,) = _degrees(traced.jaxpr, [_Degree(1), *[_CONSTANT] * len(shapes)])
    return degree.of is not None


class _Degree(NamedTuple):
    """A polynomial's degree, None for what is not known to be one; whether it is a sum of squares; and the
    degree of its square, for |p| and for the root of a sum of squares."""

    of: int | None
    squares: bool = False
    of_square: int | None = None


# degrees of a polynomial: of none that is known, and of a constant
_UNKNOWN, _CONSTANT = _Degree(None), _Degree(0)


def _degrees(jaxpr, inputs: list) -> list[_Degree]:
    """The degrees of the outputs of a program whose inputs have these."""
    known = dict.fromkeys(jaxpr.constvars, _CONSTANT) | dict(zip(jaxpr.invars, inputs, strict=True))

    def read(atom):
        return _CONSTANT if isinstance(atom, Literal) else known[atom]

    for eqn in jaxpr.eqns:
        operands = [read(atom) for atom in eqn.invars]
        if all(d.of == 0 for d in operands):
            results = [_CONSTANT] * len(eqn.outvars)
        elif eqn.primitive.name in CALLS:
            results = _degrees(inner_program(eqn).jaxpr, operands)
        else:
            results = [_degree(eqn, operands)] * len(eqn.outvars)
        known |= dict(zip(eqn.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def inner_program(eqn):
    """The closed program that an equation calls."""
    inner = eqn.params.get("jaxpr") or eqn.params.get("call_jaxpr") or eqn.params.get("fun_jaxpr")
    return inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, ())


def _degree(eqn, operands: list) -> _Degree:
    name, first = eqn.primitive.name, operands[0]
    if name == "convert_element_type" and not np.issubdtype(eqn.params["new_dtype"], np.floating):
        return _UNKNOWN
    if name in LINEAR:
        rest_constant = all(d.of == 0 for d in operands[1:])
        return first._replace(squares=first.squares and name != "neg") if rest_constant else _UNKNOWN
    if name in SUMS:
        squares = name == "add" and all(d.squares for d in operands)
        return _of_degree(max(_or_more(d.of) for d in operands), squares)
    if name in ("square", "integer_pow"):
        return _power(first, 2 if name == "square" else eqn.params["y"])
    if name == "mul" and eqn.invars[0] is eqn.invars[1]:
        return _power(first, 2)
    if name in _PRODUCTS:
        return _of_degree(sum(_or_more(d.of) for d in operands))
    if name == "div" and operands[1].of == 0:
        return _of_degree(_or_more(first.of))
    if name == "pow" and isinstance(eqn.invars[1], Literal) and eqn.invars[1].val in (1.0, 2.0):
        return _power(first, int(eqn.invars[1].val))
    if name == "select_n" and first.of == 0:
        return _of_degree(max(_or_more(d.of) for d in operands[1:]))
    if name == "sqrt" and first.squares:
        return _Degree(None, of_square=first.of)
    if name == "abs" and first.of is not None:
        return _Degree(None, of_square=2 * first.of)
    return _UNKNOWN


def _or_more(degree: int | None) -> int:
    return 3 if degree is None else degree


def _of_degree(degree: int, squares: bool = False) -> _Degree:
    return _Degree(degree, squares) if degree <= 2 else _UNKNOWN


def _power(base: _Degree, n: int) -> _Degree:
    if n == 2 and base.of_square is not None:
        return _of_degree(base.of_square, squares=True)
    return _of_degree(_or_more(base.of) * n, squares=n == 2) if n >= 1 else _UNKNOWN
