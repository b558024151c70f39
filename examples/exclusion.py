"""
Exclusion: particles that take room
===================================

Particles that keep others out of their places move with the mobility ρ(1 − ρ): where all places are taken
nothing moves. Poured into one of two basins they fill it to the brim, spill over the saddle, and rest at
Fermi's law ρ = 1/(1 + e^{(V − μ)/θ}), whose level line V = μ is a sea level. Without exclusion they pile up.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import brentq

import functionals as fn
import jko

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results")
folder.mkdir(parents=True, exist_ok=True)

THETA, MASS = 0.12, 2.4
V = fn.Potential(lambda x: (x[0] ** 2 - 1.0) ** 2 + 0.25 * x[0] + 1.2 * x[1] ** 2)
grid = jko.Grid.uniform((-2.0, -1.5), (2.0, 1.5), (56, 42))
x, y = np.moveaxis(grid.centers, -1, 0)
height = V.values(grid.points).reshape(grid.cells)
disk = jko.Density(grid, 1.0 / (1.0 + np.exp(20.0 * (np.hypot(x + 0.9, y) - 0.91))))
start = jko.Density(grid, disk.values * (MASS / disk.mass))

exclusion, plain = THETA * fn.FermiDirac() + V, THETA * fn.Entropy() + V
scheme = jko.limits.FiniteVolume(mobility="exclusion")
run = jko.flow(exclusion, start, scheme, tau=0.5, n_steps=8)
late = jko.flow(exclusion, run.final, scheme, tau=8.0, n_steps=16)  # the last ones spill late
level = brentq(
    lambda mu: (1.0 / (1.0 + np.exp((height - mu) / THETA))).sum() * grid.cell_volume - MASS, -3.0, 9.0
)
fermi = 1.0 / (1.0 + np.exp((height - level) / THETA))
boltzmann = jko.flow(plain, start, jko.limits.FiniteVolume(), tau=8.0, n_steps=16).final.values
print(
    f"full to {late.final.values.max():.4f}, off Fermi's law by {np.abs(late.final.values - fermi).max():.1e}"
)

figure, axes = plt.subplots(2, 3, figsize=(11.0, 5.6), layout="constrained")
seen = [(run.times[k], run.measures[k]) for k in (0, 1, 4)]
seen += [(run.times[-1] + late.times[k], late.measures[k]) for k in (1, 16)]
for axis, (time, measure) in zip(axes.flat, seen, strict=False):
    mesh = axis.pcolormesh(grid.axes[0], grid.axes[1], measure.values.T, vmin=0.0, vmax=1.0)
    axis.contour(x, y, height, levels=np.linspace(-0.2, 3.0, 9), colors="white", linewidths=0.3)
    axis.contour(x, y, height, levels=[level], colors="white", linewidths=1.2, linestyles="--")
    axis.set(title=f"t = {time:g}", aspect="equal", xlabel="$x_1$", ylabel="$x_2$")
figure.colorbar(mesh, ax=axes[0, 2], label="ρ")
cut, row = axes[1, 2], grid.cells[1] // 2
cut.plot(grid.axes[0], late.final.values[:, row], label="exclusion")
cut.plot(grid.axes[0], fermi[:, row], "k--", linewidth=1.0, label="1/(1 + exp((V − μ)/θ))")
cut.plot(grid.axes[0], boltzmann[:, row], label=f"without exclusion: up to {boltzmann.max():.0f}")
cut.set(title="at $x_2 = 0$, last time", ylim=(0.0, 2.0), xlabel="$x_1$ (nondimensional)", ylabel="ρ")
cut.legend(fontsize=8)
figure.savefig(f"{folder}/exclusion.png", dpi=150)
