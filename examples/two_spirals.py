"""
Two spirals, along the geodesic and along the mixture
=====================================================

A spiral is carried to its mirror image. Along the geodesic of :math:`W_2` its mass moves, every particle in a
straight line at constant speed; where arms have to part, the optimal map tears them. Along the mixture
:math:`(1-t)\\mu + t\\nu` nothing moves: one spiral fades out while the other fades in.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter

import jko

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
Path(folder).mkdir(parents=True, exist_ok=True)
grid = jko.Grid.uniform(lower=(-1.0, -1.0), upper=(1.0, 1.0), cells=(96, 96))
s = np.linspace(0.12, 1.0, 4000)
arm = 0.82 * s[:, None] * np.stack([np.cos(8.5 * s - 0.8), np.sin(8.5 * s - 0.8)], axis=1)
start, end = (
    jko.Density.kernel_estimate(jko.Particles(arm * flip, weights=s / s.sum()), grid, bandwidth=0.045)
    for flip in ([1.0, 1.0], [-1.0, 1.0])
)
found = jko.wasserstein(start, end)
print(f"W2 = {found:.4f}, gap of W2² {found.gap:.1e}, by {found.method}: {found.reason}")

# %%
# The velocity at time t is the gradient of the potential that Hopf and Lax's formula carries from 0 to t.

for kind, energy in jko.transport.curves(start, end, [0.5]).kinetic_energy.items():
    print(f"{kind}: kinetic energy {energy[0]:.3f} half-way")


def film(kind, path):
    figure, axes = plt.subplots(figsize=(3.4, 3.6), dpi=100)
    figure.subplots_adjust(0.02, 0.02, 0.98, 0.92)

    def draw(t):
        axes.clear()
        rho = jko.transport.interpolate(start, end, t, kind).values
        axes.imshow(rho.T, origin="lower", extent=(-1, 1, -1, 1), cmap="magma", vmax=start.values.max())
        axes.set(title=f"{kind}, t = {t:.2f}", xticks=[], yticks=[], xlim=(-1, 1), ylim=(-1, 1))
        if kind == "displacement":
            v = jko.transport.geodesic_velocity(start, end, t)
            v = np.where((rho > 0.01 * rho.max())[..., None], v, np.nan)
            seeds = grid.centers[2::5, 2::5][rho[2::5, 2::5] > 0.25 * rho.max()]
            short = {"minlength": 0.02, "maxlength": 0.13, "integration_direction": "forward", "density": 5}
            axes.streamplot(*grid.axes, *v.transpose(2, 1, 0), start_points=seeds, color="cyan", **short)

    FuncAnimation(figure, draw, np.linspace(0.02, 0.98, 21)).save(path, PillowWriter(fps=7))


film("displacement", f"{folder}/spirals_geodesic.gif")
film("mixture", f"{folder}/spirals_mixture.gif")
