"""The derivative of `steps.Gaussian`, in closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import eigh

from functionals.array import Array
from functionals.programs import kept
from functionals.reading import as_it_reads_now
from jko.sensitivity.engine import Pulled, StepDerivative, relative
from jko.sensitivity.parametrised import potential, traced, value_of


class GaussianStep(StepDerivative):
    """m′ + τ∇V(m′) = m and BΣ′B − 2τθB + (τθ)²Σ′⁻¹ = Σ with B = I + τ(D²V + D²W): no root is left in it.

    In the v with Σ′⁻¹-inner products δᵢⱼ and Bv = μΣ′⁻¹v the linear map dΣ′ ↦ B dΣ′ B − (τθ)²Σ′⁻¹dΣ′Σ′⁻¹
    multiplies entry (i, j) by μᵢμⱼ − (τθ)² > 0; it is its own adjoint. Repeated eigenvalues do no harm.
    """

    def pull(self, tape: tuple, cotangent: dict):
        mu, new, t, tau = tape
        form = self.problem.at(t + tau)
        identity, heat = np.eye(mu.dimension), tau * form.temperature
        right = 0.5 * (cotangent["covariance"] + cotangent["covariance"].T)
        precision = np.linalg.inv(new.covariance())
        B = identity + tau * form.stiffness
        eigenvalues, v = eigh(B, precision)
        spread = v @ ((v.T @ right @ v) / (np.outer(eigenvalues, eigenvalues) - heat**2)) @ v.T
        mean = np.linalg.solve(identity + tau * form.mean_stiffness, cotangent["mean"])
        left = [mean + tau * form.mean_stiffness @ mean - cotangent["mean"]]
        left.append(B @ spread @ B - heat**2 * precision @ spread @ precision - right)
        with jax.enable_x64(True):
            paired = _paired(as_it_reads_now(self.make_functional))
            slopes = paired(self.parameters, t, tau, mean, spread, new.mean(), new.covariance())
        parameters, time, by_tau = jax.tree.map(lambda g: -np.asarray(g), slopes)
        residual = relative(
            np.concatenate([np.ravel(part) for part in left]),
            np.concatenate([cotangent["mean"], np.ravel(right)]),
        )
        return Pulled({"mean": mean, "covariance": spread}, parameters, float(by_tau), float(time), residual)


@kept
def _paired(make_functional: Callable):
    """The derivatives of λ·(both equations) by the parameters, the time and τ."""

    def pairing(
        parameters: Any, t: Array, tau: Array, mean: Array, spread: Array, m: Array, covariance: Array
    ):
        F = traced(make_functional, parameters, t + tau)
        heat, zero = tau * F.parts.temperature, jnp.zeros_like(m)
        curvature = jax.hessian(lambda x: potential(F, x))(m)
        for c, atom in F.parts.interaction:
            curvature = curvature + c * jax.hessian(lambda z, W=atom.W: value_of(W, z))(zero)
        B = jnp.eye(len(m)) + tau * curvature
        moved = B @ covariance @ B - 2.0 * heat * B + heat**2 * jnp.linalg.inv(covariance)
        return tau * mean @ jax.grad(lambda x: potential(F, x))(m) + jnp.sum(spread * moved)

    return jax.jit(jax.grad(pairing, argnums=(0, 1, 2)))
