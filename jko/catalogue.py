"""What is known of every functional of the registry: its page, its engines, and the matrix of both."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax.numpy as jnp
import numpy as np

import functionals as fn
from functionals import Functional
from jko.measures import Density, Gaussian, Grid, Measure, Particles
from jko.scheme import Scheme, Wrapper

_ROOMS = ("steps", "limits", "descent")
_CELLS = 24  # of the grid on which engines are asked: they refuse by what F is, not by its size


@dataclass(frozen=True)
class Answer:
    """What an engine says to a functional: whether it `runs`, and if not, why, in its own sentence."""

    engine: str
    runs: bool
    reason: str = ""


def example(name: str) -> Functional:
    """The functional that stands for a registered name: its `example`, evaluated."""
    import jko

    code = fn.lookup(name).example
    if not code:
        raise ValueError(
            f"{name}: {fn.lookup(name).__name__} has no `example`: give the class one, on the line"
        )
    return eval(code, {"fn": fn, "jko": jko, "jnp": jnp, "np": np})  # our own text, one line a class


@cache
def names() -> tuple[str, ...]:
    """All registered names, those of rooms that are loaded when asked for as well."""
    from jko.transport import SquaredDistance

    return tuple(sorted({*fn.available(), SquaredDistance.name}))


def engines() -> dict[str, Scheme]:
    """The schemes that need no setting, with their defaults, by name: those that move one measure."""
    import jko.descent
    import jko.limits
    import jko.steps

    found = {}
    for name, cls in sorted(Scheme.known.items()):
        if cls.__module__.split(".")[:1] != ["jko"] or name.split(".")[0] not in _ROOMS:
            continue
        needed = [p for p in inspect.signature(cls).parameters.values() if p.default is p.empty]
        if not needed and not issubclass(cls, Wrapper) and _start(cls) is not None:
            found[name] = cls()
    return found


@cache
def _start(cls: type[Scheme]) -> Measure | None:
    """A measure on the line that a scheme moves, None where it moves others."""
    law = Gaussian.of(0.2, 0.8, dimension=1)
    known: tuple[Any, ...] = (law.on(Grid.uniform(-3.0, 3.0, _CELLS)), law.sample(_CELLS, seed=0), law)
    return next((mu for mu in known if isinstance(mu, cls.measures or (Density, Particles))), None)


def asked(scheme: Scheme, F: Functional) -> Answer:
    """What a scheme's own `prepare` says to F on the line."""
    name = scheme.scheme_name()
    try:
        scheme.prepare(F, _start(type(scheme)))
    except (TypeError, ValueError) as refusal:
        return Answer(name, False, " ".join(str(refusal).split()))
    return Answer(name, True)


def answers(name: str) -> list[Answer]:
    """What every engine says to a registered functional's example."""
    F = example(name)
    return [asked(scheme, F) for scheme in engines().values()]


def page(name: str) -> str:
    """All that is known of a registered functional, in Markdown."""
    cls, F = fn.lookup(name), example(name)
    moduli = [F.displacement_modulus(d) for d in (1, 2, 3)]
    shown = ", ".join("none known" if m is None else f"{m:g}" for m in moduli)
    convex = {True: "yes", False: "no", None: "not known"}[F.linearly_convex]
    said = answers(name)
    runs = ", ".join(f"`{a.engine}`" for a in said if a.runs)
    refused = [f"- `{a.engine}`: {a.reason}" for a in said if not a.runs]
    return "\n".join(
        [
            f"## {name}",
            "",
            inspect.getdoc(cls) or "",
            "",
            f"- example: `{cls.example}`",
            f"- convex along mixtures: {convex}",
            f"- λ along geodesics in d = 1, 2, 3: {shown}",
            f"- engines that take the example: {runs or 'none'}",
            "",
            "Refused by:",
            "",
            *(refused or ["- none"]),
            "",
        ]
    )


def matrix() -> str:
    """Functional × engine on a box of the line, balanced, in Markdown: ● runs, · refuses."""
    rows = list(engines())
    heads = [name.split(".")[1] for name in rows]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(rows) + 1) + "|"]
    for name in names():
        marks = ["●" if a.runs else "·" for a in answers(name)]
        lines.append(f"| {name} | " + " | ".join(marks) + " |")
    return "\n".join(lines)


def document() -> str:
    """The page of all functionals, as the documentation prints it."""
    head = [
        "# All functionals",
        "",
        "Generated from each functional's own facts, and from what each engine's `prepare` says to its example on a",
        "box of the line: ● runs, as a test that takes a step of each shows, · refuses, in the sentence below.",
        "",
        matrix(),
        "",
    ]
    return "\n".join([*head, *(page(name).replace("|", "\\|") for name in names())])
