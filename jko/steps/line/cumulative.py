"""A step on the line as a convex program in the cumulative mass, solved roughly: where Newton's method on
the edges may begin when V is not convex enough, or a cap varies."""

from __future__ import annotations

import numpy as np

_PHASES = 11
_FALL = 0.25  # of barrier and smoothing from phase to phase
_LEAST_BLUR = 1e-5
_NEWTON = 30
_SETTLED = 0.1  # of the barrier: half the squared Newton decrement that ends a phase
_INSIDE = 0.95  # of the way to the nearest bound
_OVERSHOT = 0.3  # of the first slope: more of the opposite sign is gone back from
_HALVINGS = 30


def rough_step(problem, faces, cap=None):
    """(edges, widths) between which the problem's masses lie after a step, to the resolution of `faces`.

    With G the cumulative mass, ½W₂² = ∫ h₀(G) − xG dx + const, h₀′ the quantile function of the start. For
    every V, every convex U and every cap c(x) the step is convex in G,

        min Σ h (h₀(G) − xG)/τ + Σ h U(ΔG/h) + V ΔG,   0 ≤ ΔG ≤ h c,

    so that there are no local minima; the Hessian is tridiagonal. By a barrier method, the start smoothed
    over a share of its mass that falls with the barrier. `cap` `[faces − 1]` are means over the cells.
    Returns None where it does not settle.
    """
    program = _Program(problem, faces, cap)
    G, blur = program.begin(), 0.1
    with np.errstate(all="ignore"):
        for _ in range(_PHASES):
            G = program.descended(G, blur)
            if G is None:
                return None
            program.barrier, blur = _FALL * program.barrier, max(_FALL * blur, _LEAST_BLUR)
    return program.placed(np.diff(G))


class _Program:
    def __init__(self, problem, faces, cap):
        self.problem, self.faces, self.h = problem, faces, np.diff(faces)
        self.mass, position = problem.masses.sum(), problem.start
        self.levels = np.append(0.0, np.cumsum(problem.masses))
        middle = 0.5 * (position[1:] + position[:-1])
        self.integral = np.append(0.0, np.cumsum(middle * problem.masses))
        self.U, V = problem.energy.internal, problem.energy.potential
        self.V = np.zeros(self.h.size) if V is None else V(0.5 * (faces[1:] + faces[:-1]))[0]
        self.most = np.full(self.h.size, np.inf) if cap is None else self.h * cap
        self.weight = 0.5 * (self.h[1:] + self.h[:-1]) / problem.tau
        rates = np.ptp(self.V), (faces[-1] - faces[0]) ** 2 / problem.tau
        self.barrier = self.mass / self.h.size * max(min(rates), 1e-3 * max(rates))

    def begin(self):
        share = self.h if np.isinf(self.most[0]) else self.most
        return self.mass * np.append(0.0, np.cumsum(share / share.sum()))

    def descended(self, G, blur):
        """G after damped Newton steps; None where the matrix is not positive."""
        from jko.loops import banded

        gradient, rows, upper = self.derivatives(G, blur, curved=True)
        direction = np.zeros(G.size)
        for _ in range(_NEWTON):
            if not banded.solve(rows, upper, -gradient, direction[1:-1]):
                return None
            slope = float(gradient @ direction[1:-1])
            if -slope <= _SETTLED * self.barrier:
                break
            growth, width = np.diff(direction), np.diff(G)
            room = np.where(growth < 0.0, -width / growth, (self.most - width) / growth)
            step = min(1.0, _INSIDE * float(np.min(np.where(growth == 0.0, np.inf, room))))
            for _ in range(_HALVINGS):
                new = G + step * direction
                # convex: a slope that has not turned means that the objective fell
                if float(self.derivatives(new, blur) @ direction[1:-1]) <= -_OVERSHOT * slope:
                    break
                step *= 0.5
            G = new
            gradient, rows, upper = self.derivatives(G, blur, curved=True)
        return G

    def derivatives(self, G, blur, curved=False):
        """The gradient at the interior faces; with it the Hessian, as row sums and upper neighbour."""
        width, inner = np.diff(G), G[1:-1]
        s = width / self.h
        slope = self.V - self.barrier / width + self.barrier / (self.most - width)
        if self.U is not None:
            slope = slope + self.U.derivative(s)
        d = blur * self.mass
        (low, left), (high, right) = self._start(inner - d), self._start(inner + d)
        gradient = self.weight * (0.5 * (high - low) / d - self.faces[1:-1]) + slope[:-1] - slope[1:]
        if not curved:
            return gradient
        bend = self.barrier / width**2 + self.barrier / (self.most - width) ** 2
        if self.U is not None:
            bend = bend + self.U.second_derivative(s) / self.h
        rows = self.weight * np.maximum(0.5 * (right - left) / d, 0.0)
        rows[0] += bend[0]
        rows[-1] += bend[-1]
        return gradient, rows, -bend[1:-1]

    def _start(self, G):
        """(h₀, h₀′) of the start, h₀′ constant beyond its mass."""
        levels, edges, masses = self.levels, self.problem.start, self.problem.masses
        i = np.clip(np.searchsorted(levels, G, side="right") - 1, 0, masses.size - 1)
        part = np.clip(G - levels[i], 0.0, masses[i])
        quantile = edges[i] + (edges[i + 1] - edges[i]) * part / np.where(masses[i] > 0.0, masses[i], 1.0)
        beyond = np.minimum(G, 0.0) * edges[0] + np.maximum(G - levels[-1], 0.0) * edges[-1]
        return self.integral[i] + 0.5 * part * (edges[i] + quantile) + beyond, quantile

    def placed(self, cells):
        """The masses' edges in a density of these cells, counted from the nearer end: tails keep digits."""
        cells = np.maximum(cells, 1e-300) * (self.mass / cells.sum())
        masses, half = self.problem.masses, 0.5 * self.mass
        left = np.interp(self.levels, np.append(0.0, np.cumsum(cells)), self.faces)
        remaining = np.append(0.0, np.cumsum(masses[::-1]))
        right = np.interp(remaining, np.append(0.0, np.cumsum(cells[::-1])), -self.faces[::-1])
        edges = np.where(self.levels < half, left, -right[::-1])
        edges = np.maximum.accumulate(edges)
        return edges, np.diff(edges)
