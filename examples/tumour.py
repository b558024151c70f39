"""
A tumour that grows under a cap
===============================

Cells divide where there is nutrient and push their neighbours aside, since no place holds more than one unit
of them: :math:`\\partial_t\\rho = \\nabla\\cdot(\\rho\\nabla p) + g\\rho`, with a pressure :math:`p` that is
0 where there is room. The transport is crowd motion, a flow of the constraint; growth a reaction beside it.
First a ball in a uniform nutrient, whose radius is known, then three seeds beside two vessels.
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
n, F = 72, fn.Cap(1.0)
grid = jko.Grid.uniform((-2.0, -2.0), (2.0, 2.0), (n, n))
x, y = grid.centers[..., 0], grid.centers[..., 1]


def run(start, growth, time):
    scheme = jko.limits.FiniteVolume(reaction=growth)
    return jko.flow(F, jko.Density(grid, 1.0 * start), scheme, tau=time / 140, n_steps=140, store_every=35)


ball = run(x**2 + y**2 < 0.5, lambda z, rho: 1.0, 1.5)
radius = np.sqrt([mu.mass / np.pi for mu in ball.measures])
print(f"radius {radius[-1]:.4f}, e^(gt/2) times the first {radius[0] * np.exp(0.75):.4f}")


def nutrient(z, rho):
    vessels = jnp.stack([z[1] - 0.9 - 0.3 * jnp.sin(2.0 * z[0]), z[0] + 0.2 * z[1] - 0.9])
    return 1.7 * jnp.exp(-((vessels / 0.3) ** 2)).sum() - 0.4


seeds = [(-1.0, 0.75), (0.2, -0.1), (1.05, -1.0)]
grown = run(sum((x - a) ** 2 + (y - b) ** 2 < 0.09 for a, b in seeds) > 0, nutrient, 3.0)
made, left = (sum(grown.info.detail(name)) for name in ("made", "left"))
print(f"mass {grown.measures[0].mass:.3f} + made {made:.3f} - died {left:.3f} = {grown.final.mass:.3f}")

figure, panels = plt.subplots(1, 5, figsize=(15, 3.4), sharex=True, sharey=True, layout="constrained")
rate = np.asarray(jax.vmap(nutrient)(grid.points, jnp.zeros(n * n))).reshape(n, n)
for panel, mu, t in zip(panels, grown.measures, grown.times, strict=True):
    image = panel.imshow(mu.values.T, origin="lower", extent=(-2, 2, -2, 2), vmin=0, vmax=1, cmap="RdPu")
    panel.contour(x, y, rate, levels=[0.0, 1.0], colors="teal", linestyles=["--", "-"], linewidths=0.8)
    panel.set(title=f"t = {t:.2g}, mass {mu.mass:.2f}", xlabel="$x_1$")
panels[0].set_ylabel("$x_2$")
figure.colorbar(image, ax=panels, label="density (growth rate 0, 1 in teal)")
Path(folder).mkdir(parents=True, exist_ok=True)
figure.savefig(f"{folder}/tumour.png", dpi=120)
