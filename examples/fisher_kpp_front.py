"""
Fisher and KPP's front
======================

A population that spreads and grows, :math:`\\partial_t\\rho=D\\Delta\\rho+r\\rho(1-\\rho)`, invades empty
land at the speed :math:`2\\sqrt{Dr}`, but comes to it slowly and from below: by Bramson's theorem the front
is at :math:`2t-\\frac32\\log t` + const in units of :math:`1/r` and :math:`\\sqrt{D/r}`.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import functionals as fn
import jko

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
grid = jko.Grid.uniform(0.0, 250.0, 2500)  # in units of √(D/r); times in units of 1/r
x = grid.axes[0]
logistic = jko.limits.FiniteVolume(reaction=lambda point, rho: 1.0 - rho)
start = jko.Density(grid, 1.0 * (x < 5.0))
run = jko.flow(fn.Entropy(), start, logistic, tau=0.1, n_steps=1000, store_every=10)


def place(rho):
    """Where the density falls through one half, between two cells."""
    i = np.flatnonzero(rho >= 0.5)[-1]
    return x[i] + (rho[i] - 0.5) / (rho[i] - rho[i + 1]) * (x[i + 1] - x[i])


t = run.times[1:]
front = np.array([place(mu.values) for mu in run.measures[1:]])
late = t >= 10.0
behind, speed = 2.0 * t - front, np.gradient(front, t)
slope, level = np.polyfit(np.log(t[late]), behind[late], 1)
print(f"speed at t = {t[-2]:.0f}: {speed[-2]:.4f}, 2 - 3/2t = {2 - 1.5 / t[-2]:.4f}")
print(f"from t = 10 on the front falls behind 2t by {slope:.2f} log t; Bramson's number is 3/2")

figure, panels = plt.subplots(1, 3, figsize=(14.5, 4.0), layout="constrained")
colours = plt.colormaps["viridis"](np.linspace(0.0, 0.9, 11))
for k, colour in zip(range(0, 101, 10), colours, strict=True):
    panels[0].plot(x, run.measures[k].values, color=colour)
    panels[0].annotate(f"{run.times[k]:.0f}", (place(run.measures[k].values), 0.52), color=colour)
panels[0].set(xlabel=r"$x\sqrt{r/D}$", ylabel="density", title="The front at rt = 0, 10, ..., 100")
panels[1].plot(t, speed, color="teal", label="the run")
panels[1].plot(t, 2.0 - 1.5 / t, "k--", linewidth=1.0, label=r"$2 - 3/2t$")
panels[1].axhline(2.0, color="grey", linewidth=0.8, label=r"$2\sqrt{Dr}$")
panels[1].set(xlabel="$rt$", ylabel=r"speed$/\sqrt{Dr}$", ylim=(1.7, 2.05), title="Speed, from below")
panels[1].legend(loc="lower right")
panels[2].semilogx(t, behind, ".", color="teal", label="the run")
law = 1.5 * np.log(t) + np.mean(behind[late] - 1.5 * np.log(t[late]))
panels[2].semilogx(t, law, "k--", linewidth=1.0, label=r"$\frac{3}{2}\,\log t$ + const")
panels[2].set(xlabel="$rt$", ylabel="$2t - x(t)$", title="Bramson's delay")
panels[2].legend(loc="lower right")
Path(folder).mkdir(parents=True, exist_ok=True)
figure.savefig(f"{folder}/fisher_kpp_front.png", dpi=120)
