"""The derivative of `steps.Quantile`: the banded Hessian of its Lagrangian form, once more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from functionals import Functional
from functionals.array import Array
from functionals.programs import kept
from functionals.reading import as_it_reads_now
from jko.measures import Density, Grid
from jko.scheme import State
from jko.sensitivity.engine import Pulled, StepDerivative, Taken, relative
from jko.sensitivity.parametrised import potential, traced, value_of
from jko.sensitivity.remapped import edge_cotangent
from jko.sensitivity.tolerances import TOLERANCES
from jko.steps.quantile.cap import VariedCap
from jko.steps.quantile.energy import AveragedPotential
from jko.steps.quantile.lagrangian import Point
from jko.steps.quantile.scheme import origin_of, record


class LineStep(StepDerivative):
    """M(X′ − X)/τ + ∇E(X′) = 0 at the edges X′ `[n+1]`, differentiated at fixed masses of the cells.

    Edges that a cap or a touching neighbour holds move as one, those on a wall not at all: the derivative is
    that within the face of the constraints that hold, and one-sided where one is about to let go. The
    density on the grid follows the edges through `transport.remap`.
    """

    carried = ("edges",)

    def __init__(self, *given):
        super().__init__(*given)
        self.origin = origin_of(self.initial.grid)
        energy = self.problem.at(0.0)
        if self.initial.grid.is_periodic:
            self.refuse("a periodic grid", "steps.MongeAmpere, or a grid with walls")
        if self.scheme.cost_exponent != 2.0:
            self.refuse(f"the cost of {self.scheme!r}, which is not quadratic", "steps.Quantile()")
        if isinstance(energy.potential, AveragedPotential):
            self.refuse("a potential with kinks or jumps", "a smooth one, or descent.ForwardEuler")
        if isinstance(energy.cap, VariedCap):
            self.refuse("a cap that varies in space", "one number as the cap")
        kernel = None if energy.interaction is None else energy.interaction.kernel
        if kernel is not None and (kernel.absolute or kernel.logarithm or len(kernel.powers)):
            self.refuse(
                f"the kernel in {self.F!r}, which is not smooth at 0",
                "a smooth kernel, or take steps.Linearized",
            )

    def require_initial_derivative(self):
        self.refuse(
            "a derivative by the initial measure, whose cells are laid anew",
            "by='parameters', or take steps.MongeAmpere or steps.Linearized",
        )

    def step(self, mu: Density, state: State, t: float, tau: float, count: int = 1) -> Taken:
        solved = self.scheme.solved(self.problem, mu, t, tau, state)
        info = record(solved.problem, solved.solution, mu, solved.density, solved.note)
        problem = solved.problem
        if not solved.resolved:
            self.refuse(
                f"a step of tau={tau:g} that moves less than the grid resolves, which is not taken",
                "a larger tau or a finer grid, or take steps.MongeAmpere",
            )
        whole = problem.start.size == state["edges"].size
        if not whole and (problem.kept is None or problem.kept[-1] + 1 != state["edges"].size):
            self.refuse("a step that tears cells apart", "a smaller tau, or take descent.ForwardEuler")
        return Taken(solved.density, solved.state, info, (mu, state, solved, t, tau))

    def nothing(self, tape: tuple):
        return {"edges": np.zeros_like(tape[2].state["edges"])}

    def pull(self, tape: tuple, cotangent: dict):
        mu, state, solved, t, tau = tape
        problem, solution = solved.problem, solved.solution
        of_edges, of_values = cotangent["edges"].copy(), np.zeros_like(mu.values)
        if solved.resolved:
            edges = np.maximum.accumulate(solved.state["edges"])
            grid = _centred(mu.grid, self.origin)
            of_edges += edge_cotangent(
                edges, solved.state["masses"], grid, problem.energy.cap, cotangent["values"]
            )
        else:
            of_values = cotangent["values"]
        right = np.zeros_like(solution.edges)
        right[solved.kept] = of_edges
        face = _Face(problem, solution)
        adjoint, residual = face.solved(right, self._interaction(problem, solution, t + tau))
        start = np.zeros_like(state["edges"])
        chosen = slice(None) if problem.kept is None else problem.kept
        start[chosen] = mass_product(problem.masses, adjoint) / tau
        moved = mass_product(problem.masses, solution.edges - problem.start)
        parameters, time = self._slopes(problem, solution, adjoint, t + tau)
        by_tau = float(adjoint @ moved) / tau**2 + time
        return Pulled({"edges": start, "values": of_values}, parameters, by_tau, time, residual)

    def _slopes(self, problem, solution, adjoint: np.ndarray, t: float):
        cells = self._padded(problem, solution)
        with jax.enable_x64(True):
            paired = _paired(as_it_reads_now(self.make_functional), self.origin)
            found = paired(self.parameters, t, *cells, _with_zeros(adjoint, cells[0].size))
        parameters, time = jax.tree.map(lambda g: -np.asarray(g), found)
        return parameters, float(time)

    def _interaction(self, problem, solution, t: float):
        """v ↦ Hᵢv, the interaction's part of the Hessian at the edges, or None."""
        if problem.energy.interaction is None:
            return None
        cells, n = self._padded(problem, solution), solution.edges.size
        product = _pair_product(as_it_reads_now(self.make_functional), self.origin)

        def of(v: np.ndarray):
            with jax.enable_x64(True):
                return np.asarray(product(self.parameters, t, *cells, _with_zeros(v, cells[0].size)))[:n]

        return of

    def _padded(self, problem, solution):
        """Edges, widths and masses with empty cells added up to a number that jax compiles once."""
        n = problem.masses.size
        size = 2 * self.initial.grid.size
        while size < n:
            size *= 2
        beyond = solution.edges[-1] + np.arange(1.0, size - n + 1.0)
        widths = np.append(solution.widths, np.ones(size - n))
        return np.append(solution.edges, beyond), widths, _with_zeros(problem.masses, size)


