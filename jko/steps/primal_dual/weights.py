"""The weights of a step's splitting: the units of the problem's own scales, and how residuals change them."""

from __future__ import annotations

import math

import numpy as np

from jko.steps.primal_dual.splitting import Splitting
from jko.steps.primal_dual.tolerances import TOLERANCES


def stiffness_of(problem, start: np.ndarray, field: np.ndarray, actions: list) -> float:
    """The unit of the weights, an energy over a density: how much V + W∗ρ differs over the mass, or the
    first variation from 0 where there are sources, plus the stiffness of U, or else what a move by one
    cell costs."""
    totals, half = problem.totals(start), 0.5 * problem.fullest
    total = float(totals.sum())
    density = min(float(np.vdot(start, start)) / total, half)  # U′ and U″ of what is full are infinite
    if problem.length is None:
        change = field - problem.totals(start * field) / totals
    else:
        values = np.minimum(start, half).reshape(problem.layout)
        change = problem.slope(values, problem.interaction(values)).reshape(start.shape)
    energy = math.sqrt(float(np.vdot(start, change**2)) / total)
    if problem.internal is not None:
        alone = np.full((1, 1, problem.species), density)
        energy += density * float(problem.internal.second_derivative(alone).max())
    energy = energy if energy > 0.0 else max(float(np.max(action)) for action in actions)
    return energy / density


def units_of(problem, start: np.ndarray, actions: list, stiffness: float) -> np.ndarray:
    """The units of the weights of flows, θ and densities, and of sources where there are any: how stiff
    their cost is at the mean density."""
    first, theta, density, source = TOLERANCES.weights
    units = [stiffness * first, stiffness * theta, stiffness * density]
    if problem.length is not None:
        mean = float(np.vdot(start, start)) / float(start.sum())
        units.append(2.0 * actions[-1] / mean * source)
    return np.array(units)


def split(problem, start: np.ndarray, tau: float, field: np.ndarray, weights: np.ndarray) -> Splitting:
    """The splitting with weights in the order of `units_of`."""
    flow, theta, density, *source = weights.tolist()
    return Splitting(problem, start, tau, field, ([flow] * problem.grid.dimension + source, theta, density))


def weights_of(splitting: Splitting, count: int) -> np.ndarray:
    """Its first `count` weights, in that order."""
    return np.array([*splitting.s[:1], splitting.g, splitting.m, *splitting.s[-1:]][:count])


def balance(splitting: Splitting, residuals: np.ndarray, changes: int) -> int:
    """Multiply each weight by a power of (primal residual / dual residual) of its block, a ratio without
    units; `changes` so far, which is returned with this one.
    """
    power = 0.1 / (1.0 + (changes / TOLERANCES.settling) ** 2)
    tiny = np.finfo(float).tiny
    # by logarithms, since a dual residual of 0 would make the ratio overflow
    logs = power * (np.log(residuals[0::2] + tiny) - np.log(residuals[1::2] + tiny))
    most = math.log(TOLERANCES.most_change)
    splitting.rescale(*np.exp(np.clip(logs, -most, most)).tolist())
    return changes + 1
