"""The three views of an SDE, and how far their marginals are apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jko.diffusion.arguments import instance
from jko.diffusion.density_path import DensityPath
from jko.diffusion.paths import Paths, checked_times, refine
from jko.diffusion.tolerances import TOLERANCES
from jko.errors import seed_number, whole_number
from jko.measures import Density
from jko.transport import wasserstein


@dataclass(frozen=True)
class Views:
    """Marginals at times `[m + 1]` from one start: `paths`, `densities` (Fokker–Planck) and `flow` (the ODE).

    Distances of each to the Fokker–Planck density, `[m + 1]`: `l1_flow` and `w2_flow` of the ODE's;
    `l1_paths`, of the paths counted in `bins`, beside `l1_sampling`, what as many independent draws are
    expected to have; `w2_paths` beside `w2_sampling`, the mean of as many draws from the density. `note` is
    empty, or says that it is the Fokker–Planck density which the grid did not resolve.
    """

    times: np.ndarray
    paths: Paths
    densities: list[Density]
    flow: list[Density]
    l1_flow: np.ndarray
    w2_flow: np.ndarray
    l1_paths: np.ndarray
    l1_sampling: np.ndarray
    w2_paths: np.ndarray
    w2_sampling: np.ndarray
    note: str = ""

    def __str__(self):
        names = ("l1_flow", "w2_flow", "l1_paths", "l1_sampling", "w2_paths", "w2_sampling")
        lines = ["       t  " + "  ".join(f"{name:>11}" for name in names)]
        for k, t in enumerate(self.times):
            lines.append(f"{t:8.3g}  " + "  ".join(f"{getattr(self, name)[k]:11.2e}" for name in names))
        return "\n".join([*lines, self.note] if self.note else lines)


def compare(sde, density: Density, times, n: int, seed: int, steps: int) -> Views:
    """See `SDE.compare_views`; the score of the ODE is that of the density on the grid."""
    instance("density", density, Density, ": put it on a grid first")
    if abs(density.mass - 1.0) > TOLERANCES.same_mass:
        raise ValueError(f"density: expected mass 1, got {density.mass:.6g}: call .normalized()")
    times, n, seed = checked_times(times, False), whole_number("n", n, 2), seed_number("seed", seed)
    fine, chosen = _even_steps(times, whole_number("steps", steps))
    order = 2 if any(cells % 2 or cells < 12 for cells in density.grid.cells) else 4
    law = sde.fokker_planck(density, fine, order=order)
    densities = [law.densities[k] for k in chosen]
    every = sde.simulate(density.sample(n, seed=seed), fine, seed=seed + 1, substeps=4)
    paths = Paths(times, every.positions[chosen], every.weights)
    flow = _carried(sde.probability_flow(law), law, chosen)
    counted = [_count_error(cloud, rho) for cloud, rho in zip(paths.measures, densities, strict=True)]
    return Views(
        times,
        paths,
        densities,
        flow,
        np.array([_l1(a, b) for a, b in zip(flow, densities, strict=True)]),
        np.array([wasserstein(a.normalized(), b) for a, b in zip(flow, densities, strict=True)]),
        np.array([error for error, _ in counted]),
        np.array([expected for _, expected in counted]),
        np.array([_w2(a, b) for a, b in zip(paths.measures, densities, strict=True)]),
        np.array([_w2_of_draws(rho, n, seed) for rho in densities]),
        f"densities, and with them flow, are the wrong view: {law.note}" if law.note else "",
    )


def _even_steps(times, steps):
    """The times with about `steps` even steps between first and last, and where the times are among them."""
    share = np.diff(times) / (times[-1] - times[0])
    counts = np.maximum(np.ceil(steps * share - 1e-9), 1).astype(int)
    parts = [refine(times[k : k + 2], count)[:-1] for k, count in enumerate(counts)]
    return np.append(np.concatenate(parts), times[-1]), np.concatenate([[0], np.cumsum(counts)])


def _carried(flow, law: DensityPath, chosen) -> list[Density]:
    """The first density of the law carried by the flow to the chosen ones of its times."""
    start = law.densities[0]

    def log_initial(x):
        return law.log_density(x, law.times[0])

    later = [flow.density(start, law.times[: k + 1], log_initial=log_initial, substeps=1) for k in chosen[1:]]
    return [start, *later]


def _l1(a, b):
    return float(np.abs(a.values - b.values).sum() * a.grid.cell_volume)


def _w2(cloud, density):
    if density.dimension > 1:
        cloud = cloud.subsample(TOLERANCES.plan_points, seed=0)
    return wasserstein(cloud, density)


def _w2_of_draws(density, n, seed: int):
    draws = TOLERANCES.draws[density.dimension - 1]
    return float(np.mean([_w2(density.sample(n, seed=seed + 2 + k), density) for k in range(draws)]))


def _count_error(cloud, density):
    """Σ |counted − expected mass| over blocks of cells, and its mean for independent draws."""
    target = TOLERANCES.bins[density.dimension - 1]
    chosen = [np.linspace(0, cells, min(cells, target) + 1).astype(int) for cells in density.grid.cells]
    edges = [edge[index] for edge, index in zip(density.grid.edges, chosen, strict=True)]
    inside = np.clip(cloud.positions, density.grid.lower, density.grid.upper)
    counted, _ = np.histogramdd(inside, bins=edges, weights=cloud.weights)
    mass = density.values * density.grid.cell_volume
    for axis, index in enumerate(chosen):
        mass = np.add.reduceat(mass, index[:-1], axis=axis)
    # a count is nearly Gaussian, or rare: E|N/n − p| is at most the deviation, √(2/π) of it where many
    expected = np.minimum(np.sqrt(2.0 / np.pi * mass * np.maximum(1.0 - mass, 0.0) / cloud.n), 2.0 * mass)
    return float(np.abs(counted - mass).sum()), float(expected.sum())
