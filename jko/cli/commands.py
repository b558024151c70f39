"""What the commands do: run, save, compare, plot."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from jko.cli.messages import complain, say_unless
from jko.cli.pictures import Pictures
from jko.errors import StepFailed, shown
from jko.experiment import PLOTS, Experiment, ExperimentError, load
from jko.experiment.results import Results
from jko.interrupts import interrupts
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
    settings, experiment = results.settings(), results.load()
    for name in settings["runs"]:
        if name not in experiment.runs:
            raise ExperimentError(
                f"{str(results.settings_path)!r} is damaged: no run {name!r} in the experiment"
            )
    if settings["checkpoint"]:
        results.require_own(experiment, settings["runs"], "start anew with jko run and --overwrite")
    return _finish(results, experiment, settings, options, {})


def plot(options) -> int:
    """jko plot PATH …."""
    trajectories, experiment, folder = _saved(options.paths)
    say = say_unless(options.quiet)
    report = side_by_side(trajectories, experiment.exact if experiment else None)
    pictures = Pictures(make_folder(options.out or folder), say)
    say(f"{report}\n")
    try:
        pictures.of_comparison(report, experiment, PLOTS)
        if options.animate:
            pictures.animations(trajectories, list(trajectories))
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the pictures that were finished are kept") from None
    return complain(pictures.failures, options)


def _start(experiment: Experiment, options, names: list, compared: bool) -> int:
    """Check everything, the first steps of every run among it, then make the folder and run."""
    results = Results(options.out or experiment.output.folder or Path("results") / Path(options.file).stem)
    settings = {
        "compare": compared,
        "runs": names,
        "checkpoint": options.checkpoint,
        "plots": list(experiment.output.plots) if options.plots else [],
        "animate": names if options.animate else [n for n in experiment.output.animate if n in names],
    }
    if not options.overwrite:
        results.require_own(experiment, names, "give --out another folder, or --overwrite to start anew")
    with interrupts() as heed:
        begun = _begin(results, experiment, settings, options.overwrite, heed)
    new = _first_new(results.folder)
    try:
        results.prepare(experiment, settings, options.overwrite)
    except (ValueError, TypeError, OSError):
        if new is not None:
            shutil.rmtree(new, ignore_errors=True)  # as if it had not been called
        raise
    return _finish(results, experiment, settings, options, begun)


def _begin(results: Results, experiment: Experiment, settings: dict, overwrite: bool, heed: Callable) -> dict:
    """The first steps of every run that has none on disk, in memory: what is refused is refused here."""
    begun = {}
    for name in settings["runs"]:
        if settings["checkpoint"] and not overwrite and results.steps_done(experiment, name):
            continue
        try:
            begun[name] = experiment.runs[name].begin(experiment.functional)
        except StepFailed as error:
            if error.info is None:  # there is no start; a first step that fails is the run's result
                raise ExperimentError(f"runs.{name}: {error}") from error
        heed()
    return begun


def _first_new(folder: Path) -> Path | None:
    """The uppermost folder that making this one would make, None where it is there already."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    return missing[-1] if missing else None


def _finish(results: Results, experiment: Experiment, settings: dict, options, begun: dict) -> int:
    """Run or go on with the runs, save each as it ends, then compare and draw."""
    say = say_unless(options.quiet)
    way = f"go on with jko resume {results.folder}" if settings["checkpoint"] else "there is no checkpoint"
    try:
        with interrupts() as heed:
            trajectories, failures = _run_all(results, experiment, settings, say, options.quiet, heed, begun)
            if trajectories:
                failures |= _conclude(results, experiment, settings, trajectories, say)
            heed()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(way) from None
    return complain(failures, options)


def _run_all(
    results: Results,
    experiment: Experiment,
    settings: dict,
    say: Callable,
    quiet: bool,
    heed: Callable,
    begun: dict,
):
    say(f"{experiment.title}: {shown(experiment.functional, 400)}")
    trajectories, failures = {}, {}
    for name in settings["runs"]:
        run = experiment.runs[name]
        checkpoint = results.checkpoint(name) if settings["checkpoint"] else None
        progress = False if quiet else None
        try:
            trajectory = run.flow(
                experiment.functional, checkpoint=checkpoint, progress=progress, begun=begun.pop(name, None)
            )
            trajectory.attributes |= {"run": name, "title": experiment.title}
            trajectory.attributes |= {"notes": "; ".join(experiment.notes)} if experiment.notes else {}
            trajectory.save(results.data(name))
        except Exception as error:  # whatever it is: one run's failure costs the others nothing
            failures[f"runs.{name}"] = error
            heed()
            continue
        trajectories[name] = trajectory
        done = f"{trajectory.info.n_steps} steps of tau = {trajectory.tau:g}"
        say(f"{name}: {done} by {run.scheme.scheme_name()} in {trajectory.attributes['seconds']:.1f} s")
        if run.accuracy is not None:
            say(f"{name}: {trajectory.attributes['accuracy_note']}")
        heed()
    return trajectories, failures


def _conclude(
    results: Results, experiment: Experiment, settings: dict, trajectories: dict, say: Callable
) -> dict:
    """Table and pictures; what of them failed, by name: the runs are saved by now."""
    folder, notes = results.folder, "".join(f"\nnote: {note}" for note in experiment.notes)
    pictures = Pictures(folder, say)
    if settings["compare"]:
        try:
            report = side_by_side(trajectories, experiment.exact)
            say(f"\n{report}{notes}\n")
            write_text(folder / "table.txt", f"{experiment.title}\n{report}{notes}\n")
            report.to_csv(folder / "table.csv")
            report.distances_to_csv(folder / "distances.csv")
        except Exception as error:
            pictures.failures["the comparison"] = error
        else:
            pictures.of_comparison(report, experiment, settings["plots"])
    elif settings["plots"]:
        pictures.of_runs(trajectories)
    pictures.animations(trajectories, settings["animate"])
    say(f"results: {folder}")
    return pictures.failures


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
