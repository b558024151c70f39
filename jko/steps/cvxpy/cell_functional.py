"""A functional on the cells of a grid: its energy, its convex model at a density, and its tangent there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import functionals as fn
from functionals import Functional, pointwise
from functionals.conjugate import GatheredInternal
from jko.measures import Density, Grid, fields
from jko.steps.cvxpy import conic
from jko.steps.cvxpy.faces import FaceMatrices
from jko.steps.cvxpy.tolerances import TOLERANCES
from jko.steps.grid.energy import energy_size
from jko.steps.primal_dual.discretisation import DynamicProblem


class CellFunctional:
    """F of densities r `[cells]`, in a room those inside, sorted into what enters a conic program and
    what enters by a model.

    `conic_terms` are internal energies with cones, `cap` `[cells]` or None, `factor` the B whose ½|Bᵀr|² is
    the convex part of the interaction; the rest goes into a linear and a diagonal quadratic term that
    `model` renews. Where the mass is `free` no constant is left out, and convexity is that at all masses.
    """

    def __init__(self, problem: DynamicProblem):
        self.grid, self.volume, parts = problem.grid, problem.grid.cell_volume, problem.parts
        self.held, self.free = np.flatnonzero(problem.grid.inside), problem.length is not None
        self.internal = with_local(parts, problem.grid.points[self.held])
        self.rest, self.gradient = parts.rest, parts.gradient
        self.conic_terms, modelled = conic.split_internal(
            () if self.internal is None else self.internal.terms
        )
        self.modelled = GatheredInternal(modelled) if modelled else None
        self.potential = self.of(problem.potential)
        self.cap = None if problem.cap is None else self.of(problem.cap)
        self.pair = PairEnergy.of(problem.grid, parts.interaction, self.free) if parts.interaction else None
        held = None if self.pair is None else self.pair.factor
        self.factor = None if held is None else held * self.volume

    @property
    def is_conic(self) -> bool:
        """Whether the conic program is the step itself, so that one solve does."""
        exact_pair = self.pair is None or (self.pair.convex and self.pair.exact_factor)
        return self.modelled is None and not self.rest and exact_pair

    def most_concave(self) -> float:
        """The least second difference of the potential along an axis, +∞ on fewer than three cells."""
        V, least = self.field(self.potential, np.nan), np.inf
        for axis, (h, turns) in enumerate(zip(self.grid.spacing, self.grid.periodic, strict=True)):
            around = [(int(turns and a == axis),) * 2 for a in range(V.ndim)]
            second = np.diff(np.pad(V, around, mode="wrap"), 2, axis=axis)
            least = min(least, float(np.fmin.reduce(second, axis=None, initial=np.inf)) / h**2)
        return least

    def of(self, field: np.ndarray) -> np.ndarray:
        """A field on the whole grid in the cells `[cells]`."""
        return field.ravel()[self.held]

    def field(self, r: np.ndarray, outside: float = 0.0) -> np.ndarray:
        """r on the whole grid `[*cells]`, with a value for walls."""
        whole = np.full(self.grid.size, outside)
        whole[self.held] = r
        return whole.reshape(self.grid.cells)

    @property
    def is_convex(self) -> bool:
        """Whether a tangent lies below the functional, so that every bound is one for the step itself."""
        return self.pair is None or self.pair.convex

    def energy(self, r: np.ndarray) -> float:
        """F(r)."""
        if self.cap is not None and np.any(r > self.cap * (1.0 + TOLERANCES.cap_excess)):
            return np.inf
        total = float(self.potential @ r) * self.volume
        if self.internal is not None:
            total += float(np.sum(self.internal.density(r))) * self.volume
        if self.pair is not None:
            total += self.pair.energy(r * self.volume)
        return total + self._rest_energy(r) + self._valued(self.gradient, r)

    def size(self, r: np.ndarray) -> float:
        """∫(δF/δρ − min)ρ without internal energies, and their pressure ρU′ − U: no constant in it."""
        return energy_size(self.internal, self.tangent(r)[0], r, self.volume)

    def model(self, r: np.ndarray, renewal: int, curvature: float):
        """Linear `[cells]` and quadratic (sparse or None) terms on the last density, of what has no cones."""
        linear, diagonal = self.potential.copy(), np.zeros(r.size)
        if self.pair is not None:
            linear += self.pair.variation(r * self.volume)
            if self.factor is not None:
                linear -= self.factor @ (self.factor.T @ r) / self.volume
        if self.rest:
            linear += self._rest_variation(r) - curvature * r
            diagonal += curvature
        if self.modelled is not None:
            # U″ may be infinite in a vacuum and at a cap: the model is taken off both by a share that sinks
            # with every renewal
            off = 10.0 ** (-4 - 2 * min(renewal, 6))
            at = np.minimum(np.maximum(r, r.max() * off), self.modelled.cap * (1.0 - off))
            bend = self.modelled.second_derivative(at)
            linear += self.modelled.derivative(at) - bend * at
            diagonal += bend
        return self.volume * linear, self._diagonal(diagonal)

    def tangent(self, r: np.ndarray, touch: np.ndarray | None = None):
        """f `[cells]` and c₀: |c| Σ f r + c₀ is the tangent at r of all but the internal energies, of the
        energies of the gradient that at `touch`, where it is given."""
        field, constant = self.without_gradient(r), 0.0
        if self.pair is not None:
            variation = self.pair.variation(r * self.volume)
            constant += self.pair.energy(r * self.volume) - float(variation @ r) * self.volume
        if self.rest:
            constant += self._rest_energy(r) - float(self._rest_variation(r) @ r) * self.volume
        if self.gradient:
            # the tangent of a convex functional lies below it wherever it touches: here off a vacuum
            at = np.maximum(r, TOLERANCES.touch * r.max()) if touch is None else touch
            variation = self._summed(self.gradient, at)
            field = field + variation
            constant += self._valued(self.gradient, at) - float(variation @ at) * self.volume
        return field, constant

    @property
    def is_fisher(self) -> bool:
        """Whether nothing but Fisher information and a field shapes the density, with no bound on it."""
        alone = self.internal is None and self.cap is None and bool(self.gradient)
        return alone and all(type(atom) is fn.FisherInformation for _, atom in self.gradient)

    def ground_state(self, field: np.ndarray, faces: FaceMatrices) -> np.ndarray:
        """The r > 0 of the least Σ|c|(2θ|∇√r|² + f r) for its mass: √r is the ground state of −2θΔ + f."""
        import scipy.sparse as sp
        from scipy.sparse.linalg import eigsh

        theta, D = sum(c for c, _ in self.gradient), faces.divergence
        stiffness = D @ sp.diags_array(2.0 * theta / faces.spacing**2) @ D.T
        matrix = sp.csc_array(sp.diags_array(field - field.min()) + stiffness)
        # the form is ≥ 0: a shift a little below makes the inverse exist and its largest pole the least
        shift = -TOLERANCES.shift * float(np.abs(matrix.diagonal()).max())
        start = np.ones(self.grid.size)
        _, vectors = eigsh(matrix, k=1, sigma=shift, v0=start, tol=0.0)
        return np.maximum(vectors[:, 0] ** 2, np.finfo(float).tiny)

    def without_gradient(self, r: np.ndarray) -> np.ndarray:
        """The first variation at r of all but the internal energies and those of the gradient."""
        field = self.potential
        if self.pair is not None:
            field = field + self.pair.variation(r * self.volume)
        return field + self._rest_variation(r) if self.rest else field

    def secant(self, before: np.ndarray, after: np.ndarray) -> float:
        """The curvature of the rest along a move, for the next model."""
        move = after - before
        if not self.rest or not move.any():
            return 0.0
        change = self._rest_variation(after) - self._rest_variation(before)
        return max(float(change @ move / (move @ move)), 0.0)

    def density(self, r: np.ndarray) -> Density:
        """r as a measure."""
        return Density(self.grid, self.field(r))

    def _diagonal(self, diagonal: np.ndarray):
        import scipy.sparse as sp

        if self.modelled is None and not self.rest:
            return None
        return sp.diags_array(self.volume * diagonal, format="csc")

    def _rest_energy(self, r: np.ndarray) -> float:
        return self._valued(self.rest, r)

    def _rest_variation(self, r: np.ndarray) -> np.ndarray:
        return self._summed(self.rest, r)

    def _valued(self, terms: tuple, r: np.ndarray) -> float:
        mu = self.density(r)
        return sum(c * atom(mu) for c, atom in terms)

    def _summed(self, terms: tuple, r: np.ndarray) -> np.ndarray:
        mu = self.density(r)
        return sum(
            (c * np.asarray(atom.first_variation(mu)).ravel()[self.held] for c, atom in terms),
            np.zeros(r.size),
        )


def with_local(parts, points: np.ndarray):
    """The internal energies and those of the place at points `[cells, d]`, None where there are none."""
    terms = parts.internal + tuple((c, atom.on(points)) for c, atom in parts.local)
    return GatheredInternal(terms) if terms else None


@dataclass(frozen=True)
class PairEnergy:
    """½ aᵀWa of cell masses a of total mass M, as ½(āᵀWā) + (Wā)ᵀ(a − ā) + ½ aᵀ(W₊ − W₋)a, ā uniform.

    W₊ and W₋ are the positive and negative parts of PWP, P the projection on mean zero, where linear
    convexity is decided: the mass is fixed; where it is free, of W. `factor` B has ½|Bᵀa|² ≤ ½aᵀW₊a, with
    equality unless the spectrum is cut; `convex` is whether W₋ = 0.
    """

    matrix: np.ndarray
    factor: np.ndarray | None
    exact_factor: bool
    convex: bool

    @classmethod
    def of(cls, grid: Grid, terms: tuple, free: bool = False) -> PairEnergy:
        """The split of Σ c W for interaction terms (c, atom) on a grid."""
        held = np.flatnonzero(grid.inside)
        matrix = sum(c * _kernel_matrix(grid, atom) for c, atom in terms)[np.ix_(held, held)]
        mean = matrix.mean(axis=0)
        projected = matrix if free else matrix - mean[:, None] - mean[None, :] + matrix.mean()
        values, vectors = np.linalg.eigh(0.5 * (projected + projected.T))
        scale = np.abs(values).max() + 1e-300
        up = values > TOLERANCES.matrix_noise * scale
        order = np.argsort(-values)[: min(int(up.sum()), TOLERANCES.most_columns)]
        factor = vectors[:, order] * np.sqrt(values[order]) if order.size else None
        convex = not np.any(values < TOLERANCES.concave * scale)
        return cls(matrix, factor, order.size == up.sum(), convex)

    def energy(self, a: np.ndarray) -> float:
        """½ aᵀWa."""
        return 0.5 * float(a @ (self.matrix @ a))

    def variation(self, a: np.ndarray):
        """Wa, the first variation on the cells."""
        return self.matrix @ a


def _kernel_matrix(grid: Grid, atom: Functional) -> np.ndarray:
    """W at the pairs of cell centres, by the grid's own rule for singular kernels."""
    if grid.size > TOLERANCES.most_cells:
        raise ValueError(
            f"functional: a convex step takes an interaction on up to {TOLERANCES.most_cells} cells, got "
            f"{grid.size}: take a coarser grid, or limits.FiniteVolume"
        )
    if atom.general:
        points = grid.points
        first, second = np.meshgrid(np.arange(grid.size), np.arange(grid.size), indexing="ij")
        d = grid.dimension
        pairs = np.concatenate([points[first.ravel()], points[second.ravel()]], axis=1)
        kernel = atom.symmetric_kernel
        return pointwise.values(_OfPairs(kernel, d), pairs).reshape(grid.size, grid.size)
    table = fields.kernel_table(grid, atom.W)
    index = np.stack(np.unravel_index(np.arange(grid.size), grid.cells))
    offsets = tuple(i[:, None] - i[None, :] + n - 1 for i, n in zip(index, grid.cells, strict=True))
    return table[offsets]


class _OfPairs:
    """A kernel of two points as a function of one point of twice the dimension."""

    def __init__(self, kernel, dimension: int):
        self.kernel, self.dimension = kernel, dimension

    def __call__(self, z):
        return self.kernel(z[: self.dimension], z[self.dimension :])
