"""What derivatives of steps of densities share: slopes by the parameters, and a preconditioned solve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from functionals.array import Array
from functionals.programs import kept
from functionals.reading import as_it_reads_now
from jko.loops.elliptic.factors import factored
from jko.loops.elliptic.multigrid import Multigrid
from jko.measures import Grid, fields
from jko.sensitivity.engine import StepDerivative, relative
from jko.sensitivity.parametrised import first_variation, traced
from jko.sensitivity.tolerances import TOLERANCES


class GridStep(StepDerivative):
    """A step of a density whose equation has U′(ρ′) + V + W∗ρ′ in the cells, and nothing else of F."""

    def __init__(self, *given):
        super().__init__(*given)
        if self.F.parts.interaction and self.initial.grid.is_periodic:
            self.refuse("an interaction on a periodic grid", "a grid with walls")
        for _, atom in self.F.parts.interaction:
            if fields.is_singular(atom.W, self.initial.dimension):
                self.refuse(f"the kernel in {atom!r}, which is singular at 0", "a smooth kernel")

    def slopes(self, density: np.ndarray, values: np.ndarray, of_field: np.ndarray, t: float):
        """The derivatives Σ f ∂(U′(ρ) + V + W∗ρ′) by the parameters and the time, f the cotangent; ρ is what
        the equation has, ρ′ what is stored of it."""
        with jax.enable_x64(True):
            paired = _paired(as_it_reads_now(self.make_functional), self.initial.grid)
            found = paired(self.parameters, t, density, values, of_field)
        parameters, time = jax.tree.map(np.asarray, found)
        return parameters, float(time)

    def convolved(self, of_field: np.ndarray, t: float):
        """(∂(W∗ρ)/∂ρ)ᵀ f, W being even; None without an interaction."""
        grid, parts = self.initial.grid, self.F.at(t).parts
        if not parts.interaction:
            return None
        masses = of_field * grid.cell_volume
        return sum(c * fields.convolve(grid, atom.W, masses) for c, atom in parts.interaction)


class DualEquation:
    """Hu = Aᵀκc of a step's Hessian H = AᵀκA + K, K ≥ 0 what moves mass, and κ = U*″ `[*shape]`.

    Subclasses set `step`, `t`, `grid`, `curvature` κ, `cycle` (the step's preconditioner) and `weight` (the
    norm of a residual), and have A and work, u ↦ Aᵀwork + Ku. The cotangent of V + U′ + W∗ρ′ is κ(Au − c); an
    interaction sends its part of c back, and both are solved together.
    """

    step: GridStep
    t: float
    grid: Grid
    curvature: np.ndarray
    cycle: Callable
    weight: np.ndarray

    def advected(self, u: np.ndarray) -> np.ndarray:
        """Au."""
        raise NotImplementedError

    def adjoint(self, work: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Aᵀwork + Ku."""
        raise NotImplementedError

    def _hessian(self, u: np.ndarray):
        """Hu."""
        return self.adjoint(self.curvature * self.advected(u), u)

    def _sent(self, of_field: np.ndarray):
        sent = self.step.convolved(of_field.reshape(self.grid.cells), self.t)
        return None if sent is None else sent.reshape(self.curvature.shape)

    def solved(self, c: np.ndarray):
        """(u, the cotangent of V + U′ + W∗ρ, the relative residual)."""
        if self._sent(c) is None:
            right = self.adjoint(self.curvature * c, np.zeros_like(c))
            u, residual = conjugate_gradients(self._hessian, right, self.cycle, self.weight)
            if residual > TOLERANCES.enough:
                u, residual = conjugate_gradients(self._hessian, right, self._eliminated(), self.weight)
            return u, self.curvature * (self.advected(u) - c), residual
        return self._together(c)

    def _eliminated(self):
        """H⁻¹ by elimination, for vacuum that the V-cycle fills."""
        cells, shape = self.grid.cells, self.curvature.shape
        inverse = eliminated(lambda u: self._hessian(u.reshape(shape)).reshape(cells), cells)
        return lambda r: inverse(r).reshape(shape)

    def _together(self, c: np.ndarray):
        """The same for c with what W sends back of the answer: (u, c) at once, c in the second half."""
        size = float(np.abs(self.curvature).max())

        def of_field(u: np.ndarray, whole: np.ndarray):
            return self.curvature * (self.advected(u) - whole)

        def operator(pair: np.ndarray):
            u, whole = pair
            first = self._hessian(u) - self.adjoint(self.curvature * whole, np.zeros_like(whole))
            return np.stack([first, size * (whole - self._sent(of_field(u, whole)))])

        def preconditioned(inverse: Callable):
            return lambda pair, _: np.stack([inverse(pair[0]), pair[1] / size])

        right = np.stack([np.zeros_like(c), size * c])
        weight = np.stack([self.weight, np.full_like(c, size**-0.5)])
        (u, whole), residual = solved(operator, right, preconditioned(self.cycle), weight)
        if residual > TOLERANCES.enough:
            (u, whole), residual = solved(operator, right, preconditioned(self._eliminated()), weight)
        return u, of_field(u, whole), residual


@kept
def _paired(make_functional: Callable, grid: Grid):
    def pairing(parameters: Any, t: Array, density: Array, values: Array, of_field: Array):
        F = traced(make_functional, parameters, t)
        return jnp.sum(of_field * first_variation(F, density, values, grid))

    return jax.jit(jax.grad(pairing, argnums=(0, 1)))


