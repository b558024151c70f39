"""A step that a singular repulsion alone holds open, by a quasi-Newton method in the metric of its own
Hessian."""

from __future__ import annotations

from math import gamma

import numpy as np

from jko.steps.quantile.interaction_passes import edge_forces
from jko.steps.quantile.lagrangian import Point, Solution, certified_gap
from jko.steps.quantile.newton import arc_search, pushed, without
from jko.steps.quantile.tolerances import TOLERANCES


def takes(problem) -> bool:
    """Whether nothing but the repulsion holds the cells open, on one interval and without a cap."""
    energy = problem.energy
    return energy.internal is None and energy.cap is None and energy.keeps_open and bool(problem.masses.all())


def minimise(problem, tolerance: float):
    """(Solution, note): limited-memory quasi-Newton steps [LiuNocedal1989] that begin with the inverse of

        (1/τ + a)M + M^½ (M^-½ K M^-½)^(β/2) M^½,

    M the masses at the edges, K the stiffness of neighbours for which M⁻¹K has the symbol (cρ^{1+β})^{2/β} k²
    in the mass coordinate: −log|z| (β = 1) and powers |z|^{1−β} repel with the Hessian c ρ^{1+β}|k|^β. The
    number of steps does not grow with the cells. Closed when the certificate of the whole objective is; where
    light tails beside heavy fronts hold it up, which the model does not know, it ends early.
    """
    at = _Iterate(problem, problem.start, problem.widths)
    steps, turns = [], []
    for iteration in range(TOLERANCES.repulsion_steps + 1):
        gap = certified_gap(problem, at.edges, at.free)
        closed = bool(gap <= max(tolerance * at.cost, TOLERANCES.pair_rounding * at.magnitude))
        if closed or iteration == TOLERANCES.repulsion_steps:
            break
        metric = _Metric(problem, at)
        moved, share = _searched(problem, at, _direction(at.free, metric, steps, turns))
        if moved is None and steps:
            steps, turns = [], []
            moved, share = _searched(problem, at, _direction(at.free, metric, steps, turns))
        if moved is None:
            break
        if share < TOLERANCES.forgotten:
            steps, turns = [], []
        step, turn = moved.edges - at.edges, moved.gradient - at.gradient
        if float(step @ turn) > 0.0:
            steps, turns = (
                [*steps[1 - TOLERANCES.repulsion_memory :], step],
                [*turns[1 - TOLERANCES.repulsion_memory :], turn],
            )
        at = moved
    rough = problem.energy.interaction.kernel.tolerance
    note = f"W summed to {rough:.0e} of its range" if rough > 1e-9 else ""
    energy = at.value - at.cost
    return Solution(at.edges, at.widths, energy, at.cost, gap, iteration, closed, at.magnitude), note


class _Iterate(Point):
    """Edges with the whole objective and its gradient there, and `free`, the gradient without what pushes an
    outermost edge against its wall."""

    def __init__(self, problem, edges: np.ndarray, widths: np.ndarray):
        super().__init__(problem, edges, widths)
        self.assemble(problem)
        self.pairs = problem.energy.interaction.at(edges, widths, problem.masses)
        self.value += self.pairs.energy
        self.magnitude += abs(self.pairs.energy)
        self.gradient = self.gradient + edge_forces(problem.masses, self.pairs.slope)
        self.free = without(self.gradient, pushed(self, problem.walls))


def _searched(problem, at: _Iterate, direction: np.ndarray):
    """As `arc_search`, of edges that keep a tenth of every width."""
    return arc_search(
        problem, at, direction, TOLERANCES.kept_width * at.widths, TOLERANCES.repulsion_halvings
    )


class _Metric:
    """The inverse of the model of the Hessian: 1/(s + x^θ) = sin πθ/π ∫ t^θ/(s² + 2s t^θ cos πθ + t^{2θ})
    dt/(x + t), by the trapezoidal rule in log t, a tridiagonal solve each."""

    def __init__(self, problem, at):
        masses, widths, kernel = problem.masses, at.widths, problem.energy.interaction.kernel
        order, strength = _singularity(kernel)
        density = masses / widths
        self.stiffness = -((strength * density ** (1.0 + order)) ** (2.0 / order)) / masses
        self.masses = 0.5 * (np.append(masses, 0.0) + np.append(0.0, masses))
        bend = at.pairs.curvature + np.maximum(at.terms.curvature, 0.0)
        shift = 1.0 / problem.tau + 0.5 * float(masses @ bend.sum(axis=0)) / masses.sum()
        theta = 0.5 * order
        largest = 4.0 * float(np.max(-self.stiffness / np.minimum(self.masses[1:], self.masses[:-1])))
        low, high = (
            np.log(TOLERANCES.below_poles) + np.log(shift) / theta,
            np.log(TOLERANCES.above_poles * largest),
        )
        count = max(2, int(np.ceil((high - low) / TOLERANCES.pole_spacing)))
        self.poles, spacing = np.exp(np.linspace(low, high, count)), (high - low) / (count - 1)
        power = self.poles**theta
        weight = np.sin(np.pi * theta) / np.pi * power
        weight /= shift**2 + 2.0 * shift * power * np.cos(np.pi * theta) + power**2
        self.weights = spacing * self.poles * weight
        self.beyond = weight[-1] / theta  # ∫ t^(−θ−1) from the last pole, times its t^θ

    def inverse(self, gradient):
        from jko.loops.elliptic import banded

        out, one = self.beyond * gradient / self.masses, np.empty_like(gradient)
        for pole, weight in zip(self.poles, self.weights, strict=True):
            banded.solve(pole * self.masses, self.stiffness, gradient, one)
            out += weight * one
        return out


def _singularity(kernel):
    """(β, c) of the strongest repulsion ∝ |z|^{1−β} at 0, whose Fourier symbol is c|k|^β."""
    terms = [(1.0, kernel.logarithm)] if kernel.logarithm > 0.0 else []
    terms += [(1.0 - a, s * (a - 1.0)) for a, s in kernel.powers if a < 1.0 and s * (a - 1.0) > 0.0]
    order, strength = max(terms)
    return order, strength * np.pi / (gamma(1.0 + order) * np.sin(0.5 * np.pi * order))


def _direction(gradient, metric, steps, turns):
    """−H⁻¹g by the two-loop recursion."""
    out, shares = gradient.copy(), []
    for step, turn in zip(reversed(steps), reversed(turns), strict=True):
        share = float(step @ out) / float(step @ turn)
        out -= share * turn
        shares.append(share)
    out = metric.inverse(out)
    for step, turn, share in zip(steps, turns, reversed(shares), strict=True):
        out += (share - float(turn @ out) / float(step @ turn)) * step
    return -out
