"""The JKO step on Gaussians, in closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from functionals import Functional
from functionals.quadratic_form import quadratic_form
from jko import measures
from jko.bounds import Space
from jko.errors import UnsupportedFunctional, positive_number
from jko.exact.gaussian_jko import gaussian_jko_step
from jko.measures import Measure
from jko.scheme import Problem, Scheme, State, StepInfo
from jko.steps.reflection import Continued, Reflected
from jko.transport.distances.gaussian import bures_wasserstein, symmetric_root


class _Form(NamedTuple):
    F: Any
    stiffness: np.ndarray  # A + what the interaction adds to the centred part
    mean_stiffness: np.ndarray  # A
    slope: np.ndarray  # b
    temperature: float


@dataclass(frozen=True)
class Gaussian(Scheme):
    """N(m, Σ) to argmin W₂²(N(m, Σ), ·)/2τ + F for F = θ∫ρ log ρ + ∫(½xᵀAx + b·x)ρ + ½∬½zᵀKz, in any
    dimension.

    m′ = (I + τA)⁻¹(m − τb), and with B = I + τ(A + K), Q = B^½ Σ′ B^½ solves Q + (τθ)²Q⁻¹ = B^−½ Σ B^−½ +
    2τθI, exactly, whether A and Σ commute or not; the minimiser over all densities is this Gaussian. The
    gap bounds J(ρ′) − min J by ½‖∇J‖²/(1/τ + λ) with the optimal map computed anew (Bures).

    Takes the entropy, quadratic potentials and quadratic even interactions, of any sign for which
    1 + τλ > 0; `prepare` raises UnsupportedFunctional otherwise, `step` ValueError where τ is too large.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"entropy", "potential", "interaction"})
    measures: ClassVar[tuple[type, ...]] = (measures.Gaussian,)
    order: ClassVar[int] = 1

    def prepare(self, F: Functional, mu: Measure) -> Problem:
        self.check(F, mu)
        return Problem(F, lambda F: _form_of(F, mu.dimension))

    def step(self, problem: Problem, mu: Measure, t: float, tau: float, state: State):
        tau = positive_number("tau", tau)
        new, info = self._solved(problem.at(t + tau), mu, tau)
        return new, state, info

    def _solved(self, form: _Form, mu: Measure, tau: float):
        mean, covariance = gaussian_jko_step(
            mu.mean(),
            mu.covariance(),
            tau,
            form.mean_stiffness,
            form.temperature,
            slope=form.slope,
            centred_stiffness=form.stiffness,
        )
        new = measures.Gaussian(mean, covariance)
        transport = bures_wasserstein(mu.mean(), mu.covariance(), mean, covariance) ** 2 / (2.0 * tau)
        gap = _gap(mu, new, tau, form)
        info = StepInfo(
            gap=gap,
            relative_gap=gap / transport if transport > 0.0 else 0.0,
            iterations=1,
            mass_error=0.0,
            dissipation=form.F(mu) - form.F(new) - transport,
            transport_cost=transport,
        )
        return new, info

    def space_of_steps(self, problem: Problem, mu: Measure):
        """Covariances that commute with the stiffness keep its axes: between them W₂ is flat."""
        A, S = problem.at(0.0).stiffness, mu.covariance()
        commuting = np.abs(A @ S - S @ A).max() <= 1e-12 * np.abs(A).max() * np.abs(S).max()
        return Space.FLAT if commuting else Space.WASSERSTEIN

    def reflect(self, problem: Problem, mu: Measure, t: float, tau: float, state: State):
        """(2I − S)_# of the half step, S the optimal map back from it."""
        form = problem.at(t + 0.5 * tau)
        half, info = self._solved(form, mu, 0.5 * tau)
        new = _displaced(mu, half, 1.0)
        if new is None:
            note = "2T − id is no transport map"
            return Reflected((half, state, info), None, None, np.nan, np.nan, note=note)
        return Reflected(
            (half, state, info), new, state, *_dissipation(form.F, mu, new, tau), past=_moments(mu)
        )

    def continued(self, problem, mu: Measure, past, t, tau: float, state: State):
        """The step of 2τ/3 from (4I − S)_#ρ/3, S the optimal map back to the past."""
        start = _displaced(measures.Gaussian(**past), mu, 1.0 / 3.0)
        if start is None:
            return None
        form = problem.at(t + tau)
        new, info = self._solved(form, start, 2.0 * tau / 3.0)
        dissipation, energy = _dissipation(form.F, mu, new, tau)
        info = replace(info, dissipation=dissipation, transport_cost=energy - form.F(new) - dissipation)
        return Continued(new, state, info, _moments(mu), energy)