def newton_inverse(
    spacing: tuple,
    log: np.ndarray,
    stiffness: np.ndarray | float,
    diagonal: list,
    tau: float,
    joined: tuple,
    iterations: int,
) -> Callable:
    """(r, reduction) ↦ u by so many conjugate gradients at most, with the V-cycle of `steps.MongeAmpere`.

    The equations are its Newton method's, u − (τκ/ρ)∇·(ρg∇u) = r, in units in which single precision rounds
    alike; g, a field an axis, is the `diagonal` of (DS)⁻¹, κ = ρU″ the stiffness, and `joined` the axes whose
    ends are. Cells that are empty keep r.
    """
    unit = float(np.broadcast_to(stiffness, log.shape).flat[log.argmax()])
    mobility = [tau * unit / h**2 * g for g, h in zip(diagonal, spacing, strict=True)]
    below = log - log.max()
    multigrid = Multigrid(below, stiffness / unit, mobility, joined)
    held = below > np.log(TOLERANCES.empty)
    whole = bool(held.all())

    def inverse(r: np.ndarray, reduction: float = TOLERANCES.inner):
        seen = r if whole else np.where(held, r, 0.0)
        size = max(float(seen.max()), -float(seen.min())) or 1.0
        inner, _ = multigrid.solve(seen / size, max(reduction, TOLERANCES.inner), iterations)
        u = size * inner.astype(float)
        return u if whole else np.where(held, u, r)

    return inverse


def solved(operator: Callable, right: np.ndarray, preconditioner: Callable, weight: float = 1.0):
    """(x, |Ax − b|/|b|) of A x = b `[*cells]` by flexible GMRES [Saad1993] in the norm of weight·x; the
    preconditioner takes a residual and by how much to reduce it, which it need not do better."""
    safe = np.maximum(weight, 1e-150)
    x, r = np.zeros_like(right), safe * right
    size = float(np.linalg.norm(r)) or 1.0
    for _ in range(TOLERANCES.rounds):
        x = x + _krylov(operator, r, preconditioner, safe, TOLERANCES.solved_grid * size)
        r = safe * (right - operator(x))
        if np.linalg.norm(r) <= TOLERANCES.solved_grid * size:
            break
    return x, float(np.linalg.norm(r)) / size


def _krylov(operator: Callable, r: np.ndarray, preconditioner: Callable, weight: np.ndarray, goal: float):
    """The correction of the least weighed residual, from weighed residual r, in one restart."""
    size, most = float(np.linalg.norm(r)), TOLERANCES.restart
    left = size
    basis, corrections, products = np.empty((most + 1, r.size)), [], np.zeros((most + 1, most))
    right = np.zeros(most + 1)
    right[0], basis[0] = size, r.ravel() / (size or 1.0)
    for k in range(1, most + 1):
        asked = 0.5 * goal / left if left > 0.0 else 1.0
        corrections.append(preconditioner(basis[k - 1].reshape(r.shape) / weight, asked))
        image = (weight * operator(corrections[-1])).ravel()
        for _ in range(2):
            shares = basis[:k] @ image
            products[:k, k - 1] += shares
            image -= shares @ basis[:k]
        products[k, k - 1] = np.linalg.norm(image)
        y = np.linalg.lstsq(products[: k + 1, :k], right[: k + 1])[0]
        left = np.linalg.norm(products[: k + 1, :k] @ y - right[: k + 1])
        if left <= goal or products[k, k - 1] == 0.0:
            break
        basis[k] = image / products[k, k - 1]
    return sum(a * z for a, z in zip(y, corrections, strict=True))


def eliminated(operator: Callable, cells: tuple) -> Callable:
    """The inverse of a linear operator that couples a cell to those up to two away along each axis: its
    columns by fives, none of which touch, and sparse elimination."""
    from scipy.sparse import csc_array

    width = 2 * TOLERANCES.reach + 1
    place = np.stack(np.meshgrid(*map(np.arange, cells), indexing="ij"))
    extent, number = np.reshape(cells, (-1, *(1,) * len(cells))), np.arange(place[0].size).reshape(cells)
    rows, columns, entries = [], [], []
    for colour in np.ndindex((width,) * len(cells)):
        k = np.reshape(colour, extent.shape)
        answer = operator(np.all(place % width == k, axis=0).astype(float))
        owner = place + (k - place + TOLERANCES.reach) % width - TOLERANCES.reach
        inside = np.all((owner >= 0) & (owner < extent), axis=0)
        rows.append(number[inside])
        columns.append(number[tuple(owner[:, inside])])
        entries.append(answer[inside])
    parts = map(np.concatenate, (entries, rows, columns))
    values, i, j = parts
    factors = factored(csc_array((values, (i, j)), shape=(number.size,) * 2))
    return lambda r: factors.solve(r.ravel()).reshape(cells)


def conjugate_gradients(operator: Callable, right: np.ndarray, preconditioner: Callable, weight: np.ndarray):
    """(x, |Ax − b|/|b|) of A x = b for a symmetric positive A, the norm that of weight·b; the preconditioner
    may round (Polak and Ribière's β)."""
    x, r, metric = np.zeros_like(right), right.copy(), weight * weight
    goal = TOLERANCES.solved_grid**2 * float(np.vdot(metric * r, r))
    z = preconditioner(r)
    d, rz = z.copy(), float(np.vdot(r, z))
    for _ in range(TOLERANCES.restart * TOLERANCES.rounds):
        if not rz > 0.0 or np.vdot(metric * r, r) <= goal:
            break
        q = operator(d)
        step = rz / float(np.vdot(d, q))
        x += step * d
        r -= step * q
        z = preconditioner(r)
        new = float(np.vdot(r, z))
        d *= -step * float(np.vdot(q, z)) / rz
        d += z
        rz = new
    return x, relative(weight * (operator(x) - right), weight * right)
