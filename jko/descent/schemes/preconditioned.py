"""Preconditioned Langevin dynamics: the gradient flow in a matrix metric, the entropy as noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from functionals import Functional
from functionals.array import Array
from functionals.programs import kept
from jko.descent.fields.program import Field, outside_terms, program, readings
from jko.descent.fields.stability import refuse_unstable
from jko.descent.fields.watch import Watch
from jko.descent.schemes.stochastic import StochasticDescent
from jko.measures import Measure
from jko.metric import at_point, divergence, frozen_metric, matrices


@dataclass(frozen=True)
class PreconditionedLangevin(StochasticDescent):
    """x⁺ = x − τ(A∇_W G(α) − θ∇·A)(x) + √(2θτ) L(x)ξ, LLᵀ = A, for F = θ∫ρ log ρ + G: Euler–Maruyama.

    Of ∂_tρ = ∇·(ρA∇δF/δρ), whose law is that of dX = (−A∇_W G + θ∇·A)dt + √(2θA)dB with (∇·A)_i = Σ_j
    ∂_jA_ij: e^{−G/θ} is at rest whatever A [RobertsStramer2002, GirolamiCalderhead2011]. `metric` is A, a
    symmetric positive definite matrix or a jax function of a point `[d]` that gives one, and is
    differentiated. An A near the inverse of D²G makes a stiff G take steps of the size of a round one. Of
    weak order 1 in τ; a τ beyond 2 over the mean largest eigenvalue of AD²G at the particles is refused.

    `seed`, `noise`, `observables`, `neighbours` and `energy` are those of `Langevin`. Raises TypeError for
    what is no metric, ValueError for one that is not symmetric and positive definite at the particles.
    """

    metric: Callable | ArrayLike = field(kw_only=True)

    takes: ClassVar = frozenset({"entropy", "potential", "interaction", "rest"})
    order: ClassVar[int] = 1
    on_many_devices: ClassVar[bool] = False
    follows_gradient: ClassVar[bool] = False

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "metric", frozen_metric(self.metric))

    def displacement_modulus(self, F, mu) -> float | None:
        """None: what is known of F is known in the plain metric."""
        return None

    def prepare(self, F: Functional, mu: Any):
        self.check(F, mu)
        matrices(self.metric, mu.positions)
        return super().prepare(F, mu)

    def field(self, F: Functional):
        terms = outside_terms(F.parts)
        return _preconditioned(terms, readings(terms), at_point(self.metric), F.parts.temperature)

    def watch(self, F: Functional, tau: float, mu: Any) -> Watch:
        traces = np.trace(matrices(self.metric, mu.positions), axis1=1, axis2=2)
        return Watch(tau, 2.0 * F.parts.temperature * tau * float(np.asarray(mu.weights, float) @ traces))

    def refuse_unstable(self, F: Functional, mu: Measure, tau: float) -> None:
        refuse_unstable(F.parts, mu, tau, self.scheme_name(), self.limit, self.metric)

    def _limit(self, mu, flow) -> str:
        return ""

    @property
    def move(self) -> Callable:  # type: ignore[override]
        """One step of positions `[d, n]`."""
        return _move(at_point(self.metric))


class PreconditionedField(Field):
    """A∇_W G − θ∇·A at the particles in the place of ∇_W G; the energy is that of G."""

    def __init__(self, terms: tuple, metric: Callable, temperature: float):
        super().__init__(terms)
        self.metric, self.temperature = metric, temperature

    @property
    def settings(self):
        return self.metric, self.temperature

    def columns_gradient(self, columns: Array, w: Array):
        return self._drift(columns, super().columns_gradient(columns, w))

    def compiled_gradient(self, x: np.ndarray, w: np.ndarray):
        if not self.native(x):
            return super().compiled_gradient(x, w)
        return np.asarray(_drift(self)(x, super().compiled_gradient(x, w)))

    def _drift(self, columns: Array, slopes: Array):
        def at(x: Array, slope: Array):
            return self.metric(x) @ slope - self.temperature * divergence(self.metric, x)

        return jax.vmap(at, in_axes=1, out_axes=1)(columns, slopes).astype(columns.dtype)


@program
def _drift(flow: PreconditionedField):
    return lambda x, slopes: flow._drift(x.T, slopes.T).T


@kept
def _preconditioned(terms: tuple, readings: tuple, metric: Callable, temperature: float):
    return PreconditionedField(terms, metric, temperature)


@kept
def _move(metric: Callable) -> Callable:
    coloured = jax.jit(jax.vmap(lambda x, kick: _root(metric(x), kick), in_axes=1, out_axes=1))

    def move(gradient: Callable, carried: tuple, coefficients: Array, kicks: Callable):
        (x,), (tau, amplitude) = carried, coefficients
        return (x - tau * gradient(x) + amplitude * coloured(x, kicks(0)),)

    return move


def _root(A: Array, kick: Array) -> Any:
    """Lξ for Cholesky's L of A, written out: elementwise over particles, a library's being one call each."""
    d = len(kick)
    L: list[list] = []
    for i in range(d):
        row: list = []
        for j in range(i):
            row.append((A[i, j] - sum(row[k] * L[j][k] for k in range(j))) / L[j][j])
        row.append(jnp.sqrt(A[i, i] - sum(entry**2 for entry in row)))
        L.append(row)
    return jnp.stack([sum(entry * kick[k] for k, entry in enumerate(row)) for row in L])
