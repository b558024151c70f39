"""Which JKO step: chosen by the functional's parts, the measure and its support, with the reason on
record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from functionals import Functional
from jko import measures
from jko.errors import UnsupportedFunctional
from jko.measures import Density, Measure
from jko.records import joined
from jko.scheme import Problem, Scheme, State, Wrapper
from jko.steps.back_and_forth import BackAndForth
from jko.steps.cvxpy import Cvxpy
from jko.steps.entropic import Entropic
from jko.steps.gaussian import Gaussian
from jko.steps.monge_ampere import MongeAmpere
from jko.steps.primal_dual import PrimalDual
from jko.steps.quantile import Quantile
from jko.steps.tolerances import TOLERANCES


@dataclass(frozen=True)
class Chosen(Wrapper):
    """A scheme that `auto` chose, and why; the reason stands in the note of the first step's record."""

    scheme: Scheme
    reason: str

    first: ClassVar = {"told": False}

    def step(self, problem: Problem, mu: Measure, t: float, tau: float, state: State):
        new, inner, info = self.scheme.step(problem, mu, t, tau, self.inner(state))
        if not state["told"]:
            name = self.scheme.scheme_name()
            told = {**info.details, "chosen": name}
            info = replace(info, note=joined(f"{name}: {self.reason}", info.note), details=told)
        return new, state.having(told=True, inner=inner), info

    def space_of_steps(self, problem: Problem, mu: Measure):
        return self.scheme.space_of_steps(problem, mu)


def auto(F: Functional, mu: Measure) -> Chosen:
    """The JKO step for this functional from this measure, with `.scheme` and the `.reason`.

    Gaussians: closed form. Species of one energy: alternating directions, all at once. On the line: Newton
    on quantiles. On grids of more dimensions: Newton on the Monge–Ampère equation for a functional that
    keeps densities positive and one that is, back-and-forth where there is vacuum, alternating directions
    under a cap, entropic scaling where neither internal energy nor cap holds more than 64² cells together.
    What these refuse: a convex program, up to some 64² cells. Choices are made before any step, from the
    measure given; the note of the first step gives the reason.

    Raises TypeError for particles, UnsupportedFunctional where no JKO step takes the functional.
    """
    if isinstance(mu, measures.Gaussian):
        Gaussian().prepare(F, mu)
        return Chosen(Gaussian(), "the entropy and quadratic energies move a Gaussian in closed form")
    if isinstance(mu, measures.Species):
        PrimalDual().prepare(F, mu)
        return Chosen(PrimalDual(), "species of one energy on one grid: all of them in one step")
    if isinstance(mu, measures.CellDensity) and not mu.grid.is_uniform:
        Quantile().prepare(F, mu)
        return Chosen(Quantile(), "edges of one's own: Newton's method on them")
    if not isinstance(mu, measures.Density):
        raise TypeError(
            f"mu: steps.auto chooses for a Density or a Gaussian, got {type(mu).__name__}; "
            "particles move by jko.descent, or put them on a grid with Density.histogram"
        )
    refusals = []
    for scheme, reason in _candidates(F, mu):
        try:
            scheme.prepare(F, mu)
        except UnsupportedFunctional as refusal:
            refusals.append(str(refusal))
        else:
            return Chosen(scheme, reason)
    return _by_convex_program(F, mu, refusals)


def _candidates(F: Functional, mu: Density):
    """What may be tried, best first, with the reason."""
    size = "×".join(map(str, mu.grid.cells))
    if mu.grid.is_room:
        yield PrimalDual(), f"a room of {int(mu.grid.inside.sum())} cells: flows through faces, round walls"
        return
    if mu.dimension == 1 and not mu.grid.is_periodic:
        yield Quantile(), f"a density on the line, {size} cells: Newton's method on the edges, exact and fast"
    if F.parts.internal_energy is not None and not F.parts.constraints:
        empty = int(np.sum(mu.values <= 0.0))
        if not F.parts.internal_energy.fills:
            why = "the internal energy allows vacuum"
        elif empty:
            why = f"the density has vacuum, {empty} of {size} cells"
        else:
            yield MongeAmpere(), f"positive on all {size} cells and kept so by the internal energy"
            why = f"{size} cells"
        yield BackAndForth(), f"{why}: ascent of the dual, robust at fronts"
    elif F.parts.constraints:
        yield PrimalDual(), f"a cap on {size} cells: flows through faces, where no front locks"
    elif mu.grid.is_periodic:
        yield Entropic(), "the grid is periodic, and no internal energy holds cells together: scaling"
    elif mu.grid.size > TOLERANCES.few_cells:
        yield Entropic(), f"no internal energy nor cap on {size} cells, many for a convex program: scaling"


def _by_convex_program(F: Functional, mu: Measure, refusals):
    scheme = Cvxpy()
    scheme.check(F, mu)
    why = f"no faster step takes it ({refusals[-1]})" if refusals else "no internal energy nor cap"
    if mu.grid.size > TOLERANCES.few_cells and mu.dimension > 1:
        why += (
            f"; {mu.grid.size} cells are many for a convex program, so take fewer than "
            f"{TOLERANCES.few_cells} if it is slow"
        )
    return Chosen(scheme, why)
