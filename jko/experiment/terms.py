"""The functional of an experiment: one table [[functional]] a term, added up."""

from __future__ import annotations

import inspect
import re

import numpy as np

import functionals as fn
from functionals.expression import Expression, PointExpression
from jko.experiment.expressions import expression, require_numbers, require_symmetric
from jko.experiment.files import Files, gridded_values
from jko.experiment.table import Table, counted, nearest, prefixed, show
from jko.measures import Gaussian, Grid

_COMMON = ("name", "weight")
_OF_SPECIES = ("species", "between", "total", "moves")
_GRIDDED = ("file", "sample", "key", "lower", "upper", "crop", "rows_down", "coarsen", "normalise", "scale")
_TARGET = ("mean", "std", "covariance", "V", "log_density")
_DENSITIES = np.geomspace(1e-6, 1e3, 91)  # densities at which U″ ≥ 0 is tried, ten a decade
_PLAIN_NAME = re.compile(r"[A-Za-z_]\w*")


def functional(
    tables: list[Table], dimension: int, grid: Grid | None, files: Files, species: tuple[str, ...] = ()
) -> fn.Functional:
    """Σ weight × term, of the species that each term names; every refusal names the key."""
    total: fn.Functional | int = 0
    own: dict = dict.fromkeys(species, 0)
    for table in tables:
        speaks = Table({k: v for k, v in table.entries.items() if k in _OF_SPECIES}, table.path)
        table = Table({k: v for k, v in table.entries.items() if k not in _OF_SPECIES}, table.path)
        build = _BUILDERS.get(table.choice("name", fn.available()), _from_signature)
        weight = table.positive("weight", 1.0)
        with prefixed(table.path):
            term = build(table, dimension, grid, files)
            if species or speaks.entries:
                term = _of_species(term, speaks, species)
        term = term if weight == 1.0 else weight * term
        if "moves" in speaks:
            name = speaks.choice("moves", species)
            own[name] = own[name] + term
        else:
            total = total + term
    own = {name: F for name, F in own.items() if isinstance(F, fn.Functional)}
    return total + fn.each(**own) if own else total


def _of_species(term: fn.Functional, speaks: Table, species: tuple[str, ...]) -> fn.Functional:
    """The term as one of the species that the table names."""
    if not species:
        key = next(iter(speaks.entries))
        speaks.refuse(key, "there are no species: write tables [species.NAME] in place of [initial]")
    key = speaks.exactly_one(("species", "between", "total"))
    if key == "species":
        return fn.on(speaks.choice("species", species), term)
    if key == "between":
        pair = speaks.value("between")
        if not isinstance(pair, list) or len(pair) != 2 or any(name not in species for name in pair):
            speaks.refuse("between", f"expected two of the species {', '.join(species)}, got {show(pair)}")
        if not isinstance(term, fn.Interaction):
            speaks.refuse("between", 'only an "interaction" acts between two species')
        return fn.Cross(term, *pair)
    if not speaks.flag("total"):
        speaks.refuse("total", "expected true; leave it out and name a species otherwise")
    if isinstance(term, fn.Cap):
        return fn.TotalCap(term.cap)
    return fn.TotalInternal(term)


def _potential(table: Table, dimension: int, grid: Grid, files: Files):
    source = table.exactly_one(("potential", "file", "sample"))
    if source != "potential":
        return _gridded(table, dimension, grid, files)
    return _named_or_expression(
        table, dimension, "x", "potential", fn.NAMED_POTENTIALS, fn.Potential, ("modulus",), grid
    )


def _gridded(table, dimension: int, grid: Grid, files):
    table.allow((*_COMMON, *_GRIDDED, "modulus"), " of gridded data")
    if grid is None and not ("lower" in table and "upper" in table):
        table.refuse("lower", "missing; without a grid the data need their box, lower and upper")
    box = [
        table.numbers(side, None if grid is None else list(getattr(grid, side)))
        for side in ("lower", "upper")
    ]
    for side, corner in zip(("lower", "upper"), box, strict=True):
        if np.size(corner) not in (1, dimension):
            table.refuse(side, f"expected {counted(dimension)}, got {show(corner)}")
    values = gridded_values(table, files, dimension)
    return fn.Potential.gridded(values, *box, modulus=_number(table, "modulus"))


def _interaction(table, dimension: int, grid: Grid, files):
    general = table.flag("general", False)
    facts = ("modulus", "linearly_convex", "general")
    letters = "xy" if general else "z"
    named = {} if general else fn.NAMED_KERNELS
    return _named_or_expression(table, dimension, letters, "kernel", named, fn.Interaction, facts)


