"""The energy along runs, and how fast it decays."""

from __future__ import annotations

import numpy as np

from jko.comparison.least_energy import decays, gaussian_excess
from jko.plotting import style
from jko.plotting.inputs import named_runs

_MARKED = 45  # stored times up to which each is a dot


def plot_energy(runs, exact=None, *, minimum: float | None = None, path=None, ax=None):
    """F over time and F − F_min on a logarithmic axis, beside the decay e^{−2λt} that λ-convexity promises.

    `runs` is a Trajectory or a dict of them. F_min is `minimum`, or that of the exact equilibrium, or fitted
    to each run. Energies that are estimates have a band of one standard error. `ax` takes the axes to draw
    into, two where some F_min is known and else one. Returns the figure, or `ax`, and writes it to `path`.
    """
    runs = named_runs(runs)
    rates = decays(runs, exact, minimum)
    logarithmic = any(np.isfinite(decay.minimum) for decay in rates.values())
    count = 2 if logarithmic else 1
    axes = style.panels(
        ax, count, lambda: style.new_figure(9.6 if logarithmic else 5.2, 3.7).subplots(1, count)
    )
    style.tidy(axes[0], style.TIME, "F")
    for i, (name, run) in enumerate(runs.items()):
        _curve(axes[0], run, run.energy, i, name + _KINDS.get(run.energy_kind, ""))
    if logarithmic:
        _decay_panel(axes[1], runs, rates, exact)
    style.legend(axes[0])
    return style.finish(axes, path, ax)


_KINDS = {"estimate": " (estimate)", "regularised": " (regularised F)"}


def _curve(axes, run, values: np.ndarray, index: int, label: str):
    dots = {"marker": "o", "markersize": 3.0} if len(run) <= _MARKED else {}
    look = {"color": style.colour(index), "linestyle": style.line(index), "linewidth": 1.6, **dots}
    axes.plot(run.times, values, label=label, **look)
    sigma = run.energy_uncertainty
    if np.any(sigma > 0):
        low = values - sigma
        if axes.get_yscale() == "log":
            low = np.maximum(low, 1e-300)
        axes.fill_between(run.times, low, values + sigma, color=style.colour(index), alpha=0.2, linewidth=0)


def _decay_panel(axes, runs: dict, rates: dict, exact):
    style.tidy(axes, style.TIME, "$F - F_{min}$")
    axes.set_yscale("log")
    for i, (name, run) in enumerate(runs.items()):
        decay = rates[name]
        if not np.isfinite(decay.minimum):
            continue
        excess = run.energy - decay.minimum
        rate = f": rate {decay.rate:.3g}" if np.isfinite(decay.rate) else ""
        _curve(axes, run, np.where(excess > 0, excess, np.nan), i, name + rate)
    _exact_excess(axes, runs, exact)
    _promise(axes, runs, rates)
    largest = max(
        run.energy[0] - rates[name].minimum for name, run in runs.items() if np.isfinite(rates[name].minimum)
    )
    low = max(axes.get_ylim()[0], 1e-6 * largest)
    axes.set_ylim(low, 2.5 * largest)
    style.legend(axes)


def _exact_excess(axes, runs: dict, exact):
    if exact is None or gaussian_excess(exact, 0.0) is None or hasattr(exact, "tau"):
        return
    times = np.linspace(0.0, max(run.times[-1] for run in runs.values()), 100)
    axes.plot(times, [gaussian_excess(exact, t) for t in times], label="exact", **style.EXACT)


def _promise(axes, runs: dict, rates: dict):
    """The bound e^{−2λt} of each λ > 0 declared; one λ for all runs shades what it forbids."""
    convex = [
        (style.colour(i), run, (run.energy[0] - rates[name].minimum))
        for i, (name, run) in enumerate(runs.items())
        if (run.displacement_modulus or 0.0) > 0 and np.isfinite(rates[name].minimum)
    ]
    alike = len({run.displacement_modulus for run in runs.values()}) == 1
    for i, (colour, run, excess) in enumerate(convex[:1] if alike else convex):
        modulus, times = run.displacement_modulus, np.linspace(run.times[0], run.times[-1], 50)
        bound = excess * np.exp(-2.0 * modulus * (times - times[0]))
        if alike:
            axes.fill_between(times, bound, 1e9, color=style.GREY, alpha=0.08, linewidth=0)
            axes.plot(
                times, bound, color=style.GREY, linewidth=1, label=f"bound e$^{{−2λt}}$, λ = {modulus:.3g}"
            )
        else:
            label = "bound e$^{−2λt}$ of each" if i == 0 else None
            axes.plot(times, bound, color=colour, linewidth=5, alpha=0.25, label=label)
