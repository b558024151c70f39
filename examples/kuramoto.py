"""
Kuramoto's transition
=====================

Oscillators on a circle pull each other's phases together, noise drives them apart. Beyond a coupling of twice
the temperature they move as one: the modulus r of the mean of e^{ix} is no longer 0.
"""

import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from scipy.special import i0, i1

import functionals as fn
import jko

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
circle = jko.Grid.uniform(0.0, 2.0 * np.pi, 128, periodic=True)
pull = fn.Interaction(lambda z: -jnp.cos(z[0]))


def kuramoto(coupling):
    return fn.Entropy() + coupling * pull


def order_parameter(measure):
    return abs(measure.masses @ np.exp(1j * measure.points[:, 0]))


together = jko.Density.from_function(circle, lambda x: 1.0 + 0.5 * jnp.cos(x[0] - np.pi))
branches = {
    "together": jko.continuation(kuramoto, (4.0, 2.0), together, points=24),
    "even": jko.continuation(kuramoto, (1.0, 4.0), jko.Density.uniform(circle), points=24),
}
figure = jko.plotting.plot_branch(branches, order_parameter, parameter="coupling K/θ", ordinate="r")

# %%
# The flow itself, from phases that are almost even, at three couplings: it ends on the branch (dots).
start = jko.Density.from_function(circle, lambda x: 1.0 + 0.02 * jnp.cos(x[0] - np.pi))
axes = figure.axes[0]
for coupling in (1.5, 2.5, 3.5):
    run = jko.flow(kuramoto(coupling), start, jko.limits.FiniteVolume(), tau=0.2, n_steps=300)
    axes.plot(coupling, order_parameter(run.final), "o", color="0.25", markersize=5)

# %%
# The same oscillators one by one, 150 with noise on the circle (squares), and the law r = I₁(Kr/θ)/I₀(Kr/θ).
noisy = jko.descent.StochasticHeun(observables={"wave": lambda x: jnp.stack([jnp.cos(x[0]), jnp.sin(x[0])])})
for coupling in (2.3, 3.0):
    cloud = jko.ConfinedParticles.of(together.sample(150, seed=1), circle)
    run = jko.flow(kuramoto(coupling), cloud, noisy, tau=0.05, n_steps=300)
    r = np.linalg.norm(run.info.wave[100:], axis=1)
    axes.errorbar(coupling, r.mean(), r.std(), fmt="s", color="tab:red", markersize=4, capsize=2)
law = i1(s := np.linspace(0.01, 3.3, 200)) / i0(s)  # s = Kr/θ
axes.plot(s / law, law, ":k", label=r"$I_1(Kr/\theta)/I_0(Kr/\theta)$")
axes.legend(frameon=False, fontsize=8)
Path(folder).mkdir(parents=True, exist_ok=True)
figure.savefig(f"{folder}/kuramoto.png", dpi=150)
