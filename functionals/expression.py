"""An arithmetic expression as a jax function."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp

from functionals.arithmetic import FUNCTIONS, parse
from functionals.array import Array

_SMALL = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b}


class Expression:
    """A function of named numbers, from text: `Expression("s^2 + exp(-s)", ["s"])(1.0)`.

    Knows + - * / ^ (or **), parentheses, numbers, pi, e, exp, log, sqrt, sin, cos, tan, tanh, abs, min, max.
    As usual ^ binds before a minus sign and to the right: −x^2 = −(x^2), 2^3^2 = 2^9. The text is parsed,
    never run as code. Equal programs are equal and hash alike. Raises ValueError, with the column, for text
    that is not such an expression, and TypeError for what is no text.
    """

    def __init__(self, text: str, variables: Sequence[str]):
        if not isinstance(text, str):
            raise TypeError(f"expected an arithmetic expression, got {text!r}")
        self.text = " ".join(text.split())
        self.variables = tuple(variables)
        self.program = parse(self.text, self.variables)

    def __call__(self, *values):
        known = dict(zip(self.variables, values, strict=True))
        stack: list = []
        for operation, operand in self.program:
            if operation in ("number", "name"):
                stack.append(known[operand] if operation == "name" else operand)
                continue
            arguments = stack[-operand:]
            del stack[-operand:]
            stack.append(_apply(operation, arguments))
        return stack[0]

    def __eq__(self, other: object):
        same = type(other) is type(self)
        return same and (other.program, other.variables) == (self.program, self.variables)

    def __hash__(self):
        return hash((type(self), self.program, self.variables))

    def __repr__(self):
        return self.text


class PointExpression(Expression):
    """A function of points `[d]`: with `letters="x"` of x1 … xd and r = |x|, in one dimension also of x.

    With two letters, "xy", a kernel k(x, y) of x1 …, y1 … and r = |x − y|. With `time`, a text that
    names t is a function of the time as well, its last argument.
    """

    def __init__(self, text: str, dimension: int, letters: str = "x", time: bool = False):
        self.dimension, self.letters = int(dimension), letters
        names = [f"{letter}{axis + 1}" for letter in letters for axis in range(self.dimension)]
        known = (*names, *(letters if self.dimension == 1 else ()), "r")
        super().__init__(text, (*known, "t") if time else known)
        if not self.depends_on_time:
            self.variables = known

    @property
    def depends_on_time(self) -> bool:
        """Whether the text names t."""
        return ("name", "t") in self.program

    def __call__(self, *points_and_time):
        points = [jnp.asarray(point) for point in points_and_time[: len(self.letters)]]
        time = points_and_time[len(self.letters) :]
        coordinates = [point[axis] for point in points for axis in range(self.dimension)]
        whole = [point[0] for point in points] if self.dimension == 1 else []
        radius = _Radius(points[0] - points[1] if len(points) == 2 else points[0])
        return jnp.asarray(
            _plain(super().__call__(*coordinates, *whole, radius, *time)), dtype=points[0].dtype
        )


class _Radius:
    """|z|, its slope at 0 taken as 0, with |z|² at hand, whose powers and log are smooth."""

    def __init__(self, z: Array):
        self.squared = jnp.sum(z**2)

    @property
    def value(self):
        away = self.squared > 0
        return jnp.where(away, jnp.sqrt(jnp.where(away, self.squared, 1.0)), 0.0)


def _plain(value: Array):
    return value.value if isinstance(value, _Radius) else value


def _apply(operation: str, arguments: list):
    if isinstance(arguments[0], _Radius):
        if operation == "log":
            return 0.5 * jnp.log(arguments[0].squared)
        if operation == "^" and isinstance(arguments[1], float) and arguments[1] % 2 == 0:
            return _power(arguments[0].squared, arguments[1] / 2)
    first, *others = [_plain(value) for value in arguments]
    if operation in _SMALL:
        return _SMALL[operation](first, others[0])
    if operation == "^":
        return _power(first, others[0])
    if operation == "minus":
        return -first
    if operation in ("min", "max"):
        for other in others:
            first = (jnp.minimum if operation == "min" else jnp.maximum)(first, other)
        return first
    return _FUNCTIONS[operation](first)


def _power(base, exponent: float):
    # a whole exponent stays one, so that derivatives exist at negative numbers
    whole = isinstance(exponent, float) and exponent.is_integer() and abs(exponent) < 2**31
    return base ** (int(exponent) if whole else exponent)


_FUNCTIONS = {name: getattr(jnp, name) for name in FUNCTIONS if name not in ("min", "max")}
