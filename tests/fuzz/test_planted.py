"""Faults that are planted are found: each kind of check can fail, and says nothing of what is right."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.scheme import Wrapper
from jko.steps import BackAndForth, Cvxpy, PrimalDual, Quantile
from tests.fuzz import campaign, checks
from tests.fuzz.problems import Problem as Posed
from tests.fuzz.problems import Trial, Units

GRID = jko.Grid.uniform(-3.0, 3.0, 100)
START = jko.Density.gaussian(GRID, 0.8, 0.5)
F = fn.Entropy() + fn.Potential("quadratic")


@dataclass(frozen=True, eq=False)
class Spoilt(Wrapper):
    """A scheme whose answers something is done to: (ρ, ρ′, record) ↦ (ρ′, record)."""

    scheme: object
    spoil: Callable
    doors: ClassVar = True

    def step(self, problem, mu, t, tau, state):
        new, inner, info = self.scheme.step(problem, mu, t, tau, self.inner(state))
        new, info = self.spoil(mu, new, info)
        return new, state.having(inner=inner), info


def mixed(mu, new, share):
    return mu.with_values((1.0 - share) * mu.values + share * new.values)


def raises(error):
    def spoil(*_):
        raise error

    return spoil


def spin(*_):
    while True:
        time.sleep(0.0)


SPOILT = {
    "it does not move": lambda mu, new, info: (mu, info),
    "it goes a part of the way": lambda mu, new, info: (mixed(mu, new, 0.3), info),
    "F rises": lambda mu, new, info: (
        mu.with_values(np.maximum(2.0 * mu.values - new.values, 0.0)).normalized(),
        info,
    ),
    "mass leaks": lambda mu, new, info: (new.with_values(new.values * (1.0 - 1e-6)), info),
    "mass is said to leak": lambda mu, new, info: (new, replace(info, mass_error=1e-6)),
    "a gap is negative": lambda mu, new, info: (new, replace(info, gap=-1e-6)),
    "an error that is none of ours": raises(KeyError("x")),
    "an error of many lines": raises(ValueError("tau: what\nwas that")),
}


def posed(trials, **more) -> Posed:
    return Posed(0, F, START, 0.3, Units(), "box: planted", trials, **more)


def wrong_with(problem: Posed) -> list[str]:
    return campaign.examine(0, draw=lambda seed, in_units: problem)[2]


RIGHT = {"steps.Quantile": Trial(Quantile()), "steps.PrimalDual": Trial(PrimalDual(slices=2))}


def test_nothing_is_wrong_with_what_is_right():
    assert not wrong_with(posed(RIGHT))


@pytest.mark.parametrize("how", SPOILT)
def test_a_spoilt_step_is_found(how):
    spoilt = Trial(Spoilt(PrimalDual(slices=2), SPOILT[how]))
    assert wrong_with(posed({**RIGHT, "steps.PrimalDual": spoilt}))


def test_a_gap_that_another_engine_refutes_is_found():
    def still(mu, new, info):
        return mixed(mu, new, 0.9), replace(info, gap=1e-9)

    found = wrong_with(
        posed(
            {
                "steps.Quantile": RIGHT["steps.Quantile"],
                "steps.BackAndForth": Trial(Spoilt(BackAndForth(), still)),
            }
        )
    )
    assert any("its gap says" in text for text in found)


def test_two_solvers_of_one_problem_that_differ_are_found():
    twins = {"steps.PrimalDual": PrimalDual(), "steps.Cvxpy": Cvxpy(formulation="eulerian")}
    trials = {name: Trial(scheme) for name, scheme in twins.items()}
    pair = (tuple(trials),)
    assert not wrong_with(posed(trials, twins=pair))

    def worse(mu, new, info):
        return new, replace(info, dissipation=info.dissipation - 2.0 * info.gap - 1e-6)

    trials["steps.PrimalDual"] = Trial(Spoilt(PrimalDual(), worse))
    assert any("misses" in text for text in wrong_with(posed(trials, twins=pair)))


def test_a_long_step_unlike_many_short_ones_is_found():
    one = jko.limits.FiniteVolume()
    asleep = Spoilt(one, SPOILT["it does not move"])
    for scheme, wrong in ((one, False), (asleep, True)):
        trials = {"limits.FiniteVolume": Trial(scheme), "limits.FiniteVolume in many": Trial(one, 8)}
        assert bool(wrong_with(replace(posed(trials), tau=0.02))) is wrong


def test_an_engine_that_does_not_end_is_stopped(monkeypatch):
    monkeypatch.setattr(checks, "SECONDS", 0.2)
    (text,) = wrong_with(posed({"steps.Quantile": Trial(Spoilt(Quantile(), spin))}))
    assert "no answer within" in text


def test_a_step_of_another_time_is_found():
    moving = fn.Entropy() + fn.Potential(lambda x, t: 0.5 * jnp.sum((x - 3.0 * t) ** 2))

    @dataclass(frozen=True, eq=False)
    class TooEarly(Wrapper):
        scheme: object

        def step(self, problem, mu, t, tau, state):
            new, inner, info = self.scheme.step(problem, mu, t - tau, tau, self.inner(state))
            return new, state.having(inner=inner), info

    for scheme, wrong in ((Quantile(), False), (TooEarly(Quantile()), True)):
        problem = replace(posed({"steps.Quantile": Trial(scheme)}, decays=False), F=moving)
        assert any("frozen" in text for text in wrong_with(problem)) is wrong


def test_mass_that_leaves_without_a_word_is_found():
    doors = jko.Grid.uniform(-3.0, 3.0, 40, doors=np.arange(40) == 39)
    start = jko.Density.uniform(doors, -1.0, 2.5)
    fine = jko.limits.FiniteVolume()

    def silent(mu, new, info):
        return new, replace(info, details={})

    for scheme, wrong in ((fine, False), (Spoilt(fine, silent), True)):
        trials = {"limits.FiniteVolume": Trial(scheme)}
        problem = replace(posed(trials, decays=False), mu=start)
        assert any("mass changed" in text for text in wrong_with(problem)) is wrong
