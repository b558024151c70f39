"""Expressions: they say what Python's arithmetic says, have derivatives, and refuse everything else."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
from functionals import pointwise
from functionals.arithmetic import DEEPEST, FUNCTIONS, LONGEST, parse
from functionals.expression import Expression, PointExpression

NAMES = {
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
}
NAMES |= {"tanh": math.tanh, "abs": abs, "min": min, "max": max, "pi": math.pi, "e": math.e}


@pytest.mark.parametrize(
    "text",
    [
        "x1^2/2 + cos(2*pi*x2)",
        "-x1^2",
        "2^3^2 - x1",
        "2^-1*x2",
        "x1 - -x2 - +x1",
        "8/4/2*x1",
        "x1 - x2 - 1",
        "min(x1, x2, 0.3)*max(x1, 1)",
        "exp(-(x1**2 + x2^2))/sqrt(2*pi)",
        "abs(x1 - 3)^2.5 + tanh(x2)*log(e*x1)",
        "1.5e-3*x1 + .5*x2 + 2.",
        "(((x1)))",
        "x1^-2",
    ],
)
def test_value_is_that_of_arithmetic(text):
    x = np.array([[0.7, 1.9], [2.4, 0.3]])
    expected = [eval(text.replace("^", "**"), {}, NAMES | {"x1": a, "x2": b}) for a, b in x]
    np.testing.assert_allclose(pointwise.values(PointExpression(text, 2), x), expected, rtol=1e-14)


def random_text(rng, depth=0):
    """A random expression in x1 and x2, fully defined for positive numbers."""
    kind = rng.integers(0, 8 if depth < 5 else 2)
    if kind == 0:
        return f"{rng.uniform(0.1, 3):.3g}"
    if kind == 1:
        return str(rng.choice(["x1", "x2", "pi", "e"]))
    a, b = random_text(rng, depth + 1), random_text(rng, depth + 1)
    if kind < 5:
        return f"{a} {rng.choice(['+', '-', '*'])} {b}"
    if kind == 5:
        return f"-({a})^{rng.integers(2, 4)}"
    if kind == 6:
        return f"{rng.choice(['sin', 'cos', 'tanh', 'abs'])}({a})"
    return f"{rng.choice(['min', 'max'])}({a}, {b})"


def test_random_expressions_agree_with_python():
    rng = np.random.default_rng(7)
    for _ in range(300):
        text = random_text(rng)
        x = rng.uniform(0.2, 2.0, size=2)
        expected = eval(text.replace("^", "**"), {}, NAMES | {"x1": x[0], "x2": x[1]})
        value = Expression(text, ["x1", "x2"])(*map(float, x))
        assert float(value) == pytest.approx(expected, rel=1e-5, abs=1e-5), text


@pytest.mark.slow
def test_random_characters_are_refused_or_parsed_but_never_worse():
    rng = np.random.default_rng(11)
    pieces = [
        *"+-*/^(),.0123456789 ",
        "**",
        "x1",
        "x2",
        "r",
        "pi",
        *FUNCTIONS,
        "__",
        "[",
        "]",
        "'",
        "\n",
        "é",
        "lambda",
    ]
    parsed = refused = 0
    for _ in range(20_000):
        text = "".join(rng.choice(pieces, size=rng.integers(0, 12)))
        try:
            program = parse(text, ("x1", "x2", "r"))
        except ValueError as error:
            refused += "column" in str(error)
        else:
            parsed += 1
            assert program
    assert parsed + refused == 20_000
    assert 100 < parsed < 19_000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the end"),
        ("2x1", "'x1', column 2"),
        ("x1 x2", "'x2', column 4"),
        ("x3 + 1", "'x3', column 1"),
        ("cso(x1)", "did you mean 'cos'"),
        ("sin x1", "expected '(' after sin"),
        ("sin()", "column 5"),
        ("sin(x1, x2)", "one argument"),
        ("max(x1)", "two arguments or more"),
        ("(x1", "expected ')'"),
        ("x1)", "expected an operator at ')'"),
        ("1/0", "not a finite number at '/'"),
        ("log(0) + x1", "not a finite number at 'log'"),
        ("10^400", "not a finite number"),
        ("1e999", "not a finite number"),
        ("(0 - 8)^(1/3)", "not a finite number"),
        ("__import__('os').system('ls')", "unexpected character"),
        ("x1.__class__", "unexpected character '.'"),
        ("x1 if x1 else x2", "expected an operator at 'if'"),
        ("x1[0]", "unexpected character '['"),
        ("lambda: 1", "unexpected character"),
        ("(" * 1000 + "x1" + ")" * 990, f"nested more than {DEEPEST} deep"),
        ("2^" * 900 + "2", f"nested more than {DEEPEST} deep"),
        ("-" * 1990 + "x", "unknown name"),
        ("x1+" * LONGEST, "more than an expression's"),
        ("²", "unexpected character"),
        ("x1\x00", "unexpected character"),
    ],
)
def test_refusals_name_the_place(text, says):
    with pytest.raises(ValueError, match=r"column|characters") as refusal:
        PointExpression(text, 2)
    assert says in str(refusal.value)
    assert len(str(refusal.value)) < 300


def test_a_number_is_no_text():
    with pytest.raises(TypeError, match="expected an arithmetic expression, got 3"):
        Expression(3, ["x1"])


def test_the_longest_and_the_deepest_evaluate():
    long = PointExpression("+".join(["x1"] * 600), 2)
    deep = PointExpression("(" * (DEEPEST - 1) + "x1" + ")" * (DEEPEST - 1), 2)
    x = np.ones((1, 2))
    np.testing.assert_allclose(pointwise.gradients(long, x), [[600.0, 0.0]])
    np.testing.assert_allclose(pointwise.gradients(deep, x), [[1.0, 0.0]])


def test_derivatives_at_negative_numbers_and_at_the_origin():
    x = np.array([[-1.5, 0.0], [0.0, 0.0]])
    cubic = PointExpression("x1^3 + x1*x2", 2)
    np.testing.assert_allclose(pointwise.gradients(cubic, x), [[6.75, -1.5], [0.0, 0.0]])
    radial = PointExpression("r^2/2 + r^4", 2)
    np.testing.assert_allclose(pointwise.hessians(radial, x)[1], np.eye(2), atol=1e-14)
    cone = PointExpression("r", 2)
    np.testing.assert_allclose(pointwise.gradients(cone, x), [[-1.0, 0.0], [0.0, 0.0]])
    assert pointwise.values(PointExpression("log(r)", 2, "z"), np.zeros((1, 2))) == -np.inf


def test_same_program_same_function():
    one, same, other = (PointExpression(text, 2) for text in ("x1 ^2+ 3", "x1**2+(1+2)", "x1^2+4"))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != PointExpression("x1^2+3", 3)
    assert repr(one) == "x1 ^2+ 3"


def test_the_points_keep_their_precision():
    V = PointExpression("2", 1)
    assert V(jnp.zeros(1, dtype=jnp.float32)).dtype == jnp.float32
    assert PointExpression("x^2 + sqrt(2)", 1)(jnp.ones(1, dtype=jnp.float32)).dtype == jnp.float32


def test_as_potential_kernel_and_internal_energy():
    assert repr(fn.Potential(PointExpression("x1^2/2", 1))) == "Potential(x1^2/2)"
    U = fn.InternalEnergy(Expression("s^2", ["s"]))
    np.testing.assert_allclose(U.conjugate(np.array([1.0, 3.0])), [0.25, 2.25], rtol=1e-12)
    k = PointExpression("exp(-r^2) + x1*y1", 1, "xy")
    assert float(k(jnp.array([1.0]), jnp.array([3.0]))) == pytest.approx(math.exp(-4) + 3.0, rel=1e-6)
