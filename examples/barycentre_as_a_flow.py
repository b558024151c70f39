"""
A barycentre as a flow
======================

Σ λᵢ ½W₂²(·, νᵢ) is a functional like any other: particles that descend it run from one measure to the
Wasserstein barycentre of all, and never see more than optimal plans.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import jko

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results")
folder.mkdir(parents=True, exist_ok=True)

n = 150
angle = 2.0 * np.pi * np.arange(n) / n
generator = np.random.default_rng(0)
ring = np.stack([np.cos(angle), np.sin(angle)], axis=1) * 0.8 + np.array([-2.0, 0.0])
bar = np.stack([np.linspace(-1.0, 1.0, n), 0.1 * generator.normal(size=n)], axis=1) + np.array([2.0, 0.0])
across = bar - np.array([2.0, 0.0])
cross = np.concatenate([across[::2], across[1::2, ::-1]]) + np.array([0.0, 3.0])
targets = [jko.Particles(points) for points in (ring, bar, cross)]

F = sum(jko.transport.SquaredDistance(nu) / 3 for nu in targets)
start = jko.Gaussian.of((0.0, -1.5), 0.15, dimension=2).sample(n, seed=1)
run = jko.flow(F, start, jko.descent.ForwardEuler(), tau=0.15, n_steps=40)

figure, (left, right) = plt.subplots(1, 2, figsize=(10.0, 4.4), layout="constrained")
for nu, color in zip(targets, ("tab:blue", "tab:green", "tab:orange")):
    left.scatter(*nu.positions.T, s=6, color=color)
paths = np.stack([mu.positions for mu in run.measures])
left.plot(paths[:, ::5, 0], paths[:, ::5, 1], color="0.75", linewidth=0.6)
left.scatter(*start.positions.T, s=6, color="0.6", label="start")
left.scatter(*run.final.positions.T, s=8, color="black", label="barycentre")
left.set(xlabel="x₁ (nondimensional)", ylabel="x₂", aspect="equal", title="three measures, a flow")
left.legend()
right.semilogy(run.times[:-1], run.energy[:-1] - run.energy[-1], color="black", marker=".")
right.set(xlabel="time (nondimensional)", ylabel="F − F at the end", title="½ Σ W₂²/3")
figure.savefig(folder / "barycentre_as_a_flow.png", dpi=150)
