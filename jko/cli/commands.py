"""What the commands do: run, save, compare, plot."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from jko.cli.interrupts import interrupts
from jko.cli.pictures import animate_runs, draw_comparison, draw_runs
from jko.errors import StepFailed
from jko.experiment import PLOTS, Experiment, ExperimentError, load
from jko.experiment.results import Results
from jko.report import compare as side_by_side
from jko.trajectory import Trajectory
from jko.writing import make_folder, write_text


def compare(options) -> int:
    """jko compare FILE."""
    experiment = load(options.file)
    experiment.require_common_times()
    return _start(experiment, options, list(experiment.runs), compared=True)


def run(options) -> int:
    """jko run FILE [--run NAME]."""
    experiment = load(options.file)
    names = options.run or list(experiment.runs)
    for name in names:
        if name not in experiment.runs:
            known = ", ".join(experiment.runs)
            raise ExperimentError(f"--run: no run {name!r} in {options.file}; there are {known}")
    return _start(experiment, options, list(dict.fromkeys(names)), compared=False)


def resume(options) -> int:
    """jko resume PATH."""
    results = Results(_results_folder(Path(options.path)))
    return _finish(results, results.load(), results.settings(), options.quiet)


def plot(options) -> int:
    """jko plot PATH …."""
    trajectories, experiment, folder = _saved(options.paths)
    folder = make_folder(options.out or folder)
    say = _say(options.quiet)
    report = side_by_side(trajectories, experiment.exact if experiment else None)
    say(f"{report}\n")
    draw_comparison(report, experiment.functional if experiment else None, folder, PLOTS, say)
    if options.animate:
        animate_runs(trajectories, list(trajectories), folder, say)
    return 0


def _start(experiment: Experiment, options, names, compared) -> int:
    results = Results(options.out or experiment.output.folder or Path("results") / Path(options.file).stem)
    settings = {
        "compare": compared,
        "runs": names,
        "checkpoint": options.checkpoint,
        "plots": list(experiment.output.plots) if options.plots else [],
        "animate": names if options.animate else [n for n in experiment.output.animate if n in names],
    }
    new = _first_new(results.folder)
    try:
        results.prepare(experiment, settings, options.overwrite)
        return _finish(results, experiment, settings, options.quiet)
    except (ValueError, TypeError, ImportError):
        if new is not None and not any(results.began(experiment, name) for name in names):
            shutil.rmtree(new, ignore_errors=True)  # refused before any step: as if it had not been called
        raise


def _first_new(folder: Path) -> Path | None:
    """The uppermost folder that making this one would make, None where it is there already."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    return missing[-1] if missing else None


def _finish(results: Results, experiment: Experiment, settings: dict, quiet: bool) -> int:
    """Run or go on with the runs, save each as it ends, then compare and draw."""
    say = _say(quiet)
    way = f"go on with jko resume {results.folder}" if settings["checkpoint"] else "there is no checkpoint"
    try:
        with interrupts() as heed:
            trajectories, failures = _run_all(results, experiment, settings, say, quiet, heed)
        if trajectories:
            _conclude(results, experiment, settings, trajectories, say)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(way) from None
    for name, error in failures.items():
        print(f"runs.{name}: {' '.join(str(error).split())}", file=sys.stderr)
    return 1 if failures else 0


def _run_all(results, experiment, settings, say, quiet, heed):
    say(f"{experiment.title}: {experiment.functional!r}")
    trajectories, failures = {}, {}
    for name in settings["runs"]:
        run = experiment.runs[name]
        checkpoint = results.checkpoint(name) if settings["checkpoint"] else None
        progress = False if quiet else None
        try:
            trajectory = run.flow(experiment.functional, checkpoint=checkpoint, progress=progress)
        except StepFailed as error:
            failures[name] = error
            heed()
            continue
        seconds = trajectory.attributes["seconds"]
        trajectory.attributes |= {"run": name, "title": experiment.title}
        trajectory.attributes |= {"notes": "; ".join(experiment.notes)} if experiment.notes else {}
        trajectory.save(results.data(name))
        trajectories[name] = trajectory
        done = f"{run.n_steps} steps of tau = {run.tau:g}"
        say(f"{name}: {done} by {run.scheme.scheme_name()} in {seconds:.1f} s")
        heed()
    return trajectories, failures


def _conclude(results, experiment, settings, trajectories, say):
    folder, notes = results.folder, "".join(f"\nnote: {note}" for note in experiment.notes)
    if settings["compare"]:
        report = side_by_side(trajectories, experiment.exact)
        say(f"\n{report}{notes}\n")
        write_text(folder / "table.txt", f"{experiment.title}\n{report}{notes}\n")
        report.to_csv(folder / "table.csv")
        report.distances_to_csv(folder / "distances.csv")
        draw_comparison(report, experiment.functional, folder, settings["plots"], say)
    elif settings["plots"]:
        draw_runs(trajectories, folder, say)
    animate_runs(trajectories, settings["animate"], folder, say)
    say(f"results: {folder}")


def _results_folder(path: Path) -> Path:
    if path.is_dir():
        return path
    if not path.is_file():
        raise ExperimentError(
            f"no folder or file {str(path)!r}: give a results folder, or the experiment that ran"
        )
    if path.name in ("experiment.toml", "settings.json"):
        return path.parent
    return load(path).output.folder or Path("results") / path.stem


def _saved(paths):
    """Runs by name, the experiment if there is one, and the folder where they lie."""
    if len(paths) == 1 and Path(paths[0]).is_dir():
        results = Results(paths[0])
        experiment = results.load()
        names = [name for name in experiment.runs if results.data(name).exists()]
        if not names:
            raise ExperimentError(f"{paths[0]!r} holds no finished run: go on with jko resume {paths[0]}")
        trajectories = {name: Trajectory.load(results.data(name)) for name in names}
        return trajectories, experiment, results.folder
    trajectories = {}
    for path in map(Path, paths):
        if path.is_dir():
            raise ExperimentError(f"{str(path)!r} is a folder: give one folder, or netCDF files")
        trajectories[path.stem if path.stem not in trajectories else str(path)] = Trajectory.load(path)
    return trajectories, None, Path(paths[0]).parent


def _say(quiet):
    return (lambda text: None) if quiet else (lambda text: print(text, flush=True))
