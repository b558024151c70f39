"""The optimal map from a density to points."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from jko.measures import Density, Measure, Particles
from jko.transport.distances.common_kind import merged
from jko.transport.maps.brenier import OptimalMap
from jko.transport.semi_discrete_transport.tolerances import TOLERANCES


@dataclass(frozen=True, eq=False)
class PowerMap(OptimalMap):
    """T(x) = y_i on the power cell {x: |x − y_i|² − w_i least} of the point y_i among `points` `[n, d]`,
    `weights` `[n]`: the gradient of u(x) = max_i x·y_i − (|y_i|² − w_i)/2, up to a constant, a maximum of
    planes and convex as it is written. `marginal_error` is that of `semi_discrete`."""

    points: np.ndarray = field(repr=False)
    weights: np.ndarray = field(repr=False)
    marginal_error: float

    @property
    def dimension(self) -> int:
        """The dimension d of the points."""
        return self.points.shape[1]

    def __call__(self, x: np.ndarray):
        return self.points[self.assign(x)]

    def potential(self, x: np.ndarray):
        return self._highest(self._points(x))[1]

    def assign(self, x: ArrayLike) -> np.ndarray:
        """The number of the point to which each of the points `[k, d]` goes."""
        return self._highest(self._points(x))[0]

    def _highest(self, x: np.ndarray):
        """Which plane is highest, and its height."""
        number, height = np.empty(len(x), dtype=int), np.empty(len(x))
        # about the middle of the points, since |y|² and x·y cancel far from 0
        middle = self.points.mean(axis=0)
        away, slopes = x - middle, self.points - middle
        lift = 0.5 * (np.sum(slopes**2, axis=1) - self.weights)
        for first in range(0, len(x), TOLERANCES.planes_at_once):
            part = slice(first, first + TOLERANCES.planes_at_once)
            planes = away[part] @ slopes.T - lift
            number[part], height[part] = planes.argmax(axis=1), planes.max(axis=1)
        return number, height + away @ middle


def power_map(mu: Measure, nu: Particles) -> PowerMap:
    """From a Density or a Gaussian to a cloud, by `semi_discrete`; equal points count as one."""
    from jko.transport.semi_discrete_transport.transport import semi_discrete

    found = semi_discrete(mu.normalized() if isinstance(mu, Density) else mu, merged(nu)[0])
    return PowerMap(found.points, found.weights, found.marginal_error)
