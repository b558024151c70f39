"""
A two-layer network as a cloud of neurons
=========================================

A network :math:`f_\\alpha(x) = \\int a\\,\\sigma(w\\cdot x)\\,d\\alpha(a, w)` is trained by the
Wasserstein gradient flow of :math:`F(\\alpha) = \\frac12 E(f_\\alpha(x) - y)^2`, its neurons the
particles. Three teacher neurons make the targets; the students start near 0.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import functionals as fn
import jko

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
Path(folder).mkdir(exist_ok=True)
generator, angles = np.random.default_rng(0), np.array([0.4, 2.3, 4.4])
teachers = np.column_stack([np.cos(angles), np.sin(angles)])
inputs = generator.normal(size=(256, 2))
F = fn.TwoLayerNetwork(inputs, np.maximum(inputs @ teachers.T, 0.0) @ [1.0, -1.0, 1.0], "relu", bias=False)
start = jko.Particles((0.3 * generator.normal(size=(300, 3))).astype(np.float32))
flow = jko.flow(F, start, jko.descent.ForwardEuler(), tau=0.5, n_steps=3000, store_every=20)

# %%
# The same loss by Adam, which knows no flow: it rescales gradients by their running size.


@jax.jit
def adam(x, mean, square, step):
    slope = jax.grad(lambda x: F.energy(jko.Particles(x, jnp.full(300, 1 / 300))))(x)
    mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
    return x - 0.01 * mean / (1 - 0.9**step) / (jnp.sqrt(square / (1 - 0.999**step)) + 1e-9), mean, square


state, losses = (jnp.asarray(start.positions), 0.0, 0.0), []
for step in range(3000):
    losses += [F(jko.Particles(np.asarray(state[0])))] if step % 20 == 0 else []
    state = adam(*state, step + 1.0)

# %%
# The energy of the flow falls at every step, to nothing. The right picture shows neurons as a·w in the plane
# of the inputs: those that carry the output, red for negative a, end on the rays of the teachers.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
left.semilogy(20 * np.arange(len(flow)), flow.energy, label="gradient flow")
left.semilogy(20 * np.arange(len(losses)), losses, "--", label="Adam")
left.set(xlabel="step", ylabel="loss F")
left.legend()
right.plot(*np.stack([0 * teachers, 9 * teachers], axis=1).T, color="gold", linewidth=7, zorder=0)
a, *w = flow.final.positions.T
right.scatter(*(np.abs(a) * w), s=9, c=a, cmap="coolwarm_r", vmin=-1, vmax=1)
right.set(xlabel="|a| w₁", ylabel="|a| w₂", xlim=(-8, 8), ylim=(-8, 8), aspect="equal")
figure.savefig(f"{folder}/two_layer_network.png", dpi=110)
