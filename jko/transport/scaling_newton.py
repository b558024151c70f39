"""Newton's method for an entropic plan between few points, where Sinkhorn's rounds would be many."""

from __future__ import annotations

import numpy as np

from jko.transport.scaling import Scaling

_FIRST_RADIUS = 1.0  # of a step in g, over which no entry of the plan changes by more than a factor e²
_SHRINK, _GROW = 0.25, 2.0  # of the radius, where the quadratic model is poor and where it is good
_POOR, _GOOD = 0.25, 0.75  # of the rise that the model predicts
_LEAST = 1e-12  # multiple of ν on the Hessian's diagonal: what rounding of it needs
_MORE, _LESS = 10.0, 0.01  # of the multiple: from one tried to the next, and from a step to the next
_ROUNDING = 1e-13  # of J: a predicted rise below it is not seen in J, and the error decides


def newton(costs, log_mu, log_nu, start, tolerance, max_iterations) -> Scaling:
    """max over g of J(g) = ∫g dν − ∫log ∫e^{g − c}dν dμ from g = start; costs `[n, m]` over the temperature.

    J is concave and its Hessian diag(q) − PᵀP/μ dense `[m, m]`, with the plan P and its second marginal q.
    A trust region in the largest change of g: within 1 the Hessian changes by a bounded factor, so that every
    step gains [CohenEtAl2017]. Stops at `tolerance` or after `max_iterations` steps, which the result tells.
    """
    mu, nu = np.exp(log_mu), np.exp(log_nu)

    def evaluate(g):
        exponents = g + log_nu - costs
        top = exponents.max(axis=1, keepdims=True)
        np.exp(exponents - top, out=exponents)
        total = exponents.sum(axis=1, keepdims=True)
        exponents /= total
        first = -(top + np.log(total))[:, 0]
        return float(nu @ g + mu @ first), first, exponents

    g, radius, multiple = start - float(nu @ start), _FIRST_RADIUS, 0.0
    value, first, given = evaluate(g)
    for done in range(1, max_iterations + 1):
        plan = mu[:, None] * given
        marginal = plan.sum(axis=0)
        rise = nu - marginal
        error = float(np.abs(rise).sum())
        if error <= tolerance or done == max_iterations:
            break
        hessian = np.diag(marginal) - given.T @ plan
        step, multiple = _within(hessian, rise, nu, radius, max(_LESS * multiple, _LEAST))
        step -= nu @ step  # a constant changes nothing
        trial = evaluate(g + step)
        curvature = marginal @ step**2 - mu @ (given @ step) ** 2
        predicted = float(rise @ step - 0.5 * curvature)
        ratio = (trial[0] - value) / predicted if predicted > 0.0 else 0.0
        if predicted <= _ROUNDING * abs(value):
            better = float(np.abs(nu - mu @ trial[2]).sum()) < error
            ratio = 1.0 if better else 0.0
        if ratio < _POOR:
            radius = _SHRINK * float(np.abs(step).max())
        elif ratio > _GOOD:
            radius *= _GROW
        if ratio > 0.0:
            g, (value, first, given) = g + step, trial
    return Scaling(first, g, error, done)


def _within(hessian, rise, nu, radius, multiple):
    """((H + κ diag ν)⁻¹ rise, κ) with the first κ from `multiple` on that keeps entries within the radius."""
    from scipy.linalg import cho_factor, cho_solve

    diagonal = hessian.diagonal().copy()
    while True:
        hessian[np.diag_indices_from(hessian)] = diagonal + multiple * nu
        try:
            step = cho_solve(cho_factor(hessian), rise)
        except np.linalg.LinAlgError:  # a row or column of the plan is empty to rounding
            step = np.array([np.inf])
        if np.abs(step).max() <= radius:
            return step, multiple
        multiple *= _MORE
