"""
Guidance without training
=========================

What is observed of the data may guide a sampler through its denoiser: the score is bent by the gradient of
the misfit of the denoised point. For a mixture of Gaussians the answer is known, so that the bias of this is
seen, and that particles which are reweighted on their way have none.
"""

import sys

import numpy as np

import jko
from jko import diffusion
from jko.plotting import style

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
schedule = diffusion.Schedule.variance_preserving(0.1, 20.0)
means = np.array([[-1.5, 0.0], [1.0, 0.8], [0.5, -1.2]])
law = diffusion.NoisedMixture(means, 0.15, [0.3, 0.4, 0.3], schedule=schedule)
# a line is observed: x₁ + 0.6 x₂ = 0.4 up to noise
observation = diffusion.LinearObservation([[1.0, 0.6]], [0.4], noise=0.5)
posterior = observation.posterior(law)
noise = jko.Particles(np.random.default_rng(0).normal(size=(3000, 2)))


def flow(score):
    return diffusion.sample(score, schedule, noise, 1.0, 1e-3, steps=60, method="dpm-solver-2")


# %%
# Four samplers of the same posterior.
clouds = {
    "exact guidance": flow(posterior.score),
    "by the loss (DPS)": flow(diffusion.loss_guided(law.score, schedule, observation)),
    "by the loss, with a spread": flow(diffusion.spread_guided(law.score, schedule, observation)),
    "twisted particles": diffusion.twisted_sampler(
        law.score, schedule, observation, noise, 1.0, 1e-3, steps=100, seed=1
    ).particles,
}
grid = jko.Grid.uniform((-2.0, -2.6), (2.4, 2.2), (90, 90))
exact = posterior.on(grid, 0.0)
figure = style.new_figure(13.0, 3.6)
for k, (axes, (name, cloud)) in enumerate(zip(figure.subplots(1, 4), clouds.items(), strict=True)):
    x, w = cloud.positions, cloud.weights
    nearest = np.argmin(((x[:, None] - means) ** 2).sum(axis=2), axis=1)
    shares = " ".join(f"{share:.3f}" for share in np.bincount(nearest, w, minlength=3))
    print(f"{name:>27}: mean {w @ x}, shares {shares}")
    axes.scatter(*x.T, s=3e3 * 2 * w, color=style.colour(k), alpha=0.5, linewidth=0)
    levels = exact.values.max() * np.array([0.03, 0.2, 0.6])
    axes.contour(*grid.axes, exact.values.T, levels, colors="black", linewidths=0.8)
    style.tidy(axes, "x₁ (nondimensional)", "x₂ (nondimensional)", name)
    axes.set(xlim=(-2.0, 2.4), ylim=(-2.6, 2.2), aspect="equal")
style.save(figure, f"{folder}/guidance_without_training.png")
