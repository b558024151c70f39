"""Programs that jax has traced, run by numpy: for few numbers a compilation costs more than the answers.

An XLA program of a dozen operations is compiled in a tenth of a second; numpy runs it on four hundred points
in as many microseconds as XLA does, on two thousand in half as many again. Which of the two is asked depends
on the program and on shapes alone, so a run that goes on from a checkpoint finds the same bits.

What numpy answers otherwise than XLA is left to XLA, whole numbers of floats and loops of no pass among them.
Its answers are those of XLA to rounding, but for subnormal numbers, which XLA takes as 0, and the signs of
zeros that max, min, clamp, sign and sum give.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from functionals.programs import kept_with_first
from functionals.tolerances import TOLERANCES

_SAME: dict[str, Callable] = {  # operations with a counterpart in numpy that takes no parameters
    "abs": np.abs, "acos": np.arccos, "acosh": np.arccosh, "add": np.add, "add_any": np.add,
    "and": np.bitwise_and, "asin": np.arcsin, "asinh": np.arcsinh, "atan": np.arctan, "atan2": np.arctan2,
    "atanh": np.arctanh, "cbrt": np.cbrt, "ceil": np.ceil, "copy": np.asarray, "copy_p": np.asarray,
    "cos": np.cos, "cosh": np.cosh, "eq": np.equal, "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1,
    "floor": np.floor, "ge": np.greater_equal, "gt": np.greater, "is_finite": np.isfinite,
    "le": np.less_equal, "log": np.log, "log1p": np.log1p, "lt": np.less, "max": np.maximum,
    "min": np.minimum, "mul": np.multiply, "ne": np.not_equal, "neg": np.negative, "not": np.invert,
    "or": np.bitwise_or, "sign": np.sign, "sin": np.sin, "sinh": np.sinh, "sqrt": np.sqrt,
    "square": np.square, "stop_gradient": np.asarray, "sub": np.subtract, "tan": np.tan, "tanh": np.tanh,
    "clamp": lambda low, x, high: np.minimum(np.maximum(x, low), high),
    "logistic": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "rsqrt": lambda x: 1.0 / np.sqrt(x),
}  # fmt: skip
_OF_FLOATS: dict[str, Callable] = {
    "div": np.divide,
    "rem": np.fmod,
    "pow": np.power,
}  # whole numbers are divided otherwise
_REDUCTIONS: dict[str, Callable] = {
    "reduce_sum": np.sum, "reduce_prod": np.prod, "reduce_max": np.max, "reduce_min": np.min,
    "reduce_and": np.all, "reduce_or": np.any,
}  # fmt: skip
_INNER = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "custom_jvp_call": "call_jaxpr"}


def evaluated(program, *operands):
    """A program of `jax.jit` at numpy arrays and numbers: its result as a numpy array, several as a list."""
    leaves, tree = jax.tree.flatten(operands)
    shapes = tuple((np.shape(a), getattr(a, "dtype", None)) for a in leaves)
    results = [np.array(r) for r in _made(program, tree, shapes, jax.config.jax_enable_x64)(*leaves)]
    return results if len(results) > 1 else results[0]


@kept_with_first
def _made(program, tree, shapes: tuple, double: bool) -> Callable:
    """The program for operands of these shapes, from their leaves to a list: its own trace and compilation,
    since numbers are constants, also within somebody's trace."""
    operands = [1.0 if dtype is None else jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in shapes]
    traced = program.trace(*jax.tree.unflatten(tree, operands))
    few = by_numpy(traced.jaxpr)
    if few is not None:
        return few
    compiled = traced.lower().compile()
    return lambda *leaves: jax.tree.leaves(compiled(*jax.tree.unflatten(tree, leaves)))


def by_numpy(closed: ClosedJaxpr) -> Callable | None:
    """A traced program as a function of numpy arrays that returns the list of its results.

    None where an operation has no counterpart here, or where they are too many.
    """
    steps = _Steps()
    arguments = [steps.place() for _ in closed.jaxpr.invars]
    try:
        results = steps.add(closed.jaxpr, closed.consts, arguments)
    except _NoCounterpart:
        return None
    return partial(_run, steps.needed(results), steps.known, arguments, results)


def _run(steps: list, known: list, arguments: list, results: list, *operands):
    values = known.copy()
    for place, operand in zip(arguments, operands, strict=True):
        values[place] = operand
    with np.errstate(all="ignore"):
        for operation, read, written in steps:
            values[written] = operation(*[values[place] for place in read])
    return [values[place] for place in results]


