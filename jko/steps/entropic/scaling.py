"""The entropic step's potentials, from coarse grids to fine."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from functionals import Functional
from jko.loops.anderson import Anderson
from jko.measures import Density
from jko.steps.entropic.tolerances import TOLERANCES
from jko.steps.grid.energy import GridEnergy


@dataclass(frozen=True, eq=False)
class EntropicStep:
    """What one grid sees of a step: densities, V, the cap (or None) and h, τ, ε. `share` is the part of the
    plan's entropy that is given back: 0, or ½ to remove the bias."""

    rho: np.ndarray
    potential: np.ndarray
    cap: np.ndarray | None
    internal: object
    spacing: tuple[float, ...]
    tau: float
    epsilon: float
    share: float
    periodic: tuple[bool, ...] | None = None

    @property
    def alpha(self) -> float:
        """ε/τ."""
        return self.epsilon / self.tau

    @property
    def pieces(self) -> tuple:
        """Indices of the cells between which mass can move, each keeping its own: all of them in a box."""
        return (...,)

    def heat(self):
        """l ↦ log ∫N(x − y; ε)e^l dy over the box."""
        from jko.loops.sums.log_gaussian import LogGaussian

        decay = [0.5 * h * h / self.epsilon for h in self.spacing]
        kernel = LogGaussian(self.rho.shape, decay, self.periodic)
        scale = sum(math.log(h) - 0.5 * math.log(2.0 * math.pi * self.epsilon) for h in self.spacing)
        return lambda logs: kernel(logs) + scale

    def levels(self):
        """The step on halved grids whose ε is no less than their h², the coarsest first, and itself."""
        yield from _levels(self)

    def conjugate(self, q: np.ndarray) -> np.ndarray:
        """min over y of |x − y|²/2τ − q(y)."""
        from jko.loops.transport.c_transform import c_transform

        return c_transform(q, self.spacing, self.tau, periodic=self.periodic or ())

    def plan_cost(self, scaled: Scaled, axes: list) -> float:
        """∑π|x − y|²/2τ of a plan on the grid with these axes."""
        return _plan_cost(scaled, axes)


@dataclass(frozen=True, eq=False)
class Scaled:
    """A plan e^{f + g}ρ_k N of first marginal ρ_k exactly, whose second is `density`; `wanted` is the density
    that the energy asks for at the same potentials and `mismatch` their L1 distance over the mass. Both by
    their logarithms, which vacuum does not lose."""

    step: EntropicStep
    f: np.ndarray
    g: np.ndarray
    log_density: np.ndarray
    log_wanted: np.ndarray
    mismatch: float
    iterations: int

    @property
    def density(self) -> np.ndarray:
        """The second marginal."""
        return np.exp(self.log_density)

    @property
    def wanted(self) -> np.ndarray:
        """The density that the energy asks for."""
        return np.exp(self.log_wanted)

    @property
    def slope(self) -> np.ndarray:
        """α(g − share·log ρ), which is −δF/δρ at the optimum."""
        return self.step.alpha * (self.g - self.step.share * self.log_density)


def solve(step: EntropicStep, tolerance: float, max_iterations: int, start: Scaled | None = None) -> Scaled:
    """On the grid of `step`, begun on halved grids whose ε is no less than their h², or from a `Scaled`."""
    guess = start
    for level in [step] if start else step.levels():
        with np.errstate(over="ignore", invalid="ignore"):
            guess = _scale(level, tolerance, max_iterations, *_start(level, guess))
        if not math.isfinite(guess.mismatch):
            break
    return guess


def _start(level: EntropicStep, coarse: Scaled | None):
    if coarse is None:
        return np.zeros(level.rho.shape), None
    slope, r = coarse.slope, coarse.log_wanted
    if slope.shape != level.rho.shape:
        from jko.loops.grids.resample import interpolate

        ratios = [a / b for a, b in zip(slope.shape, level.rho.shape, strict=True)]
        slope, r = (interpolate(f, level.rho.shape, (0.0,) * len(ratios), ratios) for f in (slope, r))
    return slope / level.alpha + level.share * r, r


