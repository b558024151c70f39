"""
Three views of an SDE
=====================

The law of :math:`dx = f\\,dt + G(x)\\,dB` seen three times: as paths, as the density of the Fokker-Planck
equation, and as the probability-flow ODE :math:`\\dot x = f - \\frac12\\nabla\\cdot(GG^T) -
\\frac12 GG^T\\nabla\\log p_t`, which has the same marginals without any noise. Here the noise depends on the
place, and the equilibrium is a mixture of two Gaussians.
"""

import sys

import jax.numpy as jnp
import numpy as np

import jko
from jko.plotting import style

folder = sys.argv[1] if len(sys.argv) > 1 else "results"


def log_target(x):
    return jnp.logaddexp(-jnp.sum((x - 1.5) ** 2) / 0.7, -jnp.sum((x + 1.5) ** 2) / 0.5)


sde = jko.diffusion.reversible(log_target, lambda x, t: (1.0 + 0.6 * jnp.sin(2.0 * x))[:, None])
grid = jko.Grid.uniform(lower=-4.5, upper=4.5, cells=360)
start = jko.Density.gaussian(grid, mean=0.0, std=0.4)

# %%
# One call runs all three and measures how far their marginals are apart: the ODE in :math:`L^1` from the
# density, the paths beside what as many independent draws would have.

views = sde.compare_views(start, times=[0.0, 0.1, 0.4, 2.0], n=20_000, seed=0)
print(views)

# %%
# Left, paths wander and jump between the wells. Middle, the ODE moves the same mass along smooth lines that
# never cross. Right, all three views at three times.

times = np.linspace(0.0, 2.0, 161)
few = start.sample(24, seed=3)
law = sde.fokker_planck(start, times)
runs = sde.simulate(few, times, seed=1), sde.probability_flow(law).transport(few, times)
figure = style.new_figure(11.5, 3.6)
left, middle, right = figure.subplots(1, 3)
for axes, run, title in zip((left, middle), runs, ("paths of the SDE", "paths of the ODE"), strict=True):
    axes.pcolormesh(times, grid.axes[0], np.array([rho.values for rho in law.densities]).T, cmap="Greys")
    axes.plot(run.times, run.positions[..., 0], color=style.colour(0), linewidth=0.7)
    style.tidy(axes, style.TIME, "x", title).set_ylim(-3.4, 3.4)
for k, t in enumerate(views.times[1:], start=1):
    look = {"color": style.colour(k - 1)}
    right.hist(views.paths.positions[k, :, 0], bins=grid.edges[0][::4], density=True, alpha=0.3, **look)
    right.plot(grid.axes[0], views.densities[k].values, label=f"t = {t:g}", **look)
    right.plot(grid.axes[0], views.flow[k].values, color="black", linestyle=":", linewidth=1.4)
style.tidy(right, "x", "density", "paths (bars), density (line), ODE (dots)")
style.legend(right)
style.save(figure, f"{folder}/three_views_of_an_sde.png")
