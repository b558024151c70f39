"""Newton's method for an entropic plan between few points, where Sinkhorn's rounds would be many."""

from __future__ import annotations

import numpy as np

from jko.transport.scaling import Scaling

_ROUNDS = 60
_HALVINGS = 30
_RIDGE = 1e-14  # of the Hessian's largest entry: it is singular along constants, and blind where no mass is


def newton(costs, log_mu, log_nu, start, tolerance) -> Scaling:
    """max over g of ∫g dν − ∫log ∫e^{g − c}dν dμ from g = start, in units of the temperature: costs `[n, m]`.

    The objective is concave and its Hessian, diag(q) − PᵀP/μ with the plan P and its second marginal q, dense
    `[m, m]`; steps are halved until the objective rises as a tangent promises.
    """
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    mu, nu = np.exp(log_mu), np.exp(log_nu)

    def evaluate(g):
        exponents = g + log_nu - costs
        top = exponents.max(axis=1, keepdims=True)
        np.exp(exponents - top, out=exponents)
        total = exponents.sum(axis=1, keepdims=True)
        exponents /= total
        first = -(top + np.log(total))[:, 0]
        return float(nu @ g + mu @ first), first, exponents

    g = start
    value, first, given = evaluate(g)
    for done in range(1, _ROUNDS + 1):
        plan = mu[:, None] * given
        marginal = plan.sum(axis=0)
        slope = nu - marginal
        error = float(np.abs(slope).sum())
        if error <= tolerance or done == _ROUNDS:
            break
        hessian = np.diag(marginal) - given.T @ plan
        ridge = _RIDGE * float(marginal.max())
        while True:
            try:
                factor = cho_factor(hessian + ridge * np.eye(len(g)))
                break
            except LinAlgError:
                ridge *= 100.0
        step = cho_solve(factor, slope)
        step -= nu @ step
        gain, share = float(slope @ step), 1.0
        for _ in range(_HALVINGS):
            new, new_first, new_given = evaluate(g + share * step)
            if new >= value + 1e-4 * share * gain - 1e-14 * abs(value):
                break
            share *= 0.5
        g, value, first, given = g + share * step, new, new_first, new_given
    return Scaling(first, g, error, done)