class _NoCounterpart(Exception):
    """An operation that is left to XLA."""


class _Steps:
    """Operations in turn, (numpy's function, the places it reads, the place it writes); what depends on no
    operand is done at once and `known`."""

    def __init__(self):
        self.known: list = []
        self._steps: list = []
        self._work = 0  # numbers that are computed

    def place(self, value=None) -> int:
        """A new place, for a value that is known, or else for one to come."""
        self.known.append(value)
        return len(self.known) - 1

    def add(self, jaxpr, constants: list, arguments: list) -> list[int]:
        """The places of the results of a program, whose operations are added, with those of inner ones."""
        if any(isinstance(c, jax.core.Tracer) or not _is_plain(c) for c in constants):
            raise _NoCounterpart
        places = dict(zip(jaxpr.constvars, (self.place(np.asarray(c)) for c in constants), strict=True))
        places |= dict(zip(jaxpr.invars, arguments, strict=True))

        def read(atom):
            if isinstance(atom, Literal):
                return self.place(np.asarray(atom.val, atom.aval.dtype))
            return places[atom]

        for equation in jaxpr.eqns:
            inputs, name = [read(atom) for atom in equation.invars], equation.primitive.name
            if name in _INNER:
                inner = equation.params[_INNER[name]]
                written = self.add(inner.jaxpr, inner.consts, inputs)
            elif name == "scan":
                written = self._rolled_out(equation.params, inputs)
            else:
                self._work += sum(v.aval.size for v in equation.outvars)
                if self._work > TOLERANCES.few_operations:
                    raise _NoCounterpart
                written = [self._step(operation, inputs) for operation in _operations(equation)]
            places |= dict(zip(equation.outvars, written, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _rolled_out(self, params: dict, inputs: list[int]) -> list[int]:
        """A loop, pass after pass: constants, what is carried on, and what is read and written by rows."""
        if not 0 < params["length"] <= TOLERANCES.few_passes:
            raise _NoCounterpart
        inner, constants, carried = params["jaxpr"], params["num_consts"], params["num_carry"]
        fixed, carry, rows = inputs[:constants], inputs[constants:][:carried], inputs[constants + carried :]
        written = []
        for k in range(params["length"])[:: -1 if params["reverse"] else 1]:
            own = [self._step(lambda x, k=k: x[k], [row]) for row in rows]
            results = self.add(inner.jaxpr, inner.consts, [*fixed, *carry, *own])
            carry = results[:carried]
            written.append(results[carried:])
        written = written[::-1] if params["reverse"] else written
        return carry + [self._step(lambda *xs: np.stack(xs), list(each)) for each in zip(*written)]

    def _step(self, operation: Callable, read: list[int]) -> int:
        if all(self.known[place] is not None for place in read):
            with np.errstate(all="ignore"):
                return self.place(operation(*(self.known[place] for place in read)))
        self._steps.append((operation, read, self.place()))
        return len(self.known) - 1

    def needed(self, results: list[int]) -> list:
        """The steps on which the results depend."""
        wanted, steps = set(results), []
        for step in reversed(self._steps):
            if step[2] in wanted:
                wanted.update(step[1])
                steps.append(step)
        return steps[::-1]


def _is_plain(value) -> bool:
    """Whether numpy has the dtype, as it has not that of a random key."""
    return isinstance(value, (bool, int, float, complex)) or isinstance(value.dtype, np.dtype)


def _operations(equation) -> list[Callable]:
    """numpy's function for each result of an operation."""
    name, params = equation.primitive.name, equation.params
    before, after = ([v.aval for v in vs] for vs in (equation.invars, equation.outvars))
    if not all(_is_plain(aval) for aval in before + after):
        raise _NoCounterpart
    if name == "split":
        ends, axis = np.cumsum(params["sizes"])[:-1], params["axis"]
        return [lambda x, k=k: np.split(x, ends, axis=axis)[k] for k in range(len(params["sizes"]))]
    if name == "unstack":
        return [partial(np.take, indices=k, axis=params["axis"]) for k in range(len(equation.outvars))]
    if any(aval.dtype.kind not in "bif" for aval in after):
        raise _NoCounterpart
    operation = _SAME.get(name)
    if operation is None and name in _OF_FLOATS and all(aval.dtype.kind == "f" for aval in before):
        operation = _OF_FLOATS[name]
    if operation is None and name in _REDUCTIONS:
        operation = _reduction(name, before[0], after[0], params["axes"])
    if operation is None and name in _SHAPED:
        operation = _SHAPED[name](before, after[0], **params)
    if operation is None:
        raise _NoCounterpart
    return [operation]


def _reduction(name: str, before, after, axes) -> Callable | None:
    axes = tuple(int(axis) for axis in axes)
    if name in ("reduce_sum", "reduce_prod"):
        return partial(_REDUCTIONS[name], axis=axes, dtype=after.dtype)
    bits = name in ("reduce_and", "reduce_or") and before.dtype != bool
    return None if bits or before.size == 0 else partial(_REDUCTIONS[name], axis=axes)


def _integer_power(x, exponent: int):
    """x^n by squares."""
    if exponent < 0:
        return 1.0 / _integer_power(x, -exponent)
    result = None
    while exponent:
        if exponent % 2:
            result = x if result is None else result * x
        exponent //= 2
        x = x * x if exponent else x
    return np.ones_like(x) if result is None else result


def _broadcast(before, after, *, broadcast_dimensions, **_):
    sides = [1] * after.ndim
    for axis, side in zip(broadcast_dimensions, before[0].shape, strict=True):
        sides[axis] = side
    return lambda x: np.broadcast_to(np.reshape(x, sides), after.shape)


def _dot(before, after, *, dimension_numbers, **_):
    (left_sum, right_sum), (left_batch, right_batch) = dimension_numbers
    left, right = list(range(before[0].ndim)), [100 + axis for axis in range(before[1].ndim)]
    for a, b in ((left_sum, right_sum), (left_batch, right_batch)):
        for i, j in zip(a, b, strict=True):
            right[j] = left[i]
    own = [axis for i, axis in enumerate(left) if i not in (*left_sum, *left_batch)]
    own += [axis for j, axis in enumerate(right) if j not in (*right_sum, *right_batch)]
    names = {axis: name for name, axis in enumerate(dict.fromkeys([*left, *right]))}
    lists = [[names[axis] for axis in each] for each in (left, right, [left[i] for i in left_batch] + own)]
    return lambda x, y: np.asarray(np.einsum(x, lists[0], y, lists[1], lists[2]), after.dtype)


def _iota(before, after, *, dimension, **_):
    sides = [-1 if axis == dimension else 1 for axis in range(after.ndim)]
    counted = np.arange(after.shape[dimension], dtype=after.dtype).reshape(sides)
    return lambda: np.broadcast_to(counted, after.shape)


def _pad(before, after, *, padding_config):
    if any(low < 0 or high < 0 or inner for low, high, inner in padding_config):
        return None
    inside = tuple(slice(int(low), int(low) + n) for (low, _, _), n in zip(padding_config, before[0].shape))

    def padded(x, value):
        out = np.full(after.shape, value, after.dtype)
        out[inside] = x
        return out

    return padded


def _slice(before, after, *, start_indices, limit_indices, strides):
    strides = strides or (None,) * len(start_indices)
    part = tuple(slice(*ends) for ends in zip(start_indices, limit_indices, strides, strict=True))
    return lambda x: x[part]


def _select(before, after, **_):
    two = len(before) == 3 and before[0].dtype == bool
    return (lambda which, no, yes: np.where(which, yes, no)) if two else None


def _converted(before, after, **_):
    if before[0].dtype.kind == "f" and after.dtype.kind == "i":
        return None  # what does not fit is the nearest that does, in XLA alone
    return lambda x: np.asarray(x).astype(after.dtype)


_SHAPED: dict[str, Callable] = {  # from the shapes before, that after, and the parameters
    "broadcast_in_dim": _broadcast,
    "concatenate": lambda before, after, *, dimension: lambda *xs: np.concatenate(xs, axis=dimension),
    "convert_element_type": _converted,
    "dot_general": _dot,
    "expand_dims": lambda before, after, **_: lambda x: np.reshape(x, after.shape),
    "integer_pow": lambda before, after, *, y: lambda x: _integer_power(x, y),
    "iota": _iota,
    "pad": _pad,
    "reshape": lambda before, after, *, dimensions, **_: (
        (lambda x: np.reshape(x, after.shape)) if dimensions is None else None
    ),
    "rev": lambda before, after, *, dimensions: lambda x: np.flip(x, dimensions),
    "select_n": _select,
    "slice": _slice,
    "stack": lambda before, after, *, axis: lambda *xs: np.stack(xs, axis=axis),
    "squeeze": lambda before, after, **_: lambda x: np.reshape(x, after.shape),
    "transpose": lambda before, after, *, permutation: lambda x: np.transpose(x, permutation),
}
