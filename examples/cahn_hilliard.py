"""
Cahn–Hilliard: a mixture that parts
===================================

κ Dirichlet() and a double well that is not convex, with mobility ρ: droplets form and the large ones eat
the small. One implicit step on the whole plane: the energy falls at every step, the mass stays to rounding.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import functionals as fn
import jko

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results")
folder.mkdir(parents=True, exist_ok=True)

KAPPA = 5e-4


def double_well(s):
    return s**2 * (1.0 - s) ** 2


F = KAPPA * fn.Dirichlet() + fn.InternalEnergy(double_well, convex=False)
grid = jko.Grid.uniform((0.0, 0.0), (1.0, 1.0), (48, 48), periodic=True)
noise = np.random.default_rng(3).normal(size=grid.cells)
start = jko.Density(grid, 0.42 + 0.02 * noise)

run = jko.flow(F, start, jko.limits.FiniteVolume(), tau=0.03, n_steps=40)
assert np.all(np.diff(run.energy) < 0.0)
assert abs(run.final.mass / start.mass - 1.0) < 1e-12

figure, axes = plt.subplots(1, 5, figsize=(15.0, 3.1), layout="constrained")
for axis, k in zip(axes, (0, 4, 10, 40)):
    image = axis.imshow(
        run.measures[k].values.T, origin="lower", extent=(0, 1, 0, 1), vmin=0.0, vmax=1.0, cmap="magma"
    )
    axis.set(title=f"t = {run.times[k]:.2g}", xlabel="x₁ (nondimensional)", xticks=[0, 1], yticks=[0, 1])
axes[0].set_ylabel("x₂")
figure.colorbar(image, ax=axes[3], label="ρ")
axes[4].plot(run.times, run.energy, color="tab:red")
axes[4].set(xlabel="time (nondimensional)", ylabel="F", yscale="log", title="free energy")
figure.savefig(folder / "cahn_hilliard.png", dpi=150)
