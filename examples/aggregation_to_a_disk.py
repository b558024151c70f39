"""
Aggregation to a disk
=====================

Particles that attract each other like springs and repel like charges, :math:`W(z) = |z|^2/2 - \\log|z|`.
There is no diffusion and no potential, only :math:`F = \\frac12 \\iint W(x-y)\\, d\\rho\\, d\\rho`, and yet
the cloud settles to a shape that is known in closed form: in the plane the disk of radius 1, uniformly
filled.
"""

import sys

import numpy as np

import functionals as fn
import jko

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
F = fn.Interaction("quadratic_logarithmic")

# %%
# The start is far from round: three clumps. Descent of the particles is a gradient descent in
# :math:`\mathbb{R}^{2n}`, scaled by n, and the energy has to fall at every step.

grid = jko.Grid.uniform(lower=(-3.0, -3.0), upper=(3.0, 3.0), cells=(60, 60))
clumps = jko.Density.mixture(grid, means=[(-1.5, -1.0), (1.5, -0.5), (0.0, 1.5)], stds=[0.3, 0.2, 0.25])
run = jko.flow(
    F, clumps.sample(400, seed=0), jko.descent.ForwardEuler(), tau=0.02, n_steps=250, store_every=10
)
print("energy:", np.round(run.energy[[0, 5, 10, -1]], 4), "in the limit of many: 0.375")

# %%
# Held against the disk: its radius is 1, and half of the particles should lie within :math:`\sqrt{1/2}` of
# the centre.

radius = np.linalg.norm(run.final.positions - run.final.mean(), axis=1)
print(f"radius {radius.max():.3f}, within sqrt(1/2): {np.mean(radius < np.sqrt(0.5)):.3f}")
disk = jko.exact.AggregationSteadyState(dimension=2)
centred = run.final.with_positions(run.final.positions - run.final.mean())
print(f"W2 to the disk: {jko.wasserstein(centred, disk.on(grid)):.3f}")
jko.plotting.plot_trajectory(run, path=f"{folder}/aggregation.png")

# %%
# And as a film.

jko.animate(run, f"{folder}/aggregation.gif", frames=25, fps=10)
