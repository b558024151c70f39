"""
Exclusion: particles that take room
===================================

The Fermi–Dirac entropy ∫ρ log ρ + (1 − ρ) log(1 − ρ) allows one particle a place. At rest in a potential
ρ = 1/(1 + e^{V − μ}): a Fermi distribution, which fills the well to 1 where Boltzmann's law piles up.
"""

import sys
from pathlib import Path

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import brentq

import functionals as fn
import jko

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results")
folder.mkdir(parents=True, exist_ok=True)


def fermi_dirac(s):
    return s * jnp.log(s) + (1.0 - s) * jnp.log1p(-jnp.minimum(s, 1.0))


V = fn.Potential("quadratic", stiffness=8.0)
exclusion = fn.InternalEnergy(fermi_dirac) + V + fn.Cap(1.0 - 1e-9)
grid = jko.Grid.uniform(-3.0, 3.0, 240)
x = grid.axes[0]
start = jko.Density(grid, 0.6 * np.exp(-((np.abs(x) - 1.6) ** 2) / 0.3))
start = jko.Density(grid, start.values * (1.5 / start.mass))

runs = {
    "exclusion": jko.flow(exclusion, start, jko.limits.FiniteVolume(), tau=0.01, n_steps=100),
    "Boltzmann": jko.flow(fn.Entropy() + V, start, jko.limits.FiniteVolume(), tau=0.01, n_steps=100),
}
level = brentq(lambda mu: (1.0 / (1.0 + np.exp(4.0 * x**2 - mu))).sum() * grid.cell_volume - 1.5, -9.0, 99.0)
rest = 1.0 / (1.0 + np.exp(4.0 * x**2 - level))
print(f"distance to Fermi's law: {np.abs(runs['exclusion'].final.values - rest).max():.1e}")

figure, axes = plt.subplots(1, 2, figsize=(10.0, 3.8), sharex=True, layout="constrained")
for axis, (name, run) in zip(axes, runs.items()):
    for k in (0, 5, 15, 40, 100):
        axis.plot(x, run.measures[k].values, color=plt.cm.viridis(k / 110), label=f"t = {run.times[k]:.2g}")
    axis.set(xlabel="x (nondimensional)", title=name)
axes[0].plot(x, rest, "k--", label="1/(1 + exp(V − μ))")
axes[0].set_ylabel("ρ")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
figure.savefig(f"{folder}/exclusion.png", dpi=150)
