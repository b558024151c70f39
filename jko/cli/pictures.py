"""Which pictures belong to which runs."""

from __future__ import annotations

from pathlib import Path

from jko.measures import Particles


def draw_comparison(report, functional, folder: Path, plots, say) -> None:
    """The plots of `plots` that these runs allow, as PNG files."""
    dimension = next(iter(report.runs.values())).final.dimension
    clouds = any(isinstance(run.final, Particles) for run in report.runs.values())
    potential = functional if functional is not None and functional.parts.potential else None
    makers = {
        "energy": lambda path: report.plot_energy(path),
        "density": (lambda path: report.plot_density(path)) if dimension <= 3 else None,
        "particles": (lambda path: report.plot_particles(path, potential=potential)) if clouds else None,
    }
    for name, make in makers.items():
        if name in plots and make is not None:
            make(folder / f"{name}.png")
            say(f"wrote {folder / f'{name}.png'}")


def draw_runs(trajectories, folder: Path, say) -> None:
    """One picture a run."""
    from jko.plotting import plot_trajectory

    for name, run in trajectories.items():
        plot_trajectory(run, path=folder / f"{name}.png")
        say(f"wrote {folder / f'{name}.png'}")


def animate_runs(trajectories, names, folder: Path, say) -> None:
    """A GIF of each of these runs."""
    from jko.plotting import animate

    for name in names:
        if name in trajectories:
            animate(trajectories[name], folder / f"{name}.gif")
            say(f"wrote {folder / f'{name}.gif'}")
