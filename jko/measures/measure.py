"""What every measure answers: points with masses, and the quadrature built on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import jax
import numpy as np

from functionals import Functional, pointwise
from jko.errors import InfiniteEnergy
from jko.loops.sums.pair_sums import Difference, pair_gradient_sum, pair_sum
from jko.measures import fields


class Measure:
    """A measure as points `[n, d]` with masses `[n]`; densities, particles and Gaussians refine it.

    The functional asks, the measure answers: `integrate(V)` = ∫V dμ, `convolve(W)` = W∗μ at the points,
    `pair_integrate(k)` = ∬k dμdμ, `integrate_internal(U)` = ∫U(ρ)dx where there is a density.

    What a run asks as well, it answers for itself: `packed`, `unpacked` and `fixed` for checkpoints,
    `fields_of`, `from_fields` and `layout` for files, `extent` and `size` for pictures and tables. A new kind
    of measure is one file.
    """

    known: ClassVar[dict[str, type[Measure]]] = {}  # by the name under which files keep them

    dimension: int
    sums_pairs = False  # whether sums over pairs may be taken as an `Interaction` says

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        Measure.known[cls.__name__] = cls

    def packed(self) -> dict[str, np.ndarray]:
        """The arrays that change along a run, by name."""
        raise NotImplementedError

    def unpacked(self, arrays: dict[str, np.ndarray]) -> Measure:
        """The measure of the same run whose `packed` arrays these are."""
        raise NotImplementedError

    def fixed(self) -> dict[str, np.ndarray]:
        """The arrays that stay along a run, by name in the plural: what a checkpoint must find the same."""
        return {}

    @classmethod
    def fields_of(cls, measures) -> tuple[dict, dict, dict]:
        """(variables, coordinates, attributes) of xarray of the measures of a run, times first."""
        raise NotImplementedError

    @classmethod
    def from_fields(cls, dataset) -> list[Measure]:
        """The measures whose `fields_of` an xarray.Dataset holds."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        """What a notebook shows: a line and a small picture."""
        from jko import inline
        from jko.measures.thumbnail import thumbnail

        return inline.titled(repr(self), f"<div>{thumbnail(self)}</div>")

    @property
    def layout(self) -> tuple:
        """What measures must have in common to lie in one file."""
        return (self.dimension,)

    @property
    def is_periodic(self) -> bool:
        """Whether it lies on a torus, where points have no mean."""
        return False

    @property
    def extent(self) -> tuple[np.ndarray, np.ndarray]:
        """The corners of a box `[d]` that holds what is to be seen of it."""
        return self.points.min(axis=0), self.points.max(axis=0)

    @property
    def coordinates(self) -> int:
        """In how many coordinates it is drawn: d, or 1 where it depends on |x| alone."""
        return self.dimension

    @property
    def size(self) -> str:
        """How many numbers it is kept by, in words."""
        return f"{type(self).__name__}, d = {self.dimension}"

    @property
    def points(self) -> np.ndarray:
        """The points `[n, d]` at which fields of this measure are given."""
        raise NotImplementedError

    @property
    def masses(self):
        """The mass at each point, `[n]`."""
        raise NotImplementedError

    def at_points(self, field: np.ndarray):
        """A field `[n, …]` in the shape in which this measure keeps fields."""
        return field

    def integrate(self, V: Callable):
        """∫V dμ for a jax function V of a point `[d]`."""
        return (self.masses * pointwise.values(V, self.points)).sum()

    def integrate_values(self, field: np.ndarray):
        """∫f dμ for a field given at the points."""
        return (self.masses * field.reshape(-1)).sum()

    def pair_integrate(self, k: Callable):
        """∬k(x, y) dμ(x)dμ(y)."""
        return (self.masses * self.pair_average(k).reshape(-1)).sum()

    def difference_integrate(self, W: Callable):
        """∬W(x − y) dμ(x)dμ(y)."""
        return self.integrate_values(self.convolve(W))

    def pair_average(self, k: Callable):
        """∫k(x, y) dμ(y) at the points."""
        return self.at_points(self._pairs(pair_sum, k))

    def pair_average_gradient(self, k: Callable):
        """∫∇ₓk(x, y) dμ(y) at the points."""
        return self.at_points(self._pairs(pair_gradient_sum, k))

    def convolve(self, W: Callable):
        """W∗μ at the points; pairs of coincident points are left out where W is infinite at 0."""
        kernel = Difference(pointwise.scalar(W))
        return self._pairs(pair_sum, kernel, exclude_coincident=fields.is_singular(W, self.dimension))

    def convolve_gradient(self, W: Callable):
        """∇W∗μ at the points."""
        return self._pairs(pair_gradient_sum, Difference(pointwise.scalar(W)), exclude_coincident=True)

    def _pairs(self, total: Callable, kernel: Callable, **options):
        points, masses = self.points, self.masses
        result = total(kernel, points, points, masses, **options)
        traced = isinstance(points, jax.Array) or isinstance(masses, jax.Array)
        return result if traced else np.array(result)

    def density_values(self):
        """ρ at the points; raises InfiniteEnergy where there is no density."""
        raise InfiniteEnergy(
            f"an internal energy of {type(self).__name__} is infinite or undefined, since they have no "
            "density: use descent.Langevin (entropy) or descent.Blob (any internal energy), or give a Density"
        )

    def integrate_internal(self, U):
        """∫U(ρ) dx."""
        return self.density_values()

    def internal_gradient(self, U: Functional):
        """∇U′(ρ) at the points."""
        return self.density_values()

    def integrate_squared_gradient(self, F: Functional):
        """∫|∇g(ρ)|² dx for the g of a `GradientEnergy`."""
        return self.density_values()

    def laplacian(self, F: Functional):
        """Δg(ρ) at the points for the g of a `GradientEnergy`."""
        return self.density_values()

    def gradient_of_variation(self, F: Functional):
        """∇(δF/δρ) at the points of a functional that knows its first variation as a function of points."""
        return self.density_values()

    def vertical_derivative(self, energy):
        """δF/δρ at the points, by differentiating an energy of this measure."""
        raise NotImplementedError

    def horizontal_derivative(self, energy, first_variation):
        """∇(δF/δρ) at the points, by differentiating an energy of this measure."""
        raise NotImplementedError

    def mean(self) -> np.ndarray:
        """∫x dμ / μ(1), `[d]`."""
        masses = _in_float64(self.masses)
        return masses @ self.points / masses.sum()

    def covariance(self) -> np.ndarray:
        """∫(x−m)(x−m)ᵀ dμ / μ(1), `[d, d]`."""
        masses = _in_float64(self.masses)
        centred = self.points - self.mean()
        return (masses[:, None] * centred).T @ centred / masses.sum()


def _in_float64(masses):
    """The masses, as they are where jax traces them."""
    return masses if isinstance(masses, jax.core.Tracer) else np.asarray(masses, dtype=float)
