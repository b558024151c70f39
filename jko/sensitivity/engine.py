"""What the derivative of a scheme's step is: a step that leaves a tape, and the tape's way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np

from jko.errors import UnsupportedFunctional
from jko.measures import Measure
from jko.scheme import Problem, Scheme, State, StepInfo
from jko.sensitivity.parametrised import compiled_once

Arrays = dict[str, np.ndarray]


class Taken(NamedTuple):
    """A step: the measure and the state after it, its record, and what its derivative needs."""

    measure: Any
    state: State
    info: StepInfo
    tape: Any


class Pulled(NamedTuple):
    """The cotangents of what a step started from, of the parameters, of τ at a fixed start and of the time of
    the start, and |Hλ − c|/|c| of the linear solve."""

    before: Arrays
    parameters: Any
    tau: float
    time: float
    residual: float


class StepDerivative:
    """A scheme's step with its derivative, at given parameters.

    `step` leaves a tape, `pull` takes the cotangents of the arrays after a step, by name, to those before
    it. `carried` names the arrays that are differentiated beside those of the measure.
    """

    carried: ClassVar[tuple[str, ...]] = ()

    def __init__(self, make_functional: Callable, parameters: Any, mu0: Measure, scheme: Scheme):
        self.make_functional, self.parameters, self.scheme = make_functional, parameters, scheme
        self.initial = mu0
        self.F = compiled_once(make_functional, parameters)
        self.problem = self.prepared()
        self.require_even_kernels()

    def prepared(self) -> Problem:
        """The scheme's problem, whose refusals come first."""
        return self.scheme.prepare(self.F, self.initial)

    def require_even_kernels(self):
        """Kernels of two points have no derivative here."""
        for _, atom in self.F.parts.interaction:
            if atom.general:
                self.refuse(f"the kernel of two points in {atom!r}", "an interaction W(x − y)")

    def refuse(self, what: str, instead: str):
        """Refuse by name what the derivative does not know."""
        raise UnsupportedFunctional(
            f"jko.sensitivity: the derivative of {self.scheme.scheme_name()} does not take {what}; "
            f"give {instead}"
        )

    def block(self, n_steps: int) -> int:
        """How many steps share a tape."""
        return 1

    def step(self, mu: Measure, state: State, t: float, tau: float, count: int = 1) -> Taken:
        """`count` steps from the time t, one unless `block` says more."""
        new, after, info = self.scheme.step(self.problem, mu, t, tau, state)
        return Taken(new, after, info, self.tape(mu, state, new, after, info, t, tau))

    def tape(
        self, mu: Measure, state: State, new: Measure, after: State, info: StepInfo, t: float, tau: float
    ):
        """What `pull` needs of a step."""
        return mu, new, t, tau

    def pull(self, tape, cotangent: Arrays) -> Pulled:
        """The cotangents before a step, from those after it."""
        raise NotImplementedError

    def nothing(self, tape: tuple) -> Arrays:
        """Cotangents 0 of the arrays in `carried` after the last step."""
        return {}

    def require_initial_derivative(self):
        """Refuse a derivative by the initial measure where there is none."""

    def pull_initial(self, cotangent: Arrays) -> Arrays:
        """The cotangents of the initial measure's arrays, from those of what the first step starts from."""
        return {name: cotangent[name] for name in self.initial.packed()}


def relative(residual: np.ndarray, right: np.ndarray) -> float:
    """|residual|/|right|, 0 of nothing."""
    size = float(np.linalg.norm(np.ravel(right)))
    return float(np.linalg.norm(np.ravel(residual))) / size if size > 0.0 else 0.0
