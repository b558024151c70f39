"""What compare and convergence hand out: the numbers, and their pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jko import films, plotting
from jko.comparison import Comparison, Convergence
from jko.comparison import convergence as measure_convergence
from jko.measures import Particles
from jko.writing import make_folder, write_text


@dataclass(repr=False)
class Report(Comparison):
    """A comparison that draws itself; see `Comparison` for its numbers."""

    def plot_energy(self, path=None, *, ax=None):
        """F over time, and F − F_min beside e^{−2λt}. Returns the figure, and writes it to `path`."""
        given = {row["minimum_energy"] for row in self.table if row["minimum_source"] == "given"}
        return plotting.plot_energy(self.runs, self.exact, minimum=next(iter(given), None), path=path, ax=ax)

    def plot_errors(self, path=None, *, ax=None):
        """Bounds of W₂ to the flow, and the distances to the exact answer. Returns the figure, and writes it
        to `path`; ValueError where there is nothing to draw."""
        measured = {}
        if self.exact is not None:
            measured = {name: (self.times[1:], self.distance("W2", name)[1:]) for name in self.runs}
        return plotting.plot_errors(self.runs, measured, path=path, ax=ax)

    def plot_density(self, path=None, times=None, *, shared_scale: bool = True, ax=None):
        """The densities at a few times, see `plotting.plot_density`. Returns the figure, and writes it."""
        return plotting.plot_density(
            self.runs, self.exact, times=times, path=path, shared_scale=shared_scale, ax=ax
        )

    def plot_particles(self, path=None, *, potential=None, time=None, ax=None):
        """The clouds among the runs. Returns the figure, and writes it to `path`."""
        return plotting.plot_particles(
            self.runs, self.exact, potential=potential, time=time, path=path, ax=ax
        )

    def report(self, path, *, title: str = "", experiment: str = "") -> Path:
        """Write one HTML page that needs nothing else: table, energies, densities and clouds over time,
        bounds, and what happened in each step; at most 5 MB, what was thinned out is said on it.

        title: of the page; experiment: the TOML text that made the runs. Raises ValueError for a path that
        does not end in .html.
        """
        from jko.page import write_page

        return write_page(self, path, title=title, experiment=experiment)

    def film(self, path, **options) -> Path:
        """Write the runs side by side as a film, the energies in the last panel: see
        `jko.films.film_of_runs`, which has the `options` (seconds, fps, size, progress)."""
        return films.film_of_runs(self.runs, path, self.exact, **options)

    def save(self, folder) -> Path:
        """Write table, distances, every run (netCDF), the page and pictures into a folder; returns it.

        The pictures come last: one that fails is raised as it is, after all that can be written has been.
        """
        folder = make_folder(folder)
        write_text(folder / "comparison.txt", str(self) + "\n")
        self.to_csv(folder / "comparison.csv")
        self.distances_to_csv(folder / "distances.csv")
        for name, file in zip(self.runs, _file_names(self.runs), strict=True):
            self.runs[name].save(folder / file)
        self.report(folder / "report.html")
        pictures = {"energy": self.plot_energy}
        if plotting.has_bounds(self.runs):
            pictures["errors"] = self.plot_errors
        if next(iter(self.runs.values())).measures[0].coordinates <= 3:
            pictures["density"] = self.plot_density
        if any(isinstance(run.measures[0], Particles) for run in self.runs.values()):
            pictures["particles"] = self.plot_particles
        failures = []
        for name, draw in pictures.items():
            try:
                draw(folder / f"{name}.png")
            except Exception as error:  # whatever matplotlib raises: the others are drawn
                failures.append(error)
        if failures:
            raise failures[0]
        return folder


@dataclass
class ConvergenceReport(Convergence):
    """Observed orders that draw themselves; see `Convergence` for the numbers."""

    def plot(self, path: Path | None = None, *, ax=None):
        """Errors and slopes on logarithmic axes. Returns the figure, and writes it to `path`."""
        return plotting.plot_convergence(self, path=path, ax=ax)


def compare(runs: dict, exact=None, *, times=None, minimum: float | None = None, seed: int = 0) -> Report:
    """Lay runs side by side: distances to the exact answer and between them, energies, rates, certificates.

    `runs` maps names to trajectories of one problem; `exact` is an `ExactSolution`, t = 0 where the runs
    start. Distances are taken at `times`, by default at up to 9 times that all runs stored (3 in more than
    one dimension). `minimum` is F_min for the decay rate where it is known; else it comes from the
    equilibrium of a Gaussian exact answer, else it is fitted. `seed` draws the particles of large clouds
    that enter exact plans in d ≥ 2.

    Raises TypeError for anything but trajectories, ValueError for runs of different dimensions or without
    common times.

    The report prints as a table with footnotes, draws itself and saves itself to a folder.
    """
    return Report.of(runs, exact, times=times, minimum=minimum, seed=seed)


def convergence(
    run: Callable,
    values: list,
    *,
    parameter: str = "parameter",
    error=None,
    exact=None,
    distance: str = "L1",
    seeds=None,
) -> ConvergenceReport:
    """Repeat a run over the values of a parameter and report the observed order of its error.

    `run(value)` returns a Trajectory (or anything that `error` takes); with `seeds` it is called as
    `run(value, seed)` and the errors are root mean squares over the seeds. The error of a run is

    * `error(result)`, a number of at least 0; or
    * the `distance`, "L1" or "W2", of its final measure to the solution `exact` at its final time; or, with
      neither,
    * the distance of its final measure to that of the next value, one row fewer: for a method of order p and
      values in a constant ratio these differences fall with p as well.

    For example::

        jko.convergence(lambda tau: jko.flow(F, mu, scheme, tau=tau, n_steps=round(1 / tau)),
                        values=[0.1, 0.05, 0.025], parameter="tau", exact=solution)

    Raises ValueError for fewer than two values, ones that are not positive and distinct, or an error that is
    no number of at least 0.
    """
    found = measure_convergence(
        run, values, parameter=parameter, error=error, exact=exact, distance=distance, seeds=seeds
    )
    return ConvergenceReport(
        found.values,
        found.errors,
        found.parameter,
        found.measured,
        found.scatter,
        found.seconds,
        found.repeats,
    )


def _file_names(names) -> list[str]:
    """A file name a run: what is no letter, digit, dash or dot becomes _, a name met again is numbered."""
    files: list[str] = []
    for name in names:
        kept = (
            "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name).lstrip(".")
            or "run"
        )
        same = sum(file == f"{kept}.nc" or file.startswith(f"{kept}~") for file in files)
        files.append(f"{kept}~{same + 1}.nc" if same else f"{kept}.nc")
    return files
