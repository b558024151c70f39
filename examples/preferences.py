"""
From preferences to a tilted law
================================

Which of two draws is preferred tilts a law by a reward that nobody sees, up to what pairs and steps leave.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np

import jko
from jko import diffusion
from jko.plotting import style

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
generator, beta = np.random.default_rng(0), 0.7
law, reward = generator.dirichlet(np.full(8, 5.0)), generator.normal(size=8)
exact = diffusion.tilted_probabilities(law, reward, beta)

# %%
# On a finite set the minimiser is known, and the error splits: what the pairs leave, and what the steps do.
figure = style.new_figure(9.0, 3.6)
(left, right), steps = figure.subplots(1, 2), [1, 3, 10, 30, 100, 300]
for k, n in enumerate((1000, 10_000, 100_000)):
    pairs = diffusion.drawn_preferences(law, reward, n, seed=1)
    best = diffusion.preference_table(law, pairs, beta).law
    reached = (diffusion.preference_table(law, pairs, beta, steps=m).law for m in steps)
    errors = [0.5 * np.abs(p - exact).sum() for p in reached]
    print(f"{n:6d} pairs: sampling {0.5 * np.abs(best - exact).sum():.4f}, after the steps {errors[-1]:.4f}")
    left.loglog(steps, errors, "o-", color=style.colour(k), markersize=4, label=f"{n} pairs")
    left.axhline(0.5 * np.abs(best - exact).sum(), color=style.colour(k), linestyle=":")
style.legend(style.tidy(left, "steps of gradient descent", "total variation to the tilt", "eight states"))

# %%
# A mixture learns its weights and means; with a linear reward its tilt is a mixture, too.
means, variances, weights = np.array([-1.0, 1.2]), np.array([0.2, 0.3]), np.array([0.6, 0.4])
mixture = diffusion.NoisedMixture(means, variances, list(weights), schedule=diffusion.Schedule.straight())


def log_density(theta, x):
    squares = (x[0] - theta["means"]) ** 2 / variances
    parts = jax.nn.log_softmax(theta["logits"]) - 0.5 * (squares + jnp.log(2.0 * jnp.pi * variances))
    return jax.scipy.special.logsumexp(parts)


grid = jko.Grid.uniform(-3.0, 4.0, 280)
pairs = diffusion.drawn_preferences(mixture, lambda x: 0.8 * x[0], 20_000, seed=2)
start, reference = {"logits": np.log(weights), "means": means}, mixture.on(grid, 0.0)
fit = diffusion.preference_fit(log_density, start, lambda x: mixture.log_density(x, 0.0), pairs, 0.5)
right.plot(grid.axes[0], reference.values, color=style.GREY, label="reference")
found = np.exp(jax.vmap(lambda point: log_density(fit.parameters, point))(grid.points))
right.plot(grid.axes[0], found, color=style.colour(0), label="from 20 000 preferences")
tilt = reference.with_values(reference.values * np.exp(1.6 * grid.axes[0])).normalized()
right.plot(grid.axes[0], tilt.values, **style.EXACT, label="reference · exp(r/β)/Z")
style.legend(style.tidy(right, "x (nondimensional)", "density", "two Gaussians"))
style.save(figure, f"{folder}/preferences.png")
