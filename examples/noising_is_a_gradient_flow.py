"""
Noising is a gradient flow
==========================

Ornstein-Uhlenbeck noise :math:`dx = -x\\,dt + \\sqrt2\\,dB` moves the law of the data down the Wasserstein
gradient of its divergence from :math:`N(0, 1)`: JKO steps, Langevin particles, the Fokker-Planck equation and
the probability-flow ODE give one law, and the divergence falls at the rate of the Fisher information
:math:`I = \\int |\\nabla\\log(\\rho/\\pi)|^2\\,d\\rho` on each of the four.
"""

import sys

import numpy as np
from scipy.integrate import simpson

import functionals as fn
import jko
from jko.plotting import style

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
F = fn.KL(jko.Gaussian([0.0], [[1.0]]))
exact = jko.exact.GaussianMixture([-1.5, 1.0], [0.25, 0.4], [0.4, 0.6])
grid, times = jko.Grid.uniform(-6.5, 6.5, 520), np.linspace(0.0, 0.5, 21)
rho0, sde = exact.on(grid, 0.0), jko.diffusion.ornstein_uhlenbeck()

# %%
# Two runs of the functional, two of the SDE. The ODE's velocity is :math:`-\nabla_W F`.
steps = {"tau": 0.0025, "n_steps": 200, "store_every": 10}
walk = jko.flow(F, rho0.sample(100_000, seed=0), jko.descent.Langevin(seed=1), **steps)
law = sde.fokker_planck(rho0, np.linspace(0.0, 0.5, 101), order=4)
ode = sde.probability_flow(law)
densities = {
    "JKO": jko.flow(F, rho0, jko.steps.VariationalBDF2(jko.steps.Quantile()), **steps).measures,
    "Langevin": [jko.Density.kernel_estimate(cloud, grid, bandwidth=0.08) for cloud in walk.measures],
    "Fokker-Planck": [law.at(t) for t in times],
    "ODE": [rho0, *(ode.density(rho0, law.times[: 5 * k + 1], substeps=1) for k in range(1, 21))],
}
# %%
# Beside the exact law; and the fall of the divergence is the integral of the Fisher information.
figure = style.new_figure(11.5, 3.7)
left, centre, right = figure.subplots(1, 3)
for k, (name, run) in enumerate(densities.items()):
    look = {"color": style.colour(k), "linestyle": style.line(k), "label": name}
    apart = [np.abs(a.values - exact.on(grid, t).values).sum() for a, t in zip(run, times, strict=True)]
    divergence, fisher = np.array([(F(a), jko.dissipation(F, a)) for a in run]).T
    fall = divergence[0] - divergence[-1], simpson(fisher, x=times)
    print(f"{name:>14s}: L1 {max(apart) * grid.cell_volume:.1e}, KL falls by {fall[0]:.5f}, ∫I dt", fall[1])
    left.plot(grid.axes[0], np.stack([run[i].values for i in (0, 4, 20)], axis=1), **look)
    centre.semilogy(times, divergence, **look)
    right.semilogy(times, fisher, **look)
    right.semilogy(times[1:] - 0.0125, -np.diff(divergence) / 0.025, "o", color=style.colour(k), ms=3)
style.tidy(left, "x", "density", "one law in four ways, t = 0, 0.1, 0.5").set_xlim(-4, 4)
style.tidy(centre, style.TIME, "KL to N(0, 1)", "the divergence falls")
style.tidy(right, style.TIME, "−dKL/dt and I", "its rate (dots), the Fisher information (lines)")
for axes, ticks in ((centre, [0.02, 0.05, 0.1, 0.2, 0.5]), (right, [0.1, 0.3, 1, 3, 10])):
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks([], minor=True)
    style.legend(axes)
style.save(figure, f"{folder}/noising_is_a_gradient_flow.png")
