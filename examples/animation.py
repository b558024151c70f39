"""
A film of a flow
================

Any run becomes an animated GIF. Here a drop of mass spreads along a circular valley, the potential
:math:`V(x) = h(|x|^2 - 1)^2`, until it fills the ring: first as a density, then as a cloud.
"""

import sys

import functionals as fn
import jko

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
F = fn.Entropy() + fn.Potential("mexican_hat", height=6.0)
grid = jko.Grid.uniform(lower=(-1.8, -1.8), upper=(1.8, 1.8), cells=(60, 60))
start = jko.Density.gaussian(grid, mean=(1.0, 0.0), std=0.15)

# %%
# The PDE by finite volumes. Thirty of its states make the film.

density = jko.flow(F, start, jko.limits.FiniteVolume(), tau=0.02, n_steps=90, store_every=3)
jko.animate(density, f"{folder}/ring_density.gif", fps=10)

# %%
# The same flow as Langevin particles.

cloud = jko.flow(
    F, start.sample(3000, seed=0), jko.descent.Langevin(seed=1), tau=0.003, n_steps=600, store_every=20
)
jko.animate(cloud, f"{folder}/ring_particles.gif", fps=10)

# %%
# And one run at a glance: the measure at four times, the energy, and what every step certifies.

jko.plotting.plot_trajectory(density, path=f"{folder}/ring.png", shared_scale=False)
