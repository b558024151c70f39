"""How well a fit foretells: distances to held-out snapshots, with the floor and baselines beside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jko.errors import seed_number, whole_number
from jko.learn.fit import Fit
from jko.learn.snapshots import Snapshots, as_snapshots
from jko.learn.tolerances import TOLERANCES
from jko.measures import Gaussian, Particles
from jko.transport.distances.atoms import squared_distances
from jko.transport.distances.gaussian import optimal_matrix

METRICS = ("W1", "W2", "energy")
ROWS = ("learnt", "floor", "standing still", "affine", "mccann")


@dataclass(frozen=True, eq=False)
class Score:
    """Distances at `times` `[K]`, one interval ahead: `table[row][metric]` `[K]` for the rows

    - "learnt": the snapshot before, moved by the learnt functional;
    - "floor": two random halves of the snapshot itself, less than which no sample of this size shows;
    - "standing still": the snapshot before as it is; "affine": moved by the affine map between Gaussians of
      the fit's own snapshots;
    - "mccann": the middle of the geodesic between the neighbours, NaN at the last time, which has none: it
      has seen what comes after, and foretells nothing.

    W₁ and W₂ by exact transport with |x − y| and |x − y|², the energy distance (2E|X−Y| − E|X−X′| −
    E|Y−Y′|)^½.
    """

    times: np.ndarray
    table: dict[str, dict[str, np.ndarray]]

    def mean(self, metric: str = "W1", row: str = "learnt") -> float:
        """The mean over the times."""
        return float(np.nanmean(self.table[row][metric]))

    def __str__(self) -> str:
        head = "".join(f"{f't = {t:g}':>10}" for t in self.times)
        lines = []
        for metric in METRICS:
            lines.append(f"{metric:<16}{head}{'mean':>10}")
            for row in ROWS:
                values = self.table[row][metric]
                cells = "".join(f"{v:>10.4f}" for v in values)
                mean = float(np.nanmean(values)) if np.any(np.isfinite(values)) else np.nan
                lines.append(f"  {row:<14}{cells}{mean:>10.4f}")
        return "\n".join(lines)


def score(fit: Fit, snapshots: Snapshots, *, most: int = TOLERANCES.most_scored, seed: int = 0) -> Score:
    """Each held-out snapshot against what the one before it becomes, see `Score`.

    Clouds of more than `most` points are drawn from for the exact distances. Raises ValueError for snapshots
    of another dimension.
    """
    if not isinstance(fit, Fit):
        raise TypeError(f"fit: expected what jko.learn.fit returned, got {type(fit).__name__}")
    held = as_snapshots("snapshots", snapshots)
    if held.dimension != fit.snapshots.dimension:
        raise ValueError(f"snapshots: expected {fit.snapshots.dimension} dimensions, got {held.dimension}")
    most, seed = whole_number("most", most, least=4), seed_number("seed", seed)
    clouds, table = held.clouds, {row: {metric: [] for metric in METRICS} for row in ROWS}
    for k in range(len(held) - 1):
        here, there = clouds[k], clouds[k + 1]
        moved = fit.predict(here, held.times[k : k + 2], seed=seed).final
        order = np.random.default_rng([seed, k]).permutation(there.n)
        halves = [Particles(there.positions[np.sort(part)]) for part in np.array_split(order, 2)]
        rows = {
            "learnt": (moved, there),
            "floor": tuple(halves),
            "standing still": (here, there),
            "affine": (_affine(fit, held.times[k], held.times[k + 1], here), there),
        }
        if k + 2 < len(held):
            from jko.transport import interpolate

            gaps = np.diff(held.times[k : k + 3])
            ends = (cloud.subsample(most, seed) for cloud in (here, clouds[k + 2]))
            rows["mccann"] = (interpolate(*ends, float(gaps[0] / gaps.sum())), there)
        for row in ROWS:
            pair = rows.get(row)
            found = dict.fromkeys(METRICS, np.nan) if pair is None else distances(*pair, most, seed)
            for metric in METRICS:
                table[row][metric].append(found[metric])
    arrays = {row: {metric: np.array(v) for metric, v in each.items()} for row, each in table.items()}
    return Score(held.times[1:], arrays)


def distances(
    mu: Particles, nu: Particles, most: int = TOLERANCES.most_scored, seed: int = 0
) -> dict[str, float]:
    """W₁, W₂ and the energy distance of two clouds, by at most so many points of each."""
    import ot

    mu, nu = mu.subsample(most, seed), nu.subsample(most, seed + 1)
    x, y = (np.asarray(m.positions, dtype=float) for m in (mu, nu))
    a, b = (np.asarray(m.weights, dtype=float) / np.sum(m.weights, dtype=float) for m in (mu, nu))
    squared = squared_distances(x, y)
    unit = float(squared.max()) or 1.0
    length = np.sqrt(squared)
    first = np.sqrt(unit) * ot.emd2(a, b, length / np.sqrt(unit), numItermax=10**8)
    second = unit * ot.emd2(a, b, squared / unit, numItermax=10**8)
    alone = [float(w @ np.sqrt(squared_distances(z, z)) @ w) for z, w in ((x, a), (y, b))]
    energy = 2.0 * float(a @ length @ b) - sum(alone)
    return {"W1": float(first), "W2": float(np.sqrt(second)), "energy": float(np.sqrt(max(energy, 0.0)))}


def _affine(fit: Fit, start: float, end: float, cloud: Particles) -> Particles:
    """The cloud moved as the Gaussians of the fit's snapshots at the nearest times are."""
    near = [int(np.argmin(np.abs(fit.snapshots.times - t))) for t in (start, end)]
    first, last = (fit.snapshots.cloud(k) for k in near)
    tiny = 1e-12 * np.trace(first.covariance()) * np.eye(cloud.dimension)
    before, after = (Gaussian(c.mean(), c.covariance() + tiny) for c in (first, last))
    matrix = optimal_matrix(before.covariance(), after.covariance())
    return cloud.with_positions(after.mean() + (cloud.positions - before.mean()) @ matrix)
