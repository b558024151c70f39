"""
The evidence bound of DDPM, and what it misses
==============================================

The discrete chain with the exact denoiser of a mixture: no network errs, so that what its bound lacks of the
log-likelihood is the chain's own. With the variances β of the forward steps the gap falls as 1/T; with those
of q(xₜ₋₁ | xₜ, x₀), too small for data that have a density, a part of it stays.
"""

import sys

import numpy as np

from jko import diffusion
from jko.diffusion.coefficients import at_points
from jko.plotting import style

folder = sys.argv[1] if len(sys.argv) > 1 else "results"
counts = np.array([30, 60, 120])


def laws(chain):
    """The law under the chain's noise, 6000 draws of it, and log p₀ there."""
    law = diffusion.NoisedMixture([-1.0, 0.8], [0.02, 0.05], [0.4, 0.6], schedule=chain.schedule)
    cloud = law.sample(6000, 0.0, seed=0)
    return law, cloud, at_points(lambda x, t: law.log_density(x, t)[None], cloud.positions, 0.0)[:, 0]


# %%
# The gap by the number of steps, the terms of the bound, and ancestral draws over the density.
figure = style.new_figure(11.5, 3.7)
panels = figure.subplots(1, 3)
for k, (name, make) in enumerate((("cosine", diffusion.DDPM.cosine), ("linear", diffusion.DDPM.linear))):
    chains = [make(steps) for steps in counts]
    seen = [laws(chain) for chain in chains]
    for variance, line in (("forward", "o-"), ("posterior", "s--")):
        runs = [
            (chain.bound(law.score, cloud, 10, variance=variance), exact)
            for chain, (law, cloud, exact) in zip(chains, seen, strict=True)
        ]
        gaps, errors = np.transpose([bound.gap(exact) for bound, exact in runs])
        print(f"{name:>6}, {variance:>9}: " + "  ".join(f"{gap:.4f}" for gap in gaps))
        look = {"color": style.colour(k), "markersize": 4, "label": f"{name}, {variance}"}
        panels[0].errorbar(counts, gaps, errors, fmt=line, **look)
        panels[1].loglog(np.arange(1, counts[-1]), runs[-1][0].terms[1:-1], line[1:], color=style.colour(k))
panels[0].set(xscale="log", yscale="log")
panels[0].set_xticks(counts, counts)
panels[0].set_xticks([], minor=True)
style.tidy(panels[0], "steps T", "bound less −E log p₀ (nats)", "the gap")
style.tidy(panels[1], "t", "Lₜ (nats)", "terms of the bound, T = 120")
chain, (law, *_) = chains[-1], seen[-1]
drawn = chain.sample(law.score, 20_000, 1, 2).positions[:, 0]
panels[2].hist(drawn, 90, density=True, color=style.colour(1), alpha=0.5, label="ancestral draws")
x = np.linspace(-1.8, 1.8, 400)[:, None]
panels[2].plot(x, np.exp(at_points(lambda x, t: law.log_density(x, t)[None], x, 0.0)), "k", label="density")
style.tidy(panels[2], "x (nondimensional)", "density", "linear, T = 120")
panels[2].set_ylim(0.0, 1.5)
for axes in (panels[0], panels[2]):
    style.legend(axes)
style.save(figure, f"{folder}/ddpm_bound.png")