class _Face:
    """The Hessian among the edges that are free to move at a solution."""

    def __init__(self, problem, solution):
        point = Point(problem, solution.edges, solution.widths)
        point.assemble(problem, positive=False)
        floor = _floor(problem)
        length = problem.walls[1] - problem.walls[0]
        tight = solution.widths <= floor * (1.0 + TOLERANCES.tight) + TOLERANCES.closed * length
        tight &= np.isfinite(floor)
        self.block = np.append(0, np.cumsum(~tight))
        count = self.block[-1] + 1
        self.rows = np.bincount(self.block, point.rows, count)
        self.upper = np.append(point.upper[~tight], 0.0)[: max(count - 1, 1)]
        self.held = (
            bool(solution.edges[0] <= problem.walls[0]),
            bool(solution.edges[-1] >= problem.walls[1]),
        )
        self.count = count

    def solved(self, right: np.ndarray, interaction):
        """(Hλ = c on the face, |Hλ − c|/|c|)."""
        c = np.bincount(self.block, right, self.count)
        c[[0, -1]] = np.where(self.held, 0.0, c[[0, -1]])
        adjoint = self._banded(c) if interaction is None else self._conjugate_gradients(c, interaction)
        residual = relative(self._product(adjoint, interaction) - c, c)
        return adjoint[self.block], residual

    def _banded(self, c: np.ndarray):
        from jko.loops.elliptic import banded

        if self.count == 1:
            return np.zeros(1) if any(self.held) else c / self.rows
        out = np.empty(self.count)
        if not banded.solve_held(self.rows, self.upper, np.zeros_like(self.upper), -c, *self.held, out):
            raise ValueError(
                "jko.sensitivity: a step of steps.Quantile ended at no strict minimum, where it has no "
                "derivative; take a smaller tau"
            )
        return out

    def _product(self, v: np.ndarray, interaction):
        """H v: sums of rows and differences of neighbours, which is how H is held."""
        out = self.rows * v
        if self.count > 1:
            push = self.upper * np.diff(v)
            out[:-1] += push
            out[1:] -= push
        if interaction is not None:
            out += np.bincount(self.block, interaction(v[self.block]), self.count)
        out[[0, -1]] = np.where(self.held, v[[0, -1]] * 0.0, out[[0, -1]])
        return out

    def _conjugate_gradients(self, c: np.ndarray, interaction: Callable):
        """The banded part is the preconditioner: what is left of the interaction is smooth."""
        v, r = np.zeros_like(c), c.copy()
        z = self._banded(r)
        d, rz = z.copy(), float(r @ z)
        for _ in range(TOLERANCES.line_iterations):
            if np.linalg.norm(r) <= TOLERANCES.solved * np.linalg.norm(c):
                break
            q = self._product(d, interaction)
            step = rz / float(d @ q)
            v, r = v + step * d, r - step * q
            z = self._banded(r)
            new = float(r @ z)
            d, rz = z + new / rz * d, new
        return v


