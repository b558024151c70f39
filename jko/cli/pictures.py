"""Which pictures belong to which runs, and what becomes of one that fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jko.measures import Particles


class Pictures:
    """The pictures of a folder; one that fails is kept in `failures` and costs no other."""

    def __init__(self, folder: Path, say: Callable):
        self.folder, self._say = Path(folder), say
        self.failures: dict[str, Exception] = {}

    def of_comparison(self, report, experiment, plots) -> None:
        """The plots of `plots` that these runs allow, as PNG files, and the page."""
        from jko.plotting import has_bounds

        dimension = next(iter(report.runs.values())).final.dimension
        clouds = any(isinstance(run.final, Particles) for run in report.runs.values())
        functional = None if experiment is None else experiment.functional
        potential = functional if functional is not None and functional.parts.potential else None
        makers = {
            "energy": report.plot_energy,
            "errors": report.plot_errors if has_bounds(report.runs) else None,
            "density": report.plot_density if dimension <= 3 else None,
            "particles": (lambda path: report.plot_particles(path, potential=potential)) if clouds else None,
        }
        for name, make in makers.items():
            if name in plots and make is not None:
                self._draw(make, f"{name}.png")
        if "report" in plots:
            words = {} if experiment is None else {"title": experiment.title, "experiment": experiment.text}
            self._draw(lambda path: report.report(path, **words), "report.html")

    def of_runs(self, trajectories) -> None:
        """One picture a run."""
        from jko.plotting import plot_trajectory

        for name, run in trajectories.items():
            self._draw(lambda path, run=run: plot_trajectory(run, path=path), f"{name}.png")

    def animations(self, trajectories: dict, names: list) -> None:
        """A GIF of each of these runs."""
        from jko.films import animate

        for name in names:
            if name in trajectories:
                self._draw(lambda path, run=trajectories[name]: animate(run, path), f"{name}.gif")

    def of_fit(self, fit, run, score) -> None:
        """What was learnt, its rollout beside the data, its distances, and the spectrum of its equations."""
        from jko import plotting

        if fit.V is not None or fit.W is not None:
            self._draw(lambda path: plotting.plot_landscape(fit, path=path), "landscape.png")
        self._draw(lambda path: plotting.plot_prediction(run, fit.snapshots, path=path), "prediction.png")
        self._draw(lambda path: plotting.plot_score(score, path=path), "score.png")
        self._draw(
            lambda path: plotting.plot_identifiability(fit.identifiability, path=path), "identifiability.png"
        )

    def _draw(self, make, name: str):
        path = self.folder / name
        try:
            make(path)
        except Exception as error:  # whatever matplotlib or Pillow raise: the data are worth more
            self.failures[f"the picture {path}"] = error
        else:
            self._say(f"wrote {path}")
