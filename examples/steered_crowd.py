"""
Steering a crowd by a potential
===============================

Noisy particles are led round a hill by a trap that moves: where it stands at nine times is found by the
gradient of the flow, along noise that is held fixed.
"""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize

import functionals as fn
import jko

GOAL, HILL, TAU, STEPS = np.array([2.0, 0.0]), np.array([0.0, 0.2]), 0.05, 40
crowd = jko.Gaussian.of((-2.0, 0.0), 0.25).sample(200, seed=0)


def steered(path):
    """A trap at `path` [9, 2], linear in time between, beside a hill that nobody wants to climb."""

    def V(x, t):
        at = t / (TAU * STEPS) * (len(path) - 1)
        share = jnp.maximum(1.0 - jnp.abs(at - jnp.arange(len(path))), 0.0)
        hill = 3.0 * jnp.exp(-2.0 * jnp.sum((x - HILL) ** 2))
        return 2.0 * jnp.sum((x - share @ path) ** 2) + hill

    return fn.Potential(V) + 0.02 * fn.Entropy()


def missed(trajectory):
    """The crowd's distance from the goal in the end, and what it suffered on the hill."""
    hill = sum(mu.integrate(lambda x: jnp.exp(-2.0 * jnp.sum((x - HILL) ** 2))) for mu in trajectory)
    return trajectory[-1].integrate(lambda x: jnp.sum((x - GOAL) ** 2)) + 0.3 * hill / 10.0


def told(flat):
    """The loss with a price of the trap's way, Σ|steps|²/20, and its gradient."""
    path = flat.reshape(9, 2)
    value, gradient = jko.sensitivity.value_and_gradient(
        missed, steered, path, crowd, jko.descent.Langevin(seed=1), tau=TAU, n_steps=STEPS, of="trajectory"
    )
    way = np.diff(path, axis=0, prepend=path[:1] * 0.0 + [-2.0, 0.0])
    gradient = gradient + 0.1 * (way - np.append(way[1:], [[0.0, 0.0]], axis=0))
    return value + 0.05 * np.sum(way**2), gradient.ravel()


straight = np.linspace([-2.0, 0.0], GOAL, 9)
best = minimize(told, straight.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 30}).x.reshape(9, 2)

figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharex=True, sharey=True, layout="constrained")
x, y = np.meshgrid(np.linspace(-2.8, 2.8, 120), np.linspace(-1.6, 1.5, 90))
for axis, path, title in zip(axes, (straight, best), ("straight on", "by gradient"), strict=True):
    run = jko.flow(steered(path), crowd, jko.descent.Langevin(seed=1), tau=TAU, n_steps=STEPS)
    axis.contour(x, y, np.exp(-2.0 * ((x - HILL[0]) ** 2 + (y - HILL[1]) ** 2)), 4, cmap="Greys", vmin=-0.5)
    for k in range(0, STEPS + 1, 8):
        axis.scatter(*run.measures[k].positions.T, s=4, color=plt.cm.viridis(0.9 * k / STEPS))
    axis.plot(*path.T, "o-", color="crimson", ms=3, lw=1)
    axis.set(title=f"{title}: loss {told(path.ravel())[0]:.3f}", xlabel="x₁ (nondimensional)", aspect="equal")
axes[0].set_ylabel("x₂ (nondimensional); red: the trap")
plt.show()
