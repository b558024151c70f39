"""What compare and convergence hand out: the numbers, and their pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jko import plotting
from jko.comparison import Comparison, Convergence
from jko.comparison import convergence as measure_convergence
from jko.comparison.files import write_text
from jko.measures import Particles


@dataclass
class Report(Comparison):
    """A comparison that draws itself; see `Comparison` for its numbers."""

    def plot_energy(self, path=None):
        """F over time, and F − F_min beside e^{−2λt}. Returns the figure, and writes it to `path`."""
        given = {row["minimum_energy"] for row in self.table if row["minimum_source"] == "given"}
        return plotting.plot_energy(self.runs, self.exact, minimum=next(iter(given), None), path=path)

    def plot_density(self, path=None, times=None):
        """The densities at a few times. Returns the figure, and writes it to `path`."""
        return plotting.plot_density(self.runs, self.exact, times=times, path=path)

    def plot_particles(self, path=None, *, potential=None, time=None):
        """The clouds among the runs. Returns the figure, and writes it to `path`."""
        return plotting.plot_particles(self.runs, self.exact, potential=potential, time=time, path=path)

    def save(self, folder) -> Path:
        """Write table, distances, pictures and every run (netCDF) into a folder; returns it."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "comparison.txt", str(self) + "\n")
        self.to_csv(folder / "comparison.csv")
        self.distances_to_csv(folder / "distances.csv")
        self.plot_energy(folder / "energy.png")
        if next(iter(self.runs.values())).measures[0].dimension <= 3:
            self.plot_density(folder / "density.png")
        if any(isinstance(run.measures[0], Particles) for run in self.runs.values()):
            self.plot_particles(folder / "particles.png")
        for name, run in self.runs.items():
            run.save(folder / f"{_file_name(name)}.nc")
        return folder


@dataclass
class ConvergenceReport(Convergence):
    """Observed orders that draw themselves; see `Convergence` for the numbers."""

    def plot(self, path=None):
        """Errors and slopes on logarithmic axes. Returns the figure, and writes it to `path`."""
        return plotting.plot_convergence(self, path=path)


def compare(runs, exact=None, *, times=None, minimum: float | None = None, seed: int = 0) -> Report:
    """Like `jko.comparison.compare`, with pictures."""
    return Report.of(runs, exact, times=times, minimum=minimum, seed=seed)


def convergence(
    run, values, *, parameter: str = "parameter", error=None, exact=None, distance: str = "L1", seeds=None
) -> ConvergenceReport:
    """Like `jko.comparison.convergence`, with a picture."""
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


def _file_name(name: str) -> str:
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)
    return kept.lstrip(".") or "run"
