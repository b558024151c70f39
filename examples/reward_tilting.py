"""
Tilting a model by a reward
===========================

Preference optimisation maximises a reward while staying close to a reference: :math:`F(\\rho) = -\\int
r\\,d\\rho + \\beta\\,\\mathrm{KL}(\\rho\\Vert\\rho_{\\mathrm{ref}})`. It is a functional, and JKO steps,
Langevin particles and a guided sampler all end in its minimiser :math:`\\rho_{\\mathrm{ref}} e^{r/\\beta}/Z`.
"""

import sys

import jax.numpy as jnp
import numpy as np

import functionals as fn
import jko
from jko import diffusion
from jko.plotting import style

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
schedule = diffusion.Schedule.variance_preserving(0.1, 20.0)
reference = diffusion.NoisedMixture([-1.4, 0.0, 1.4], 0.2, [0.5, 0.3, 0.2], schedule=schedule)
beta, n = 0.5, 10_000


def reward(x):
    return 0.8 * jnp.tanh(2.0 * x[0]) - 0.3 * jnp.cos(3.0 * x[0])


F = fn.Reward(reward, lambda x: reference.log_density(x, 0.0), strength=beta)
grid = jko.Grid.uniform(-5.0, 5.0, 300)
start, exact = reference.on(grid, 0.0), jko.Density.from_function(grid, lambda x: jnp.exp(F.log_minimiser(x)))

# %%
# The gradient flow from the reference, as JKO steps and as particles.
steps = jko.flow(F, start, jko.steps.BackAndForth(), tau=2.0, n_steps=20)
cloud, particles = start.sample(n, seed=0), jko.descent.Langevin(seed=1)
walk = jko.flow(F, cloud, particles, tau=0.02, n_steps=1500, store_every=1500)
# %%
# Guidance adds :math:`\nabla\log E[e^{r(x_0)/\beta} | x_t]` to the reference's score. Given :math:`x_t`, the
# data are a mixture of Gaussians, so that quadrature gives the expectation.
tilted = diffusion.TiltedMixture(reference, reward, beta)
noise = jko.Particles(np.random.default_rng(2).normal(size=(n, 1)))
guided = diffusion.sample(tilted.score, schedule, noise, 1.0, 1e-3, steps=40, method="dpm-solver-2")

# %%
# All three beside the answer, and beside the distance that as many independent draws have from it.
ends = {"JKO steps": steps.final, "Langevin": walk.final, "guided sampler": guided}
figure = style.new_figure(11.5, 3.6)
for k, (axes, (name, found)) in enumerate(zip(figure.subplots(1, 3), ends.items(), strict=True)):
    print(f"{name:>15s}: W2 to the answer {jko.wasserstein(found, exact):.5f}")
    shown = found if isinstance(found, jko.Density) else jko.Density.histogram(found, grid)
    axes.fill_between(grid.axes[0], shown.values, step="mid", alpha=0.35, color=style.colour(k), label=name)
    axes.plot(grid.axes[0], start.values, color=style.GREY, label="reference")
    axes.plot(grid.axes[0], exact.values, **style.EXACT, label="reference · exp(r/β)/Z")
    style.legend(style.tidy(axes, "x", "density", name))
draws = np.mean([jko.wasserstein(exact.sample(n, seed=k), exact) for k in range(3, 9)])
print(f"{n} draws {draws:.5f}, the reference {jko.wasserstein(start, exact):.3f}")
style.save(figure, f"{folder}/reward_tilting.png")
