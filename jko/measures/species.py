"""Several species: named measures that move together."""

from __future__ import annotations

import json

import numpy as np

from functionals import pointwise
from jko import inline
from jko.loops.sums.pair_sums import Difference, pair_gradient_sum, pair_sum
from jko.measures import fields
from jko.measures.density import Density
from jko.measures.measure import Measure
from jko.measures.thumbnail import thumbnail

_PREFIX = "species"  # of the attributes that are its own in a file


class Species(Measure):
    """Named measures of one dimension, `Species(prey=mu, predator=nu)`; `species["prey"]` is one of them.

    A functional says which of them it speaks of: `fn.on`, `fn.Cross`, `fn.TotalInternal`, `fn.TotalCap`, and
    `fn.each` for couplings that are no gradient. `steps.PrimalDual`, `steps.SpeciesInTurn`,
    `descent.SpeciesEuler` and `descent.SpeciesBlob` move them.
    Points and masses are those of all, one after the other. Raises TypeError for what is no measure,
    ValueError for no species, names that are no words, and measures of unlike dimensions.
    """

    def __init__(self, **species: Measure):
        if not species:
            raise ValueError(
                "species: expected one measure or more by name, such as Species(prey=mu), got none"
            )
        for name, mu in species.items():
            if not name or set(name) & set("/\0"):
                raise ValueError(f"species: expected a word for a name, without '/', got {name!r}")
            if not isinstance(mu, Measure) or isinstance(mu, Species):
                raise TypeError(
                    f"{name}: expected a Density, Particles or a Gaussian, got {type(mu).__name__}"
                )
        dimensions = {name: mu.dimension for name, mu in species.items()}
        if len(set(dimensions.values())) > 1:
            raise ValueError(f"species: expected measures of one dimension, got {dimensions}")
        self._species = dict(species)

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in the order given."""
        return tuple(self._species)

    def __getitem__(self, name: str) -> Measure:
        if name not in self._species:
            raise KeyError(f"species: there is no {name!r}, there are {', '.join(map(repr, self.names))}")
        return self._species[name]

    def having(self, **species: Measure) -> Species:
        """The same with other measures for some of the names."""
        return Species(**{**self._species, **species})

    def items(self):
        """(name, measure) of each."""
        return self._species.items()

    @property
    def dimension(self) -> int:  # type: ignore[override]
        """d, that of each."""
        return next(iter(self._species.values())).dimension

    @property
    def points(self):
        return np.concatenate([np.asarray(mu.points, dtype=float) for mu in self._species.values()])

    @property
    def masses(self):
        return np.concatenate([np.asarray(mu.masses, dtype=float).ravel() for mu in self._species.values()])

    @property
    def mass(self) -> float:
        """That of all together."""
        return float(self.masses.sum())

    @property
    def grid(self):
        """The grid that all lie on; raises AttributeError where they do not."""
        grids = {getattr(mu, "grid", None) for mu in self._species.values()}
        if len(grids) > 1 or None in grids:
            raise AttributeError(f"species: expected densities on one grid, got {self!r}")
        return grids.pop()

    def total_values(self, without: str | None = None) -> np.ndarray:
        """Σρᵢ in the cells `[*cells]`, of all but one where it is named."""
        densities = {name: self._density(name) for name in self.names}
        grids = {rho.grid for rho in densities.values()}
        if len(grids) > 1:
            raise ValueError(f"species: a sum of densities needs one grid, got {self!r}")
        values = [rho.values for name, rho in densities.items() if name != without]
        return sum(values, np.zeros(grids.pop().cells))

    def _density(self, name: str) -> Density:
        mu = self[name]
        if not isinstance(mu, Density):
            raise TypeError(f"species: the total density needs densities, {name!r} is {mu!r}")
        return mu

    def felt(self, W, name: str, source: str) -> np.ndarray:
        """W∗μ_source at the points of species[name]."""
        here, there = self[name], self[source]
        if isinstance(here, Density) and isinstance(there, Density) and here.grid == there.grid:
            return there.convolve(W)
        singular = fields.is_singular(W, self.dimension)
        kernel = Difference(pointwise.scalar(W))
        sums = pair_sum(kernel, here.points, *_sources(there), exclude_coincident=singular)
        return here.at_points(np.asarray(sums))

    def felt_gradient(self, W, name: str, source: str) -> np.ndarray:
        """∇W∗μ_source at the points of species[name]."""
        here, there = self[name], self[source]
        if isinstance(here, Density) and isinstance(there, Density) and here.grid == there.grid:
            return there.convolve_gradient(W)
        kernel = Difference(pointwise.scalar(W))
        sums = pair_gradient_sum(kernel, here.points, *_sources(there), exclude_coincident=True)
        return here.at_points(np.asarray(sums))

    def packed(self):
        return {f"{name}.{key}": value for name, mu in self.items() for key, value in mu.packed().items()}

    def fixed(self):
        return {f"{key} of {name}": value for name, mu in self.items() for key, value in mu.fixed().items()}

    def unpacked(self, arrays: dict):
        parts: dict[str, dict] = {name: {} for name in self.names}
        for key, value in arrays.items():
            name, _, inner = key.partition(".")
            parts[name][inner] = value
        return Species(**{name: mu.unpacked(parts[name]) for name, mu in self.items()})

    @classmethod
    def fields_of(cls, measures: list):
        variables: dict = {}
        coordinates: dict = {}
        attributes: dict = {}
        kinds: dict[str, str] = {}
        for name, first in measures[0].items():
            kinds[name] = type(first).__name__
            own, axes, facts = type(first).fields_of([mu[name] for mu in measures])
            for key, (dimensions, values) in own.items():
                dimensions = (dimensions,) if isinstance(dimensions, str) else dimensions
                variables[f"{name}_{key}"] = tuple(_renamed(name, d) for d in dimensions), values
            coordinates |= {_renamed(name, key): values for key, values in axes.items()}
            attributes |= {f"{_PREFIX}_{name}_{key}": value for key, value in facts.items()}
        return variables, coordinates, attributes | {_PREFIX: json.dumps(kinds)}

    @classmethod
    def from_fields(cls, dataset):
        found = {}
        for name, kind in json.loads(dataset.attrs[_PREFIX]).items():
            start, facts = f"{name}_", f"{_PREFIX}_{name}_"
            own = [key for key in dataset.variables if str(key).startswith(start)]
            part = dataset[[key for key in own if key in dataset.data_vars]].drop_vars(
                [key for key in dataset.coords if key not in own], errors="ignore"
            )
            names = {*own, *(d for d in part.dims if str(d).startswith(start))}
            part = part.rename(
                {key: str(key)[len(start) :] for key in names if key in {*part.variables, *part.dims}}
            )
            part.attrs = {key[len(facts) :]: v for key, v in dataset.attrs.items() if key.startswith(facts)}
            found[name] = Measure.known[kind].from_fields(part)
        return [cls(**dict(zip(found, row, strict=True))) for row in zip(*found.values(), strict=True)]

    @property
    def layout(self):
        return tuple((name, type(mu), mu.layout) for name, mu in self.items())

    @property
    def extent(self):
        corners = [mu.extent for mu in self._species.values()]
        return np.min([low for low, _ in corners], axis=0), np.max([high for _, high in corners], axis=0)

    @property
    def size(self):
        return ", ".join(f"{name}: {mu.size}" for name, mu in self.items())

    def _ambiguous(self, *arguments, **options):
        raise TypeError(
            f"functional: of which species? it was asked of {self!r}: write fn.on({self.names[0]!r}, F), or "
            "fn.TotalInternal and fn.TotalCap for the sum"
        )

    integrate = integrate_values = pair_integrate = difference_integrate = _ambiguous
    integrate_internal = internal_gradient = density_values = _ambiguous
    convolve = convolve_gradient = pair_average = pair_average_gradient = _ambiguous
    vertical_derivative = horizontal_derivative = _ambiguous

    def _repr_html_(self) -> str:
        pictures = [(f"{name}: {mu!r}", thumbnail(mu)) for name, mu in self.items()]
        return inline.titled(f"{len(self.names)} species", inline.beside(pictures))

    def __repr__(self) -> str:
        return f"Species({', '.join(f'{name}={mu!r}' for name, mu in self.items())})"


def _sources(mu: Measure):
    """(points, masses) over which a sum runs."""
    return np.asarray(mu.points, dtype=float), np.asarray(mu.masses, dtype=float).ravel()


def _renamed(name: str, dimension: str):
    return dimension if dimension == "time" else f"{name}_{dimension}"
