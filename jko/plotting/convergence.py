"""Errors against a step size or a number, with the observed order."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jko.comparison.convergence import Convergence
from jko.plotting import style


def plot_convergence(studies, *, path: Path | None = None, ax=None):
    """Errors on logarithmic axes, each study with its least-squares slope and the nearest half order.

    `studies` is a Convergence or a dict of named ones. Returns the figure, or the
    axes `ax` where they were given, and writes it to `path`.
    """
    studies = {"": studies} if isinstance(studies, Convergence) else studies
    named = isinstance(studies, dict) and all(isinstance(study, Convergence) for study in studies.values())
    if not named or not studies:
        got = "an empty dict" if named else type(studies).__name__
        raise TypeError(f"studies: expected a Convergence or a dict of them, got {got}")
    (axes,) = style.panels(ax, 1, lambda: style.new_figure(5.2, 4.0).subplots())
    first = next(iter(studies.values()))
    style.tidy(axes, first.parameter, first.measured)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for i, (name, study) in enumerate(studies.items()):
        _study(axes, study, name, i)
    axes.tick_params(which="both", labelsize=8.5)
    _values_as_ticks(axes, first.values)
    style.legend(axes)
    return style.finish([axes], path, ax)


def _study(axes, study, name: str, index: int):
    spread = "" if np.isnan(study.spread) else f" ± {study.spread:.2f}"
    label = f"{name + ': ' if name else ''}order {study.order:.2f}{spread}"
    axes.errorbar(
        study.values,
        study.errors,
        yerr=study.scatter,
        fmt="o",
        markersize=5,
        capsize=3,
        color=style.colour(index),
        label=label,
    )
    positive = study.errors > 0
    centre = np.exp(np.mean(np.log(study.errors[positive])))
    middle = np.exp(np.mean(np.log(study.values[positive])))
    for order, look in ((study.order, "-"), (round(2.0 * study.order) / 2.0, ":")):
        reference = centre * (study.values / middle) ** order
        text = f"slope {order:g}" if look == ":" else None
        axes.plot(
            study.values, reference, look, color=style.colour(index), linewidth=1.1, alpha=0.8, label=text
        )


def _values_as_ticks(axes, values: np.ndarray):
    from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

    if len(values) <= 7:
        axes.xaxis.set_major_locator(FixedLocator(values))
        axes.set_xticklabels([f"{v:g}" for v in np.atleast_1d(values)])
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