def _scale(step: EntropicStep, tolerance: float, most: int, g: np.ndarray, r: np.ndarray | None):
    """Iteration [Peyre2015]: f sets the first marginal right, g what the energy asks of the second."""
    heat, alpha = step.heat(), step.alpha
    prox = _prox(step)
    with np.errstate(divide="ignore"):
        log_rho = np.log(step.rho)
    mixing = None
    for done in range(1, most + 1):
        f = -heat(g)
        blurred = heat(f + log_rho)
        if r is None:
            r = blurred if step.cap is None else np.minimum(blurred, np.log(step.cap))
        r = prox(alpha * blurred - step.potential, r)
        image, wanted = r - blurred, np.exp(r)
        excess = np.expm1(np.minimum(g - image, TOLERANCES.largest_exponent))
        mismatch = float(np.abs(wanted * excess).sum() / step.rho.sum())
        if mismatch <= tolerance or done == most or not math.isfinite(mismatch):
            break
        mixing = mixing or Anderson(step.rho + wanted, TOLERANCES.mixed)
        g = mixing(g, image) if mismatch < TOLERANCES.start_mixing else image
    return Scaled(step, f, g, g + blurred, r, mismatch, done)


def _prox(step: EntropicStep):
    """(z, r) ↦ log ρ of `DensityProx`, in each piece with the mass that is there."""
    weight = (1.0 - step.share) * step.alpha
    parts = [
        (
            at,
            DensityProx(
                step.internal, weight, step.rho[at].sum(), None if step.cap is None else step.cap[at]
            ),
        )
        for at in step.pieces
    ]

    def joined(z: np.ndarray, r: np.ndarray):
        out = np.empty(z.shape)
        for at, prox in parts:
            out[at] = prox(z[at], r[at])[0]
        return out

    return joined


def _levels(step: EntropicStep):
    from jko.loops.grids.resample import average, halvings

    coarsest = TOLERANCES.coarsest_turning if any(step.periodic or ()) else TOLERANCES.coarsest
    extent = [n * h for n, h in zip(step.rho.shape, step.spacing, strict=True)]
    for shape in halvings(step.rho.shape, coarsest)[:0:-1]:
        spacing = tuple(e / n for e, n in zip(extent, shape, strict=True))
        yield EntropicStep(
            average(step.rho, shape),
            average(step.potential, shape),
            None if step.cap is None else average(step.cap, shape),
            step.internal,
            spacing,
            step.tau,
            max(step.epsilon, max(spacing) ** 2),
            step.share,
            step.periodic,
        )
    yield step


def _plan_cost(scaled, axes: list):
    """∑π|x − y|²/2τ, by two moments with the kernel an axis, y the nearest image: along a periodic axis the
    field goes on for half a turn."""
    step, cost = scaled.step, 0.0
    periodic = step.periodic or (False,) * len(axes)
    for a, axis in enumerate(axes):
        n, pad = len(axis), len(axis) // 2 if periodic[a] else 0
        wide = np.pad(scaled.g, [(pad, pad) if b == a else (0, 0) for b in range(len(axes))], mode="wrap")
        flags = tuple(turns and b != a for b, turns in enumerate(periodic))
        heat = replace(step, rho=wide, periodic=flags).heat()
        shape = [-1 if b == a else 1 for b in range(len(axes))]
        beyond = step.spacing[a] * (0.5 + np.arange(n + 2 * pad)).reshape(shape)
        u = beyond + beyond.max()  # positive, so that it has a logarithm
        here = np.take(u, np.arange(pad, pad + n), a)
        first, second = (
            np.exp(np.take(heat(wide + k * np.log(u)), np.arange(pad, pad + n), a) + scaled.f) for k in (1, 2)
        )
        cost += float((step.rho * (here**2 - 2.0 * here * first + second)).sum())
    return cost / (2.0 * step.tau)


