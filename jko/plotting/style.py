"""One look for every picture: colours, labels, axes, and how a figure is made and saved."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from jko.errors import file_path
from jko.writing import make_folder, whole

# Okabe and Ito's palette, told apart by colour-blind readers; black is the exact answer's.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINES = ("-", "--", "-.", (0, (3, 1, 1, 1, 1, 1)), (0, (5, 1)), ":")
EXACT = {"color": "black", "linestyle": (0, (1, 1.4)), "linewidth": 1.8, "zorder": 5}
GREY = "#777777"
WALL = "#b4b4b4"  # cells outside of a room
TIME = "time t (nondimensional)"
DPI = 130


def colour(index: int) -> str:
    """The colour of the run number `index`."""
    return PALETTE[index % len(PALETTE)]


def line(index: int):
    """The line style of the run number `index`: overlapping curves stay visible."""
    return LINES[index % len(LINES)]


def coordinate(axis: int, dimension: int) -> str:
    """The label of a coordinate."""
    return "x" if dimension == 1 else f"x{'₁₂₃₄₅₆₇₈₉'[axis]}" if axis < 9 else f"x[{axis}]"


def heat_colours():
    """White where there is nothing, through green to dark blue; grey for the walls of a room."""
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    colours = colormaps["YlGnBu"](np.linspace(0.0, 1.0, 256))
    paper = np.clip(1.0 - np.linspace(0.0, 1.0, 256) / 0.15, 0.0, 1.0)[:, None]
    return ListedColormap(colours * (1.0 - paper) + paper).with_extremes(bad=WALL)


def new_figure(width: float, height: float):
    """A figure of its own, outside pyplot's state; shown by notebooks, saved by `save`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure._repr_png_ = lambda: _png(figure)
    return figure


def panels(ax, count: int, lay_out: Callable) -> list:
    """The axes to draw into: those given as `ax`, one or several, else those that `lay_out()` makes.

    Raises TypeError for what is no axes of matplotlib, ValueError for another number of them.
    """
    import numpy as np

    if ax is None:
        return list(np.ravel(lay_out()))
    given = list(np.ravel(np.asarray(ax, dtype=object)))
    wrong = [one for one in given if not (hasattr(one, "figure") and hasattr(one, "plot"))]
    if wrong:
        raise TypeError(f"ax: expected axes of matplotlib, got {type(wrong[0]).__name__}: see plt.subplots")
    if len(given) != count:
        raise ValueError(
            f"ax: expected {count} axes, one a panel, got {len(given)}: plt.subplots(1, {count}) makes them"
        )
    return given


def finish(axes: list, path: Path | None, ax=None):
    """Write the figure that the axes lie in, and return it; where they were given as `ax`, return these.

    A figure of `new_figure` is none of pyplot's, so that a notebook shows it once, as the value of a cell. A
    figure of the caller's pyplot is shown by pyplot when the cell ends: returned, it would be shown twice.
    """
    figure = save(axes[0].figure.canvas.figure, path)  # of a part of a figure, the whole of it
    return figure if ax is None else ax


def tidy(axes, x_label: str = "", y_label: str = "", title: str = ""):
    """Plain axes: no box, light grid, small print."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(True, color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8.5)
    axes.set_xlabel(x_label, fontsize=9.5)
    axes.set_ylabel(y_label, fontsize=9.5)
    if title:
        axes.set_title(title, fontsize=10)
    return axes


def legend(axes, **options):
    """A legend in small print, if there is anything to name."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(**{"fontsize": 8.5, "frameon": False, **options})


def save(figure, path: Path | None, dpi: float = DPI):
    """Write a figure, its format by the file's ending, beside and renamed; None as path writes nothing."""
    if path is None:
        return figure
    path = file_path("path", path)
    make_folder(path.parent)
    kind = path.suffix.lstrip(".").lower() or "png"
    if kind not in figure.canvas.get_supported_filetypes():
        known = ", ".join(sorted(figure.canvas.get_supported_filetypes()))
        raise ValueError(f"path: {path.name!r} does not end as a picture does; known endings are {known}")
    with whole(path) as beside, _laid_out(figure):
        figure.savefig(beside, format=kind, dpi=dpi)
    return figure


@contextmanager
def _laid_out(figure):
    """The figure's layout as it is now; an engine left in place draws every picture twice."""
    from matplotlib import rc_context

    engine = figure.get_layout_engine()
    if engine is None or not figure.axes:
        yield
        return
    engine.execute(figure)
    with rc_context({"figure.autolayout": False, "figure.constrained_layout.use": False}):
        figure.set_layout_engine(None)
    try:
        yield
    finally:
        figure.set_layout_engine(engine)


def _png(figure) -> bytes:
    import io

    buffer = io.BytesIO()
    with _laid_out(figure):
        figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()
