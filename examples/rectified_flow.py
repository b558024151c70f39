"""
Flow matching, and rectified flow
=================================

A network learns the velocity that carries eight Gaussians to two moons. With source and data paired at random
the paths bend; rectification pairs each point with where the flow took it, and straightens them. A field that
is a gradient goes on to the optimal map, a plain one may keep turning for ever.
"""

import sys
from dataclasses import replace

import numpy as np

import jko
from jko import diffusion
from jko.plotting import style

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
source, data = diffusion.eight_gaussians(20_000, seed=0), diffusion.two_moons(20_000, seed=1)
quick = diffusion.Training(steps=2000, width=48)
bent = diffusion.flow_matching(source, data, training=quick)
straight = bent.rectify()
plain = diffusion.flow_matching(source, data, training=replace(quick, gradient=False)).rectify()

# %%
# The transport cost beside the least possible between the same two clouds, and the distance of samples from
# fresh data beside that of other fresh data.

flows = {"flow matching": bent, "a plain field, rectified": plain, "a gradient, rectified": straight}
fresh = [diffusion.two_moons(500, seed=k) for k in range(10, 16)]


def report(name, draws, *figures):
    apart = np.mean([jko.wasserstein(cloud, other) for cloud, other in zip(draws, fresh, strict=True)])
    print(f"{name:>31s}" + "".join(f"{figure:14.4f}" for figure in (apart, *figures)))


print(f"{'':>31s}" + "".join(f"{title:>14s}" for title in ("W2 to data", "cost/W2^2", "straightness")))
for name, flow in flows.items():
    ratio = flow.transport_cost / flow.wasserstein_squared
    report(name, [flow.sample(500, k) for k in range(6)], ratio, flow.straightness)
report("other data", [diffusion.two_moons(500, seed=k) for k in range(6)])

# %%
# The paths of the same points under the three flows.

start = diffusion.eight_gaussians(240, seed=4)
figure = style.new_figure(11.5, 3.9)
for axes, (name, flow) in zip(figure.subplots(1, 3), flows.items(), strict=True):
    x, y = flow.paths(start).positions.transpose(2, 0, 1)
    axes.plot(x, y, color=style.GREY, linewidth=0.5, alpha=0.6)
    for k, (end, label) in enumerate(((0, "t = 0"), (-1, "t = 1"))):
        axes.scatter(x[end], y[end], s=7, color=style.colour(k), zorder=3, label=label)
    ratio = flow.transport_cost / flow.wasserstein_squared
    style.tidy(axes, "x₁", "x₂", f"{name}: cost {ratio:.2f} W₂²")
    axes.set(aspect="equal", xlim=(-2.7, 2.7), ylim=(-2.5, 2.5))
    style.legend(axes, loc="upper right")
style.save(figure, f"{folder}/rectified_flow.png")
