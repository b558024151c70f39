"""
Six decades of a blast: Barenblatt in space, on log-spaced shells
=================================================================

Gas let go at a point of porous rock is a ball whose radius grows as :math:`t^{1/5}`, for ever. What depends
on :math:`|x|` alone moves at the cost of a line, in shells whose radii are as close as the start asks for;
the optimal map of a JKO step is then radial.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import functionals as fn
import jko

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results")
folder.mkdir(parents=True, exist_ok=True)
shells = jko.Grid.radial(np.append(0.0, np.geomspace(4e-3, 2.5, 400)), dimension=3)
scheme = jko.steps.SecondOrder(jko.steps.Quantile())
law = jko.exact.Barenblatt(exponent=2.0, dimension=3, start_time=1e-6)

# %%
# Each decade is twenty steps, of lengths that grow with it; after each the state is held against the law.

mu, t, rows = law.on(shells), 0.0, []
for decade in np.arange(6):
    end = 10.0 ** (decade - 5.0) - law.start_time
    taus = np.diff(np.geomspace(t + law.start_time, end + law.start_time, 21))
    for tau in taus:
        mu = jko.flow(fn.Power(2.0), mu, scheme, tau=tau, n_steps=1).final
    t = end
    rows.append((t + law.start_time, mu, law.on(shells, t)))
    error = jko.wasserstein(mu, rows[-1][2]) / law.radius(t)
    print(f"t = {t + law.start_time:.0e}: W2 to the law {error:.1e} of the radius")

# %%
# Left, six densities, dots on the law's lines; right, how far the gas has come.

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
colours = plt.colormaps["viridis"](np.linspace(0.0, 0.9, len(rows)))
for (time, density, exact), colour in zip(rows, colours, strict=True):
    held, look = density.values > 0.0, {"color": colour, "ms": 5, "label": f"t = {time:.0e}"}
    left.loglog(shells.axes[0][exact.values > 0.0], exact.values[exact.values > 0.0], color=colour)
    left.loglog(shells.axes[0][held][::6], density.values[held][::6], ".", **look)
left.set(xlabel="radius r", ylabel="density ρ", ylim=(1e-2, None), title="JKO steps, and Barenblatt's law")
left.legend(fontsize=8, frameon=False)
times = [time for time, _, _ in rows]
found, exact = ([np.trace(row[k].covariance()) ** 0.5 for row in rows] for k in (1, 2))
right.loglog(times, found, "o", label="JKO steps")
right.loglog(times, exact, label="the law, slope 1/5")
right.set(xlabel="time t", title="root of the mean square radius")
right.legend(fontsize=8, frameon=False)
figure.savefig(f"{folder}/barenblatt_in_space.png", dpi=130)
