"""Which schemes have a derivative, and where it is written."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from jko.errors import shown
from jko.measures import CellDensity, Measure, Population, Species
from jko.scheme import Scheme
from jko.sensitivity.engine import StepDerivative

ENGINES = {
    "steps.Gaussian": "gaussian.GaussianStep",
    "steps.Quantile": "line.LineStep",
    "steps.MongeAmpere": "monge_ampere.MongeAmpereStep",
    "steps.Linearized": "linearized.LinearizedStep",
    "steps.BackAndForth": "back_and_forth.BackAndForthStep",
    "limits.FiniteVolume": "finite_volume.FiniteVolumeStep",
    "descent.ForwardEuler": "particles.ExplicitStep",
    "descent.BackwardEuler": "particles.ImplicitStep",
    "descent.Langevin": "particles.StochasticStep",
    "descent.LeimkuhlerMatthews": "particles.StochasticStep",
    "descent.StochasticHeun": "particles.StochasticStep",
}
_WHY_NOT = {
    "steps.Entropic": "its answer is that of a regularised problem",
    "steps.Cvxpy": "its solver keeps no linear system to solve again",
    "descent.Blob": "its stages are chosen from the measured curvature",
}


def derivative_of(make_functional: Callable, parameters: Any, mu0: Measure, scheme: Scheme) -> StepDerivative:
    """The derivative of a scheme's steps; raises TypeError with the schemes that have one."""
    if not isinstance(scheme, Scheme):
        raise TypeError(f"scheme: expected a scheme, such as jko.steps.MongeAmpere(), got {shown(scheme)}")
    name = scheme.scheme_name()
    if name not in ENGINES:
        why = f", since {_WHY_NOT[name]}" if name in _WHY_NOT else ""
        raise TypeError(
            f"scheme: {name} has no derivative{why}; those that have one are {', '.join(sorted(ENGINES))}"
        )
    if isinstance(mu0, CellDensity) and not mu0.grid.is_uniform:
        raise TypeError(
            f"mu0: derivatives are of densities on equal cells, got {mu0!r}: take mu0.on(Grid.uniform(...))"
        )
    if isinstance(mu0, (Population, Species)):
        raise TypeError(
            f"mu0: derivatives are of a density, particles or a Gaussian, got {type(mu0).__name__}: "
            "give jko.Particles(positions), or differentiate each species with the others frozen"
        )
    file, cls = ENGINES[name].split(".")
    engine = getattr(import_module(f"jko.sensitivity.{file}"), cls)
    return engine(make_functional, parameters, mu0, scheme)
