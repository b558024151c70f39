"""Experiments: a TOML file becomes a functional, an initial measure and runs."""

from jko.experiment.experiment import PLOTS, Experiment, Output, exact_solutions, load, parse
from jko.experiment.run_settings import Run, available_schemes
from jko.experiment.table import ExperimentError

__all__ = [
    "PLOTS",
    "Experiment",
    "ExperimentError",
    "Output",
    "Run",
    "available_schemes",
    "exact_solutions",
    "load",
    "parse",
]
