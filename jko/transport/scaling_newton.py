"""Newton's method for an entropic plan between few points, where Sinkhorn's rounds would be many."""

from __future__ import annotations

import numpy as np

from jko.transport.scaling import Scaling

_ROUNDS = 200
_CAUTIOUS, _LEAST, _MOST = 1e-3, 1e-12, 1e3  # multiples of ν on the Hessian's diagonal
_EASED, _TIGHTENED = 0.1, 10.0


def newton(costs, log_mu, log_nu, start, tolerance) -> Scaling:
    """max over g of J(g) = ∫g dν − ∫log ∫e^{g − c}dν dμ from g = start; costs `[n, m]` over the temperature.

    J is concave and its Hessian diag(q) − PᵀP/μ dense `[m, m]`, with the plan P and its second marginal q.
    Levenberg's steps: a multiple of ν on the diagonal that falls where J rises and grows where it does not.
    A round of Sinkhorn's between them fills columns that were empty.
    """
    from scipy.linalg import cho_factor, cho_solve

    mu, nu = np.exp(log_mu), np.exp(log_nu)

    def evaluate(g):
        exponents = g + log_nu - costs
        top = exponents.max(axis=1, keepdims=True)
        np.exp(exponents - top, out=exponents)
        total = exponents.sum(axis=1, keepdims=True)
        exponents /= total
        first = -(top + np.log(total))[:, 0]
        return float(nu @ g + mu @ first), first, exponents

    g, caution = start, _CAUTIOUS
    value, first, given = evaluate(g)
    for done in range(1, _ROUNDS + 1):
        plan = mu[:, None] * given
        marginal = plan.sum(axis=0)
        error = float(np.abs(nu - marginal).sum())
        if error <= tolerance or done == _ROUNDS:
            break
        if np.any(marginal < 0.5 * nu):
            g = _sinkhorn(costs, first + log_mu)
        else:
            hessian = np.diag(marginal + caution * nu) - given.T @ plan
            g_new = g + cho_solve(cho_factor(hessian), nu - marginal)
            trial = evaluate(g_new)
            if not trial[0] >= value - 1e-15 * abs(value):
                caution = min(_TIGHTENED * caution, _MOST)
                g = _sinkhorn(costs, first + log_mu)
            else:
                caution = max(_EASED * caution, _LEAST)
                g, (value, first, given) = g_new, trial
                continue
        value, first, given = evaluate(g)
    return Scaling(first, g, error, done)


def _sinkhorn(costs, logs):
    exponents = logs[:, None] - costs
    top = exponents.max(axis=0)
    return -(top + np.log(np.exp(exponents - top).sum(axis=0)))
