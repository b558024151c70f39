"""
Predator and prey
=================

The predator runs towards the prey, the prey away from the predator, and each keeps to its own: couplings that
have no common energy. Each species takes a step down its own functional, with the other where it is.
"""

import sys
from pathlib import Path

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import functionals as fn
import jko

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
grid = jko.Grid.uniform((-3.0, -3.0), (3.0, 3.0), (56, 56))
start = jko.Species(
    prey=jko.Density.mixture(grid, [(0.9, 0.2), (0.2, 0.9)], [0.4, 0.4]),
    predator=jko.Density.gaussian(grid, (-1.2, -1.0), 0.35),
)


def bump(strength, width):
    return lambda z: strength * jnp.exp(-0.5 * jnp.sum(z**2) / width**2)


herd = fn.Interaction(bump(-1.5, 0.7)) + 0.08 * fn.Power(2.0) + fn.Potential("quartic", strength=0.02)
flight = fn.Cross(bump(3.0, 0.7), "prey", "predator")
chase = fn.Cross(bump(-3.0, 1.4), "prey", "predator")
F = fn.each(prey=herd + flight, predator=chase + 0.15 * fn.Power(2.0))
run = jko.flow(
    F, start, jko.steps.SpeciesInTurn(jko.limits.FiniteVolume()), tau=0.02, n_steps=100, store_every=5
)
apart = [np.linalg.norm(mu["prey"].mean() - mu["predator"].mean()) for mu in run.measures]
print(f"distance of the means from {apart[0]:.2f} to {min(apart):.2f}, at the end {apart[-1]:.2f}")
print(f"mass of either kept to {run.info.mass_error.max():.0e}")

figure, panels = plt.subplots(1, 5, figsize=(14.5, 3.3), sharex=True, sharey=True, layout="constrained")
x, y = grid.axes
for panel, k in zip(panels, (0, 3, 7, 12, 20), strict=True):
    prey, predator = (run.measures[k][name].values for name in ("prey", "predator"))
    image = panel.imshow(prey.T, origin="lower", extent=(-3, 3, -3, 3), cmap="Greens", vmin=0.0, vmax=1.0)
    levels = predator.max() * np.array([0.1, 0.3, 0.6, 0.9])
    panel.contour(x, y, predator.T, levels=levels, colors="firebrick", linewidths=0.9)
    path = np.array([mu["predator"].mean() for mu in run.measures[: k + 1]])
    panel.plot(*path.T, color="firebrick", linewidth=0.8, linestyle=":")
    panel.set(title=f"t = {run.times[k]:.2g}", xlabel="$x_1$")
panels[0].set_ylabel("$x_2$")
figure.colorbar(image, ax=panels, label="prey (predator in red)")
Path(folder).mkdir(parents=True, exist_ok=True)
figure.savefig(f"{folder}/predator_and_prey.png", dpi=120)
