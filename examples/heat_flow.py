"""
Heat flow: the gradient flow of the entropy
===========================================

The flow of the entropy :math:`F(\\rho) = \\int \\rho \\log \\rho` in the Wasserstein space is the heat
equation :math:`\\partial_t \\rho = \\Delta \\rho`. A Gaussian stays one, of variance :math:`\\sigma_0^2 +
2t`, so the error of a run is known to the last digit.
"""

import sys

import functionals as fn
import jko

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
F = fn.Entropy()
start = jko.Density.gaussian(jko.Grid.uniform(lower=-8.0, upper=8.0, cells=300), mean=0.0, std=0.5)
exact = jko.exact.Heat(mean=0.0, std=0.5)

# %%
# One functional, two ways to move: JKO steps, each a minimisation, and finite volumes for the PDE. Every JKO
# step certifies itself by the gap between its value and a lower bound on every other value.

runs = {
    "JKO": jko.flow(F, start, jko.steps.Quantile(), tau=0.05, n_steps=20),
    "finite volumes": jko.flow(F, start, jko.limits.FiniteVolume(), tau=0.05, n_steps=20),
}
comparison = jko.compare(runs, exact=exact)
print(comparison)
comparison.plot_density(f"{folder}/heat_density.png")

# %%
# Where does the error of JKO come from? From the time step: halve it, and the error halves. `convergence`
# repeats the run and reports the order that it sees.


def steps_to_time_one(tau):
    return jko.flow(F, start, jko.steps.Quantile(), tau=tau, n_steps=round(1.0 / tau))


study = jko.convergence(steps_to_time_one, values=[0.2, 0.1, 0.05, 0.025], parameter="tau", exact=exact)
print(study)
study.plot(f"{folder}/heat_order.png")
