"""
The porous medium: diffusion with a front
=========================================

With :math:`F(\\rho) = \\int \\rho^2` the flow is the porous medium equation :math:`\\partial_t \\rho =
\\Delta \\rho^2`. Where heat is felt everywhere at once, gas in a porous rock spreads with a front, at a
finite speed: the Barenblatt solution, whose radius grows as :math:`t^{1/3}`.
"""

import sys

import numpy as np

import functionals as fn
import jko

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
F = fn.Power(2.0)
exact = jko.exact.Barenblatt(exponent=2.0, dimension=1, start_time=0.1)
start = exact.on(jko.Grid.uniform(lower=-3.0, upper=3.0, cells=300))

# %%
# JKO moves cell edges, so it keeps the front sharp. Particles have no density, hence no such energy: `Blob`
# gives them one by smearing each over a width, and descends that. Its row shows what the smearing costs.

runs = {
    "JKO": jko.flow(F, start, jko.steps.Quantile(), tau=0.02, n_steps=40),
    "finite volumes": jko.flow(F, start, jko.limits.FiniteVolume(), tau=0.02, n_steps=40),
    "blob particles": jko.flow(F, start.sample(1000, seed=0), jko.descent.Blob(), tau=0.02, n_steps=40),
}
comparison = jko.compare(runs, exact=exact)
print(comparison)
comparison.plot_density(f"{folder}/porous_medium_density.png")

# %%
# The front, found as the edge of the last cell that holds a thousandth of the greatest density.

for t in comparison.times[::2]:
    density = runs["JKO"].at(t)
    held = density.grid.axes[0][density.values > 1e-3 * density.values.max()]
    print(f"t = {t:.2f}: front at {held.max():.3f}, exactly {exact.radius(t):.3f}")
print("growth of the radius:", np.round(exact.radius(0.8) / exact.radius(0.0), 3), "= 9^(1/3)")
