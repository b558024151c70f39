"""
Steps of other costs
====================

A JKO step may weigh moves by :math:`|y-x|^p` in the place of the square. Its flow is doubly nonlinear,
:math:`\\partial_t\\rho=\\nabla\\cdot(\\rho|\\nabla\\xi|^{q-2}\\nabla\\xi)`, :math:`q=p/(p-1)`. A cost that
punishes far moves (large p) lowers a block as a whole; one that forgives them (p near 1) lets flat tops
stay and steep flanks run.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import functionals as fn
import jko

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
grid = jko.Grid.uniform(-3.0, 3.0, 600)
x = grid.axes[0]
blocks = jko.Density(grid, 1.0 * (np.abs(x + 1.2) < 0.4) + 0.4 * (np.abs(x - 0.9) < 0.7)).normalized()
costs, F = (1.3, 2.0, 5.0), fn.Power(2.0)
runs = [
    jko.flow(F, blocks, jko.steps.Quantile(cost_exponent=p), tau=0.01, n_steps=40, store_every=2)
    for p in costs
]

figure, panels = plt.subplots(1, 4, figsize=(16, 3.8), layout="constrained")
colours = plt.colormaps["viridis"](np.linspace(0.0, 0.9, 5))
for panel, p, run in zip(panels[:3], costs, runs, strict=True):
    for k, colour in zip((0, 1, 3, 8, 20), colours, strict=True):
        panel.plot(x, run.measures[k].values, color=colour, label=f"t = {run.times[k]:.2g}")
    panel.set(title=f"p = {p:g}, q = {p / (p - 1.0):.3g}", ylim=(0.0, 0.85))
    panel.set(xlabel="x (nondimensional)", ylabel="density (nondimensional)")
panels[0].legend()

for p, colour in zip((1.5, 2.0, 3.0), ("crimson", "black", "steelblue"), strict=True):
    law, errors, cells = jko.exact.Barenblatt(2.0, start_time=0.1, cost_exponent=p), [], (50, 100, 200, 400)
    step = law
    for _ in range(5):
        step = step.jko_step(0.02)
    for n in cells:
        line = jko.Grid.uniform(-1.5 * step.radius(), 1.5 * step.radius(), n)
        run = jko.flow(F, law.on(line), jko.steps.Quantile(cost_exponent=p), tau=0.02, n_steps=5)
        errors.append(jko.wasserstein(run.final, step.on(line)) / step.radius())
    print(f"p = {p:g}: {errors[-1]:.1e} of the radius from five exact steps, gap {run.info.gap.max():.0e}")
    panels[3].loglog(cells, errors, "o-", color=colour, label=f"p = {p:g}")
panels[3].loglog(cells, 8.0 * np.array(cells, dtype=float) ** -2, "k:", label="order 2")
panels[3].set_xticks(cells, cells)
panels[3].set_xticks([], minor=True)
panels[3].set(xlabel="cells", ylabel="$W_2$ / radius", title="Distance from five exact steps")
panels[3].legend()
Path(folder).mkdir(parents=True, exist_ok=True)
figure.savefig(f"{folder}/doubly_nonlinear.png", dpi=120)
