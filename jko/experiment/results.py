"""The folder in which an experiment's results lie, and from which it is resumed."""

from __future__ import annotations

import json
from glob import escape
from pathlib import Path

from jko.checkpoint import Journal, describe_problem
from jko.errors import CheckpointMismatch, shortened, shown
from jko.experiment.experiment import Experiment, load
from jko.experiment.table import ExperimentError
from jko.writing import make_folder, write_whole

FORMAT = 1


def _texts(value: int | list) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def _copies(value: dict) -> bool:
    """Whether every copy lies in the folder of the inputs: a forged path must not lead elsewhere."""
    return isinstance(value, dict) and all(
        isinstance(path, str) and path.startswith("inputs/") and ".." not in Path(path).parts
        for path in value.values()
    )


_SETTINGS = {
    "compare": lambda value: isinstance(value, bool),
    "runs": lambda value: _texts(value) and bool(value),
    "checkpoint": lambda value: isinstance(value, bool),
    "plots": _texts,
    "animate": _texts,
    "files": _copies,
    "title": lambda value: value is None or isinstance(value, str),
}


class Results:
    """A results folder: copies of the experiment and of its files, a checkpoint and a netCDF file a run.

    Everything is written beside and renamed, so what is there is whole whenever the process ends.
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise ExperimentError(f"out: {str(folder)!r} is a file: give a folder")

    @property
    def experiment_path(self) -> Path:
        """The copy of the experiment."""
        return self.folder / "experiment.toml"

    @property
    def settings_path(self) -> Path:
        """What the command line asked for, and where the copies of the experiment's files lie."""
        return self.folder / "settings.json"

    def checkpoint(self, run: str) -> Path:
        """The checkpoint of a run."""
        return self.folder / "checkpoints" / f"{run}.checkpoint"

    def data(self, run: str) -> Path:
        """The netCDF file of a run."""
        return self.folder / f"{run}.nc"

    def prepare(self, experiment: Experiment, settings: dict, overwrite: bool = False) -> None:
        """Make the folder ready; ask `require_own` first, or overwrite what is there."""
        make_folder(self.folder / "checkpoints")
        if overwrite:
            for name in experiment.runs:
                for path in self.checkpoint(name).parent.glob(f"{escape(self.checkpoint(name).name)}*"):
                    path.unlink(missing_ok=True)
                self.data(name).unlink(missing_ok=True)
        copies = {}
        for number, (name, path) in enumerate(experiment.files.items(), start=1):
            copies[name] = f"inputs/{number}_{path.name}"
            make_folder(self.folder / "inputs")
            write_whole(self.folder / copies[name], path.read_bytes())
        write_whole(self.experiment_path, experiment.text.encode())
        settings = {"format": FORMAT, **settings, "files": copies, "title": experiment.title}
        write_whole(self.settings_path, json.dumps(settings, indent=1).encode())

    def settings(self) -> dict:
        """What `prepare` was given."""
        try:
            settings = json.loads(self.settings_path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ExperimentError(
                f"{str(self.folder)!r} holds no results: start with jko compare FILE --out {self.folder}"
            ) from None
        except (ValueError, RecursionError, OSError) as error:
            raise ExperimentError(
                f"{str(self.settings_path)!r} is damaged: {shortened(error)}: "
                "start anew with jko compare FILE"
            ) from error
        if not isinstance(settings, dict) or settings.get("format") != FORMAT:
            raise ExperimentError(f"{str(self.settings_path)!r} was not written by this version of jko")
        for key, fits in _SETTINGS.items():
            if not fits(settings.get(key)):
                raise ExperimentError(
                    f"{str(self.settings_path)!r} is damaged: {key!r} is {shown(settings.get(key))}"
                )
        return settings

    def load(self) -> Experiment:
        """The experiment of the copy."""
        settings = self.settings()
        return load(self.experiment_path, copies=settings["files"], default_title=settings.get("title"))

    def steps_done(self, experiment: Experiment, name: str) -> int:
        """How many steps the checkpoint of a run holds; raises CheckpointMismatch where it is another's."""
        run, path = experiment.runs[name], self.checkpoint(name)
        if not path.exists():
            return 0
        problem = describe_problem(experiment.functional, run.measure, run.scheme, run.tau, run.store_every)
        journal = Journal(path, problem)
        try:
            chunks = journal.open()
        finally:
            journal.close()
        return chunks[-1]["done"] if chunks else 0

    def require_own(self, experiment: Experiment, names: list, remedy: str) -> None:
        """Refuse, without touching anything, where a checkpoint is of another problem or ahead."""
        for name in names:
            try:
                done = self.steps_done(experiment, name)
            except CheckpointMismatch as error:
                raise ExperimentError(f"runs.{name}: {error}, that is, {remedy}") from error
            n_steps = experiment.runs[name].n_steps
            if done > n_steps:
                raise ExperimentError(
                    f"runs.{name}.n_steps: expected {done} or more, which {str(self.folder)!r} holds "
                    f"already, got {n_steps}: {remedy}"
                )
