"""Time courses: a measure at every time, through all snapshots and without a functional."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from jko.errors import finite_array, one_of, positive_number, seed_number, shown
from jko.learn.bending import bend, share_of_bend
from jko.learn.couplings import optimal_coupling, parts_of
from jko.learn.snapshots import Snapshots, as_snapshots
from jko.measures import Density, Gaussian, Particles, Population
from jko.measures.measure import Measure
from jko.progress import progress_bar
from jko.transport import HellingerKantorovichGeodesic, schrodinger_bridge
from jko.transport import interpolate as displacement

KINDS = ("displacement", "curved", "schrodinger", "growth")


@dataclass(frozen=True, eq=False)
class TimeCourse:
    """t ↦ ρ_t with ρ_{t_k} the k-th snapshot, from `interpolate`: call it at a time of the data's span."""

    snapshots: Snapshots
    kind: str
    temperature: float
    seed: int
    length: float = 0.0
    progress: bool | None = None
    _paths: dict = field(default_factory=dict, repr=False)

    def __call__(self, t: float) -> Measure:
        """ρ_t; raises ValueError outside the span of the snapshots."""
        times = self.snapshots.times
        t = float(finite_array("t", t))
        if not times[0] <= t <= times[-1]:
            raise ValueError(
                f"t: expected a time from {times[0]:g} to {times[-1]:g}, got {t:g}; what comes after is for "
                "fit.predict"
            )
        k = int(np.clip(np.searchsorted(times, t, side="right") - 1, 0, len(times) - 2))
        share = (t - times[k]) / (times[k + 1] - times[k])
        if share in (0.0, 1.0):
            return self.snapshots[k + int(share)]
        first, last = self.snapshots[k], self.snapshots[k + 1]
        coupled = isinstance(first, Particles)
        if self.kind == "displacement" and not coupled:
            return displacement(first, last, share)
        if k not in self._paths:
            self._paths[k] = self._path(k)
        if self.kind in ("displacement", "curved"):
            plan = self._paths[k]
            between = (1.0 - share) * first.positions[plan.rows] + share * last.positions[plan.columns]
            if self.kind == "curved":
                between = between + self.bent * bend(times, self._means, t)
            return Particles(between.astype(np.result_type(first.positions, last.positions)), plan.weights)
        if self.kind == "growth":
            return self._paths[k](share)
        bridge = self._paths[k]
        if isinstance(first, Particles):
            return bridge.marginal(share, seed=self.seed + k)
        return bridge.marginal(share)

    @cached_property
    def _means(self) -> np.ndarray:
        return np.array([mu.mean() for mu in self.snapshots.measures])

    @cached_property
    def bent(self) -> float:
        """The share of the polynomial's bend that a "curved" course takes, chosen by the given times; 0 of
        another kind."""
        if self.kind != "curved":
            return 0.0
        return share_of_bend(self.snapshots.times, self._means)

    def _path(self, k: int):
        first, last = self.snapshots[k], self.snapshots[k + 1]
        if self.kind == "growth":
            return HellingerKantorovichGeodesic(first, last, self.length)
        if self.kind in ("displacement", "curved"):
            with progress_bar(self.progress, parts_of(first, last), f"coupling {k + 1}", "part") as tick:
                return optimal_coupling(first, last, tick)
        # the bridge runs over a time of one, with noise √(2ε) for ε the temperature times the gap
        return schrodinger_bridge(first, last, self.temperature * float(self.snapshots.gaps[k]))

    def at(self, times) -> list[Measure]:
        """The measures at several times."""
        return [self(t) for t in np.atleast_1d(finite_array("times", times))]


def interpolate(
    snapshots: Snapshots,
    kind: str = "displacement",
    *,
    temperature: float | None = None,
    length: float | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> TimeCourse:
    """The curve through all snapshots, each interval on its own.

    - `"displacement"`: geodesics of W₂ [McCann1997], straight lines along an exact coupling, found when a
      time of its interval is first asked for; clouds of more than 6000 points are coupled part by part, with
      a bar as `progress` says.
    - `"curved"`: the same between clouds, carried along a curve through the means of the four nearest
      snapshots, for as much of its bend, from none to all, as foretells each inner snapshot's mean from the
      others (`TimeCourse.bent`); four snapshots or more.
    - `"schrodinger"`: bridges of dX = √(2θ) dB with θ the `temperature`, a squared length over a time: the
      likeliest motion of particles with that noise [Leonard2014]. That motion being Markov, the bridge
      through all times is the bridges of the intervals one after the other.
    - `"growth"`: geodesics of the Hellinger–Kantorovich distance between clouds of any masses, along which
      mass moves, grows and dies [LieroMielkeSavare2018]: points further apart than π times the `length` are
      not joined, nearer ones by as much as their masses agree. Clouds are Particles or Populations.

    Raises ValueError for a kind that is not known, a bridge without a temperature, growth without a length,
    and snapshots of several kinds.
    """
    one_of("kind", kind, KINDS)
    snapshots = as_snapshots("snapshots", snapshots, grows=kind == "growth")
    if kind == "schrodinger":
        if temperature is None:
            raise ValueError("temperature: a bridge needs one, a squared length over a time; got None")
        temperature = positive_number("temperature", temperature)
    elif temperature is not None:
        raise ValueError(f'temperature: it is for kind="schrodinger" alone, got {shown(temperature)}')
    if kind == "growth":
        if length is None:
            raise ValueError("length: growth needs one, beside which mass moves rather than dies; got None")
        length = positive_number("length", length)
    elif length is not None:
        raise ValueError(f'length: it is for kind="growth" alone, got {shown(length)}')
    kinds = {type(mu) for mu in snapshots.measures}
    if kind == "curved" and not (len(snapshots) > 3 and all(issubclass(one, Particles) for one in kinds)):
        raise ValueError(
            f"snapshots: a curve is chosen by four or more clouds, got {len(snapshots)} of "
            f"{', '.join(sorted(one.__name__ for one in kinds))}: "
            'take kind="displacement", or sample the densities'
        )
    if kind == "growth" and not all(issubclass(one, Particles) for one in kinds):
        raise ValueError("snapshots: growth is between clouds; sample the densities, jko.Population.of(...)")
    if len(kinds) > 1 and kinds not in ({Density, Gaussian}, {Particles, Population}):
        named = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(f"snapshots: expected measures of one kind, got {named}; sample the densities")
    return TimeCourse(snapshots, kind, temperature or 0.0, seed_number("seed", seed), length or 0.0, progress)
