"""
What a time step does to equilibrium
====================================

Every sampler of :math:`e^{-V/\\theta}` with a step :math:`\\tau` has an equilibrium of its own, near the one
that it is meant for. On a double well, :math:`V = x^2/2 + 2e^{-x^2}`, four integrators of Langevin dynamics
are wrong by very different amounts, for about the same work.
"""

import sys

import jax.numpy as jnp
import numpy as np

import functionals as fn
import jko
from jko.plotting import style

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
theta, n = 0.5, 500_000
F = theta * fn.Entropy() + fn.Potential(lambda x: jnp.sum(x**2 / 2 + 2 * jnp.exp(-(x**2))))
x = np.linspace(-7.0, 7.0, 4001)
weights = np.exp(-(x**2 / 2 + 2 * np.exp(-(x**2))) / theta)
exact = weights @ x**2 / weights.sum()
start = jko.Gaussian.of(0.0, 1.2).sample(n, seed=0)
start = start.with_positions(start.positions.astype(np.float32))

# %%
# The error of :math:`\int x^2` at time 12, when all have come to rest. The dotted line is two standard
# errors of a mean over n draws: what lies below it is noise.

schemes = [jko.descent.Langevin, jko.descent.StochasticHeun, jko.descent.LeimkuhlerMatthews]
schemes.append(jko.descent.UnderdampedLangevin)
figure = style.new_figure(10.5, 3.8)
left, right = figure.subplots(1, 2)
taus = np.array([0.6, 0.3, 0.15])
for k, kind in enumerate(schemes):
    finals = [jko.flow(F, start, kind(), tau=t, n_steps=round(12 / t), store_every=1000).final for t in taus]
    errors = [abs(float(np.mean(mu.positions.astype(float) ** 2)) - exact) for mu in finals]
    print(f"{kind.__name__:>19}: " + ", ".join(f"{e:.1e} at {t:g}" for e, t in zip(errors, taus)))
    left.loglog(taus, errors, "o", linestyle=style.line(k), color=style.colour(k), label=kind.__name__)
left.axhline(2 * np.sqrt((weights @ x**4 / weights.sum() - exact**2) / n), color="grey", linestyle=":")
style.legend(
    style.tidy(left, "time step τ", "error of ∫x² at equilibrium", "one functional, four integrators")
)

# %%
# With little friction the dynamics is no gradient flow: the energy of the positions swings. What falls is the
# free energy of positions and velocities together.

cloud = jko.Gaussian.of(2.0, 0.2).sample(4000, seed=1)
for k, kind in enumerate(("positions", "phase space")):
    swinging = jko.descent.UnderdampedLangevin(friction=0.5, energy_of=kind)
    run = jko.flow(F, cloud, swinging, tau=0.05, n_steps=200, store_every=4)
    right.plot(run.times, run.energy, style.line(k), color=style.colour(k), label=f"free energy, {kind}")
style.legend(style.tidy(right, style.TIME, "F", "little friction: which energy falls"))
style.save(figure, f"{folder}/bias_at_equilibrium.png")
