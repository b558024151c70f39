"""The fixed points of Sinkhorn's algorithm in the log domain, with Anderson's mixing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jko.loops.anderson import Anderson
from jko.transport.entropic.tolerances import TOLERANCES


class Scaling(NamedTuple):
    """Potentials over the temperature: first = f/ε, second = g/ε, of the plan e^{f + g − c}μ⊗ν whose first
    marginal is exact; `error` is ∑|second marginal − ν|."""

    first: np.ndarray
    second: np.ndarray
    error: float
    iterations: int


def scale(
    kernel: CloudKernel | GridKernel,
    log_mu: np.ndarray,
    log_nu: np.ndarray,
    start: np.ndarray,
    tolerance: float,
    max_iterations: int,
) -> Scaling:
    """f ← −log K(e^g ν), g ← −log Kᵀ(e^f μ) in turn [Cuturi2013], from g = start, the pair mixed.

    `kernel.forth(logs on the second)` is log of the kernel's sums on the first, `kernel.back` the transpose.
    Stops at `tolerance` or `max_iterations`, which the result tells.
    """
    nu = np.exp(log_nu)
    mixing, second = Anderson(nu, TOLERANCES.mixed), start - float((nu * start).sum())
    for done in range(1, max_iterations + 1):
        first = -kernel.forth(second + log_nu)
        image = -kernel.back(first + log_mu)
        error = _difference(nu, second - image)
        if error <= tolerance or done == max_iterations:
            break
        # a constant in g is one in f, and mixing would let it grow
        image -= float((nu * image).sum())
        second = mixing(second, image) if error < TOLERANCES.start_mixing else image
    return Scaling(first, second, error, done)


def scale_symmetric(
    kernel: CloudKernel | GridKernel,
    log_mu: np.ndarray,
    start: np.ndarray,
    tolerance: float,
    max_iterations: int,
) -> Scaling:
    """f ← (f − log K(e^f μ))/2, the fixed point of a measure with itself [FeydyEtAl2019]."""
    mu = np.exp(log_mu)
    mixing, f = Anderson(mu, TOLERANCES.mixed), start
    for done in range(1, max_iterations + 1):
        image = -kernel.forth(f + log_mu)
        error = _difference(mu, f - image)
        if error <= tolerance or done == max_iterations:
            break
        half = 0.5 * (f + image)
        f = mixing(f, half) if error < TOLERANCES.start_mixing else half
    return Scaling(f, f, error, done)


def _difference(masses: np.ndarray, excess: np.ndarray):
    return float(np.abs(masses * np.expm1(np.minimum(excess, TOLERANCES.largest_exponent))).sum())


def newton(
    costs: np.ndarray,
    log_mu: np.ndarray,
    log_nu: np.ndarray,
    start: np.ndarray,
    tolerance: float,
    max_iterations: int,
) -> Scaling:
    """max over g of J(g) = ∫g dν − ∫log ∫e^{g − c}dν dμ from g = start; costs `[n, m]` over the temperature.

    J is concave and its Hessian diag(q) − PᵀP/μ dense `[m, m]`, with the plan P and its second marginal q.
    A trust region in the largest change of g: within 1 the Hessian changes by a bounded factor, so that every
    step gains [CohenEtAl2017]. Stops at `tolerance` or after `max_iterations` steps, which the result tells.
    """
    mu, nu = np.exp(log_mu), np.exp(log_nu)

    def evaluate(g: np.ndarray):
        exponents = g + log_nu - costs
        top = exponents.max(axis=1, keepdims=True)
        np.exp(exponents - top, out=exponents)
        total = exponents.sum(axis=1, keepdims=True)
        exponents /= total
        first = -(top + np.log(total))[:, 0]
        return float(nu @ g + mu @ first), first, exponents

    g, radius, multiple = start - float(nu @ start), TOLERANCES.first_radius, 0.0
    value, first, given = evaluate(g)
    for done in range(1, max_iterations + 1):
        plan = mu[:, None] * given
        marginal = plan.sum(axis=0)
        rise = nu - marginal
        error = float(np.abs(rise).sum())
        if error <= tolerance or done == max_iterations:
            break
        hessian = np.diag(marginal) - given.T @ plan
        step, multiple = _within(
            hessian, rise, nu, radius, max(TOLERANCES.shift_less * multiple, TOLERANCES.least_shift)
        )
        step -= nu @ step  # a constant changes nothing
        trial = evaluate(g + step)
        curvature = marginal @ step**2 - mu @ (given @ step) ** 2
        predicted = float(rise @ step - 0.5 * curvature)
        ratio = (trial[0] - value) / predicted if predicted > 0.0 else 0.0
        if predicted <= TOLERANCES.rounding * abs(value):
            better = float(np.abs(nu - mu @ trial[2]).sum()) < error
            ratio = 1.0 if better else 0.0
        if ratio < TOLERANCES.poor:
            radius = TOLERANCES.shrink * float(np.abs(step).max())
        elif ratio > TOLERANCES.good:
            radius *= TOLERANCES.grow
        if ratio > 0.0:
            g, (value, first, given) = g + step, trial
    return Scaling(first, g, error, done)


def _within(hessian: np.ndarray, rise: np.ndarray, nu: np.ndarray, radius: float, multiple: float):
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
        multiple *= TOLERANCES.shift_more


class GridKernel:
    """exp(−|x − y|²/ε) between the cells of a grid and itself."""

    def __init__(self, cells: tuple, spacing: Sequence, epsilon: float, periodic=None):
        from jko.loops.sums.log_gaussian import LogGaussian

        self.forth = self.back = LogGaussian(cells, [h * h / epsilon for h in spacing], periodic)
        self.swapped = self.alone = self


class CloudKernel:
    """exp(−|x − y|²/ε) between the points x `[n, d]` and y `[m, d]`."""

    def __init__(self, x: np.ndarray, y: np.ndarray, epsilon: float):
        self.x, self.y, self.epsilon = x, y, epsilon

    @property
    def swapped(self):
        """From y to x."""
        return CloudKernel(self.y, self.x, self.epsilon)

    @property
    def alone(self):
        """Between x and itself."""
        return CloudKernel(self.x, self.x, self.epsilon)

    def costs(self):
        """|x − y|²/ε, `[n, m]`."""
        return (
            sum((self.x[:, None, a] - self.y[None, :, a]) ** 2 for a in range(self.x.shape[1])) / self.epsilon
        )

    def forth(self, logs: np.ndarray):
        """log Σⱼ exp(−|xᵢ − yⱼ|²/ε + bⱼ) `[n]` for logs b `[m]`."""
        from jko.loops.sums.log_cloud import log_sums

        return log_sums(self.x, self.y, self.epsilon, logs)

    def back(self, logs: np.ndarray):
        """log Σᵢ exp(−|xᵢ − yⱼ|²/ε + aᵢ) `[m]` for logs a `[n]`."""
        from jko.loops.sums.log_cloud import log_sums

        return log_sums(self.y, self.x, self.epsilon, logs)


def scale_on_grid(
    mu: np.ndarray,
    nu: np.ndarray | None,
    spacing: tuple,
    epsilon: float,
    tolerance: float,
    max_iterations: int,
) -> Scaling:
    """Between masses mu and nu `[*cells]` of sum 1; nu None is mu with itself. Halved grids, whose
    temperatures are no less than their h², start the finer ones."""
    from jko.loops.grids.resample import average, halvings, interpolate

    potential = None
    extent = [n * h for n, h in zip(mu.shape, spacing, strict=True)]
    for cells in reversed(halvings(mu.shape, TOLERANCES.coarsest)):
        sides = [e / n for e, n in zip(extent, cells, strict=True)]
        last = cells == mu.shape
        temperature = epsilon if last else max(epsilon, TOLERANCES.coarse_temperature * max(sides) ** 2)
        kernel = GridKernel(cells, sides, temperature)
        first, second = (m if m is None or last else _unit(average(m, cells)) for m in (mu, nu))
        if potential is None:
            start = np.zeros(cells)
        elif potential.shape == cells:
            start = potential / temperature
        else:
            ratios = [o / n for o, n in zip(potential.shape, cells, strict=True)]
            start = interpolate(potential, cells, (0.0,) * len(cells), ratios) / temperature
        found = _scale(kernel, first, second, start, tolerance, max_iterations)
        potential = temperature * found.second
    return found


def scale_clouds(
    x: np.ndarray,
    y: np.ndarray,
    mu: np.ndarray,
    nu: np.ndarray | None,
    epsilon: float,
    tolerance: float,
    max_iterations: int,
) -> Scaling:
    """Between weights mu at x `[n, d]` and nu at y `[m, d]`; nu None is mu with itself. The temperature falls
    from the square of the clouds' extent."""
    both = np.concatenate([x, y])
    temperature = max(epsilon, float(np.sum(np.ptp(both, axis=0) ** 2)))
    potential = np.zeros(len(y))
    while True:
        last = temperature == epsilon
        kernel, enough = (
            CloudKernel(x, y, temperature),
            tolerance if last else max(tolerance, TOLERANCES.rough),
        )
        small = nu is not None and len(x) * len(y) <= TOLERANCES.few_pairs
        rounds = min(TOLERANCES.before_newton, max_iterations) if small else max_iterations
        found = _scale(kernel, mu, nu, potential / temperature, enough, rounds)
        if small and found.error > enough and max_iterations > rounds:
            left = max_iterations - rounds
            better = newton(kernel.costs(), np.log(mu), np.log(nu), found.second, enough, left)
            found = better._replace(iterations=rounds + better.iterations)
        if last:
            return found
        potential, temperature = (
            temperature * found.second,
            max(epsilon, temperature / TOLERANCES.temperature_fall),
        )


def _scale(
    kernel: CloudKernel | GridKernel,
    mu: np.ndarray,
    nu: np.ndarray | None,
    start: np.ndarray,
    tolerance: float,
    max_iterations: int,
):
    with np.errstate(divide="ignore"):
        if nu is None:
            return scale_symmetric(kernel, np.log(mu), start, tolerance, max_iterations)
        return scale(kernel, np.log(mu), np.log(nu), start, tolerance, max_iterations)


def _unit(masses: np.ndarray):
    return masses / masses.sum()
