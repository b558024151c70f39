"""
Fokker-Planck three ways
========================

Entropy plus a quadratic potential: the flow is the Fokker-Planck equation :math:`\\partial_t \\rho = \\Delta
\\rho + \\nabla \\cdot (\\rho \\nabla V)`. The same functional moves a density by JKO steps, solved as convex
programs, a cloud of particles by Langevin dynamics, and the PDE by finite volumes.
"""

import sys

import jax.numpy as jnp

import functionals as fn
import jko

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
F = fn.Entropy() + fn.Potential(lambda x: 0.5 * jnp.sum(x**2), modulus=1.0)
grid = jko.Grid.uniform(lower=-6.0, upper=6.0, cells=400)
rho0 = jko.Density.gaussian(grid, mean=1.5, std=0.5)

# %%
# Three engines, one functional. Langevin reads its temperature off the functional: nobody passes it twice.
# Energies are taken at stored times only, so `store_every` saves the estimates of the cloud's entropy.

runs = {
    "JKO": jko.flow(F, rho0, jko.steps.Cvxpy(), tau=0.05, n_steps=40),
    "Langevin": jko.flow(
        F, rho0.sample(20_000, seed=0), jko.descent.Langevin(seed=1), tau=0.01, n_steps=200, store_every=5
    ),
    "Fokker-Planck": jko.flow(F, rho0, jko.limits.FiniteVolume(), tau=0.01, n_steps=200, store_every=5),
}

# %%
# Side by side. The row of a sample says what distance as many independent draws from the exact answer would
# have: a cloud cannot be expected to come closer. The decay rate is to be held against :math:`2\lambda`,
# here 2.

comparison = jko.compare(runs, exact=jko.exact.OrnsteinUhlenbeck(mean=1.5, std=0.5))
print(comparison)
comparison.plot_density(f"{folder}/three_ways_density.png")

# %%
# The excess energy falls at least as fast as :math:`e^{-2\lambda t}`: the shaded half of the right panel is
# forbidden.

comparison.plot_energy(f"{folder}/three_ways_energy.png")
