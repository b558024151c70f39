"""A run as labelled arrays, those as an xarray.Dataset, and back."""

from __future__ import annotations

import json

import numpy as np

from jko.bounds import Space
from jko.dataset_attributes import restored, stored
from jko.measures import Measure
from jko.netcdf import Labelled
from jko.records import TEXTS, Records, StepInfo, status_named

FORMAT = 1
_TEXTS = np.dtype("O", metadata={"element_type": str, "vlen": str})  # texts, also where there are none
_OWN = frozenset(
    {"format", "measure", "functional", "scheme", "tau", "energy_kind", "units", "displacement_modulus"}
    | {"observed_modulus", "space", "error_bound_kind", "flow_error_bound_kind"}
    | {"grid_lower", "grid_upper", "grid_periodic", "grid_dimension", "grid_radial", "checksum"}
)  # attributes of the file that are parts of the run, not of its `attributes`


def labelled(run) -> Labelled:
    """The arrays of a Trajectory.

    Raises ValueError for measures of unlike kinds, grids or numbers of particles, and for attributes that a
    file does not keep.
    """
    measure = run.measures[0]
    _require_alike(run.measures)
    fields, axes, of_measures = type(measure).fields_of(run.measures)
    variables = {
        name: ((d,) if isinstance(d, str) else tuple(d), values) for name, (d, values) in fields.items()
    }
    variables["energy"] = ("time",), run.energy
    variables["energy_uncertainty"] = ("time",), run.energy_uncertainty
    for name, column in run.info.items():
        dimensions = ("step", *(f"{name}_axis{axis}" for axis in range(1, column.ndim)))
        variables[f"step_{name}"] = (
            dimensions,
            column.astype(_TEXTS) if column.dtype.kind == "U" else column,
        )
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
        variables[name] = ("time",), getattr(run, name)
        attributes[f"{name}_kind"] = str(getattr(run, f"{name}_kind"))
    coordinates = {**axes, "time": run.times, "step": np.arange(1, run.info.n_steps + 1)}
    return Labelled(variables, coordinates, attributes | of_measures)


def fields_of(dataset) -> dict:
    """The fields of the Trajectory that an xarray.Dataset holds; raises KeyError where one is missing, and
    ValueError where together they are no run."""
    attributes = dict(dataset.attrs)
    columns = {name[5:]: dataset[name].values for name in dataset if name.startswith("step_")}
    columns = {
        name: column.astype(str) if column.dtype == object else column for name, column in columns.items()
    }
    moduli = {
        name: None if attributes.get(name) is None else float(attributes[name])
        for name in ("displacement_modulus", "observed_modulus")
    }
    fields = {
        "times": dataset["time"].values,
        "energy": dataset["energy"].values,
        "measures": _kind_of(attributes["measure"]).from_fields(dataset),
        "info": Records(columns),
        "tau": float(attributes["tau"]),
        "functional": str(restored(attributes["functional"])),
        "scheme": str(restored(attributes["scheme"])),
        "energy_kind": str(attributes["energy_kind"]),
        "energy_uncertainty": dataset["energy_uncertainty"].values,
        **moduli,
        "space": Space(attributes.get("space", "")),
        "attributes": {name: restored(value) for name, value in attributes.items() if not _is_own(name)},
    }
    _require_run(fields)
    return fields


def _require_run(fields: dict):
    """Refuse what another tool may have left: numbers of unlike length, times that do not rise, records that
    are none."""
    stored, records = len(fields["measures"]), fields["info"]
    for name in ("times", "energy", "energy_uncertainty"):
        values = np.asarray(fields[name])
        if values.shape != (stored,) or values.dtype.kind not in "iuf" or not stored:
            raise ValueError(f"{name}: expected {stored} numbers, one a measure, got {_described(values)}")
    if not (np.isfinite(fields["times"]).all() and (np.diff(fields["times"]) > 0.0).all()):
        raise ValueError("times: expected finite numbers that rise")
    if not 0.0 < fields["tau"] < np.inf:
        raise ValueError(f"tau: expected a positive number, got {fields['tau']:g}")
    for name, column in records.items():
        kinds = "U" if name in TEXTS else "iuf"
        own = name in StepInfo.__dataclass_fields__
        good = column.ndim == 1 and column.dtype.kind in kinds if own else column.ndim > 0
        if not good or len(column) != len(records["iterations"]):
            raise ValueError(f"step_{name}: expected one entry a step, got {_described(column)}")
    for status in np.unique(records["status"]):
        status_named(str(status))
    if not all(isinstance(json.loads(text), dict) for text in np.unique(records["details"])):
        raise ValueError("step_details: expected names and values as JSON")


def _described(values: np.ndarray) -> str:
    return f"shape {values.shape} of {values.dtype}"


def _is_own(name) -> bool:
    """Whether an attribute of a file is a part of the run: those of species say so by how they begin."""
    return name in _OWN or name == "species" or str(name).startswith("species_")


def _require_alike(measures: list):
    first = measures[0]
    for mu in measures:
        if type(mu) is not type(first) or mu.layout != first.layout:
            raise ValueError(
                "measures: a file holds measures of one kind, on one grid or of one number of particles, got "
                f"{first!r} and {mu!r}"
            )


def _kind_of(name: str) -> type[Measure]:
    if name not in Measure.known:
        raise ValueError(
            f"measures: the file holds measures of the kind {str(name)!r}, known are "
            f"{', '.join(sorted(Measure.known))}: import the module that defines it first"
        )
    return Measure.known[name]
