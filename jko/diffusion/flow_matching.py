"""Flow matching: a network learns the velocity that carries one measure to another."""

from __future__ import annotations

import numpy as np

from jko.diffusion.coupling import COUPLINGS, conditional, matched, pool, straight
from jko.diffusion.gaussian_path import GaussianPath
from jko.diffusion.matched_flow import MatchedFlow
from jko.diffusion.network import spread_of_axes
from jko.diffusion.tolerances import TOLERANCES
from jko.diffusion.training import Training
from jko.errors import one_of
from jko.measures import Measure


def flow_matching(
    source: Measure,
    data: Measure,
    *,
    coupling: str = "independent",
    training: Training | None = None,
    progress: bool | None = None,
) -> MatchedFlow:
    """A velocity v(x, t) whose flow carries `source` at t = 0 to `data` at t = 1, learnt from samples.

    v = argmin E|v(xₜ, t) − (x₁ − x₀)|², xₜ = (1 − t)x₀ + t x₁, over networks fitted as `training` says; pₜ
    is then the law of xₜ [LipmanEtAl2023, LiuGongLiu2023]. The measures are Particles, Densities or
    Gaussians; the source may be a `GaussianPath` instead, whose conditional velocity is the target.
    `coupling` "independent" draws x₀ and x₁ apart, "optimal" matches batches of 1024 draws by their optimal
    plan [TongEtAl2024]. Of a gradient, v keeps the marginals, and `rectify` goes on to the optimal map
    [Liu2022].

    Raises TypeError or ValueError for measures of different dimension or of a mass other than 1, an unknown
    coupling, or a training that diverges.
    """
    one_of("coupling", coupling, COUPLINGS)
    training = Training.given(training)
    seed = training.seed
    end = pool("data", data, TOLERANCES.pool, seed + 1)
    if isinstance(source, GaussianPath):
        if coupling != "independent":
            raise ValueError("coupling: a GaussianPath draws its own pairs, leave it 'independent'")
        draw, source = conditional(source, end), source.source(end)
    else:
        draw = None
    start = pool("source", source, TOLERANCES.pool, seed)
    if start.shape[1] != end.shape[1]:
        raise ValueError(
            f"source, data: expected the same dimension, got {start.shape[1]} and {end.shape[1]}"
        )
    if draw is None:
        together = coupling == "optimal"
        draw = straight(
            *(matched(start, end, TOLERANCES.matched_pairs, seed) if together else (start, end)), together
        )
    network = training.fit(draw, *_units(start, end), progress, "flow matching")
    return MatchedFlow(source, data, network, training)


def _units(start: np.ndarray, end: np.ndarray):
    """The middle of both clouds, and their typical distance from it along an axis."""
    centre = 0.5 * (start.mean(axis=0) + end.mean(axis=0))
    squares = [np.mean((cloud - centre) ** 2, axis=0) for cloud in (start, end)]
    return centre, spread_of_axes(np.mean(squares, axis=0))
