"""
A two-layer network as a cloud of neurons
=========================================

A network :math:`f_\\alpha(x) = \\int a\\,\\sigma(w\\cdot x)\\,d\\alpha(a, w)` is trained by the
Wasserstein gradient flow of :math:`F(\\alpha) = \\frac12 E(f_\\alpha(x) - y)^2`, its neurons the
particles. Three teacher neurons make the targets; the students start near 0. Noise is an entropy,
weight decay a potential: Langevin then has a unique limit, and the loss stays above 0.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np

import functionals as fn
import jko
from jko.plotting import style

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
generator = np.random.default_rng(0)
teachers = np.array([[np.cos(angle), np.sin(angle)] for angle in (0.4, 2.3, 4.4)])
inputs = generator.normal(size=(256, 2))
F = fn.TwoLayerNetwork(inputs, np.maximum(inputs @ teachers.T, 0.0) @ [1.0, -1.0, 1.0], "relu", bias=False)
start = jko.Particles((0.3 * generator.normal(size=(300, 3))).astype(np.float32))
noisy = F + 1e-5 * fn.Entropy() + fn.Potential("quadratic", stiffness=2e-4)
flow = jko.flow(F, start, jko.descent.ForwardEuler(), tau=0.5, n_steps=3000, store_every=20)
langevin = jko.flow(noisy, start, jko.descent.Langevin(), tau=0.5, n_steps=3000, store_every=20)

# %%
# The same loss by Adam, which knows no flow: it rescales gradients by their running size.


@jax.jit
def adam(x, mean, square, step):
    slope = jax.grad(lambda x: F.energy(jko.Particles(x, jnp.full(300, 1 / 300))))(x)
    mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
    return x - 0.01 * mean / (1 - 0.9**step) / (jnp.sqrt(square / (1 - 0.999**step)) + 1e-9), mean, square


state, adams = (jnp.asarray(start.positions), 0.0, 0.0), []
for step in range(3001):
    adams += [F(jko.Particles(np.asarray(state[0])))] if step % 20 == 0 else []
    state = adam(*state, step + 1.0)

# %%
# The energy of the flow falls at every step, towards nothing. On the right each neuron stands at
# :math:`|a| w`, red for negative a: those that carry the output have come to the rays of the teachers.

left, right = (figure := style.new_figure(9.0, 4.0)).subplots(1, 2)
losses = np.array([flow.energy, [F(mu) for mu in langevin.measures], adams]).T
left.semilogy(20 * np.arange(151), losses, label=["gradient flow", "with noise", "Adam"])
style.legend(style.tidy(left, "step", "loss F"))
right.plot(*np.stack([0 * teachers, 12 * teachers], axis=1).T, color="gold", linewidth=7, zorder=0)
a, *w = flow.final.positions.T
right.scatter(*(np.abs(a) * w), s=9, c=a, cmap="coolwarm_r", vmin=-1, vmax=1)
style.tidy(right, "|a| w₁", "|a| w₂").set(xlim=(-8, 8), ylim=(-8, 8), aspect="equal")
style.save(figure, f"{folder}/two_layer_network.png")