class DensityProx:
    """argmin over 0 ≤ ρ ≤ cap, Σρ = total, of Σ U(ρ) + weight·ρ log ρ − zρ, by Newton in r = log ρ.

    U is an internal energy of `Parts`, or None; its entropy joins the weight, where r enters linearly, and
    cells that are all but empty cost no more than others.
    """

    def __init__(self, internal, weight: float, total: float, cap: np.ndarray | None = None):
        terms = () if internal is None else internal.terms
        self.weight = weight + sum(c for c, atom in terms if atom.is_entropy)
        self.terms = tuple((c, atom) for c, atom in terms if not atom.is_entropy)
        self.total, self.ceiling = total, math.log(total)
        with np.errstate(all="ignore"):
            vacuum = sum(c * atom.derivative(np.zeros(1))[0] for c, atom in self.terms)
        self.fall = math.inf if np.isfinite(vacuum) else TOLERANCES.prox_fall
        self.highest = None if cap is None else np.log(cap)

    def __call__(self, z: np.ndarray, r: np.ndarray):
        """(log ρ, the multiplier κ of the mass): weight·log ρ + U′(ρ) = z + κ where ρ is below the cap; from
        a guess r of log ρ."""
        if self.highest is not None and not self.terms:
            return self._filled(z)
        kappa = float(np.average(self._slope(r)[0] - z, weights=np.exp(r - r.max())))
        bracket = [-math.inf, math.inf]
        for _ in range(TOLERANCES.prox_rounds):
            left, slope = self._slope(r)
            step = np.maximum((z + kappa - left) / slope, -self.fall)
            # from above, Newton's method comes down monotonically; no cell holds more than all
            new = np.minimum(r + step, self.ceiling)
            moved, r = float(np.abs(new - r).max()), new
            rho, free = self._capped(r)
            found = float(rho.sum())
            if (
                moved <= TOLERANCES.prox_settled
                and abs(found - self.total) <= TOLERANCES.prox_mass * self.total
            ):
                break
            if moved < TOLERANCES.mass_counts:
                change = self._change(kappa, found, float((rho / slope)[free].sum()), float(r.max()), bracket)
                kappa += change
                r = np.minimum(r + np.maximum(change / slope, -self.fall), self.ceiling)
        return (r if self.highest is None else np.minimum(r, self.highest)), kappa

    def _filled(self, z: np.ndarray):
        """The same without U′, exactly: cells reach the cap in the order of weight·log cap − z."""
        y, highest = (z / self.weight).ravel(), np.broadcast_to(self.highest, z.shape).ravel()
        order = np.argsort(highest - y)
        y, highest = y[order], highest[order]
        free = np.logaddexp.accumulate(y[::-1])[::-1]
        full = np.concatenate([[0.0], np.cumsum(np.exp(highest[:-1]))])
        with np.errstate(over="ignore"):
            mass = full + np.exp(highest - y + free)
        k = min(int(np.searchsorted(mass, self.total)), len(y) - 1)
        shift = math.log(max(self.total - full[k], np.exp(highest[k]) * TOLERANCES.prox_mass)) - free[k]
        return np.minimum(z / self.weight + shift, self.highest), self.weight * float(shift)

    def _change(self, kappa: float, found: float, rate: float, highest: float, bracket: list):
        """Newton's step for the logarithm of the mass, kept in the bracket."""
        if found < TOLERANCES.empty * self.total:
            bracket[0] = kappa
            change = self.weight * max(self.ceiling - highest, 1.0)
        else:
            miss = math.log(self.total / found)
            if abs(miss) > TOLERANCES.far_off:
                bracket[miss < 0.0] = kappa
            change = found * miss / rate if rate > 0.0 else math.copysign(self.weight, miss)
        low, high = bracket
        return change if low <= kappa + change <= high else 0.5 * (low + high) - kappa

    def _slope(self, r: np.ndarray):
        """The left side of the equation and its derivative in r."""
        left, slope = self.weight * r, np.full(r.shape, self.weight)
        if self.terms:
            rho = np.exp(np.maximum(r, TOLERANCES.lowest_log))
            for c, atom in self.terms:
                left = left + c * atom.derivative(rho)
                slope += c * atom.second_derivative(rho) * rho
        return left, slope

    def _capped(self, r: np.ndarray):
        if self.highest is None:
            return np.exp(r), np.ones(r.shape, bool)
        return np.exp(np.minimum(r, self.highest)), r < self.highest


class ScalingProblem(GridEnergy):
    """F on a grid, for plans at temperature ε."""

    def __init__(self, F: Functional, mu: Density, epsilon: float):
        super().__init__(F, mu)
        self.epsilon = epsilon
        self.require_room(mu)
        self.room = None if mu.grid.room is None else self._room(mu)

    def _room(self, mu: Density):
        from jko.steps.entropic.room import Room

        return Room(mu)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """A density of a step on the grid."""
        return values if self.room is None else self.room.spread(values)

    def step(
        self, values: np.ndarray, interaction: np.ndarray | None, tau: float, share: float
    ) -> EntropicStep:
        """The step from these values, with the interaction's first variation in V."""
        potential = self.potential if interaction is None else self.potential + interaction
        given = values, potential, self.cap, self.internal, self.grid.spacing, tau, self.epsilon, share
        step = EntropicStep(*given, self.grid.periodic)
        return step if self.room is None else self.room.step(step)

    def local(self, values: np.ndarray) -> float:
        """F without the interaction."""
        return self.energy(values)
