"""
Water on real terrain
=====================

An elevation model of the Jacksboro fault in Tennessee, from matplotlib's sample data, as the potential of a
Fokker-Planck flow: mass is poured onto a ridge, runs down, is scattered by diffusion and gathers in the
valleys. JKO steps and Langevin particles do the same in their own ways.
"""

import sys

import jax.numpy as jnp
from matplotlib.cbook import get_sample_data

import functionals as fn
import jko

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
elevation = get_sample_data("jacksboro_fault_dem.npz")["elevation"][::-1].T.astype(
    float
)  # east, north; metres
coarse = elevation[:392, :336].reshape(28, 14, 24, 14).mean(axis=(1, 3))
hills = (coarse - coarse.min()) / 150.0

# %%
# The map fills the box :math:`[0, 7/6] \times [0, 1]`. Around it stands a fence, so that particles stay
# on the map as the density does, which cannot leave its grid.

width, height = 28 / 24, 1.0


def fence(x):
    beyond = jnp.maximum(jnp.abs(x - jnp.array([width / 2, 0.5])) - jnp.array([width / 2, 0.5]), 0.0)
    return 2000.0 * jnp.sum(beyond**2)


terrain = fn.Potential.gridded(hills, lower=(0.0, 0.0), upper=(width, height))
F = fn.Entropy() + terrain + fn.Potential(fence)
cell = 1 / 24
grid = jko.Grid.uniform((-2 * cell, -2 * cell), (width + 2 * cell, height + 2 * cell), cells=(32, 28))
start = jko.Density.gaussian(grid, mean=(0.6, 0.5), std=0.06)

# %%
# The Langevin step has to resolve the steepest slopes; a JKO step is implicit, and may be as long as one
# likes.

cloud = start.sample(5000, seed=0)
runs = {
    "JKO": jko.flow(F, start, jko.steps.Cvxpy(), tau=0.006, n_steps=10),
    "Langevin": jko.flow(F, cloud, jko.descent.Langevin(seed=1), tau=0.0002, n_steps=300, store_every=30),
}
comparison = jko.compare(runs)
print(comparison)
comparison.plot_density(f"{folder}/terrain_density.png", times=[0.0, 0.006, 0.06], shared_scale=False)
comparison.plot_particles(f"{folder}/terrain_particles.png", potential=terrain)
