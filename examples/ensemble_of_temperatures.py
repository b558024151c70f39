"""
An ensemble: which temperature crosses the barrier
==================================================

Particles start in the left half of a double well, :math:`F = \\theta \\int\\rho\\log\\rho + \\int V
d\\rho`. How many have crossed at a given time? One call runs every temperature with every seed.
"""

import sys
from pathlib import Path

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import functionals as fn
import jko

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
Path(folder).mkdir(exist_ok=True)
well = fn.Potential(lambda x: 2.0 * (x[0] ** 2 - 1.0) ** 2)
start = jko.Particles(np.full((400, 1), -1.0, dtype=np.float32))

# %%
# The scheme averages over its particles inside the compiled steps: the share that is right of the barrier,
# after every step, and no particle is stored for it. The eighty runs are one compiled call.

scheme = jko.descent.Langevin(observables={"crossed": lambda x: jnp.where(x[0] > 0, 1.0, 0.0)})
over = {"temperature": [0.3, 0.5, 0.8, 1.2], "seed": range(20)}
runs = jko.ensemble(fn.Entropy() + well, start, scheme, over=over, tau=0.01, n_steps=1000)
crossed = runs["crossed"]
print(crossed.isel(step=-1).mean("seed").to_series().round(3).to_string())

# %%
# Low temperatures are far from their equilibrium of one half, by Kramers' law: the rate falls as
# :math:`e^{-\Delta V/\theta}`. Bands are one standard deviation over seeds.

figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
time = 0.01 * np.arange(1, 1001)
for temperature in over["temperature"]:
    of_seeds = crossed.sel(temperature=temperature)
    mean, spread = of_seeds.mean("seed").values, of_seeds.std("seed").values
    (line,) = axes.plot(time, mean, label=f"θ = {temperature:g}")
    axes.fill_between(time, mean - spread, mean + spread, color=line.get_color(), alpha=0.25)
axes.axhline(0.5, color="black", linestyle=":")
axes.set(xlabel="time t", ylabel="share right of the barrier")
axes.legend(title="temperature", loc="center left", bbox_to_anchor=(1.0, 0.5))
figure.savefig(f"{folder}/ensemble_of_temperatures.png", dpi=110)
