"""
Drift, noise and jumps
======================

A Markov process is known by its generator, a sum of drift, noise and jumps. Its law is had by simulating
paths, or by solving the forward equation on a grid; run backward, with the ratio of densities in the rates of
its jumps, it returns to where it came from.
"""

import sys

import jax.numpy as jnp
import numpy as np

import jko
from jko import diffusion
from jko.plotting import style

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
wells = diffusion.Generator(drift=lambda x, t: 2.0 * (x - x**3))
noise = diffusion.Generator(diffusion=lambda x, t: 0.4 * jnp.eye(1))
# jumps from one side to the other, more often from the left
there = diffusion.MixtureKernel(lambda x, t: -x, 0.3)
jumps = diffusion.Generator(jumps=diffusion.Jumps(lambda x, t: 1.0 + 0.8 * jnp.tanh(-4.0 * x[0]), there))
process = wells + noise + jumps
grid = jko.Grid.uniform(-2.4, 2.4, 240)
start = jko.Density.gaussian(grid, mean=-1.0, std=0.15)
times = np.linspace(0.0, 0.9, 61)

# %%
# The law by 10⁵ paths and by the forward equation, and then backward from the end.
law = process.forward(start, times, substeps=2)
run = process.simulate(start.sample(100_000, seed=0), times[[0, 6, 60]], seed=1, substeps=100)
few = process.simulate(start.sample(12, seed=2), np.linspace(0.0, 0.9, 301), seed=3, substeps=2)
back = process.reverse(law).simulate(law.final.sample(10_000, seed=4), [0.9, 0.0], seed=5, substeps=100)

# %%
# In 60 bins beside the equation, and what as many independent draws would differ by.
figure = style.new_figure(11.5, 3.7)
left, middle, right = figure.subplots(1, 3)
left.plot(few.times, few.positions[..., 0], linewidth=0.8)
style.tidy(left, style.TIME, "x (nondimensional)", "twelve paths")


def compare(axes, cloud, density, colour, label):
    counts, edges = np.histogram(cloud.positions[:, 0], bins=60, range=(-2.4, 2.4))
    mass = density.masses.reshape(60, -1).sum(axis=1)
    draws = np.sum(np.sqrt(2.0 / np.pi * mass * (1.0 - mass) / cloud.n))
    print(f"{label:>22}: apart {np.abs(counts / cloud.n - mass).sum():.4f}, draws {draws:.4f}")
    axes.stairs(12.5 * counts / cloud.n, edges, fill=True, alpha=0.35, color=colour, label=label)
    axes.plot(grid.axes[0], density.values, **style.EXACT)


for k, index in enumerate((0, 6, 60)):
    compare(middle, run.measures[k], law.densities[index], style.colour(k), f"paths, t = {times[index]:.2f}")
style.legend(style.tidy(middle, "x (nondimensional)", "density", "paths, and the forward equation dotted"))
compare(right, back.final, start, style.colour(3), "backward from t = 0.90")
style.legend(style.tidy(right, "x (nondimensional)", "density", "reversed, and the start dotted"))
style.save(figure, f"{folder}/jumps.png")
