"""
Steering a crowd by a potential
===============================

Particles are led round a hill by a trap that moves; where it stands at nine times is found by gradient.
"""

import sys

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize

import functionals as fn
import jko
from jko.plotting import style

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
GOAL, HILL, TAU, STEPS = np.array([2.0, 0.0]), np.array([0.0, 0.2]), 0.05, 40
crowd, NOISE = jko.Gaussian.of((-2.0, 0.0), 0.25).sample(200, seed=0), jko.descent.Langevin(seed=1)
RUN = {"tau": TAU, "n_steps": STEPS, "of": "trajectory"}


def steered(path):
    # a trap at `path` [9, 2], linear in time between, beside a hill
    def V(x, t):
        at = t / (TAU * STEPS) * (len(path) - 1)
        share = jnp.maximum(1.0 - jnp.abs(at - jnp.arange(len(path))), 0.0)
        return 2.0 * jnp.sum((x - share @ path) ** 2) + 3.0 * jnp.exp(-2.0 * jnp.sum((x - HILL) ** 2))

    return fn.Potential(V) + 0.02 * fn.Entropy()


def missed(trajectory):
    hill = sum(mu.integrate(lambda x: jnp.exp(-2.0 * jnp.sum((x - HILL) ** 2))) for mu in trajectory)
    return trajectory[-1].integrate(lambda x: jnp.sum((x - GOAL) ** 2)) + 0.03 * hill


def told(flat):
    path = flat.reshape(9, 2)
    value, gradient = jko.sensitivity.value_and_gradient(missed, steered, path, crowd, NOISE, **RUN)
    way = np.diff(path, axis=0, prepend=[[-2.0, 0.0]])  # which has its price, Σ|way|²/20
    gradient = gradient + 0.1 * (way - np.append(way[1:], [[0.0, 0.0]], axis=0))
    return value + 0.05 * np.sum(way**2), gradient.ravel()


straight = np.linspace([-2.0, 0.0], GOAL, 9)
best = minimize(told, straight.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 30}).x.reshape(9, 2)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharex=True, sharey=True, layout="constrained")
x, y = np.meshgrid(np.linspace(-2.8, 2.8, 120), np.linspace(-1.6, 1.5, 90))
for axis, path, title in zip(axes, (straight, best), ("straight on", "by gradient"), strict=True):
    run = jko.flow(steered(path), crowd, NOISE, tau=TAU, n_steps=STEPS)
    axis.contour(x, y, np.exp(-2.0 * ((x - HILL[0]) ** 2 + (y - HILL[1]) ** 2)), 4, cmap="Greys", vmin=-0.5)
    for k, mu in enumerate(run.measures[::8]):
        axis.scatter(*mu.positions.T, s=4, color=plt.cm.viridis(0.18 * k))
    axis.plot(*path.T, "o-", color="crimson", ms=3, lw=1)
    axis.set(title=title, aspect="equal", xlabel="x₁ (nondimensional)", ylabel="x₂ (nondimensional)")
style.save(figure, f"{folder}/steered_crowd.png")