def _moments(mu: Measure):
    return {"mean": mu.mean(), "covariance": mu.covariance()}


def _dissipation(F: Functional, old, new, tau: float):
    cost = bures_wasserstein(old.mean(), old.covariance(), new.mean(), new.covariance()) ** 2 / (2.0 * tau)
    before = F(old)
    return before - F(new) - cost, before


def _displaced(earlier, later, factor):
    """The image of `later` under id + factor (id − S), S the optimal map to `earlier`; None where that is no
    gradient of a convex function."""
    identity = np.eye(later.dimension)
    move = identity + factor * (identity - _optimal_map(later.covariance(), earlier.covariance()))
    if np.linalg.eigvalsh(move)[0] <= 0.0:
        return None
    mean = later.mean() + factor * (later.mean() - earlier.mean())
    return measures.Gaussian(mean, move @ later.covariance() @ move)


def _optimal_map(covariance0: np.ndarray, covariance1: np.ndarray):
    """The symmetric matrix that carries one centred Gaussian to another."""
    root = symmetric_root(covariance0)
    inverse_root = np.linalg.inv(root)
    return inverse_root @ symmetric_root(root @ covariance1 @ root) @ inverse_root


def _form_of(F: Functional, dimension: int):
    parts = F.parts
    stiffness, slope = np.zeros((dimension, dimension)), np.zeros(dimension)
    for coefficient, atom in parts.potential:
        V = _quadratic(atom.V, dimension, atom)
        stiffness = stiffness + coefficient * V.A
        slope = slope + coefficient * V.b
    centred = stiffness
    for coefficient, atom in parts.interaction:
        if atom.general:
            raise UnsupportedFunctional(
                f"steps.Gaussian takes even interactions W(x − y), got {atom!r}; "
                "put the Gaussian on a grid and use steps.Cvxpy"
            )
        centred = centred + coefficient * _quadratic(atom.W, dimension, atom).A
    return _Form(F, centred, stiffness, slope, float(parts.temperature))


def _quadratic(function: Callable, dimension: int, atom: Functional):
    form = quadratic_form(function, dimension)
    if form is None:
        raise UnsupportedFunctional(
            f"steps.Gaussian takes quadratic potentials and interactions, got {atom!r}; "
            "put the Gaussian on a grid and use steps.Cvxpy or steps.Quantile"
        )
    return form


def _gap(old: Measure, new: Measure, tau: float, form: _Form):
    """½∫|∇J|²dρ′/(1/τ + λ), with ∇J = (x − Sx)/τ + ∇δF/δρ affine and S the optimal map from ρ′ back to
    ρ."""
    identity = np.eye(old.dimension)
    back = _optimal_map(new.covariance(), old.covariance())
    score = form.temperature * np.linalg.inv(new.covariance())
    residual = (identity - back) / tau + form.stiffness - score
    force = (new.mean() - old.mean()) / tau + form.mean_stiffness @ new.mean() + form.slope
    spread_modulus = 1.0 / tau + np.linalg.eigvalsh(form.stiffness)[0]
    mean_modulus = 1.0 / tau + np.linalg.eigvalsh(form.mean_stiffness)[0]
    spread = np.trace(residual @ new.covariance() @ residual.T)
    return float(0.5 * (spread / spread_modulus + force @ force / mean_modulus))
