"""
Moreau envelopes: the JKO step on a line
========================================

:math:`e_sf(x) = \\min_y \\frac{|x-y|^2}{2s} + f(y)` is what a JKO step is in :math:`W_2`, for a function of a
number: the minimiser is the proximal map, a backward Euler step of :math:`\\dot x = -f'(x)`, and the envelope
is smooth where :math:`f` has kinks, with :math:`\\nabla e_sf = (\\mathrm{id} - \\mathrm{prox}_{sf})/s`.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import jko
from jko.transport import conjugate, inf_convolution, moreau_envelope, prox

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
grid = jko.Grid.uniform(lower=-2.0, upper=2.0, cells=800)
x = grid.axes[0]
f = np.abs(x) + 0.3 * np.cos(6.0 * x)
steps = (0.02, 0.1, 0.5)

# %%
# The identity of envelope and proximal map, and that of Legendre: the conjugate of an infimal convolution is
# the sum of the conjugates.

for s in steps:
    slope = np.gradient(moreau_envelope(f, s, grid), x)
    off = np.abs(slope - (x - prox(f, s, grid)[:, 0]) / s)[5:-5]
    print(f"s = {s}: gradient of the envelope off (id - prox)/s by {np.median(off):.1e} in the median")
both, wide = inf_convolution(f, x**2, grid)
slopes = jko.Grid.uniform(lower=-0.9, upper=0.9, cells=201)
total = conjugate(f, grid, slopes) + conjugate(x**2, grid, slopes)
print(f"(f □ g)* - f* - g* is {np.abs(conjugate(both, wide, slopes) - total).max():.1e} at most")

# %%
# Small steps keep the wells, large ones see the whole; the proximal map stays in a well or jumps to another.

figure, panels = plt.subplots(1, 3, figsize=(13, 4.0), layout="constrained")
panels[0].plot(x, f, color="black", label="f")
panels[1].plot(x, x, color="black", linewidth=0.8, linestyle=":")
panels[2].plot(x, np.gradient(f, x), color="black", linewidth=0.8, label="f′")
for s, colour in zip(steps, plt.cm.viridis((0.15, 0.5, 0.85)), strict=True):
    panels[0].plot(x, moreau_envelope(f, s, grid), color=colour, label=f"$e_sf$, s = {s}")
    panels[1].plot(x, prox(f, s, grid)[:, 0], ".", color=colour, markersize=1.5)
    panels[2].plot(x, (x - prox(f, s, grid)[:, 0]) / s, ".", color=colour, markersize=1.5)
panels[0].set(title="envelopes", xlabel="x")
panels[0].legend(frameon=False)
panels[1].set(title="proximal map: where the step goes", xlabel="x")
panels[2].set(title="(x − prox)/s, the envelope's gradient", xlabel="x")
Path(folder).mkdir(parents=True, exist_ok=True)
figure.savefig(f"{folder}/moreau_envelopes.png", dpi=110)