def _named_or_expression(
    table: Table,
    dimension: int,
    letters: str,
    key: str,
    named: dict,
    create,
    facts: tuple,
    grid: Grid | None = None,
):
    """A function by its name with parameters, or by an expression with its declared facts."""
    text = table.text(key)
    variables = (
        *[f"{letter}{axis + 1}" for letter in letters for axis in range(dimension)],
        *letters,
        "r",
        "t",
    )
    if _PLAIN_NAME.fullmatch(text) and text not in variables:
        if text not in named:
            table.refuse(
                key,
                f"unknown {key} {text!r}; {nearest(text, named)}, or an expression in {', '.join(variables)}",
            )
        known = list(inspect.signature(named[text]).parameters)
        table.allow((*_COMMON, key, *known), f" of the {key} {text!r}")
        parameters = {name: table.numbers(name) for name in known if name in table}
        for name, value in parameters.items():
            if isinstance(value, list) and any(length != dimension for length in np.shape(value)):
                table.refuse(name, f"expected {counted(dimension)} an axis, got {show(value)}")
        return create(text, **parameters)
    table.allow((*_COMMON, key, *facts), " beside an expression")
    function = expression(table, key, dimension, letters, time=True)
    if key == "kernel":
        require_symmetric(table, function, dimension)
    elif grid is not None:
        require_numbers(table, key, function, grid)
    declared = {"modulus": _number(table, "modulus")}
    declared |= {fact: table.flag(fact) for fact in facts if fact != "modulus" and fact in table}
    return create(function, **declared)


def _internal(table, dimension: int, grid: Grid, files):
    table.allow((*_COMMON, "U", "displacement_convex"))
    with prefixed(table.at("U")):
        U = Expression(table.value("U"), ["s"])
    energy = fn.InternalEnergy(U, displacement_convex=table.flag("displacement_convex", None))
    curvature = energy.second_derivative(_DENSITIES)
    if not np.all(curvature >= 0.0):
        s = _DENSITIES[np.argmin(np.nan_to_num(curvature, nan=-np.inf))]
        table.refuse("U", f"must be convex, U'' is negative or no number at s = {s:.3g}")
    return energy


def _cap(table, dimension: int, grid: Grid, files):
    table.allow((*_COMMON, "cap"))
    if isinstance(table.value("cap"), str):
        cap = expression(table, "cap", dimension, "x")
        if grid is not None and not fn.Cap(cap).values(grid.points).min() > 0:
            table.refuse("cap", "must be positive on the whole grid")
        return fn.Cap(cap)
    return fn.Cap(table.positive("cap"))


def _kl(table, dimension: int, grid: Grid, files):
    table.allow((*_COMMON, *_TARGET))
    return fn.KL(_target(table, dimension))


def _reward(table, dimension: int, grid: Grid, files):
    table.allow((*_COMMON, *_TARGET, "reward", "strength", "modulus"))
    reward = expression(table, "reward", dimension, "x", time=True)
    strength, modulus = table.positive("strength", 1.0), _number(table, "modulus")
    return fn.Reward(reward, _target(table, dimension), strength, modulus=modulus)


def _mmd(table, dimension: int, grid: Grid, files):
    kernel = table.choice("kernel", tuple(fn.NAMED_KERNELS)) if "kernel" in table else "gaussian"
    known = list(inspect.signature(fn.NAMED_KERNELS[kernel]).parameters)
    table.allow((*_COMMON, "mean", "std", "covariance", "kernel", *known), f" of the kernel {kernel!r}")
    parameters = {name: _number(table, name) for name in known if name in table}
    with prefixed(table.path):
        return fn.MMD(gaussian(table, dimension), kernel, **parameters)


def _target(table, dimension: int):
    """A Gaussian, or log π as an expression."""
    source = table.exactly_one(("mean", "V", "log_density"))
    if source == "mean":
        return gaussian(table, dimension)
    written = expression(table, source, dimension, "x", time=True)
    return written if source == "log_density" else PointExpression(f"-({written.text})", dimension, time=True)


def gaussian(table: Table, dimension: int | None) -> Gaussian:
    """N(mean, std²) or N(mean, covariance) of a table."""
    spread = table.exactly_one(("std", "covariance"))
    with prefixed(table.path):
        return Gaussian.of(table.numbers("mean"), dimension=dimension, **{spread: table.numbers(spread)})


def _from_signature(table: Table, dimension: int, grid: Grid, files: Files):
    """Any other functional of the registry, its parameters taken as they stand."""
    name = table.text("name")
    parameters = inspect.signature(fn.lookup(name)).parameters
    ours = fn.lookup(name).__module__.partition(".")[0] in ("functionals", "jko")
    for key, parameter in parameters.items():
        if ours and (key == "target" or "Callable" in str(parameter.annotation)):
            table.refuse("name", f"{name!r} takes a {key} that no file can hold: write this run in Python")
    table.allow((*_COMMON, *parameters), f" of {name!r}")
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in table:
            table.refuse(key, "missing")
    read = {
        key: table.numbers if "float" in str(parameters[key].annotation) else table.value
        for key in parameters
    }
    return fn.create(name, **{key: read[key](key) for key in parameters if key in table})


def _number(table: Table, key: str):
    value = table.numbers(key, None)
    if isinstance(value, list):
        table.refuse(key, f"expected one number, got {show(value)}")
    return value


_BUILDERS = {
    "potential": _potential,
    "interaction": _interaction,
    "internal": _internal,
    "cap": _cap,
    "kl": _kl,
    "mmd": _mmd,
    "reward": _reward,
}
