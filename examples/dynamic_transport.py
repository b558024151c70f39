"""
The least kinetic energy between two densities
==============================================

Benamou and Brenier: among all densities :math:`\\rho_t` and velocities :math:`v_t` with
:math:`\\partial_t\\rho + \\nabla\\cdot(\\rho v) = 0` from one density to another, the least
:math:`\\int_0^1\\int\\rho|v|^2` is :math:`W_2^2`. The problem is convex in :math:`(\\rho, \\rho v)` and knows
neither maps nor plans; its solution moves every particle in a straight line at constant speed.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import jko

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
grid = jko.Grid.uniform(lower=(0.0, 0.0), upper=(1.0, 1.0), cells=(64, 64))


def bumps(*centres, radius):
    """Parabolas (r² - |x - c|²)₊."""
    squares = [np.sum((grid.centers - np.asarray(c)) ** 2, axis=-1) for c in centres]
    return jko.Density(grid, sum(np.maximum(radius**2 - s, 0.0) for s in squares)).normalized()


start = bumps((0.3, 0.4), radius=0.2)
end = bumps((0.75, 0.8), (0.8, 0.2), (0.3, 0.85), radius=0.13)
run = jko.transport.benamou_brenier(start, end, n_times=16, tolerance=1e-3)

# %%
# The value is that of the static problem, and what was asked of the density and the velocity holds.

static = jko.wasserstein(start, end) ** 2
print(f"W2² dynamically {run.value:.5f}, statically {static:.5f}: {run.value / static - 1.0:+.1e}")
print(
    f"continuity holds to {run.continuity_residual:.0e}, in {run.iterations} iterations from fine to coarse"
)

# %%
# Streamlines of the optimal velocity where there is mass; and the kinetic energy, constant in time.

figure, panels = plt.subplots(1, 5, figsize=(15, 3.2), width_ratios=(1, 1, 1, 1, 1.2), layout="constrained")
short = {"minlength": 0.02, "maxlength": 0.11, "integration_direction": "forward", "density": 4}
for panel, k in zip(panels, (0, 5, 10, 15), strict=False):
    rho = run.at(run.times[k] + 0.5 / 16).values
    panel.imshow(rho.T, origin="lower", extent=(0, 1, 0, 1), cmap="Greys", vmax=start.values.max())
    v = np.where((rho > 0.01 * rho.max())[..., None], run.velocity[k], np.nan)
    seeds = grid.centers[1::4, 1::4][rho[1::4, 1::4] > 0.15 * rho.max()]
    panel.streamplot(*grid.axes, *v.transpose(2, 1, 0), start_points=seeds, color="tab:blue", **short)
    panel.set(title=f"t = {run.times[k] + 0.5 / 16:.2f}", xticks=[], yticks=[], xlim=(0, 1), ylim=(0, 1))
panels[4].plot(run.times[:-1] + 0.5 / 16, run.kinetic_energy, "o-", markersize=3, label="∫ρ|v|² dx")
panels[4].axhline(static, color="black", linestyle=":", label="W₂², static")
panels[4].set(title="kinetic energy", xlabel="t", ylim=(0.0, 1.3 * static))
panels[4].legend(frameon=False, loc="lower right")
Path(folder).mkdir(parents=True, exist_ok=True)
figure.savefig(f"{folder}/dynamic_transport.png", dpi=110)
