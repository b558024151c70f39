"""
Two tissues that segregate
==========================

Cells of two kinds flow down the pressure of all, a flow of :math:`\\frac12\\int(\\rho_1+\\rho_2)^2`. On the
line the sum is Barenblatt's profile and the border stays at its share of the mass, but is smeared over some
cells of the grid; in the plane colonies spread until they meet.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import functionals as fn
import jko

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
F = 0.5 * fn.TotalInternal(fn.Power(2.0))
scheme = jko.steps.SpeciesInTurn(jko.limits.FiniteVolume(), order=2)
grid = jko.Grid.uniform(-2.0, 2.0, 400)
x, h = grid.axes[0], grid.spacing[0]
law = jko.exact.Barenblatt(exponent=2.0, start_time=0.05)  # of ∂ρ = Δρ²: twice as fast
profile, held = law.on(grid).values, np.cumsum(law.on(grid).masses)
share = np.clip((0.25 - held + profile * h) / (profile * h + 1e-300), 0.0, 1.0)  # a has a quarter
start = jko.Species(a=jko.Density(grid, share * profile), b=jko.Density(grid, (1.0 - share) * profile))
line = jko.flow(F, start, scheme, tau=0.02, n_steps=40)
error = np.abs(line.final.total_values() - law.on(grid, 0.5 * line.times[-1]).values).sum() * h
print(f"the sum of both against Barenblatt's profile: {error:.1e} in L1")

plane = jko.Grid.uniform((-1.0, -1.0), (1.0, 1.0), (64, 64))
rng = np.random.default_rng(7)
centres = 0.4 * np.indices((5, 5)).reshape(2, 25).T - 0.8 + rng.uniform(-0.11, 0.11, (25, 2))
colony = [np.maximum(1.0 - np.sum((plane.centers - c) ** 2, axis=-1) / 0.01, 0.0) for c in centres]
kinds = np.arange(2)[:, None] == rng.permutation(25) % 2
cells = [jko.Density(plane, np.tensordot(kind, colony, 1)) for kind in kinds]
tissue = jko.flow(F, jko.Species(a=cells[0], b=cells[1]), scheme, tau=0.008, n_steps=20, store_every=4)

figure, panels = plt.subplots(1, 5, figsize=(17, 3.6), layout="constrained", width_ratios=(1.2, 1.2, 1, 1, 1))
for k, alpha in ((0, 0.35), (10, 0.55), (40, 1.0)):
    a, total = line.measures[k]["a"].values, line.measures[k].total_values()
    panels[0].stackplot(x, a, total - a, colors=("crimson", "steelblue"), alpha=alpha)
    panels[0].plot(x, law.on(grid, 0.5 * line.times[k]).values, "k--", lw=0.9)
panels[0].set(xlabel="x (nondimensional)", ylabel="density, stacked", title="t = 0, 0.2, 0.8; exact dashed")
shares = np.array([mu["a"].values / np.maximum(mu.total_values(), 1e-300) for mu in line.measures])
shares[[mu.total_values() < 1e-3 for mu in line.measures]] = np.nan
panels[1].pcolormesh(x, line.times, shares, cmap="RdBu_r", vmin=-0.15, vmax=1.15)
growth = (1.0 + 0.5 * line.times / law.start_time) ** law.beta
for place in (-law.radius(), law.radius(), np.interp(0.25, held, x + 0.5 * h)):
    panels[1].plot(place * growth, line.times, "k--", linewidth=0.9)
panels[1].set(xlabel="x (nondimensional)", ylabel="time t", title="Share of the red tissue; exact dashed")
for panel, k in zip(panels[2:], (1, 2, 5), strict=True):
    a, b = (tissue.measures[k][name].values.T / 0.3 for name in "ab")
    light = 1.0 - np.stack([0.14 * a + 0.73 * b, 0.92 * a + 0.49 * b, 0.76 * a + 0.29 * b], axis=-1)
    panel.imshow(np.clip(light, 0.0, 1.0), origin="lower", extent=(-1, 1, -1, 1))
    panel.set(title=f"t = {tissue.times[k]:.2g}", xlabel="x₁ (nondimensional)", ylabel="x₂")
Path(folder).mkdir(parents=True, exist_ok=True)
figure.savefig(f"{folder}/segregation.png", dpi=120)
