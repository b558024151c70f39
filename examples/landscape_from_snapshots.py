"""
A landscape from snapshots
==========================

Two thousand points run down into three wells, with noise, and are seen four times; nobody says which is
which. From these snapshots alone :func:`jko.learn.fit` finds the potential, and the functional that it
returns moves a cloud that it has never seen.
"""

import sys
import warnings
from pathlib import Path

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import functionals as fn
import jko
from functionals import pointwise

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
WELLS = np.array([[1.4, 0.2], [-1.0, 1.1], [-0.6, -1.3]])


def V(x):
    return 0.15 * jnp.sum(x**2) - jnp.sum(jnp.exp(-jnp.sum((x - WELLS) ** 2, axis=1) / 0.8))


start = jko.Gaussian.of([0.0, 0.0], 0.9).sample(2000, seed=0)
run = jko.flow(
    fn.Potential(V) + 0.05 * fn.Entropy(), start, jko.descent.Langevin(), tau=0.01, n_steps=60, store_every=20
)
rng = np.random.default_rng(1)
seen = jko.learn.Snapshots(run.times, [rng.permutation(mu.positions) for mu in run.measures])

# %%
# Bumps at some of the points, the noise known. The fit warns that V is known where points were, no farther.
warnings.simplefilter("ignore", UserWarning)
fit = jko.learn.fit(seen, jko.learn.Radial(centres=60, width=0.7), temperature=0.05, refinement=3)
ahead = fit.predict(jko.Gaussian.of([0.5, 0.5], 0.6).sample(800, seed=2), [0.0, 0.6])

# %%
# Left what moved the points, right what was learnt, and where it leads the new cloud.
figure, panels = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
axis = np.linspace(-2.4, 2.4, 90)
points = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
for axes, f, title in zip(panels, (V, fit.V), ("the potential", "learnt from four snapshots"), strict=True):
    height = pointwise.values(f, points).reshape(90, 90)
    shade = axes.contourf(
        axis, axis, (height - height.min()).T, levels=np.arange(0.0, 2.5, 0.2), extend="max"
    )
    axes.plot(*seen[-1].positions.T, ".", color="white", markersize=1.5, alpha=0.6)
    axes.set(title=title, xlabel="x₁", ylabel="x₂", aspect="equal", xlim=(-2.4, 2.4), ylim=(-2.4, 2.4))
panels[1].plot(*ahead.final.positions.T, ".", color="#D55E00", markersize=2.5, label="a new cloud, foretold")
panels[1].legend(loc="upper right", fontsize=8, markerscale=4.0)
figure.colorbar(shade, ax=panels, label="V − min V (nondimensional)")
Path(folder).mkdir(parents=True, exist_ok=True)
figure.savefig(f"{folder}/landscape_from_snapshots.png", dpi=120)
