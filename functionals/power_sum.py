"""Kernels on a half-line as sums of powers and a logarithm: proved from the program of a jax function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product

import jax
import numpy as np
from jax.extend.core import Literal

from functionals import pointwise
from functionals.array import Array
from functionals.programs import kept
from functionals.quadratic_form import CALLS, LINEAR, SUMS, inner_program
from functionals.reading import as_it_reads_now

_MOST_TERMS = 12  # of a sum: a product of more is a table's work
_COMPARED = {"gt": (True, False), "ge": (True, False), "ne": (True, True), "lt": (False, True),
             "le": (False, True), "eq": (False, False)}  # fmt: skip


@dataclass(frozen=True)
class PowerSum:
    """W(z) = Σ c z^a + ℓ log z for z > 0: `powers` {a: c}, `logarithm` ℓ."""

    powers: dict[float, float]
    logarithm: float


def power_sum(W: Callable, dimension: int = 1) -> PowerSum | None:
    """The sum of powers that W of a point `[1]` provably is on z > 0, or None.

    Declared by a named kernel's `terms`, or else found by running the program of W, its jaxpr, in the
    arithmetic of such sums: sums and products, powers and roots of single terms, logarithms of them,
    |·|, and comparisons with 0. Whatever else the program does, the answer is None.
    """
    declared = _declared(getattr(W, "terms", None))
    return declared if declared is not None else _proved(as_it_reads_now(W))


def _declared(terms: tuple | None) -> PowerSum | None:
    if not terms:
        return None
    powers, logarithm = {}, 0.0
    for name, *numbers in terms:
        if name == "quadratic":
            powers[2.0] = powers.get(2.0, 0.0) + 0.5 * numbers[0]
        elif name == "power":
            powers[numbers[1]] = powers.get(numbers[1], 0.0) + numbers[0]
        elif name == "logarithm":
            logarithm -= numbers[0]
        else:
            return None
    return PowerSum(powers, logarithm)


@kept
def _proved(W: Callable) -> PowerSum | None:
    with jax.enable_x64(True), jax.ensure_compile_time_eval():
        traced = jax.make_jaxpr(pointwise.scalar(W))(jax.ShapeDtypeStruct((1,), np.float64))
        try:
            (out,) = _run(traced.jaxpr, traced.consts, [_Sum({1.0: np.ones(1)})])
        except _Unknown:
            return None
    out = out if isinstance(out, _Sum) else _Sum({0.0: np.asarray(out, dtype=float)})
    powers = {a: float(c) for a, c in out.powers.items() if c != 0.0}
    if not all(np.isfinite(c) for c in (*powers.values(), float(out.logarithm))):
        return None
    return PowerSum(powers, float(out.logarithm))


class _Unknown(Exception):
    """What is no sum of powers."""


@dataclass
class _Sum:
    """Arrays of sums of powers of z > 0: coefficients by exponent, and that of log z."""

    powers: dict[float, np.ndarray]
    logarithm: np.ndarray | float = field(default=0.0)

    def term(self):
        """(c, a) of a single power c z^a."""
        if np.any(self.logarithm) or len(self.powers) != 1:
            raise _Unknown
        ((a, c),) = self.powers.items()
        return c, a

    def of_one_sign(self) -> int:
        """The sign of the sum for every z > 0."""
        signs = {int(s) for c in self.powers.values() for s in np.sign(np.ravel(c))} - {0}
        if np.any(self.logarithm) or len(signs) != 1:
            raise _Unknown
        return signs.pop()


def _run(jaxpr, consts: list, inputs: list) -> list:
    known = dict(zip(jaxpr.constvars, consts, strict=True)) | dict(zip(jaxpr.invars, inputs, strict=True))

    def read(atom):
        return atom.val if isinstance(atom, Literal) else known[atom]

    for eqn in jaxpr.eqns:
        operands = [read(atom) for atom in eqn.invars]
        if not any(isinstance(x, _Sum) for x in operands):
            results = eqn.primitive.bind(*operands, **eqn.params)
            results = results if eqn.primitive.multiple_results else [results]
        elif eqn.primitive.name in CALLS:
            inner = inner_program(eqn)
            results = _run(inner.jaxpr, inner.consts, operands)
        else:
            results = [_applied(eqn, operands)]
        known |= dict(zip(eqn.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _applied(eqn, operands: list):
    name, first = eqn.primitive.name, operands[0]
    if name in LINEAR:
        return _linear(eqn, operands)
    if name in SUMS:
        return _added(eqn, operands)
    if name in ("mul", "dot_general"):
        return _multiplied(eqn, operands)
    if name == "div":
        c, a = _as_sum(operands[1]).term()
        return _product(_as_sum(first), _Sum({-a: 1.0 / c}), np.multiply)
    if name in _COMPARED:
        return _compared(name, *operands)
    if name == "select_n" and not isinstance(first, _Sum) and np.size(first) == 1:
        return operands[1 + int(np.ravel(first)[0])]
    if name == "pow" and not isinstance(operands[1], _Sum) and np.size(operands[1]) == 1:
        return _power(first, float(np.ravel(operands[1])[0]))
    if name in _FUNCTIONS:
        return _FUNCTIONS[name](first, eqn)
    raise _Unknown


def _as_sum(x) -> _Sum:
    return x if isinstance(x, _Sum) else _Sum({0.0: np.asarray(x, dtype=float)})


def _linear(eqn, operands: list):
    dtype = eqn.params.get("new_dtype", np.float64)
    first, *rest = operands
    if not np.issubdtype(dtype, np.floating) or any(isinstance(x, _Sum) for x in rest):
        raise _Unknown

    def one(c: float | np.ndarray):
        return np.asarray(eqn.primitive.bind(np.asarray(c, dtype=float), *rest, **eqn.params))

    logarithm = one(first.logarithm) if np.any(first.logarithm) else 0.0
    return _Sum({a: one(c) for a, c in first.powers.items()}, logarithm)


def _added(eqn, operands: list):
    sums = [_as_sum(x) for x in operands]
    shapes = [atom.aval.shape for atom in eqn.invars]

    def one(parts: list):
        parts = [np.zeros(shape) if p is None else p for p, shape in zip(parts, shapes, strict=True)]
        return np.asarray(eqn.primitive.bind(*parts, **eqn.params))

    exponents = {a for s in sums for a in s.powers}
    logarithms = [s.logarithm if np.any(s.logarithm) else None for s in sums]
    logarithm = 0.0 if all(p is None for p in logarithms) else one(logarithms)
    return _Sum({a: one([s.powers.get(a) for s in sums]) for a in sorted(exponents)}, logarithm)


def _multiplied(eqn, operands: list):
    left, right = (_as_sum(x) for x in operands)
    return _product(left, right, lambda a, b: np.asarray(eqn.primitive.bind(a, b, **eqn.params)))


def _product(left: _Sum, right: _Sum, times):
    logarithm = 0.0
    for one, other, turned in ((left, right, False), (right, left, True)):
        if np.any(one.logarithm):
            if np.any(other.logarithm) or set(other.powers) != {0.0} or set(one.powers) - {0.0}:
                raise _Unknown
            pair = (other.powers[0.0], one.logarithm) if turned else (one.logarithm, other.powers[0.0])
            logarithm = times(*pair)
    out = {}
    for (a, c), (b, d) in product(left.powers.items(), right.powers.items()):
        out[a + b] = out.get(a + b, 0.0) + times(c, d)
    if len(out) > _MOST_TERMS:
        raise _Unknown
    return _Sum(out, logarithm)


def _compared(name: str, left, right):
    """Against 0, on either side."""
    above, below = _COMPARED[name]
    if not isinstance(right, _Sum) and not np.any(right):
        return np.full(np.shape(right), above if left.of_one_sign() > 0 else below)
    if not isinstance(left, _Sum) and not np.any(left):
        return np.full(np.shape(left), below if right.of_one_sign() > 0 else above)
    raise _Unknown


def _power(base: _Sum | Array, exponent: float):
    if not isinstance(base, _Sum):
        raise _Unknown
    if exponent in (2.0, 3.0, 4.0) and len(base.powers) > 1:
        out = base
        for _ in range(int(exponent) - 1):
            out = _product(out, base, np.multiply)
        return out
    c, a = base.term()
    if np.any(c <= 0.0) and exponent != int(exponent):
        raise _Unknown
    return _Sum({a * exponent: c**exponent})


def _log(x: _Sum, eqn):
    c, a = x.term()
    if np.any(c <= 0.0):
        raise _Unknown
    return _Sum({0.0: np.log(c)}, np.full(np.shape(c), float(a)))


def _absolute(x: _Sum, eqn):
    sign = x.of_one_sign()
    return _Sum({a: sign * c for a, c in x.powers.items()})


_FUNCTIONS = {
    "integer_pow": lambda x, eqn: _power(x, float(eqn.params["y"])),
    "square": lambda x, eqn: _power(x, 2.0),
    "sqrt": lambda x, eqn: _power(x, 0.5),
    "log": _log,
    "abs": _absolute,
    "sign": lambda x, eqn: np.full(eqn.outvars[0].aval.shape, float(x.of_one_sign())),
}
