"""
What moved this density?
========================

Potential and temperature from a density at two times, by the gradient of twenty exact steps in the plane.
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
grid = jko.Grid.uniform((-3.0, -3.0), (3.0, 3.0), (48, 48))
before = jko.Density.gaussian(grid, mean=(0.5, -0.4), std=0.7)
centres = np.stack(np.meshgrid(*[np.linspace(-1.5, 1.5, 4)] * 2), axis=-1).reshape(-1, 2)


def landscape(p):
    # sixteen bumps of unknown heights in a bowl, and an unknown temperature e^s
    def V(x):
        return 0.5 * jnp.sum(x**2) + p["heights"] @ jnp.exp(-jnp.sum((x - centres) ** 2, axis=1))

    return fn.Potential(V) + jnp.exp(p["s"]) * fn.Entropy()


truth = {"heights": np.random.default_rng(5).normal(size=16) * 0.6, "s": np.log(0.35)}
settings = {"tau": 0.05, "n_steps": 20}
run = jko.flow(landscape(truth), before, jko.steps.MongeAmpere(), **settings)
halfway, after = run.measures[10].values, run.final.values


def misfit(trajectory):
    seen = ((trajectory[10], halfway), (trajectory[-1], after))
    return sum(grid.cell_volume * jnp.sum((mu.values - data) ** 2) for mu, data in seen)


def told(flat):
    given = misfit, landscape, {"heights": flat[:16], "s": flat[16]}, before, jko.steps.MongeAmpere()
    value, slope = jko.sensitivity.value_and_gradient(*given, of="trajectory", **settings)
    return 1e3 * value, 1e3 * np.append(slope["heights"], slope["s"])


found = minimize(told, np.zeros(17), jac=True, method="L-BFGS-B", options={"maxiter": 25}).x
figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.6), layout="constrained")
guess = {"heights": found[:16], "s": found[16]}
for axis, p, title in zip(axes, (truth, guess), ("true", "inferred"), strict=True):
    V = landscape(p).parts.potential_values(grid.points).reshape(grid.cells)
    shown = np.where(after > 1e-3 * after.max(), V - V.min(), np.nan)
    image = axis.pcolormesh(*grid.axes, shown.T, vmax=4.0)
    axis.set(title=f"{title}: θ = {np.exp(p['s']):.3f}", aspect="equal", xlabel="x₁", ylabel="x₂")
figure.colorbar(image, ax=axes, label="V where mass was seen; all nondimensional")
style.save(figure, f"{folder}/inference_by_gradient.png")
