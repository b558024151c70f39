"""
Three curves between two measures
=================================

Mass goes from one shape to another along the displacement :math:`((1-t)\\,\\mathrm{id} + tT)_\\#\\mu_0`,
along the mixture :math:`(1-t)\\mu_0 + t\\mu_1`, or along the law of :math:`(1-t)X + tY` with :math:`X` and
:math:`Y` independent. Only the first is a geodesic: every particle moves in a straight line at constant
speed, and the kinetic energy is :math:`W_2^2` all the way.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import jko

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
grid = jko.Grid.uniform(lower=-5.0, upper=5.0, cells=400)
start = jko.Density.mixture(grid, [-2.6, 0.2], [0.4, 0.4])
end = jko.Density.mixture(grid, [-0.6, 2.6], [0.3, 0.5], weights=[0.4, 0.6])
times = np.linspace(0.02, 0.98, 33)
curves = jko.transport.curves(start, end, times)

# %%
# The dynamic problem of Benamou and Brenier finds the geodesic without knowing the map: it looks for the
# density and the velocity of least kinetic energy. Its value is that of the quantile functions.

dynamic = jko.transport.benamou_brenier(start, end)
print(f"W2² is {jko.wasserstein(start, end) ** 2:.4f}, dynamically {dynamic.value:.4f}")
for kind, energy in curves.kinetic_energy.items():
    print(f"{kind}: kinetic energy {energy.min():.2f} to {energy.max():.2f}, modes {curves.modes[kind][::8]}")

# %%
# Bumps move along the displacement, fade out and in along the mixture, and blur along the product.

figure, panels = plt.subplots(1, 4, figsize=(13, 4.2), width_ratios=(1, 1, 1, 1.2), layout="constrained")
for panel, (kind, measures) in zip(panels, curves.measures.items(), strict=False):
    for t, rho in zip(times[::4], measures[::4], strict=True):
        base = 1.3 * t
        panel.fill_between(grid.axes[0], base, base + 0.35 * rho.values, fc=plt.cm.viridis(t), zorder=2 - t)
        panel.plot(grid.axes[0], base + 0.35 * rho.values, color="white", linewidth=0.8, zorder=2 - t)
    panel.set(title=kind, xlabel="x", yticks=1.3 * times[::16], ylim=(-0.02, 1.65))
    panel.set_yticklabels([f"t = {t:.1f}" for t in times[::16]])
    panels[3].semilogy(times, curves.kinetic_energy[kind], label=kind, linewidth=2.0)
panels[3].plot(dynamic.times[1:], dynamic.kinetic_energy, "k:", label="Benamou–Brenier")
panels[3].set(title="kinetic energy", xlabel="t")
panels[3].legend(frameon=False)
Path(folder).mkdir(parents=True, exist_ok=True)
figure.savefig(f"{folder}/three_curves.png", dpi=120)
