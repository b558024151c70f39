"""
A density drawn with a few hundred points
=========================================

Transport of a density to points cuts it into power cells
:math:`\\{x : |x-y_i|^2-w_i \\le |x-y_j|^2-w_j\\}` of prescribed masses. Moving every point to the barycentre
of its cell, again and again, gives the cloud of equal weights that is nearest to the density in
:math:`W_2`, at least locally: a quantisation.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import jko

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
grid = jko.Grid.uniform(lower=(-2.0, -2.0), upper=(2.0, 2.0), cells=(160, 160))
radius = np.linalg.norm(grid.centers, axis=-1)
ring = np.exp(-((radius - 1.3) ** 2) / 0.05) + 0.8 * np.exp(-(radius**2) / 0.1)
rho = jko.Density(grid, ring).normalized()

# %%
# Points anywhere will do for a start: the weights of the cells make up for where they are.

points = np.random.default_rng(0).uniform(-1.0, 1.0, size=(300, 2))
start = jko.transport.semi_discrete(rho, jko.Particles(points))
values, found = [start.value], start
for _ in range(15):
    found = jko.transport.semi_discrete(rho, jko.Particles(found.barycentres), tolerance=1e-6)
    values.append(found.value)
print(f"W2² from {values[0]:.4f} to {values[-1]:.5f}, gap {found.gap:.1e}")

# %%
# The cells before, the cells after, and the distance on the way.

figure, panels = plt.subplots(1, 3, figsize=(13, 4.2), width_ratios=(1, 1, 1.1), layout="constrained")
fine = jko.Grid.uniform((-2.0, -2.0), (2.0, 2.0), (640, 640))
for panel, cells, title in zip(
    panels, (start, found), ("300 points anywhere", "15 rounds later"), strict=False
):
    owner = cells.assign(fine.points).reshape(fine.cells)
    sides = np.any([owner != np.roll(owner, 1, axis) for axis in (0, 1)], axis=0)
    panel.imshow(
        rho.values.T, origin="lower", extent=(-2, 2, -2, 2), cmap="Blues", vmax=1.3 * rho.values.max()
    )
    panel.contourf(*fine.axes, sides.T, levels=[0.5, 1.5], colors=["0.45"])
    panel.scatter(*cells.points.T, s=5, color="crimson")
    panel.set(title=title, aspect="equal", xlim=(-2, 2), ylim=(-2, 2))
panels[2].loglog(np.arange(1, len(values) + 1), values, "o-", markersize=3)
panels[2].set(xlabel="round", title="W₂² to the points")
Path(folder).mkdir(parents=True, exist_ok=True)
figure.savefig(f"{folder}/power_cells.png", dpi=120)
