"""
Samplers and guidance on an exact score
=======================================

The score of a noised mixture is known in closed form, so that a sampler's error is its own and not a
network's. Exponential integrators solve the linear part of the probability-flow ODE exactly and keep their
order; classifier-free guidance moves the mixture towards one of its components, and past it.
"""

import sys

import numpy as np

import jko
from jko import diffusion
from jko.plotting import style

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
schedule = diffusion.Schedule.variance_preserving(0.1, 20.0)
means = 1.4 * np.array([[np.cos(a), np.sin(a)] for a in 2.0 * np.pi * np.arange(5) / 5])
law = diffusion.NoisedMixture(means, 0.05, schedule=schedule)
noise = law.sample(1500, 1.0, seed=0)
end = 0.02

# %%
# Root mean square distance to the exact flow, by the number of steps: the slopes are the orders.
exact = diffusion.ConsistencyFunction(law, end)(noise.positions, 1.0)
figure = style.new_figure(11.5, 3.7)
panels = figure.subplots(1, 3)
steps = [10, 20, 40, 80, 160]
for k, method in enumerate(diffusion.METHODS):
    ends = [diffusion.sample(law.score, schedule, noise, 1.0, end, steps=s, method=method) for s in steps]
    errors = [np.sqrt(np.mean((cloud.positions - exact) ** 2)) for cloud in ends]
    print(f"{method:>13}: observed order {np.log2(errors[-2] / errors[-1]):.2f}")
    panels[0].loglog(steps, errors, "o-", color=style.colour(k), label=method, markersize=4)
style.tidy(panels[0], "steps", "distance to the exact flow", "four samplers")
style.legend(panels[0])

# %%
# Guidance towards the two components on the right, with weights 1 and 3: a weight of 1 samples the
# conditional law, a larger one sharpens it beyond. The lines are the density that guidance samples, by the
# change of variables along its flow.
chosen = diffusion.NoisedMixture(means[[0, 1]], 0.05, schedule=schedule)
grid = jko.Grid.uniform((-0.6, -1.2), (2.6, 2.4), (40, 45))
for axes, weight in zip(panels[1:], (1.0, 3.0), strict=True):
    score = diffusion.guided(chosen.score, law.score, weight)
    cloud = diffusion.sample(score, schedule, noise, 1.0, end, steps=60, method="dpm-solver-2")
    flow = schedule.sde().probability_flow(score)
    log_density = flow.log_density(grid.points, lambda x: law.log_density(x, 1.0), [1.0, end], substeps=40)
    density = np.exp(log_density)
    axes.scatter(*exact.T, s=2, color="#bbbbbb", label="unconditional")
    axes.scatter(*cloud.positions.T, s=2, color=style.colour(1), label=f"guided, weight {weight:g}")
    levels = density.max() * np.array([0.03, 0.2, 0.6])
    axes.contour(*grid.axes, density.reshape(grid.cells).T, levels, colors="black", linewidths=0.8)
    print(f"weight {weight:g}: mass of the guided density {density.sum() * grid.cell_volume:.4f}")
    style.tidy(axes, "x₁", "x₂", f"guidance, weight {weight:g}")
    axes.set(xlim=(-2.6, 2.9), ylim=(-2.6, 2.9), aspect="equal")
    style.legend(axes)
style.save(figure, f"{folder}/samplers_and_guidance.png")
