"""A run as a labelled xarray.Dataset, and back."""

from __future__ import annotations

import numpy as np

from jko.bounds import Space
from jko.dataset_attributes import restored, stored
from jko.measures import Density, Gaussian, Grid, Particles
from jko.records import Records

FORMAT = 1
_TEXTS = np.dtype("O", metadata={"element_type": str, "vlen": str})  # texts, also where there are none
_OWN = frozenset(
    {"format", "measure", "functional", "scheme", "tau", "energy_kind", "units", "displacement_modulus"}
    | {"observed_modulus", "space", "error_bound_kind", "flow_error_bound_kind"}
    | {"grid_lower", "grid_upper", "grid_periodic", "checksum"}
)  # attributes of the file that are parts of the run, not of its `attributes`


def dataset_of(run):
    """The xarray.Dataset of a Trajectory, the axes labelled.

    Raises ValueError for measures of unlike kinds, grids or numbers of particles, and for attributes that a
    file does not keep.
    """
    import xarray

    measure = run.measures[0]
    _require_alike(run.measures)
    variables, coordinates = _FIELDS[type(measure)](run.measures)
    variables["energy"] = ("time", run.energy)
    variables["energy_uncertainty"] = ("time", run.energy_uncertainty)
    for name, column in run.info.items():
        dimensions = ("step", *(f"{name}_axis{axis}" for axis in range(1, column.ndim)))
        variables[f"step_{name}"] = (
            dimensions,
            column.astype(_TEXTS) if column.dtype.kind == "U" else column,
        )
    coordinates["time"] = run.times
    coordinates["step"] = np.arange(1, run.info.n_steps + 1)
    attributes = {
        "format": FORMAT,
        "measure": type(measure).__name__,
        **stored({"functional": run.functional, "scheme": run.scheme}, ()),
        "tau": run.tau,
        "energy_kind": run.energy_kind,
        "units": "nondimensional",
        **stored(run.attributes, _OWN),
    }
    if run.displacement_modulus is not None:
        attributes["displacement_modulus"] = run.displacement_modulus
    if run.space:
        attributes["space"] = str(run.space)
    if run.observed_modulus is not None:
        attributes["observed_modulus"] = run.observed_modulus
    for name in ("error_bound", "flow_error_bound"):  # for other readers: `load` computes them from the steps
        variables[name] = ("time", getattr(run, name))
        attributes[f"{name}_kind"] = str(getattr(run, f"{name}_kind"))
    if isinstance(measure, Density):
        attributes["grid_lower"] = np.array(measure.grid.lower)
        attributes["grid_upper"] = np.array(measure.grid.upper)
        if measure.grid.is_periodic:
            attributes["grid_periodic"] = np.array(measure.grid.periodic, dtype=int)
    return xarray.Dataset(variables, coords=coordinates, attrs=attributes)


def fields_of(dataset) -> dict:
    """The fields of the Trajectory that an xarray.Dataset holds; raises KeyError where one is missing."""
    attributes = dict(dataset.attrs)
    columns = {name[5:]: dataset[name].values for name in dataset if name.startswith("step_")}
    columns = {
        name: column.astype(str) if column.dtype == object else column for name, column in columns.items()
    }
    moduli = {
        name: None if attributes.get(name) is None else float(attributes[name])
        for name in ("displacement_modulus", "observed_modulus")
    }
    return {
        "times": dataset["time"].values,
        "energy": dataset["energy"].values,
        "measures": _MEASURES[attributes["measure"]](dataset),
        "info": Records(columns),
        "tau": float(attributes["tau"]),
        "functional": str(restored(attributes["functional"])),
        "scheme": str(restored(attributes["scheme"])),
        "energy_kind": str(attributes["energy_kind"]),
        "energy_uncertainty": dataset["energy_uncertainty"].values,
        **moduli,
        "space": Space(attributes.get("space", "")),
        "attributes": {name: restored(value) for name, value in attributes.items() if name not in _OWN},
    }


def _require_alike(measures):
    first = measures[0]
    for mu in measures:
        if type(mu) is not type(first) or _size(mu) != _size(first):
            raise ValueError(
                "measures: a file holds measures of one kind, on one grid or of one number of particles, got "
                f"{first!r} and {mu!r}"
            )


def _size(mu):
    return mu.grid if isinstance(mu, Density) else getattr(mu, "n", None), mu.dimension


def _density_fields(measures):
    grid = measures[0].grid
    axes = [f"x{axis + 1}" for axis in range(grid.dimension)]
    stacked = np.stack([mu.values for mu in measures])
    return {"density": (("time", *axes), stacked)}, dict(zip(axes, grid.axes, strict=True))


def _particle_fields(measures):
    positions = np.stack([mu.positions for mu in measures])
    weights = measures[0].weights
    fixed = all(mu.weights is weights or np.array_equal(mu.weights, weights) for mu in measures)
    weight = (
        ("particle", weights) if fixed else (("time", "particle"), np.stack([m.weights for m in measures]))
    )
    return {"position": (("time", "particle", "axis"), positions), "weight": weight}, {}


def _gaussian_fields(measures):
    return {
        "mean": (("time", "axis"), np.stack([mu.mean() for mu in measures])),
        "covariance": (("time", "axis", "axis2"), np.stack([mu.covariance() for mu in measures])),
    }, {}


def _densities(dataset):
    values = dataset["density"].values
    grid = Grid.uniform(
        tuple(np.atleast_1d(dataset.attrs["grid_lower"])),
        tuple(np.atleast_1d(dataset.attrs["grid_upper"])),
        values.shape[1:],
        tuple(np.atleast_1d(dataset.attrs.get("grid_periodic", 0)).astype(bool).tolist()),
    )
    return [Density(grid, v) for v in values]


def _particles(dataset):
    positions, weights = dataset["position"].values, dataset["weight"].values
    weights = np.broadcast_to(weights, positions.shape[:2]) if weights.ndim == 1 else weights
    return [Particles(x, w) for x, w in zip(positions, weights, strict=True)]


def _gaussians(dataset):
    return [Gaussian(m, S) for m, S in zip(dataset["mean"].values, dataset["covariance"].values, strict=True)]


_FIELDS = {Density: _density_fields, Particles: _particle_fields, Gaussian: _gaussian_fields}
_MEASURES = {"Density": _densities, "Particles": _particles, "Gaussian": _gaussians}
