"""
Energy decay and convexity
==========================

A functional that is :math:`\\lambda`-convex along Wasserstein geodesics, with :math:`\\lambda > 0`, loses
its excess energy at least as fast as :math:`e^{-2\\lambda t}`. A functional of this library declares its
:math:`\\lambda`; here the declarations are held against what the flow does.
"""

import sys

import functionals as fn
import jko

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
grid = jko.Grid.uniform(lower=-8.0, upper=8.0, cells=320)
start = jko.Density.gaussian(grid, mean=1.5, std=0.8)

# %%
# Entropy plus a quadratic potential of stiffness :math:`\lambda`: the bound is reached, by the motion of
# the mean.

runs = {}
for stiffness in (0.5, 1.0, 2.0):
    F = fn.Entropy() + fn.Potential("quadratic", stiffness=stiffness)
    runs[f"λ = {stiffness:g}"] = jko.flow(
        F, start, jko.limits.FiniteVolume(), tau=0.02, n_steps=120, store_every=4
    )
    print(f"declared {F.displacement_modulus(1):g}")

# %%
# Two wells and a hill between them: :math:`\lambda` is negative, nothing is promised, and the slow passage
# over the hill shows as a second, far smaller rate once each well has filled.

F = fn.Entropy() + fn.Potential("double_well", height=3.0, separation=3.0)
runs["double well"] = jko.flow(F, start, jko.limits.FiniteVolume(), tau=0.02, n_steps=600, store_every=15)
print(f"declared {F.displacement_modulus(1):.3g}")
jko.plotting.plot_energy(runs, path=f"{folder}/energy_decay.png")

# %%
# The rates beside what was declared. No rate may be less than :math:`2\lambda`.

for name, run in runs.items():
    decay = jko.comparison.fit_decay(run.times, run.energy)
    promised = 2.0 * run.displacement_modulus
    print(f"{name:12s} rate {decay.rate:.3f} ± {decay.error:.3f}, declared at least {promised:.3g}")
