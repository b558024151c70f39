"""A step that a singular repulsion alone holds open, by a quasi-Newton method in the metric of its own
Hessian."""

from __future__ import annotations

from math import gamma

import numpy as np

from jko.steps.quantile.interaction_passes import edge_forces
from jko.steps.quantile.lagrangian import Point, Solution, certified_gap, kept_apart
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
        gap, cost = certified_gap(problem, at.point.edges, at.free_gradient()), at.point.cost
        closed = bool(gap <= max(tolerance * cost, TOLERANCES.pair_rounding * at.magnitude))
        if closed or iteration == TOLERANCES.repulsion_steps:
            break
        metric = _Metric(problem, at)
        moved, share = at.searched(_direction(at.free_gradient(), metric, steps, turns))
        if moved is None and steps:
            steps, turns = [], []
            moved, share = at.searched(_direction(at.free_gradient(), metric, steps, turns))
        if moved is None:
            break
        if share < TOLERANCES.forgotten:
            steps, turns = [], []
        step, turn = moved.point.edges - at.point.edges, moved.gradient - at.gradient
        if float(step @ turn) > 0.0:
            steps, turns = (
                [*steps[1 - TOLERANCES.repulsion_memory :], step],
                [*turns[1 - TOLERANCES.repulsion_memory :], turn],
            )
        at = moved
    rough = problem.energy.interaction.kernel.tolerance
    note = f"W summed to {rough:.0e} of its range" if rough > 1e-9 else ""
    energy = at.value - cost
    point = at.point
    ended = Solution(point.edges, point.widths, energy, cost, gap, iteration, closed, at.magnitude)
    return ended, note


class _Iterate:
    """Edges with the whole objective and its gradient there."""

    def __init__(self, problem, edges, widths):
        self.problem = problem
        self.point = Point(problem, edges, widths)
        self.point.assemble(problem)
        self.pairs = problem.energy.interaction.at(edges, widths, problem.masses)
        self.value = self.point.value + self.pairs.energy
        self.magnitude = self.point.magnitude + abs(self.pairs.energy)
        self.gradient = self.point.gradient + edge_forces(problem.masses, self.pairs.slope)

    def free_gradient(self):
        """The gradient without what pushes an outermost edge against its wall."""
        free, edges, walls = self.gradient.copy(), self.point.edges, self.problem.walls
        if edges[0] <= walls[0] and free[0] > 0.0:
            free[0] = 0.0
        if edges[-1] >= walls[1] and free[-1] < 0.0:
            free[-1] = 0.0
        return free

    def searched(self, direction):
        """A point of lower J on the arc of the nearest edges that keep a tenth of every width, and how far
        along; None where there is none."""
        problem, point = self.problem, self.point
        growth, least = np.diff(direction), TOLERANCES.kept_width * point.widths
        noise, step = TOLERANCES.search_noise * self.magnitude, 1.0
        for _ in range(TOLERANCES.repulsion_halvings):
            target = point.edges + step * direction, point.widths + step * growth
            edges, widths = kept_apart(*target, least, problem.masses, problem.walls)
            descent = float(self.gradient @ (edges - point.edges))
            if descent < 0.0:
                moved = _Iterate(problem, edges, widths)
                if moved.value <= self.value + TOLERANCES.sufficient_decrease * descent + noise:
                    return moved, step
            step *= 0.5
        return None, 0.0


class _Metric:
    """The inverse of the model of the Hessian: 1/(s + x^θ) = sin πθ/π ∫ t^θ/(s² + 2s t^θ cos πθ + t^{2θ})
    dt/(x + t), by the trapezoidal rule in log t, a tridiagonal solve each."""

    def __init__(self, problem, at):
        masses, widths, kernel = problem.masses, at.point.widths, problem.energy.interaction.kernel
        order, strength = _singularity(kernel)
        density = masses / widths
        self.stiffness = -((strength * density ** (1.0 + order)) ** (2.0 / order)) / masses
        self.masses = 0.5 * (np.append(masses, 0.0) + np.append(0.0, masses))
        bend = at.pairs.curvature + np.maximum(at.point.terms.curvature, 0.0)
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
