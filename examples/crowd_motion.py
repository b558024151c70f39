"""
A crowd round a pillar
======================

Everyone takes the shortest way to the exit, and nobody can enter where the crowd is full. Crowd motion is
the Wasserstein gradient flow of :math:`F(\\rho) = \\int V \\rho + a \\rho^2` under :math:`\\rho \\le` cap,
with :math:`V` the walking distance to the exit; a small :math:`a` keeps people a little apart where there is
room. The pillar is an obstacle, cells where the density is forced to be 0.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.sparse import csr_array, diags_array, eye_array
from scipy.sparse.linalg import spsolve

import functionals as fn
import jko

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
cap, tau, n = 1.6, 0.04, 64
grid = jko.Grid.uniform(lower=(-1.0, -1.0), upper=(1.0, 1.0), cells=(n, n))
x, y = grid.centers[..., 0], grid.centers[..., 1]
pillar, door = (x - 0.05) ** 2 + y**2 < 0.04, (x - 0.75) ** 2 + y**2 < 0.0025

# %%
# The walking distance is -l log u for a small l, where u - l² Δu = 1 at the door and none crosses the pillar.

cell, blur = np.arange(n * n).reshape(n, n), 0.04
pairs = np.hstack([[cell[1:].ravel(), cell[:-1].ravel()], [cell[:, 1:].ravel(), cell[:, :-1].ravel()]])
pairs = pairs[:, ~pillar.ravel()[pairs].any(axis=0)]
links = csr_array((np.ones(2 * pairs.shape[1]), np.hstack([pairs, pairs[::-1]])), shape=(n * n, n * n))
minus_laplacian = (diags_array(links.sum(axis=1)) - links) / grid.spacing[0] ** 2
u = spsolve((eye_array(n * n) + blur**2 * minus_laplacian).tocsc(), door.ravel().astype(float))
V = -blur * np.log(np.maximum(u, 1e-300)).reshape(n, n)
V = V[tuple(distance_transform_edt(pillar, return_distances=False, return_indices=True))]

# %%
# Fifty JKO steps. Mass goes round the pillar, the cap holds in every cell, the energy falls every time.

F = fn.Cap(cap) + 0.003 * fn.Power(2.0) + fn.Potential.gridded(V, grid.lower, grid.upper)
crowd = jko.Density.uniform(grid, lower=(-0.95, -0.55), upper=(-0.25, 0.55))
run = jko.flow(F, crowd, jko.steps.PrimalDual(obstacle=pillar), tau=tau, n_steps=50)
print(f"the cap is exceeded by {max(rho.values.max() for rho in run.measures) - cap:.1e}")
print(f"the energy changes by {np.diff(run.energy).max():.1e} at most in a step")

figure, panels = plt.subplots(2, 4, figsize=(12, 6.3), sharex=True, sharey=True, layout="constrained")
colours = plt.get_cmap("magma_r").with_extremes(bad="0.6")
for panel, k in zip(panels.flat, (0, 5, 10, 16, 22, 28, 35, 50), strict=True):
    seen = np.ma.masked_where(pillar, run.measures[k].values).T
    image = panel.imshow(seen, origin="lower", extent=(-1, 1, -1, 1), vmin=0, vmax=cap, cmap=colours)
    panel.set_title(f"t = {k * tau:.2g}")
figure.colorbar(image, ax=panels, label="density")
Path(folder).mkdir(parents=True, exist_ok=True)
figure.savefig(f"{folder}/crowd_motion.png", dpi=120)
