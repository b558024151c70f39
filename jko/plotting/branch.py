"""Branches of states at rest over a parameter."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from jko.plotting import style

if TYPE_CHECKING:
    from jko.stationary import Branch


def plot_branch(
    branches: Branch | dict[str, Branch],
    observable: Callable,
    *,
    parameter: str = "parameter",
    ordinate: str = "observable",
    path=None,
    ax=None,
):
    """A bifurcation diagram: an observable of the states at rest over the parameter.

    branches: a Branch, or a dict of them by name. observable: a function of the measure, a number.
    Minima are full lines, states with directions that lower F broken ones. Both axes are nondimensional
    unless `parameter` and `ordinate`, their labels, say otherwise. Returns the figure, or the axes `ax` where
    they were given, and writes it to `path`.
    """
    from jko.stationary import Branch

    named = branches if isinstance(branches, dict) else {"": branches}
    if not named or not all(isinstance(branch, Branch) for branch in named.values()):
        raise TypeError(
            f"branches: expected a Branch, or a dict of them by name, got {type(branches).__name__}: "
            "make one with jko.continuation"
        )
    (axes,) = style.panels(ax, 1, lambda: style.new_figure(5.2, 3.7).subplots())
    style.tidy(axes, parameter, ordinate)
    for index, (name, branch) in enumerate(named.items()):
        values, stable = branch.observe(observable), branch.stable
        for kept, dash, what in ((stable, "-", "minimum"), (~stable, "--", "unstable")):
            beside = np.append(kept[1:], False) | np.append(False, kept[:-1])
            shown = kept if dash == "-" else kept | beside  # up to the last minimum
            if kept.any():
                label = f"{name}: {what}" if name else what
                line = np.where(shown, values, np.nan)
                axes.plot(
                    branch.parameters, line, dash, color=style.colour(index), linewidth=1.6, label=label
                )
    style.legend(axes)
    return style.finish([axes], path, ax)
