"""
Bundles of Schrödinger bridges
==============================

Which random motion leads from one measure to another and is otherwise as close as can be to
:math:`dX = \\sqrt{2\\varepsilon}\\,dB`? Its density solves
:math:`\\partial_t\\rho + \\nabla\\cdot(\\rho v) = \\varepsilon\\Delta\\rho` with the least
:math:`\\int_0^1\\int\\frac12\\rho|v|^2`. With little noise every path goes straight to the point that optimal
transport would send it to; with much of it the target is chosen late.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import jko

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
grid = jko.Grid.uniform(lower=-4.0, upper=4.0, cells=400)
start = jko.Density.mixture(grid, [0.0], [0.35])
end = jko.Density.mixture(grid, [-1.6, 1.2], [0.2, 0.4], weights=[0.4, 0.6])
half_squared = 0.5 * float(jko.wasserstein(start, end)) ** 2

# %%
# The density is a product :math:`\rho_t = \Psi_t\hat\Psi_t` of a solution of the backward heat equation and
# one of the forward; the drift is :math:`2\varepsilon\nabla\log\Psi_t`.

figure, panels = plt.subplots(1, 3, figsize=(13, 4.2), sharey=True, layout="constrained")
times = np.linspace(0.0, 1.0, 61)
for panel, epsilon in zip(panels, (0.5, 0.05, 0.002), strict=True):
    bridge = jko.transport.schrodinger_bridge(start, end, epsilon)
    _, paths = bridge.simulate(n_paths=60, n_steps=200, seed=2)
    rho = np.stack([bridge.marginal(t).values for t in times])
    panel.pcolormesh(times, grid.axes[0], rho.T**0.5, cmap="Blues", shading="gouraud", rasterized=True)
    late = plt.cm.coolwarm((paths[-1, :, 0] > -0.5).astype(float))
    for path, colour in zip(paths[:, :, 0].T, late, strict=True):
        panel.plot(np.linspace(0.0, 1.0, 201), path, color=colour, linewidth=0.6)
    panel.set(title=f"ε = {epsilon}, cost {bridge.cost:.3f}", xlabel="t", ylim=(-3.0, 3.0))
    print(f"epsilon {epsilon}: cost {bridge.cost:.5f}, dynamically {bridge.dynamic_cost():.5f}")
print(f"without noise, W2²/2 = {half_squared:.5f}")
panels[0].set_ylabel("x")
figure.suptitle(f"bridges of dX = √(2ε) dB; without noise W₂²/2 = {half_squared:.3f}")
Path(folder).mkdir(parents=True, exist_ok=True)
figure.savefig(f"{folder}/schrodinger_bridge.png", dpi=120)
