"""A run as a labelled xarray.Dataset, and back."""

from __future__ import annotations

import numpy as np

from jko.measures import Density, Gaussian, Grid, Particles
from jko.records import Records

FORMAT = 1


def dataset_of(run):
    """The xarray.Dataset of a Trajectory, the axes labelled."""
    import xarray

    measure = run.measures[0]
    variables, coordinates = _FIELDS[type(measure)](run.measures)
    variables["energy"] = ("time", run.energy)
    variables["energy_uncertainty"] = ("time", run.energy_uncertainty)
    for name, column in run.info.items():
        dimensions = ("step", *(f"{name}_axis{axis}" for axis in range(1, column.ndim)))
        variables[f"step_{name}"] = (
            dimensions,
            column.astype(object) if column.dtype.kind == "U" else column,
        )
    coordinates["time"] = run.times
    coordinates["step"] = np.arange(1, run.info.n_steps + 1)
    attributes = {
        "format": FORMAT,
        "measure": type(measure).__name__,
        "functional": run.functional,
        "scheme": run.scheme,
        "tau": run.tau,
        "energy_kind": run.energy_kind,
        "units": "nondimensional",
        **run.attributes,
    }
    if run.displacement_modulus is not None:
        attributes["displacement_modulus"] = run.displacement_modulus
    if isinstance(measure, Density):
        attributes["grid_lower"] = np.array(measure.grid.lower)
        attributes["grid_upper"] = np.array(measure.grid.upper)
        if measure.grid.is_periodic:
            attributes["grid_periodic"] = np.array(measure.grid.periodic, dtype=int)
    return xarray.Dataset(variables, coords=coordinates, attrs=attributes)


def fields_of(dataset) -> dict:
    """The fields of the Trajectory that an xarray.Dataset holds; raises KeyError where one is missing."""
    attributes = dict(dataset.attrs)
    known = {
        "format",
        "measure",
        "functional",
        "scheme",
        "tau",
        "energy_kind",
        "units",
        "displacement_modulus",
    }
    known |= {"grid_lower", "grid_upper", "grid_periodic"}
    columns = {name[5:]: dataset[name].values for name in dataset if name.startswith("step_")}
    columns = {
        name: column.astype(str) if column.dtype == object else column for name, column in columns.items()
    }
    modulus = attributes.get("displacement_modulus")
    return {
        "times": dataset["time"].values,
        "energy": dataset["energy"].values,
        "measures": _MEASURES[attributes["measure"]](dataset),
        "info": Records(columns),
        "tau": float(attributes["tau"]),
        "functional": str(attributes["functional"]),
        "scheme": str(attributes["scheme"]),
        "energy_kind": str(attributes["energy_kind"]),
        "energy_uncertainty": dataset["energy_uncertainty"].values,
        "displacement_modulus": None if modulus is None else float(modulus),
        "attributes": {name: value for name, value in attributes.items() if name not in known},
    }


def _density_fields(measures):
    grid = measures[0].grid
    axes = [f"x{axis + 1}" for axis in range(grid.dimension)]
    stacked = np.stack([mu.values for mu in measures])
    return {"density": (("time", *axes), stacked)}, dict(zip(axes, grid.axes, strict=True))


def _particle_fields(measures):
    positions = np.stack([mu.positions for mu in measures])
    return {
        "position": (("time", "particle", "axis"), positions),
        "weight": ("particle", measures[0].weights),
    }, {}


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
    return [Particles(x, dataset["weight"].values) for x in dataset["position"].values]


def _gaussians(dataset):
    return [Gaussian(m, S) for m, S in zip(dataset["mean"].values, dataset["covariance"].values, strict=True)]


_FIELDS = {Density: _density_fields, Particles: _particle_fields, Gaussian: _gaussian_fields}
_MEASURES = {"Density": _densities, "Particles": _particles, "Gaussian": _gaussians}
