"""The pressure of a JKO step from coarse grids to fine."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from jko.kernels.c_transform import c_transform
from jko.kernels.resample import average, interpolate
from jko.steps.dual.energy import DualEnergy
from jko.steps.dual.problem import DualProblem
from jko.steps.pressure.newton import LogEnergy, PressureNewton, transport_cost

_COARSEST = {1: 32, 2: 32, 3: 16}  # cells along the longest axis, by dimension
_FAR = 25.0  # log ρ below its maximum all along a wall: mass there does not count
_DEEPEST = 650.0  # log ρ below its maximum, at most; underflow is no vacuum
_ROUNDER = 1.25  # p starts with I + ττ′D²p ≥ 0 for τ′ = 1.25τ
_LOST = 0.3  # relative gap of a coarse answer from which finer grids are not begun
_EXACT = 1e-13


@dataclass(frozen=True)
class Found:
    """A pressure of the mass of ρ_k, its density, and what the two prove."""

    p: np.ndarray
    values: np.ndarray
    gap: float
    transport: float
    folded: float
    defect: float
    iterations: int
    before: float
    after: float


class PressureLadder:
    """The potential on all grids of a ladder, and Newton's method up along it.

    `cautions`: (limit, tail) of the corrections on the coarsest grid and on the others, to be tried in turn.
    """

    cautions = (((np.inf, np.inf), (1.0, 30.0)), ((5.0, 20.0), (1.0, 20.0)))

    def __init__(self, F, mu, scheme):
        self.problem = DualProblem(F, mu, None, scheme)
        self.energy = LogEnergy(self.problem.internal)
        self.dual = DualEnergy(self.problem.internal)
        self.grid = mu.grid
        self.extent = tuple(n * h for n, h in zip(mu.grid.cells, mu.grid.spacing, strict=True))
        self.sizes = [mu.grid.cells]
        while max(self.sizes[-1]) > 1.5 * _COARSEST[mu.grid.dimension]:
            self.sizes.append(tuple(n if n <= 8 else math.ceil(n / 2) for n in self.sizes[-1]))
        self.potentials = self._coarsened(self.problem.potential)

    def _coarsened(self, field):
        fields = [field]
        for size in self.sizes[1:]:
            fields.append(average(fields[-1], size))
        return fields

    def climb(self, mu, tau, field, p, tolerance, most, caution) -> Found:
        """The step's pressure; from a given p on the finest grid alone."""
        with np.errstate(divide="ignore"):
            log = np.log(mu.values)
        np.maximum(log, log.max() - _DEEPEST, out=log)
        potentials = self.potentials
        if field is not None:
            potentials = [v + w for v, w in zip(potentials, self._coarsened(field), strict=True)]
        logs = self._coarsened(log) if p is None else [log]
        free, spent = _far_walls(log), 0
        for depth in reversed(range(len(logs))):
            size = self.sizes[depth]
            spacing = tuple(e / n for e, n in zip(self.extent, size, strict=True))
            first = depth == len(self.sizes) - 1
            newton = PressureNewton(
                self.energy, tau, spacing, logs[depth], potentials[depth], free, *caution[not first]
            )
            if p is None:
                p = self._start(logs[depth], potentials[depth], tau, spacing)
            elif p.shape != size:
                p = interpolate(
                    p, size, (0.0,) * len(size), [m / n for m, n in zip(p.shape, size, strict=True)]
                )
            now = newton.solve(p, tolerance, most)
            p, spent = now.p, spent + newton.iterations
            if not now.gap < _LOST * now.transport + _LOST * _EXACT:
                now = replace(now, gap=np.inf)
                break
        return self._certify(now, mu, log, potentials[0], tau, spent)

    def _start(self, log, potential, tau, spacing):
        """U′(ρ_k) + V, with its second derivatives bounded from below as those of a solution are."""
        start = self.energy.slope(log, np.exp(log))[0] + potential
        reach = _ROUNDER * tau
        return -c_transform(c_transform(-start, spacing, reach), spacing, reach)

    def _certify(self, now, mu, log, potential, tau, spent):
        volume, total = self.grid.cell_volume, float(mu.values.sum())
        before = (self.energy.total(log, mu.values) + float(np.vdot(potential, mu.values))) * volume
        if not np.isfinite(now.gap):
            return Found(now.p, mu.values, math.inf, math.nan, 1.0, 1.0, spent, before, math.nan)
        work = now.p - potential
        with np.errstate(all="ignore"):
            shift, values = self.dual.normalise(-work, total, _EXACT)
        work += shift
        scale = total / float(now.density.sum())
        pushed = now.density * scale
        log_values = self.energy.log_of_pressure(work)
        internal = self.energy.total(log_values, values)
        conjugate = float(np.vdot(work, values)) - internal
        primal = self.energy.total(now.log + math.log(scale), pushed) - float(np.vdot(work, pushed))
        return Found(
            now.p + shift,
            values,
            (primal + conjugate) * volume,
            transport_cost(now.p, values, tau, self.grid.spacing),
            now.folded,
            scale - 1.0,
            spent,
            before,
            (internal + float(np.vdot(potential, values))) * volume,
        )


def _far_walls(log):
    """For each axis, whether its lower and its upper wall hold no mass that counts."""
    bar = log.max() - _FAR
    return tuple((log.take(0, a).max() < bar, log.take(-1, a).max() < bar) for a in range(log.ndim))
