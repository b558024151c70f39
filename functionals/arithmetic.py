"""Arithmetic, parsed from text into a postfix program; nothing in it is ever run as code."""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable

LONGEST = 2000
DEEPEST = 50

CONSTANTS = {"pi": math.pi, "e": math.e}
ONE_ARGUMENT = ("exp", "log", "sqrt", "sin", "cos", "tan", "tanh", "abs")
SEVERAL_ARGUMENTS = ("min", "max")
FUNCTIONS = ONE_ARGUMENT + SEVERAL_ARGUMENTS

_TOKEN = re.compile(
    r"(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<sign>\*\*|[-+*/^(),])",
    re.ASCII,
)
_ON_NUMBERS = {name: getattr(math, name) for name in ONE_ARGUMENT if name != "abs"}
_ON_NUMBERS |= {"abs": abs, "min": min, "max": max, "minus": operator.neg, "^": operator.pow}
_ON_NUMBERS |= {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


def parse(text: str, variables: tuple[str, ...]) -> tuple[tuple[str, object], ...]:
    """The program of an expression: a postfix tuple of (operation, operand).

    ("number", value) and ("name", variable) are put on a stack; any other operation takes `operand` many from
    it. What is constant is computed at once. The program's depth is bounded by the text's, which is bounded.
    Raises ValueError, with the column, for what is not an expression.
    """
    if len(text) > LONGEST:
        raise ValueError(f"{len(text)} characters are more than an expression's {LONGEST}: use gridded data")
    return _Parser(text, variables).parse()


class _Parser:
    """Recursive descent; a token is (kind, text, column)."""

    def __init__(self, text: str, variables: tuple):
        self.text, self.variables = text, variables
        self.tokens = list(_tokens(text))
        self.place, self.depth = 0, 0
        self.program: list[tuple] = []

    @property
    def token(self):
        return self.tokens[self.place]

    def parse(self):
        self._sum()
        if self.token[0] != "end":
            self._refuse("expected an operator")
        return tuple(self.program)

    def _sum(self):
        self._chain(self._product, ("+", "-"))

    def _product(self):
        self._chain(self._signed, ("*", "/"))

    def _chain(self, operand: Callable, signs: tuple):
        operand()
        while self.token[1] in signs:
            sign = self._take()
            operand()
            self._emit(sign[1], 2, sign)

    def _signed(self):
        negative, first = False, self.token
        while self.token[1] in ("+", "-"):
            negative ^= self._take()[1] == "-"
        self._power()
        if negative:
            self._emit("minus", 1, first)

    def _power(self):
        self._atom()
        if self.token[1] in ("^", "**"):
            sign = self._take()
            self._deeper(self._signed)
            self._emit("^", 2, sign)

    def _atom(self):
        kind, text, _ = token = self.token
        if kind == "number":
            self._push(float(text), self._take())
        elif kind == "name" and text in self.variables:
            self._take()
            self.program.append(("name", text))
        elif text in CONSTANTS:
            self._push(CONSTANTS[text], self._take())
        elif text in FUNCTIONS:
            self._call()
        elif kind == "name":
            self._refuse("unknown name", note=self._known(text))
        elif text == "(":
            self._take()
            self._deeper(self._sum)
            self._close()
        else:
            self._refuse("expected a number, a name or '('", token)

    def _call(self):
        function = self._take()
        name, count = function[1], 0
        if self.token[1] != "(":
            self._refuse(f"expected '(' after {name}")
        while count == 0 or self.token[1] == ",":
            self._take()
            self._deeper(self._sum)
            count += 1
        self._close()
        if (count != 1) if name in ONE_ARGUMENT else (count < 2):
            wanted = "one argument" if name in ONE_ARGUMENT else "two arguments or more"
            self._refuse(f"expected {wanted}, not {count},", function)
        self._emit(name, count, function)

    def _close(self):
        if self.token[1] != ")":
            self._refuse("expected ')'")
        self._take()

    def _deeper(self, rule: Callable):
        self.depth += 1
        if self.depth > DEEPEST:
            self._refuse(f"nested more than {DEEPEST} deep")
        rule()
        self.depth -= 1

    def _emit(self, operation: str, count: int, token: tuple):
        operands = self.program[-count:]
        if any(kind != "number" for kind, _ in operands):
            self.program.append((operation, count))
            return
        del self.program[-count:]
        try:
            value = _ON_NUMBERS[operation](*(value for _, value in operands))
        except (ValueError, ArithmeticError):
            value = math.nan
        self._push(value, token)

    def _push(self, value: float, token: tuple):
        if isinstance(value, complex) or not math.isfinite(value):
            self._refuse("the value is not a finite number", token)
        self.program.append(("number", value))

    def _take(self):
        self.place += 1
        return self.tokens[self.place - 1]

    def _refuse(self, what: str, token: tuple | None = None, note: str = ""):
        kind, text, column = token or self.token
        found = "the end" if kind == "end" else repr(text)
        raise ValueError(f"{what} at {found}, {_where(self.text, column)}{note}")

    def _known(self, name: str):
        known = [*self.variables, *CONSTANTS, *FUNCTIONS]
        near = difflib.get_close_matches(name, known, n=1)
        return f"; known are {', '.join(known)}" + (f"; did you mean {near[0]!r}?" if near else "")


def _tokens(text: str):
    column = 0
    while column < len(text):
        if text[column].isspace():
            column += 1
            continue
        match = _TOKEN.match(text, column)
        if match is None:
            raise ValueError(f"unexpected character {text[column]!r}, {_where(text, column)}")
        yield match.lastgroup, match.group(), column
        column = match.end()
    yield "end", "", column


def _where(text: str, column: int):
    shown = text if len(text) <= 60 else f"…{text[max(0, column - 20) : column + 20]}…"
    return f"column {column + 1} of {shown!r}"
