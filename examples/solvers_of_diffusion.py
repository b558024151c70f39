"""
Solvers of diffusion: error against evaluations
===============================================

A sampler is paid by evaluations of the score. Multistep exponential integrators take one a step and use what
they have computed before. With noise it is the law that counts: a moment's error falls with the weak order.
"""

import sys

import numpy as np

from jko import diffusion
from jko.plotting import style

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
schedule, end = diffusion.Schedule.variance_preserving(0.1, 20.0), 0.02
means = 1.4 * np.array([[np.cos(a), np.sin(a)] for a in 2.0 * np.pi * np.arange(5) / 5])
law = diffusion.NoisedMixture(means, 0.05, schedule=schedule)
noise, many = law.sample(400, 1.0, seed=0), law.sample(50_000, 1.0, seed=1)
exact = diffusion.ConsistencyFunction(law, end)(noise.positions, 1.0)


def carried(method, cost, cloud=noise):
    usual = {"steps": cost // diffusion.evaluations(method, 1), "method": method, "seed": cost}
    return diffusion.sample(law.score, schedule, cloud, 1.0, end, **usual).positions


# %%
# Root mean square distance to the exact flow: the slopes are the orders.
figure, costs = style.new_figure(11.5, 3.7), 2 ** np.arange(3, 9)
panels = figure.subplots(1, 3)
names = "dpm-solver-1", "dpm-solver++3m", "dpm-solver++2m", "dpm-solver-2", "unipc-2", "heun"
for k, method in enumerate(names):
    errors = [np.sqrt(np.mean((carried(method, cost) - exact) ** 2)) for cost in costs]
    print(f"{method:>15}: observed order {np.log2(errors[-2] / errors[-1]):.2f}")
    panels[0].loglog(costs, errors, "o-", color=style.colour(k), label=method, markersize=4)
style.tidy(panels[0], "evaluations of the score", "distance to the exact flow", "probability flow")
# Where ten evaluations lead, and where they should.
panels[1].scatter(*exact.T, s=14, color="#bbbbbb", label="exact flow")
for k in (0, 1):
    panels[1].scatter(*carried(names[k], 10).T, s=3, color=style.colour(k), label=names[k])
style.tidy(panels[1], "x₁ (nondimensional)", "x₂ (nondimensional)", "ten evaluations")
panels[1].set(aspect="equal", xlim=(-2.3, 2.3), ylim=(-2.3, 3.1))

# %%
# The error of E|x|² by noisy solvers, and its standard error: below it there is nothing to see.
known = (1.4**2 + 0.1) * schedule.at(end)[0] ** 2 + 2 * schedule.at(end)[1] ** 2
for k, method in ((0, "sde-dpm-solver++1"), (1, "sde-dpm-solver++2m")):
    squares = [np.sum(carried(method, cost, many) ** 2, axis=1) for cost in costs[:4]]
    off = [abs(square.mean() - known) for square in squares]
    panels[2].loglog(costs[:4], off, "o-", color=style.colour(k), label=method, markersize=4)
panels[2].axhline(squares[-1].std() / np.sqrt(1e5), color=style.GREY, linestyle=":", label="standard error")
style.tidy(panels[2], "evaluations of the score", "error of E|x|²", "reverse SDE")
for axes, ticks in zip(panels, (costs, [-2, -1, 0, 1, 2], costs[:4]), strict=True):
    axes.set_xticks(ticks, ticks)
    axes.set_xticks([], minor=True)
    style.legend(axes)
style.save(figure, f"{folder}/solvers_of_diffusion.png")
