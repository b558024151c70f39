"""What is known by name: functionals, potentials, kernels, schemes."""

from __future__ import annotations

import dataclasses
import inspect

import functionals as fn
from jko.catalogue import example, names
from jko.experiment import available_schemes
from jko.experiment.table import ExperimentError, nearest
from jko.scheme import Wrapper

_KEYS = {
    "cap": "cap (a number, or an expression in x1, x2, …)",
    "interaction": "kernel (a name with its parameters, or an expression in z1, …, r)",
    "internal": "U (an expression in s)",
    "kl": "mean and std or covariance, or V, or log_density (expressions in x1, x2, …)",
    "mmd": "mean and std or covariance, and kernel, a positive definite name with its parameters",
    "reward": "reward (an expression in x1, x2, …), strength, and the reference as for kl",
    "potential": "potential (a name with its parameters, or an expression in x1, …, r), or file, or sample",
}


def functionals(options) -> None:
    """jko functionals [NAME]."""
    sections = {
        "Functionals": {name: fn.lookup(name) for name in names()},
        "Potentials": fn.NAMED_POTENTIALS,
        "Kernels": fn.NAMED_KERNELS,
    }
    if options.name is not None:
        return _only(options.name, sections)
    for title, entries in sections.items():
        print(f"{title}\n{'=' * len(title)}")
        for name, entry in entries.items():
            print(f"{name}{_signature(entry)}\n    {_first_line(entry)}")
            for line in _facts(title, name, entry):
                print(f"    {line}")
        print()
    print("jko functionals NAME says all that is known of one.")


def schemes(options) -> None:
    """jko schemes [NAME]."""
    known = available_schemes()
    if options.name is not None:
        return _only(
            options.name, {"Schemes": known | {name.split(".")[-1]: cls for name, cls in known.items()}}
        )
    for name, cls in known.items():
        wraps = issubclass(cls, Wrapper)
        any_measure = "what its scheme moves" if wraps else "any measure"
        moves = " or ".join(measure.__name__ for measure in cls.measures) or any_measure
        order = cls.order if isinstance(cls.order, int) else "of its scheme"
        print(f"{name}: moves {moves}, order {order} in tau\n    {_first_line(cls)}")
        takes = "what its scheme takes, a table [runs.NAME.step]" if wraps else ", ".join(sorted(cls.takes))
        print(f"    takes: {takes or 'functionals of species'}")
        fields = [f for f in dataclasses.fields(cls) if not (wraps and f.name == "scheme")]
        print(f"    settings: {', '.join(f'{f.name} = {_default(f)}' for f in fields) or 'none'}")
    print("\njko schemes NAME says all that is known of one.")


def _only(name: str, sections: dict):
    found = [entries[name] for entries in sections.values() if name in entries]
    if not found:
        known = [known for entries in sections.values() for known in entries]
        raise ExperimentError(f"NAME: {name!r} is not known; {nearest(name, known)}")
    for title, entries in sections.items():
        if name in entries and title == "Functionals":
            from jko import catalogue

            print(f"{name}{_signature(entries[name])}\n")
            print(catalogue.page(name))
            print("\n".join(_facts(title, name, entries[name])[1:]))
        elif name in entries:
            print(f"{name}{_signature(entries[name])}\n\n{inspect.getdoc(entries[name])}\n")
            for line in _facts(title, name, entries[name]):
                print(line)


def _facts(title: str, name: str, entry) -> list[str]:
    if title == "Potentials":
        return [f"lambda = {entry()[1]:g} as it stands"]
    if title == "Kernels":
        kernel = entry()
        return [f"linearly convex: {_fact(kernel.linearly_convex)}; lambda: {_modulus(kernel.modulus)}"]
    if title == "Schemes":
        return []
    keys = [f"keys: {_KEYS[name]}"] if name in _KEYS else []
    return [f"linearly convex: {_fact(entry.linearly_convex)}; lambda: {_declared(name, entry)}", *keys]


def _declared(name: str, cls) -> str:
    """λ of displacement convexity in d = 1, 2, 3, of the functional or of an example of it."""
    if name == "kl":
        return "that of -log of the target"
    F = example(name)
    moduli = [F.displacement_modulus(dimension) for dimension in (1, 2, 3)]
    shown = (
        _modulus(moduli[0]) if len(set(moduli)) == 1 else ", ".join(map(_modulus, moduli)) + " in d = 1, 2, 3"
    )
    return shown if repr(F).endswith("()") else f"{shown} for {F!r}"


def _fact(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "not declared"}[value]


def _modulus(value: float | None) -> str:
    return "none declared" if value is None else f"{value:g}"


def _signature(entry) -> str:
    parameters = inspect.signature(entry).parameters.values()
    return f"({', '.join(str(p.replace(annotation=p.empty)) for p in parameters)})"


def _first_line(entry) -> str:
    """The docstring's first paragraph, as one line."""
    return " ".join((inspect.getdoc(entry) or "").split("\n\n")[0].split())


def _default(field) -> str:
    if field.default is not dataclasses.MISSING:
        return repr(field.default)
    made = field.default_factory
    return "(has to be given)" if made is dataclasses.MISSING else repr(made())
