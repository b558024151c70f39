"""Thresholds have a name, a value and a reason: fields of a room's `Tolerances`, or few private constants."""

import ast
import dataclasses
import functools
import tokenize
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted([*ROOT.glob("functionals/**/*.py"), *ROOT.glob("jko/**/*.py")])
ROOMS = [path for path in FILES if path.name == "tolerances.py"]
MOST_CONSTANTS = 120
FEWEST_WORDS = 3  # of a reason

# what a value may be made of that is a number, or a few of them, and no function, type or text
PARTS = (
    ast.Constant,
    ast.UnaryOp,
    ast.BinOp,
    ast.Tuple,
    ast.Dict,
    ast.Attribute,
    ast.Name,
    ast.Call,
    ast.operator,
    ast.unaryop,
    ast.expr_context,
)


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def module_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def comments_of(path) -> dict:
    """The text of each comment by its line, and whether it stands alone there."""
    with path.open("rb") as source:
        return {
            token.start[0]: (token.string.lstrip("# "), token.line.lstrip().startswith("#"))
            for token in tokenize.tokenize(source.readline)
            if token.type == tokenize.COMMENT
        }


def is_number(constant) -> bool:
    value = constant.value if isinstance(constant, ast.Constant) else None
    return isinstance(value, int | float) and not isinstance(value, bool)


@functools.cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def private_constants(path):
    """(name, statement) of every private name that a module gives a number, a tuple or a table of them."""
    for statement in tree_of(path).body:
        if isinstance(statement, ast.Assign):
            parts = list(ast.walk(statement.value))
            names = [n.id for t in statement.targets for n in ast.walk(t) if isinstance(n, ast.Name)]
            numeric = all(isinstance(part, PARTS) for part in parts) and any(map(is_number, parts))
            if numeric and names and names[0].startswith("_") and not names[0].startswith("__"):
                yield from ((name, statement) for name in names)


def reason_of(statement, comments) -> str:
    """The comment at a statement, or the one on the line above it."""
    above = comments.get(statement.lineno - 1, ("", False))
    beside = [
        comments[line][0] for line in range(statement.lineno, statement.end_lineno + 1) if line in comments
    ]
    return beside[-1] if beside else above[0] if above[1] else ""


@pytest.fixture(scope="module")
def fields_read():
    """(module, field) of every threshold that is read, by the name under which its instance is imported."""
    return set(_fields_read())


def _fields_read():
    for path in FILES:
        if "tolerances import" not in path.read_text(encoding="utf-8"):
            continue
        tree = tree_of(path)
        known = {
            alias.asname or alias.name: node.module
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").endswith(".tolerances")
            for alias in node.names
        }
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in known
            ):
                yield known[node.value.id], node.attr


@pytest.mark.slow
def test_few_thresholds_are_private_constants():
    found = [f"{name_of(path)}: {name}" for path in FILES for name, _ in private_constants(path)]
    assert len(found) <= MOST_CONSTANTS, "thresholds belong in their room's Tolerances:\n" + "\n".join(found)


def test_no_private_constant_is_without_a_reason():
    bare = []
    for path in FILES:
        constants = list(private_constants(path))
        comments = comments_of(path) if constants else {}
        bare += [
            f"{name_of(path)}: {name}"
            for name, statement in constants
            if len(reason_of(statement, comments).split()) < FEWEST_WORDS
        ]
    assert not bare, "say beside each what it is a fraction or a multiple of, and why so much:\n" + "\n".join(
        bare
    )


@pytest.mark.parametrize("path", ROOMS, ids=name_of)
def test_every_tolerance_has_a_reason_and_is_read(path, fields_read):
    comments = comments_of(path)
    (owner,) = (n for n in tree_of(path).body if isinstance(n, ast.ClassDef))
    fields = [node for node in owner.body if isinstance(node, ast.AnnAssign)]
    bare = [
        node.target.id
        for node in fields
        if len(comments.get(node.end_lineno, ("", True))[0].split()) < FEWEST_WORDS
        or comments[node.end_lineno][1]
    ]
    assert not bare, f"{name_of(path)}: no reason beside {bare}"
    names = {node.target.id for node in fields}
    unread = names - {name for module, name in fields_read if module == module_of(path)}
    assert not unread, f"{name_of(path)}: nothing reads {sorted(unread)}"


@pytest.mark.parametrize("path", ROOMS, ids=name_of)
def test_tolerances_are_data(path):
    module = import_module(module_of(path))
    assert module.Tolerances() == module.TOLERANCES
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(module.TOLERANCES, dataclasses.fields(module.Tolerances)[0].name, 0.0)
