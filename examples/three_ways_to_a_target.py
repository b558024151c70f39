"""
Three ways to a target: noise, Stein's kernel, and a discrepancy
================================================================

A cloud is to become a sample of a curved target. Langevin dynamics and Stein variational descent go down the
same divergence, one in the geometry of Wasserstein and with noise, the other in that of a kernel and without;
the flow of the maximum mean discrepancy sees the target by a sample only. Each has an energy that falls.
"""

import sys

import numpy as np

import functionals as fn
import jko
from jko.plotting import style

folder = sys.argv[1] if len(sys.argv) > 1 else "results"


def log_target(x):
    return -0.5 * x[0] ** 2 - 4.0 * (x[1] - 0.5 * x[0] ** 2 + 0.5) ** 2


z = np.random.default_rng(0).normal(size=(400, 2))
sample = jko.Particles(np.stack([z[:, 0], 0.5 * z[:, 0] ** 2 - 0.5 + z[:, 1] / np.sqrt(8.0)], axis=1))
start = jko.Gaussian.of([-0.5, 1.0], 0.5).sample(400, seed=1)

# %%
# The divergence is normalised, so that 0 is the least: log of the normalising constant is subtracted.

constant = np.log(2.0 * np.pi / np.sqrt(8.0))
KL, MMD = fn.KL(lambda x: log_target(x) - constant), fn.MMD(sample, width=0.7)
runs = {
    "Langevin": jko.flow(KL, start, jko.descent.Langevin(seed=2), tau=0.02, n_steps=250, store_every=2),
    "SVGD": jko.flow(KL, start, jko.descent.SVGD(bandwidth=0.3), tau=0.2, n_steps=400),
    "MMD flow": jko.flow(MMD, start, jko.descent.ForwardEuler(), tau=0.4, n_steps=400),
}
print("Stein discrepancy² of SVGD:", runs["SVGD"].info.stein_discrepancy[[0, 50, 100, 399]].round(3))

# %%
# Energies of the first two are estimates from nearest neighbours; a cloud of SVGD is more regular than a
# sample, which lowers its estimate below 0.

figure = style.new_figure(12.5, 3.5)
panels = figure.subplots(1, 4)
xs = np.stack(np.meshgrid(np.linspace(-3, 3, 90), np.linspace(-1.8, 3.6, 90)), axis=-1)
for k, (name, run) in enumerate(runs.items()):
    ratio = run.energy[1:] / run.energy[0]
    panels[0].semilogx(run.times[1:], ratio, linestyle=style.line(k), color=style.colour(k), label=name)
    panels[k + 1].contour(
        xs[..., 0], xs[..., 1], np.exp(log_target(np.moveaxis(xs, -1, 0))), 5, colors="#bbbbbb"
    )
    panels[k + 1].scatter(*run.final.positions.T, s=3, color=style.colour(k))
    style.tidy(panels[k + 1], "x₁", "x₂", f"{name}, t = {run.times[-1]:g}").set(
        xlim=(-3, 3), ylim=(-1.8, 3.6)
    )
style.legend(style.tidy(panels[0], style.TIME, "F / F at the start", "each by its own energy"))
style.save(figure, f"{folder}/three_ways_to_a_target.png")
