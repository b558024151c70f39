"""
The shape of a trap
===================

Which potential of degree six brings a Gaussian to a flat-topped density in time 1, and not later? The
gradient goes through exact JKO steps on the line, by their banded Hessian.
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
grid = jko.Grid.uniform(-3.0, 3.0, 200)
x, settings = grid.axes[0], {"tau": 0.1, "n_steps": 10}
start = jko.Density.gaussian(grid, mean=0.4, std=0.5)
wanted = jko.Density(grid, 1.0 / (1.0 + np.exp(12.0 * (np.abs(x) - 1.0)))).normalized()


def trap(c):
    # V = Σ c_k x^k / k for k = 1 … 6, and a wall that no c takes away
    def V(x):
        coefficients = jnp.append((c / np.arange(1.0, 7.0))[::-1], 0.0)
        return jnp.polyval(coefficients, x[0]) + 0.02 * x[0] ** 10

    return fn.Potential(V) + 0.5 * fn.Entropy()


def missed(mu):
    return grid.cell_volume * jnp.sum((mu.values - wanted.values) ** 2)


def told(c):
    return tuple(jko.sensitivity.value_and_gradient(missed, trap, c, start, jko.steps.Quantile(), **settings))


first, bounds = np.array([0.0, 1.0, 0.0, 0.0, 0.0, 0.0]), [(-1.0, 1.0), (-2.0, 3.0)] * 3
bounds[3:] = [(0.0, 3.0), (-1.0, 1.0), (0.0, 3.0)]  # so that no step tears mass apart
best = minimize(told, first, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 60})

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
left.plot(x, start.values, ":", color="grey", label="start")
left.plot(x, wanted.values, "k--", label="wanted")
for c, label in ((first, "harmonic"), (best.x, "optimised")):
    run = jko.flow(trap(c), start, jko.steps.Quantile(), **settings)
    left.plot(x, run.final.values, label=f"{label}: ∫(ρ − wanted)² = {missed(run.final):.1e}")
    V = trap(c).parts.potential_values(x[:, None])
    right.plot(x, V - V.min())
left.set(xlabel="x (nondimensional)", ylabel="density", title="after time 1", ylim=(0.0, 1.4))
right.set(xlabel="x (nondimensional)", ylabel="V (nondimensional)", title="the trap", ylim=(0.0, 5.0))
left.legend(fontsize=8)
style.save(figure, f"{folder}/shape_of_a_trap.png")
