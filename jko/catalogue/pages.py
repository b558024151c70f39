"""What is known of every functional, as Markdown: its page, and the matrix with its refusals."""

from __future__ import annotations

import inspect
from collections import defaultdict
from dataclasses import dataclass
from itertools import product

from functionals import Functional
from jko.catalogue import matrix
from jko.catalogue.cells import DIMENSIONS, OWN_METRIC, Balance, Cell, Place
from jko.catalogue.matrix import Outcome, Verdict, key
from jko.catalogue.registry import engine_classes, example, functional_class, names
from jko.scheme import Scheme

_COMMON = 3  # functionals that an engine refuses in the same words: it is the place that it refuses


@dataclass(frozen=True)
class Answer:
    """What an engine says to a functional: whether it `runs`, and if not, why, in its own sentence."""

    engine: str
    runs: bool
    reason: str = ""


def asked(scheme: Scheme, F: Functional) -> Answer:
    """What a scheme's own `prepare` says to F on a box of the line."""
    name = scheme.scheme_name()
    try:
        scheme.prepare(F, Cell("", name, Place.BOX, Balance.KEPT).start())
    except (TypeError, ValueError) as refusal:
        return Answer(name, False, " ".join(str(refusal).split()))
    return Answer(name, True)


def answers(name: str) -> list[Answer]:
    """What every engine says to a registered functional's example."""
    return [asked(cls(), example(name)) for cls in engine_classes().values()]


def facts(name: str) -> list[str]:
    """What a registered functional is and declares, in Markdown."""
    cls, F = functional_class(name), example(name)
    moduli = [F.displacement_modulus(d) for d in (1, 2, 3)]
    shown = ", ".join("none known" if m is None else f"{m:g}" for m in moduli)
    convex = {True: "yes", False: "no", None: "not known"}[F.linearly_convex]
    return [
        f"## {name}",
        "",
        inspect.getdoc(cls) or "",
        "",
        f"- example: `{cls.example}`",
        f"- convex along mixtures: {convex}",
        f"- λ along geodesics in d = 1, 2, 3: {shown}",
    ]


def page(name: str) -> str:
    """All that is known of a registered functional, in Markdown; engines are asked on a box of the line."""
    said = answers(name)
    runs = ", ".join(f"`{a.engine}`" for a in said if a.runs)
    refused = [f"- `{a.engine}`: {a.reason}" for a in said if not a.runs]
    taken = f"- engines that take the example: {runs or 'none'}"
    return "\n".join([*facts(name), taken, "", "Refused by:", "", *(refused or ["- none"]), ""])


def table(place: Place, dimension: int, outcomes: dict[str, Outcome]) -> str:
    """Functional × engine in a place, in Markdown, two marks each: balanced, Hellinger–Kantorovich."""
    known = {(c.engine, c.dimension): None for c in matrix.cells()}
    engines = [engine for engine, d in known if d == dimension]
    lines = ["| | " + " | ".join(name.split(".")[1] for name in engines) + " |"]
    lines.append("|---" * (len(engines) + 1) + "|")
    for name in names():
        cells = [[Cell(name, engine, place, b, dimension) for b in Balance] for engine in engines]
        marks = ["".join(outcomes[key(cell)].verdict for cell in pair) for pair in cells]
        lines.append(f"| {name} | " + " | ".join(marks) + " |")
    return "\n".join(lines)


Refusals = dict[str, dict[str, list[Cell]]]  # cells by engine and sentence


def refusals(outcomes: dict[str, Outcome]) -> tuple[Refusals, dict[str, Refusals]]:
    """The refusals that several functionals share, and those of each functional."""
    found: Refusals = defaultdict(lambda: defaultdict(list))
    for cell in matrix.cells():
        if outcomes[key(cell)].verdict is Verdict.REFUSES:
            found[cell.engine][outcomes[key(cell)].said].append(cell)
    common: Refusals = defaultdict(dict)
    own: dict[str, Refusals] = {name: defaultdict(lambda: defaultdict(list)) for name in names()}
    for engine, sentences in found.items():
        for sentence, cells in sentences.items():
            if len({cell.functional for cell in cells}) >= _COMMON:
                common[engine][sentence] = cells
                continue
            for cell in cells:
                own[cell.functional][engine][sentence].append(cell)
    return common, own


