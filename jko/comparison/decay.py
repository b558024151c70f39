"""The exponential rate at which the energy of a run falls to its least value."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from jko.comparison.tolerances import TOLERANCES


@dataclass(frozen=True)
class DecayRate:
    """F(t) − F_min ≈ A e^{−rate t}: the rate with its standard error, F_min, and where F_min comes from."""

    rate: float = math.nan
    error: float = math.nan
    minimum: float = math.nan
    source: str = ""


def fit_decay(
    times: np.ndarray,
    energy: np.ndarray,
    uncertainty: np.ndarray | None = None,
    minimum: float | None = None,
    source: str = "given",
) -> DecayRate:
    """The rate of F − F_min, to hold against the 2λ that λ-convexity promises at least.

    With F_min known, a straight line through log(F − F_min) by least squares over the later half of the times
    at which F − F_min exceeds 1e-3 of its first value and four standard errors: the rate it settles to. Else
    F_min, A and the rate are fitted jointly to the later two thirds, F_min as a nuisance. Weights are the
    inverse uncertainties where there are any, else relative.

    NaN where fewer than four points are left, where nothing decays, and, with F_min unknown, where a quarter
    of that window's excess is left at its end: F_min would be a guess.
    """
    times, energy = np.asarray(times, dtype=float), np.asarray(energy, dtype=float)
    sigma = np.zeros_like(energy) if uncertainty is None else np.asarray(uncertainty, dtype=float)
    finite = np.isfinite(energy)
    times, energy, sigma = times[finite], energy[finite], np.where(np.isfinite(sigma), sigma, 0.0)[finite]
    if len(times) < TOLERANCES.least_points or not energy[0] > energy.min():
        return DecayRate()
    if minimum is None:
        return _joint_fit(times, energy, sigma)
    return _line_fit(times, energy - minimum, sigma, minimum, source)


def _line_fit(times, excess, sigma, minimum, source):
    usable = excess > np.maximum(TOLERANCES.least_excess * excess[0], TOLERANCES.significant * sigma)
    if not usable[0]:
        return DecayRate(minimum=minimum, source=source)
    stop = len(usable) if usable.all() else int(np.argmin(usable))
    first = stop // 2 if stop // 2 >= TOLERANCES.least_points else 0
    if stop - first < TOLERANCES.least_points:
        return DecayRate(minimum=minimum, source=source)
    t, y = times[first:stop], excess[first:stop]
    weights = (
        (y / np.maximum(sigma[first:stop], 1e-300)) if np.all(sigma[first:stop] > 0) else np.ones_like(y)
    )
    slope, error = _weighted_slope(t, np.log(y), weights, known=bool(np.all(sigma[first:stop] > 0)))
    return DecayRate(-slope, error, minimum, source)


def _weighted_slope(t, y, weights, known):
    """Slope and its standard error; `known` when the weights are inverse standard errors."""
    design = np.stack([np.ones_like(t), t], axis=1) * weights[:, None]
    solution, *_ = np.linalg.lstsq(design, y * weights, rcond=None)
    residual = y * weights - design @ solution
    covariance = np.linalg.pinv(design.T @ design)
    scale = 1.0 if known else float(residual @ residual) / max(len(t) - 2, 1)
    return float(solution[1]), math.sqrt(scale * covariance[1, 1])


def _joint_fit(times: np.ndarray, energy: np.ndarray, sigma: np.ndarray):
    """The fit to the later two thirds; how far the fit to the later half of these is off counts as error."""
    first = len(times) // 3 if len(times) - len(times) // 3 >= TOLERANCES.least_joint else 0
    fit = _fit_from(first, times, energy, sigma)
    if not fit.minimum > energy.min() - TOLERANCES.most_unseen * (energy[first] - energy.min()):
        return DecayRate()
    half = (first + len(times)) // 2
    later = (
        _fit_from(half, times, energy, sigma) if len(times) - half >= TOLERANCES.least_joint else DecayRate()
    )
    drift = max(abs(later.rate - fit.rate) - later.error, 0.0) if math.isfinite(later.rate) else 0.0
    error = math.hypot(fit.error, drift)
    return replace(fit, error=error) if error < fit.rate else DecayRate()


def _fit_from(first: int, times: np.ndarray, energy: np.ndarray, sigma: np.ndarray):
    times, energy, sigma = times[first:], energy[first:], sigma[first:]
    drop = energy[0] - energy.min()
    if not drop > 0.0:
        return DecayRate()
    known = bool(np.all(sigma > 0))
    weights = sigma / drop if known else np.maximum((energy - energy.min()) / drop, 0.02)
    fit = _exponential(times - times[0], (energy - energy.min()) / drop, weights)
    if fit is None:
        return DecayRate()
    (least, _, log_rate), covariance, misfit = fit
    rate = math.exp(log_rate)
    error = rate * math.sqrt(max(covariance[2, 2], 0.0) * max(misfit, 1.0 if known else 0.0))
    return DecayRate(rate, error, float(energy.min() + drop * least), "fitted jointly")


def _exponential(elapsed: np.ndarray, scaled: np.ndarray, weights: np.ndarray):
    """(least, amplitude, log rate), their covariance for unit errors, and the mean weighted square left."""
    from scipy.optimize import least_squares

    def residual(parameters: np.ndarray):
        least, amplitude, log_rate = parameters
        return (least + amplitude * np.exp(-np.exp(log_rate) * elapsed) - scaled) / weights

    def jacobian(parameters: np.ndarray):
        _, amplitude, log_rate = parameters
        decayed = np.exp(-np.exp(log_rate) * elapsed)
        slope = -amplitude * np.exp(log_rate) * elapsed * decayed
        return np.stack([np.ones_like(elapsed), decayed, slope], axis=1) / weights[:, None]

    below = np.flatnonzero(scaled < math.exp(-1.0))
    fallen = elapsed[below[0]] if below.size else elapsed[-1]
    tight = {"xtol": 1e-14, "ftol": 1e-14, "gtol": 1e-14}
    found = least_squares(
        residual, (-0.01, 1.01, -math.log(fallen)), jacobian, method="lm", max_nfev=5000, **tight
    )
    curvature = found.jac.T @ found.jac
    if not np.all(np.isfinite(found.x)) or np.linalg.cond(curvature) > TOLERANCES.singular:
        return None
    return found.x, np.linalg.inv(curvature), 2.0 * float(found.cost) / max(len(elapsed) - 3, 1)
