"""One problem with parameters: which run a member is, and what is kept of it."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from functionals import Entropy, programs
from functionals.base import Functional
from jko.checkpoint import describe_problem
from jko.driver import flow
from jko.errors import UnsupportedFunctional
from jko.fingerprint import without_addresses
from jko.packing import pack
from jko.scheme import Scheme


@dataclass(frozen=True)
class Problem:
    """What `jko.flow` takes, where the functional and the measure may be functions of parameters."""

    functional: Functional | Callable
    measure: Any
    scheme: Scheme
    tau: float
    n_steps: int
    store_every: int
    observe: Mapping[str, Callable]

    @property
    def of_functional(self) -> tuple[str, ...]:
        """The parameters that the functional is made from."""
        return () if isinstance(self.functional, Functional) else _arguments(self.functional)

    @property
    def of_measure(self) -> tuple[str, ...]:
        """The parameters that the measure is made from."""
        return _arguments(self.measure) if callable(self.measure) else ()

    @property
    def known(self) -> tuple[str, ...]:
        """Every name that can be swept."""
        settings = tuple(f.name for f in fields(self.scheme))
        return tuple(dict.fromkeys((*settings, "tau", "temperature", *self.of_functional, *self.of_measure)))

    def functional_of(self, parameters) -> Functional:
        """The member's functional; a `temperature` that makes no functional replaces the entropy's weight."""
        names, made = self.of_functional, self.functional
        if not isinstance(made, Functional):
            made = _made(made, tuple((name, parameters[name]) for name in names if name in parameters))
        if "temperature" not in parameters or "temperature" in names:
            return made
        return with_temperature(made, parameters["temperature"])

    def of(self, parameters):
        """(functional, measure, scheme, tau) of the member."""
        measure = self.measure
        if callable(measure):
            names = self.of_measure
            measure = measure(**{name: parameters[name] for name in names if name in parameters})
        settings = {f.name for f in fields(self.scheme)} & set(parameters)
        scheme = replace(self.scheme, **{name: parameters[name] for name in settings})
        return self.functional_of(parameters), measure, scheme, parameters.get("tau", self.tau)

    def name_of(self, parameters) -> str:
        """A name for the member's file, which another problem does not have."""
        F, mu, scheme, tau = self.of(parameters)
        described = describe_problem(F, mu, scheme, tau, self.store_every)
        described["problem"] = {k: without_addresses(str(v)) for k, v in described["problem"].items()}
        described["probe"] = np.round(described["probe"], 9)
        content = {"described": described, "n_steps": self.n_steps, "observe": sorted(self.observe)}
        return hashlib.sha256(pack(content)).hexdigest()[:24]


def run_member(problem: Problem, parameters) -> dict:
    """What is kept of a member, or {"failure": the sentence that says why there is nothing}."""
    try:
        F, mu, scheme, tau = problem.of(parameters)
        run = flow(
            F, mu, scheme, tau=tau, n_steps=problem.n_steps, store_every=problem.store_every, progress=False
        )
        frames = [frame(measure, problem.observe) for measure in run.measures]
        extra = {name: column for name, column in run.info.items() if not hasattr(run.info.row(0), name)}
        return kept(run.times, run.energy, run.energy_uncertainty, frames, extra)
    except Exception as error:  # of whatever kind: one member's failure is not that of the others
        return {"failure": sentence(error)}


def kept(times, energy, uncertainty, frames, columns) -> dict:
    """The arrays of one member, by name: along the stored times, and along the steps."""
    along = {name: np.stack([f[name] for f in frames]) for name in frames[0]}
    arrays = {"time": times, "energy": energy, "energy_uncertainty": uncertainty} | along
    return {
        "failure": "",
        "stored": {k: np.asarray(v, dtype=float) for k, v in arrays.items()},
        "steps": {k: np.asarray(v, dtype=float) for k, v in columns.items()},
    }


def frame(measure, observe) -> dict:
    """The mean, the covariance and what else is observed of a measure."""
    seen = {"mean": measure.mean(), "covariance": measure.covariance()}
    for name, f in observe.items():
        try:
            seen[name] = np.asarray(f(measure), dtype=float)
        except Exception as error:
            raise ValueError(f"observe[{name!r}]: {sentence(error)}") from error
    return seen


def sentence(error: BaseException) -> str:
    """How a failure is recorded."""
    return f"{type(error).__name__}: {error}"


def with_temperature(F: Functional, temperature: float) -> Functional:
    """F with another weight of its entropy."""
    if F.parts.kinds & {"internal"}:
        raise UnsupportedFunctional(
            f"temperature: {F!r} has internal energies beside the entropy: give a functional of temperature"
        )
    entropy, rest = float(temperature) * Entropy(), F.parts.without_internal
    return entropy if rest is None else entropy + rest


@programs.kept
def _made(function, arguments):
    """The same object for the same arguments, so that what is compiled for it is found again."""
    return function(**dict(arguments))


def _arguments(function) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)
