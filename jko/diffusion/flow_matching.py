"""Flow matching: a network learns the velocity that carries one measure to another."""

from __future__ import annotations

import numpy as np

from jko.diffusion.coupling import COUPLINGS, conditional, matched, pool, straight
from jko.diffusion.gaussian_path import GaussianPath
from jko.diffusion.matched_flow import MatchedFlow
from jko.diffusion.regression import Fit
from jko.errors import one_of, seed_number

_POOL, _PAIRS = 50_000, 16_384


def flow_matching(
    source,
    data,
    *,
    coupling: str = "independent",
    gradient: bool = True,
    steps: int = 4000,
    batch: int = 256,
    width: int = 64,
    depth: int = 3,
    rate: float = 5e-3,
    seed: int = 0,
    progress: bool | None = None,
) -> MatchedFlow:
    """A velocity v(x, t) whose flow carries `source` at t = 0 to `data` at t = 1, learnt from samples.

    v = argmin E|v(xₜ, t) − (x₁ − x₀)|², xₜ = (1 − t)x₀ + t x₁, over networks of `depth` layers of `width`
    units; pₜ is then the law of xₜ [LipmanEtAl2023, LiuGongLiu2023]. The measures are Particles, Densities
    or Gaussians; the source may be a `GaussianPath` instead, whose conditional velocity is the target.
    `coupling` "independent" draws x₀ and x₁ apart, "optimal" matches batches of 1024 draws by their optimal
    plan [TongEtAl2024]. With `gradient`, v is the gradient of a function, which keeps the marginals and lets
    `rectify` go on to the optimal map [Liu2022]; without it, training takes half the time.

    `steps` steps of Adam on `batch` pairs each, in float32. Raises TypeError or ValueError for measures of
    different dimension or of a mass other than 1, an unknown coupling, or a training that diverges.
    """
    one_of("coupling", coupling, COUPLINGS)
    seed = seed_number("seed", seed)
    fit = Fit(gradient=gradient, width=width, depth=depth, steps=steps, batch=batch, rate=rate, seed=seed)
    end = pool("data", data, _POOL, seed + 1)
    if isinstance(source, GaussianPath):
        if coupling != "independent":
            raise ValueError("coupling: a GaussianPath draws its own pairs, leave it 'independent'")
        draw, source = conditional(source, end), source.source(end)
    else:
        draw = None
    start = pool("source", source, _POOL, seed)
    if start.shape[1] != end.shape[1]:
        raise ValueError(
            f"source, data: expected the same dimension, got {start.shape[1]} and {end.shape[1]}"
        )
    if draw is None:
        together = coupling == "optimal"
        draw = straight(*(matched(start, end, _PAIRS, seed) if together else (start, end)), together)
    network = fit.run(draw, *_units(start, end), progress, "flow matching")
    return MatchedFlow(source, data, network, fit)


def _units(start, end):
    """The middle of both clouds, and their typical distance from it."""
    centre = 0.5 * (start.mean(axis=0) + end.mean(axis=0))
    spread = [np.mean(np.sum((cloud - centre) ** 2, axis=1)) for cloud in (start, end)]
    scale = float(np.sqrt(np.mean(spread) / len(centre)))
    return centre, scale if scale > 0.0 else 1.0
