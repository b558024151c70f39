"""The step of the Hellinger–Kantorovich flow by splitting: transport in turn with birth and death."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from functionals.base import Functional
from jko.errors import positive_number
from jko.measures import Measure
from jko.scheme import Problem, Scheme, State, StepInfo, Wrapper
from jko.steps.fisher_rao import FisherRao


class SplitProblem(Problem):
    """F for the transport, and for the reaction a functional of its own or the same."""

    def __init__(self, transport: Problem, reaction: Problem):
        self.F, self.transport, self.reaction = transport.F, transport, reaction
        self.start = transport.start.having(inner=transport.start, reaction=reaction.start)

    @property
    def depends_on_time(self):
        return self.transport.depends_on_time or self.reaction.depends_on_time

    def at(self, t: float):
        return self.F.at(t)


@dataclass(frozen=True)
class HellingerKantorovich(Wrapper):
    """∂_tρ = ∇·(ρ∇ξ) − ρ η/δ², ξ = δF/δρ, η = δG/δρ, by a step of `scheme` for the transport and one of the
    reaction [GallouetMonsaingeon2017].

    With G = F it is the gradient flow of F in the Hellinger–Kantorovich metric of `length` δ, whose geodesics
    pay |v|² + δ²g² for moving by v and growing at the rate g [LieroMielkeSavare2018]. `reaction_functional`
    is G where transport and reaction have functionals of their own. `reaction` is the scheme of the second
    half: `FisherRao` for densities by default, `descent.BirthDeath` for a `Population`; its length is δ.

    order=1: reaction and then transport, each a step of τ, so that what grew beyond a cap is pushed below it.
    order=2: reaction of τ/2, transport of τ, reaction of τ/2 (Strang), where both schemes have order 2.

    Mass after = mass before + `details["made"]` − `details["left"]`, and `mass_error` is by how much that
    fails, the transport's own error with it. gap, transport_cost and dissipation are the sums of those of the
    parts, each in its own metric and functional: with G = F the dissipation is F(ρ) − F(ρ′) less the costs.
    Raises ValueError for an order that the parts do not have, and for a scheme that keeps something for each
    particle.
    """

    scheme: Scheme
    length: float = 1.0
    order: int = 1
    reaction: Scheme | None = None
    reaction_functional: Functional | None = None

    first: ClassVar = {}
    changes_mass: ClassVar = True

    def __post_init__(self):
        positive_number("length", self.length)
        if self.order not in (1, 2):
            raise ValueError(f"order: expected 1 or 2, got {self.order!r}")
        if isinstance(self.scheme, Scheme) and (self.scheme.changes_mass or not self.scheme.transports):
            raise TypeError(
                f"scheme: expected a transport alone, got {self.scheme!r}, which makes and loses mass "
                "already: take steps.Quantile(), say"
            )
        G = self.reaction_functional
        if G is not None and not isinstance(G, Functional):
            raise TypeError(f"reaction_functional: expected a Functional, got {type(G).__name__}")
        for name, part in (("scheme", self.scheme), ("reaction", self.reacting)):
            if not isinstance(part, Scheme):
                raise TypeError(f"{name}: expected a scheme such as steps.Quantile(), got {part!r}")
            if part.order < self.order:
                raise ValueError(
                    f"order: Strang's splitting has order 2 only where both parts have, got {part!r} of "
                    f"order {part.order}: take steps.SecondOrder({part.scheme_name()}()) or order=1"
                )

    @property
    def reacting(self) -> Scheme:
        """The scheme of the reaction, of length δ."""
        if self.reaction is None:
            return FisherRao(length=self.length, order=self.order)
        if not hasattr(self.reaction, "length"):
            raise TypeError(
                f"reaction: expected steps.FisherRao or descent.BirthDeath, got {self.reaction!r}"
            )
        if self.reaction.length not in (1.0, self.length):
            raise ValueError(
                f"length: {self.length:g} here and {self.reaction.length:g} in {self.reaction!r}: give it "
                "here alone"
            )
        return replace(self.reaction, length=self.length)

    def check(self, F: Functional, mu: Measure) -> None:
        self.require_one(mu)
        self.scheme.check(F, mu)
        self.reacting.check(self.reaction_functional or F, mu)

    def prepare(self, F: Functional, mu: Measure) -> Problem:
        self.check(F, mu)
        transport = self.scheme.prepare(F, mu)
        first, renewed = transport.start, self.scheme.renewed
        kept = [name for name in first if name not in renewed and _one_a_particle(first[name], mu)]
        if kept:
            raise ValueError(
                f"scheme: {self.scheme.scheme_name()} keeps {', '.join(kept)} for each particle, which has "
                "none where particles are born: take descent.Langevin or descent.ForwardEuler"
            )
        return SplitProblem(transport, self.reacting.prepare(self.reaction_functional or F, mu))

    def step(self, problem: Problem, mu: Measure, t: float, tau: float, state: State):
        tau, run = positive_number("tau", tau), _Halves(self, problem, mu, state)
        if self.order == 1:
            run.react(t, tau)
            run.transport(t, tau)
        else:
            run.react(t, 0.5 * tau)
            run.transport(t, tau)
            run.react(t + 0.5 * tau, 0.5 * tau)
        return run.mu, run.state, run.record(mu)

    def moved(self, problem: Problem, mu: Measure, t: float, state: State):
        return problem, state  # every part of a step is told so

    def energy(self, problem: Problem, mu: Measure, t: float, state: State):
        transport, inner = self.scheme.moved(problem.transport, mu, t, self.inner(state))
        return self.scheme.energy(transport, mu, t, inner)


class _Halves:
    """A step under way: where it is, and the records of its parts."""

    def __init__(self, settings, problem: Problem, mu: Measure, state: State):
        self.settings, self.problem, self.mu, self.state = settings, problem, mu, state
        self.moved, self.grown = [], []

    @property
    def failed(self):
        return any(not info.converged for info in self.moved + self.grown)

    def transport(self, t: float, tau: float):
        """A step of the transport from here."""
        if self.failed:
            return
        scheme, settings = self.settings.scheme, self.settings
        problem, inner = scheme.moved(self.problem.transport, self.mu, t, settings.inner(self.state))
        self.mu, inner, info = scheme.step(problem, self.mu, t, tau, inner)
        self.moved.append(info)
        self.state = self.state.having(inner=inner)

    def react(self, t: float, tau: float):
        """A step of the reaction from here."""
        if self.failed:
            return
        scheme = self.settings.reacting
        entry = type(self.state)(self.state["reaction"])
        self.mu, entry, info = scheme.step(self.problem.reaction, self.mu, t, tau, entry)
        self.grown.append(info)
        self.state = self.state.having(reaction=entry)

    def record(self, before: Measure) -> StepInfo:
        """The parts as one: sums, and the balance of mass of the whole."""
        parts = self.moved + self.grown
        made, left = (sum(info.details.get(name, 0.0) for info in self.grown) for name in ("made", "left"))
        details = {k: v for info in parts for k, v in info.details.items() if k not in ("made", "left")}
        named = [("transport", info) for info in self.moved] + [("reaction", info) for info in self.grown]
        notes = dict.fromkeys(f"{name}: {info.note}" for name, info in named if info.note)
        return StepInfo.summed(
            parts,
            mass_error=abs(float(self.mu.mass) - float(before.mass) - made + left),
            min_density=float(self.mu.values.min()) if hasattr(self.mu, "values") else math.nan,
            note="; ".join(notes),
            details={**details, "made": made, "left": left},
        )


def _one_a_particle(value, mu: Measure) -> bool:
    return hasattr(mu, "positions") and np.ndim(value) > 0 and len(value) == len(mu.positions)
