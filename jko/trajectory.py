"""What a run returns: times, measures, energies, a record per step; saved as netCDF and loaded again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from jko import inline, netcdf
from jko.bounds import Bound, Kind, Space, bounds_of
from jko.dataset import FORMAT, fields_of, labelled
from jko.errors import file_path, shortened
from jko.measures.thumbnail import thumbnail
from jko.records import Status
from jko.scheme import Records


@dataclass
class Trajectory:
    """A run: measures[i] at times[i], i = 0 … k, with F there, and a record of every step.

    `energy` is F(measures[i]) or, where `energy_kind` is not "exact", what that says; `energy_uncertainty` is
    its standard error (0 for an exact one). `times` are nondimensional, like everything here.

    `error_bound` and `flow_error_bound` `[k + 1]` bound, in W₂ and over all steps up to each stored time, the
    distance to the exact JKO iterates and to the gradient flow; `error_bound_kind` and
    `flow_error_bound_kind` say whether they are "proven" (of the problem that is discrete in space), proven
    "up to the grid", an "estimate", or "none" (NaN). They follow from the records, λ and τ
    (docs/error_bounds.md): `displacement_modulus` is the λ that F declares, `observed_modulus` one that was
    seen on the grid in its place, `space` where the scheme's steps are proximal maps.
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
    observed_modulus: float | None = None
    space: Space = Space.NONE
    attributes: dict = field(default_factory=dict)

    def __repr__(self) -> str:
        """Three lines: how it was made, what became of F, and how its steps ended."""
        if not self.measures:
            return "Trajectory of no measures"
        scheme = self.scheme.split("(")[0] or "an unnamed scheme"
        kind = "" if self.energy_kind == "exact" else f" ({self.energy_kind})"
        steps = f"{self.info.n_steps} steps of τ = {self.tau:g} by {scheme} to t = {self.times[-1]:g}"
        return "\n".join(
            [
                f"Trajectory: {steps}, {len(self)} stored",
                f"  F = {_cut(self.functional)}: {self.energy[0]:.6g} → {self.energy[-1]:.6g}{kind}",
                f"  {_cut(self.measures[0].size)}; {self._ends}",
            ]
        )

    @property
    def _ends(self) -> str:
        failed = int(np.sum(self.info.status != Status.CONVERGED))
        return f"{failed} steps did not converge" if failed else "every step converged"

    def _repr_html_(self) -> str:
        """What a notebook shows: the facts, the energy as a small curve, the first and the last measure."""
        head, energy, measure = repr(self).split("\n")
        facts = inline.table(
            [("energy", energy.strip()), ("measure", measure.strip()), ("scheme", self.scheme)]
        )
        pictures = [("F over time", inline.curve(self.times, self.energy, label="F over time"))]
        for mu, t in ((self.measures[0], self.times[0]), (self.final, self.times[-1])):
            pictures += [(f"t = {t:g}", picture)] if (picture := thumbnail(mu)) else []
        return inline.titled(head, facts, inline.beside(pictures))

    def __post_init__(self):
        self.times = np.asarray(self.times, dtype=float)
        self.energy = np.asarray(self.energy, dtype=float)
        if self.energy_uncertainty is None:
            self.energy_uncertainty = np.zeros_like(self.energy)

    @property
    def error_bound(self) -> np.ndarray:
        """Bounds `[k + 1]` of W₂ to the exact JKO iterates at the stored times; NaN where there is none."""
        return self._bounds[0].values

    @property
    def error_bound_kind(self) -> Kind:
        """What `error_bound` is: "proven", "up to the grid", "estimate" or "none"."""
        return self._bounds[0].kind

    @property
    def flow_error_bound(self) -> np.ndarray:
        """Bounds `[k + 1]` of W₂ to the gradient flow at the stored times; NaN where there is none."""
        return self._bounds[1].values

    @property
    def flow_error_bound_kind(self) -> Kind:
        """What `flow_error_bound` is: "proven", "up to the grid", "estimate" or "none"."""
        return self._bounds[1].kind

    @cached_property
    def _bounds(self) -> tuple[Bound, Bound]:
        """Of the iterates and of the flow."""
        return bounds_of(self)

    @property
    def final(self):
        """The last measure."""
        return self.measures[-1]

    def __len__(self) -> int:
        return len(self.times)

    def at(self, time: float):
        """The stored measure whose time is nearest; raises ValueError for a time outside the run."""
        return self.measures[self.nearest(time)]

    def nearest(self, time: float) -> int:
        """The index of the stored time that is nearest; raises ValueError for a time outside the run."""
        if not self.times[0] - self.tau <= time <= self.times[-1] + self.tau:
            raise ValueError(f"time: expected {self.times[0]:g} to {self.times[-1]:g}, got {time:g}")
        return int(np.argmin(np.abs(self.times - time)))

    def of_species(self, name: str) -> Trajectory:
        """The run of one of several species, with the energy and the records of all."""
        if not hasattr(self.final, "names"):
            raise TypeError(f"run: expected one of several species, got one of {self.final!r}")
        return replace(self, measures=[mu[name] for mu in self.measures])

    def film(self, path, **options) -> Path:
        """Write the run as a film of its measure and its energy: see `jko.films.film_of_runs`, which has the
        `options` (seconds, fps, size, progress)."""
        from jko.films import film_of_runs

        return film_of_runs(self, path, **options)

    def to_xarray(self):
        """The run as an xarray.Dataset, the axes labelled."""
        return labelled(self).dataset

    def save(self, path: Path) -> Path:
        """Write the run as netCDF, beside and then renamed, so that an old file is never left broken.

        Raises ValueError for a folder that is not there and for what netCDF cannot hold, NotWritten (an
        OSError) where the disk is full: what the file held before is kept.
        """
        path = file_path("path", path)
        if not path.parent.is_dir():
            raise ValueError(f"path: the folder {str(path.parent)!r} does not exist: make it first")
        return netcdf.write(labelled(self), path)

    @classmethod
    def load(cls, path: Path | str) -> Trajectory:
        """Read a run that `save` wrote; raises ValueError for any other file, and for a damaged one."""
        dataset = netcdf.read(path)
        foreign = f"path: {str(path)!r} is a netCDF file, but not one that Trajectory.save wrote"
        if np.ndim(dataset.attrs.get("format")) or dataset.attrs.get("format") != FORMAT:
            raise ValueError(foreign)
        try:
            return cls(**fields_of(dataset))
        except KeyError as error:
            raise ValueError(f"{foreign}: {error} is missing") from error
        except (ValueError, TypeError, IndexError, AttributeError) as error:
            raise ValueError(f"{foreign}: {shortened(error)}") from error


def _cut(text: str, most: int = 90) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"