def _listed(refused: Refusals) -> list[str]:
    return [
        f"- `{engine}`, {_where(cells)}: {sentence}"
        for engine, sentences in refused.items()
        for sentence, cells in sentences.items()
    ]


def _where(cells: list[Cell]) -> str:
    """The places, balances and dimensions of cells, in words."""
    told = {d: _places({(c.place, c.balance) for c in cells if c.dimension == d}) for d in DIMENSIONS}
    if len(set(told.values())) == 1:
        return told[DIMENSIONS[0]]
    return "; ".join(f"{where} {_where_is(d)}" for d, where in told.items() if where)


def _where_is(dimension: int) -> str:
    return "on the line" if dimension == 1 else "in the plane"


def _places(pairs: set[tuple[Place, Balance]]) -> str:
    told = []
    for place in Place:
        here = [b for b in Balance if (place, b) in pairs]
        told += [f"{place}" if len(here) == len(Balance) else f"{place} {here[0]}"] if here else []
    return "everywhere" if len(pairs) == len(Place) * len(Balance) else ", ".join(told)


def document(outcomes: dict[str, Outcome]) -> str:
    """The page of all functionals, as the documentation prints it, from the outcomes of the matrix."""
    common, own = refusals(outcomes)
    head = [_HEAD]
    for d, place in product(DIMENSIONS, Place):
        head.append(f"## A {place} {_where_is(d)}\n\n{table(place, d, outcomes)}\n")
    head += ["## What engines refuse of several functionals", "", *_listed(common), ""]
    pages = ["\n".join([*facts(name), "", *_refused(own[name]), ""]) for name in names()]
    return "\n".join([*head, *(text.replace("|", "\\|") for text in pages)])


def _refused(own: Refusals) -> list[str]:
    return ["Refused by:", "", *_listed(own)] if own else []


_own_metrics = " and ".join(f"`{engine}`, which {what}" for engine, what in OWN_METRIC.items())
_HEAD = f"""# All functionals

Generated by `docs/make_functionals.py` from each functional's own facts and from `docs/matrix.json`, which
`docs/make_matrix.py` makes by running every functional's example through every engine on the line and in the
plane, in three places, balanced and with mass that changes down the same functional (Hellinger–Kantorovich,
δ = 1). ● the step passes all of the following, · it is refused in a
sentence below, and there is no third outcome; ○ stands for
{_own_metrics}, so that of the four only mass is asked.

- **Mass** is kept, or is what was before, made and left, to 1e-9.
- **F decays**, but where it is estimated from a cloud with noise.
- **First variation**: $\\frac{{d}}{{dt}}\\int\\varphi\\,d\\rho
  =-\\int\\nabla\\varphi\\cdot\\nabla\\xi\\,d\\rho-\\int\\varphi\\,\\xi\\,d\\rho/\\delta^2$ for cosines φ,
  within 15 % of the largest rate that Cauchy and Schwarz allow, five standard deviations of the noise, and
  what the gap of the step leaves open.
- **Agreement**: densities end within 15 % of the step, in the plane 20 %, of where `limits.FiniteVolume`
  takes them, or `steps.Cvxpy` where that refuses, and the gaps of both, $\\sqrt{{2\\tau\\,\\mathrm{{gap}}}}$;
  the rates of clouds are within as much of those of that density, and the noise.

A step moves mass by 4/5 of a cell in the root mean square, or a part of that where it misses a law by its own
length, on 96 cells of a length of 6, or 32 × 32 of its square, one density for all. The room is that box with
walls that leave two parts, in the plane one of them with a corner cut off. Clouds and Gaussians have all of
space for a box. Engines have their default settings;
`steps.HellingerKantorovich` splits where they take no mass that changes.
"""