def _floor(problem):
    """The least widths of the cells, −∞ where nothing bounds them but the energy."""
    energy, masses = problem.energy, problem.masses
    if energy.cap is not None:
        return masses / energy.cap
    return np.where(masses > 0.0, -np.inf, 0.0) if energy.keeps_open else np.zeros(masses.size)


def mass_product(masses: np.ndarray, v: np.ndarray):
    """M v `[n+1]` with the mass matrix of linear elements."""
    out = np.zeros(v.size)
    out[:-1] += masses * (2.0 * v[:-1] + v[1:]) / 6.0
    out[1:] += masses * (v[:-1] + 2.0 * v[1:]) / 6.0
    return out


def _centred(grid: Grid, origin: float):
    if origin == 0.0:
        return grid
    half = 0.5 * (grid.upper[0] - grid.lower[0])
    return Grid.uniform(-half, half, grid.size)


def _with_zeros(array: np.ndarray, size: int):
    return np.append(array, np.zeros(size - array.size))


def _gauss(edges: Array):
    """The two Gauss points of every cell, `[2n]`, or of any field that is linear on cells."""
    near = 0.5 - 0.5 / np.sqrt(3.0)
    low, high = edges[:-1], edges[1:]
    return jnp.concatenate([(1.0 - near) * low + near * high, near * low + (1.0 - near) * high])


def _pair_slopes(F: Functional, x: Array, y: Array, w: Array):
    """Σ_h w_h W′(x_g − y_h) `[m]` at points of a line."""

    def slope(z: Array):
        return jax.grad(lambda d: sum(c * value_of(atom.W, d[None]) for c, atom in F.parts.interaction))(z)

    return jax.lax.map(lambda here: jnp.sum(w * jax.vmap(slope)(here - y)), x)


@kept
def _paired(make_functional: Callable, origin: float):
    """The derivatives of λ·∇E(X′) by the parameters and the time."""

    def pairing(parameters: Any, t: Array, edges: Array, widths: Array, masses: Array, adjoint: Array):
        F = traced(make_functional, parameters, t)
        x, along, w = _gauss(edges), _gauss(adjoint), 0.5 * jnp.concatenate([masses, masses])
        force = jax.vmap(jax.grad(lambda x: potential(F, x[None] + origin)))(x)
        if F.parts.interaction:
            force = force + _pair_slopes(F, x, x, w)
        total = jnp.sum(w * force * along)
        if (U := F.parts.internal_energy) is not None:
            held = masses > 0.0
            s = jnp.where(held, masses / jnp.where(held, widths, 1.0), 1.0)
            slope = U.density(s) - s * U.derivative(s)
            total = total + jnp.sum(jnp.where(held, slope * jnp.diff(adjoint), 0.0))
        return total

    return jax.jit(jax.grad(pairing, argnums=(0, 1)))


@kept
def _pair_product(make_functional: Callable, origin: float):
    """v ↦ the derivative of the interaction's forces at the edges along v."""

    def product(parameters: Any, t: Array, edges: Array, widths: Array, masses: Array, v: Array):
        F, w = traced(make_functional, parameters, t), 0.5 * jnp.concatenate([masses, masses])

        def forces(edges: Array):
            x = _gauss(edges)
            return jax.vjp(_gauss, edges)[1](w * _pair_slopes(F, x, x, w))[0]

        return jax.jvp(forces, (edges,), (v,))[1]

    return jax.jit(product)
