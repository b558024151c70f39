"""
A crowd that leaves
===================

Everybody takes the shortest way to a door, nobody can enter where it is full, and who reaches a door is out:
:math:`\\partial_t\\rho = \\nabla\\cdot(\\rho\\nabla(V + p))` with :math:`\\rho \\le 1`, :math:`p \\ge 0` and
:math:`p\\,(1 - \\rho) = 0`. :math:`V` is the length of the way to the nearest of two doors, round a pillar.
"""

import sys

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import functionals as fn
import jko
from jko.plotting import draw, style

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
N, TAU, STEPS = 192, 0.006, 100


def doors(x):
    right = (x[0] > 0.985) & (jnp.abs(x[1] - 0.55) < 0.07)
    return right | ((x[1] < 0.015) & (jnp.abs(x[0] - 0.62) < 0.045))


def inside(x):
    hall = (jnp.abs(x[0] - 0.5) < 0.485) & (jnp.abs(x[1] - 0.5) < 0.485)
    return hall & (jnp.sum((x - jnp.array([0.84, 0.53])) ** 2) > 0.055**2) | doors(x)


room = jko.Grid.uniform((0.0, 0.0), (1.0, 1.0), N, inside=inside, doors=doors)
crowd = jko.Density.uniform(room, (0.45, 0.3), (0.75, 0.8))
crowd = crowd.with_values(0.8 * crowd.values / crowd.values.max())
way = fn.Potential.gridded(room.distance(), room.lower, room.upper)
run = jko.flow(way + fn.Cap(1.0), crowd, jko.limits.FiniteVolume(), tau=TAU, n_steps=STEPS, store_every=5)

out = np.cumsum(run.info.detail("out"))
print(f"inside {run.final.mass:.4f} + out {out[-1]:.4f}, {run.final.mass + out[-1] - crowd.mass:.1e} in all")
print(f"most beyond the cap {max(mu.values.max() for mu in run.measures) - 1.0:.1e}")
ways = np.ma.masked_array(room.distance(), ~room.inside)
figure = plt.figure(figsize=(11, 6.2), layout="constrained")
panels = figure.subplot_mosaic([["a", "b", "c"], ["d", "e", "left"]])
for name, t in zip("abcde", TAU * STEPS * np.array([0.0, 0.1, 0.3, 0.6, 1.0]), strict=True):
    axes = style.tidy(panels[name], title=f"t = {t:.2f}")
    axes.grid(False)
    image = draw.heat(axes, *draw.heat_values(run.at(t), None, None), 1.0)
    axes.contour(*room.axes, ways.T, 12, colors="k", linewidths=0.25)
    axes.plot(*room.points[room.doors.ravel()].T, "s", color=style.colour(1), ms=2.5)
    axes.set(xlabel="x₁ (nondimensional)", ylabel="x₂ (nondimensional)")
figure.colorbar(image, ax=panels["c"], shrink=0.8).set_label("density ρ, at most 1")
left = style.tidy(panels["left"], style.TIME, "share of the crowd", "inside, and out")
times = TAU * np.arange(1, STEPS + 1)
left.plot(times, 1.0 - out / crowd.mass, color=style.colour(0), label="inside")
left.plot(times, out / crowd.mass, color=style.colour(1), label="out through the doors")
style.legend(left)
style.save(figure, f"{folder}/a_crowd_that_leaves.png")
