"""What a run returns: times, measures, energies, a record per step; saved as netCDF and loaded again."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from jko.measures import Density, Gaussian, Grid, Particles
from jko.scheme import Records

FORMAT = 1


@dataclass
class Trajectory:
    """A run: measures[i] at times[i], i = 0 … k, with F there, and a record of every step.

    `energy` is F(measures[i]) or, where `energy_kind` is not "exact", what that says; `energy_uncertainty` is
    its standard error (0 for an exact one). `times` are nondimensional, like everything here.
    """

    times: np.ndarray
    energy: np.ndarray
    measures: list
    info: Records
    tau: float
    functional: str = ""
    scheme: str = ""
    energy_kind: str = "exact"
    energy_uncertainty: np.ndarray | None = None
    displacement_modulus: float | None = None
    attributes: dict = field(default_factory=dict)

    def __post_init__(self):
        self.times = np.asarray(self.times, dtype=float)
        self.energy = np.asarray(self.energy, dtype=float)
        if self.energy_uncertainty is None:
            self.energy_uncertainty = np.zeros_like(self.energy)

    @property
    def final(self):
        """The last measure."""
        return self.measures[-1]

    def __len__(self) -> int:
        return len(self.times)

    def at(self, time: float):
        """The stored measure whose time is nearest; raises ValueError for a time outside the run."""
        if not self.times[0] - self.tau <= time <= self.times[-1] + self.tau:
            raise ValueError(f"time: expected {self.times[0]:g} to {self.times[-1]:g}, got {time:g}")
        return self.measures[int(np.argmin(np.abs(self.times - time)))]

    def to_xarray(self):
        """The run as an xarray.Dataset, the axes labelled."""
        import xarray

        measure = self.measures[0]
        variables, coordinates = _FIELDS[type(measure)](self.measures)
        variables["energy"] = ("time", self.energy)
        variables["energy_uncertainty"] = ("time", self.energy_uncertainty)
        for name, column in self.info.items():
            dimensions = ("step", *(f"{name}_axis{axis}" for axis in range(1, column.ndim)))
            variables[f"step_{name}"] = (
                dimensions,
                column.astype(object) if column.dtype.kind == "U" else column,
            )
        coordinates["time"] = self.times
        coordinates["step"] = np.arange(1, self.info.n_steps + 1)
        attributes = {
            "format": FORMAT,
            "measure": type(measure).__name__,
            "functional": self.functional,
            "scheme": self.scheme,
            "tau": self.tau,
            "energy_kind": self.energy_kind,
            "units": "nondimensional",
            **self.attributes,
        }
        if self.displacement_modulus is not None:
            attributes["displacement_modulus"] = self.displacement_modulus
        if isinstance(measure, Density):
            attributes["grid_lower"] = np.array(measure.grid.lower)
            attributes["grid_upper"] = np.array(measure.grid.upper)
            if measure.grid.is_periodic:
                attributes["grid_periodic"] = np.array(measure.grid.periodic, dtype=int)
        return xarray.Dataset(variables, coords=coordinates, attrs=attributes)

    def save(self, path) -> Path:
        """Write the run as netCDF, beside and then renamed, so that an old file is never left broken."""
        path = Path(path)
        if not path.parent.is_dir():
            raise ValueError(f"path: the folder {str(path.parent)!r} does not exist: make it first")
        beside = path.with_name(f".{path.name}.partial")
        try:
            self.to_xarray().to_netcdf(beside, engine="h5netcdf")
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        return path

    @classmethod
    def load(cls, path) -> Trajectory:
        """Read a run that `save` wrote; raises ValueError for any other file."""
        import xarray

        path = Path(path)
        if not path.exists():
            raise ValueError(f"path: no file {str(path)!r}")
        try:
            with xarray.open_dataset(path, engine="h5netcdf") as stored:
                dataset = stored.load()
        except (OSError, ValueError) as error:
            raise ValueError(f"path: {str(path)!r} is not a netCDF file of a run: {error}") from error
        foreign = f"path: {str(path)!r} is a netCDF file, but not one that Trajectory.save wrote"
        if dataset.attrs.get("format") != FORMAT:
            raise ValueError(foreign)
        try:
            return _from_dataset(dataset)
        except KeyError as error:
            raise ValueError(f"{foreign}: {error} is missing") from error


def _from_dataset(dataset) -> Trajectory:
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
    return Trajectory(
        times=dataset["time"].values,
        energy=dataset["energy"].values,
        measures=_MEASURES[attributes["measure"]](dataset),
        info=Records(columns),
        tau=float(attributes["tau"]),
        functional=str(attributes["functional"]),
        scheme=str(attributes["scheme"]),
        energy_kind=str(attributes["energy_kind"]),
        energy_uncertainty=dataset["energy_uncertainty"].values,
        displacement_modulus=None if modulus is None else float(modulus),
        attributes={name: value for name, value in attributes.items() if name not in known},
    )


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
