"""Bases in which a potential or an interaction is learnt: settings, made ready from the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jko.errors import positive_number, seed_number, whole_number
from jko.learn.closed_form import Data
from jko.learn.features import (
    Bumps,
    EvenPowers,
    Features,
    Monomials,
    Rings,
    TensorSplines,
    Together,
    Waves,
)
from jko.learn.model import Model
from jko.learn.network import Units, trained
from jko.learn.tolerances import TOLERANCES


@dataclass(frozen=True, kw_only=True)
class Basis:
    """A basis of functions, and how it goes with time.

    `per_interval`: a potential of its own for each gap between snapshots. `time_degree`: coefficients that
    are polynomials of the time of this degree. With neither the potential is one and the same at all times.
    """

    per_interval: bool = False
    time_degree: int = 0

    def __post_init__(self):
        whole_number("time_degree", self.time_degree, least=0)
        if not isinstance(self.per_interval, (bool, np.bool_)):
            raise TypeError(f"per_interval: expected True or False, got {self.per_interval!r}")
        if self.per_interval and self.time_degree:
            raise ValueError("time_degree: a potential an interval has no other time; leave per_interval out")

    def potentials(self, points: np.ndarray) -> Features:
        """The functions of a point, from the points `[n, d]` of all snapshots."""
        raise NotImplementedError

    def trained(self, model: Model, data: Data, chosen: list[int], seed: int) -> Model:
        """The model with what a potential of this basis learns of its functions before the least squares."""
        return model

    def kernels(self, points: np.ndarray) -> Features:
        """The even functions of a difference of two points."""
        raise ValueError(
            f"interaction: {type(self).__name__} has no even functions; take Radial, Polynomial or Quadratic"
        )


@dataclass(frozen=True)
class Polynomial(Basis):
    """Monomials of total degree 1 to `degree`, in standardised coordinates; as an interaction the even
    powers |z|², |z|⁴, … up to it."""

    degree: int = 2

    def __post_init__(self):
        super().__post_init__()
        whole_number("degree", self.degree)

    def potentials(self, points: np.ndarray):
        scale = points.std(axis=0)
        made = Monomials.up_to(self.degree, points.mean(axis=0), np.where(scale > 0.0, scale, 1.0))
        return _checked(made)

    def kernels(self, points: np.ndarray):
        if self.degree < 2:
            raise ValueError(
                f"degree: an even kernel begins with |z|², got degree {self.degree}; take 2 or more"
            )
        return EvenPowers(points.shape[1], self.degree // 2, _spread(points))


@dataclass(frozen=True)
class Quadratic(Polynomial):
    """V(x) = ½x·Ax + b·x: the landscapes of Gaussians; as an interaction ½c|z|²."""


@dataclass(frozen=True)
class Radial(Basis):
    """Gaussian bumps exp(−|x − c|²/2w²) at `centres` points drawn from the data, and all monomials of degree
    1 and 2, which rule where the data end.

    As an interaction, `centres` kernels exp(−|z|²/2w²) whose ranges cover the distances of pairs, and |z|².
    `width`: a length of the data; the median distance to the 2d-th nearest centre where it is None.
    """

    centres: int = 300
    width: float | None = 1.0
    seed: int = 0

    def __post_init__(self):
        super().__post_init__()
        whole_number("centres", self.centres)
        seed_number("seed", self.seed)
        if self.width is not None:
            positive_number("width", self.width)

    def potentials(self, points: np.ndarray):
        distinct = np.unique(points, axis=0)
        count = min(self.centres, len(distinct))
        chosen = np.random.default_rng(self.seed).choice(len(distinct), size=count, replace=False)
        centres = distinct[np.sort(chosen)]
        width = self.width if self.width is not None else _neighbour_distance(centres)
        return _checked(Together((Bumps(centres, float(width)), _quadratics(points))))

    def kernels(self, points: np.ndarray):
        spread, d = _spread(points), points.shape[1]
        widths = np.geomspace(
            TOLERANCES.nearest_range * spread, TOLERANCES.farthest_range * spread, self.centres
        )
        return _checked(Together((Rings(d, widths), EvenPowers(d, 1, spread))))


@dataclass(frozen=True)
class Splines(Basis):
    """Tensor products of cubic B-splines with `cells` cells an axis over the data's box, in up to three
    dimensions, and all monomials of degree 1 and 2."""

    cells: int = 8
    margin: float = 0.1  # of the box's sides, so that the outermost points have splines on both sides

    def __post_init__(self):
        super().__post_init__()
        whole_number("cells", self.cells)

    def potentials(self, points: np.ndarray):
        d = points.shape[1]
        if d > 3:
            raise ValueError(f"potential: splines are for 3 dimensions at most, got {d}; take Radial")
        lower, upper = points.min(axis=0), points.max(axis=0)
        extra = self.margin * np.where(upper > lower, upper - lower, 1.0)
        return _checked(
            Together((TensorSplines(lower - extra, upper + extra, self.cells), _quadratics(points)))
        )


@dataclass(frozen=True)
class RandomFeatures(Basis):
    """`count` waves cos(ω·x + b) with ω ~ N(0, I/width²), and all monomials of degree 1 and 2."""

    count: int = 300
    width: float = 1.0
    seed: int = 0

    def __post_init__(self):
        super().__post_init__()
        whole_number("count", self.count)
        positive_number("width", self.width)
        seed_number("seed", self.seed)

    def potentials(self, points: np.ndarray):
        generator = np.random.default_rng(self.seed)
        frequencies = generator.standard_normal((self.count, points.shape[1])) / self.width
        phases = generator.uniform(0.0, 2.0 * np.pi, self.count)
        return _checked(Together((Waves(frequencies, phases), _quadratics(points))))


@dataclass(frozen=True)
class Network(Basis):
    """The units of a small network, `depth` hidden layers of `width` tanh units, and all monomials of degree
    1 and 2: the last layer is the least squares', the hidden ones are trained on the pairs of couplings.

    `iterations` of L-BFGS at most; it ends before where pairs that are held out gain nothing. `seed` fixes
    the first layers. Standard errors and null directions are those of the last layer, the hidden ones held.
    """

    width: int = 32
    depth: int = 2
    iterations: int = 200
    seed: int = 0

    def __post_init__(self):
        super().__post_init__()
        whole_number("width", self.width)
        whole_number("depth", self.depth)
        whole_number("iterations", self.iterations, least=0)
        seed_number("seed", self.seed)

    def potentials(self, points: np.ndarray):
        units = Units.drawn(points, self.width, self.depth, self.seed)
        return _checked(Together((units, _quadratics(points))))

    def trained(self, model: Model, data: Data, chosen: list[int], seed: int) -> Model:
        return trained(model, data, chosen, self.iterations, seed) if self.iterations else model


def _quadratics(points: np.ndarray):
    scale = points.std(axis=0)
    return Monomials.up_to(2, points.mean(axis=0), np.where(scale > 0.0, scale, 1.0))


def _spread(points: np.ndarray) -> float:
    """The root mean square distance of two points."""
    return float(np.sqrt(2.0 * points.var(axis=0).sum())) or 1.0


def _neighbour_distance(centres: np.ndarray) -> float:
    from scipy.spatial import cKDTree

    k = min(2 * centres.shape[1], len(centres) - 1)
    if k < 1:
        return 1.0
    return float(np.median(cKDTree(centres).query(centres, k=k + 1)[0][:, -1])) or 1.0


def _checked(features: Monomials | Together):
    if features.size > TOLERANCES.most_functions:
        raise ValueError(
            f"potential: {features.size} functions are more than least squares takes "
            f"({TOLERANCES.most_functions}); lower the degree, the cells or the number of centres"
        )
    return features
