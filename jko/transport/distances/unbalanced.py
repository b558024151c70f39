"""The Hellinger–Kantorovich distance between measures of any two masses, with its duality gap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jko.errors import positive_number
from jko.measures import Density, Particles
from jko.transport.distances.common_kind import torus_of
from jko.transport.distances.tolerances import TOLERANCES


@dataclass(frozen=True, eq=False)
class HellingerKantorovichDistance:
    """HK_δ² as `value`, with `gap` ≥ 0 by which it exceeds the dual's, both of the problem between points.

    `potentials` (φ `[n]`, ψ `[m]`): HK_δ² ≥ 4δ²(∫1 − e^{−φ} dmu + ∫1 − e^{−ψ} dnu), φ(x) + ψ(y) ≤ −2 log cos
    (|x − y|/2δ), ∞ at points that nothing reaches. `plan` `[n, m]`: its marginals are e^{−φ}mu and e^{−ψ}nu,
    the mass that moves; the rest dies and is born. Points `[n, d]` and `[m, d]` are those with
    `masses`.
    """

    value: float
    gap: float
    length: float
    points: tuple[np.ndarray, np.ndarray]
    masses: tuple[np.ndarray, np.ndarray]
    potentials: tuple[np.ndarray, np.ndarray]
    plan: np.ndarray
    iterations: int

    @property
    def distance(self) -> float:
        """HK_δ."""
        return math.sqrt(max(self.value, 0.0))

    def __repr__(self) -> str:
        told = f"value={self.value:.10g}, gap={self.gap:.1e}, length={self.length:g}"
        return f"HellingerKantorovichDistance({told})"


def hellinger_kantorovich(
    mu, nu, length: float = 1.0, tolerance: float = 1e-9
) -> HellingerKantorovichDistance:
    """HK_δ²(mu, nu) = min ∫₀¹∫(|v|² + δ²g²) dρ dt over ∂_tρ + ∇·(ρv) = gρ from mu to nu, δ the `length`.

    Between Diracs it is 4δ²(m₀ + m₁ − 2√(m₀m₁) cos min(|x − y|/2δ, π/2)): mass moves less than πδ. It is 4δ²
    times the least of KL(γ₀|mu) + KL(γ₁|nu) + ∫c dγ over all plans γ ≥ 0, c = −2 log cos min(|x − y|/2δ, π/2)
    and γ₀, γ₁ its marginals [LieroMielkeSavare2018], a convex problem, solved by a primal–dual interior-point
    method [Mehrotra1992] until the gap is `tolerance` of the value, or rounding.

    Clouds are their points; a Density is taken as masses at the centres of its cells, which adds up to h²/4 a
    unit of mass on the same grid; on a periodic grid distances are those to the nearest image. Raises
    TypeError for other measures, ValueError for unlike dimensions, a length that is not positive, and more
    than 4e6 pairs of points.
    """
    length, tolerance = positive_number("length", length), positive_number("tolerance", tolerance)
    (x, a), (y, b) = _atoms("mu", mu), _atoms("nu", nu)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"mu, nu: expected the same dimension, got {x.shape[1]} and {y.shape[1]}")
    if len(a) * len(b) > TOLERANCES.unbalanced_pairs:
        raise ValueError(
            f"mu, nu: expected at most {TOLERANCES.unbalanced_pairs:.0e} pairs of points with mass, "
            f"got {len(a)} × {len(b)}: take coarser grids or fewer particles"
        )
    angle = np.minimum(_distances(x, y, torus_of(mu, nu)) / (2.0 * length), 0.5 * math.pi)
    scale = max(a.sum(), b.sum())
    problem = _Reachable(a / scale, b / scale, angle)
    found = problem.solve(tolerance)
    if angle.any() and found.primal - found.dual > TOLERANCES.unbalanced_rounding * found.primal:
        share, apart = (found.primal - found.dual) / found.primal, 2.0 * length * float(angle.max())
        raise ValueError(
            f"length: {length:g} is so long beside the {apart:.3g} between the points that rounding leaves "
            f"the distance open by {share:.1e} of itself: take a shorter one, or jko.wasserstein, which "
            "equal masses then have"
        )
    unit = 4.0 * length**2 * scale
    return HellingerKantorovichDistance(
        value=unit * found.primal,
        gap=unit * max(found.primal - found.dual, 0.0),
        length=length,
        points=(x, y),
        masses=(a, b),
        potentials=problem.everywhere(found.phi, found.psi),
        plan=scale * problem.plan(found.plan),
        iterations=found.iterations,
    )


def _atoms(name: str, mu):
    """(points `[n, d]`, masses `[n]`) of all that has mass, equal points as one."""
    if not isinstance(mu, (Density, Particles)):
        raise TypeError(
            f"{name}: expected a Density, Particles or a Population, got {type(mu).__name__}; put a "
            "Gaussian on a grid with .on(grid)"
        )
    points, masses = np.asarray(mu.points, dtype=float), np.asarray(mu.masses, dtype=float)
    if isinstance(mu, Particles):
        points, place = np.unique(points + 0.0, axis=0, return_inverse=True)
        masses = np.bincount(place.ravel(), masses)
    held = masses > 0.0
    return points[held], masses[held]


def _distances(x: np.ndarray, y: np.ndarray, torus) -> np.ndarray:
    squared = np.zeros((len(x), len(y)))
    for axis in range(x.shape[1]):
        step = x[:, None, axis] - y[None, :, axis]
        if torus is not None and torus.periodic[axis]:
            side = torus.upper[axis] - torus.lower[axis]
            step = step - side * np.round(step / side)
        squared += step**2
    return np.sqrt(squared)


class _Found(NamedTuple):
    phi: np.ndarray
    psi: np.ndarray
    plan: np.ndarray
    primal: float
    dual: float
    iterations: int


class _Reachable:
    """The problem between the points that something reaches; the others die or are born as they are."""

    def __init__(self, a: np.ndarray, b: np.ndarray, angle: np.ndarray):
        self.a, self.b = a, b
        near = angle < 0.5 * math.pi
        with np.errstate(divide="ignore"):
            # −2 log cos θ, which keeps its digits at small θ
            cost = np.where(near, -np.log1p(-(np.sin(np.where(near, angle, 0.0)) ** 2)), np.inf)
        self.rows, self.columns = near.any(axis=1), near.any(axis=0)
        self.alone = float(a[~self.rows].sum() + b[~self.columns].sum())
        self.mu, self.nu = a[self.rows], b[self.columns]
        self.cost = cost[np.ix_(self.rows, self.columns)]
        self.near = np.isfinite(self.cost)
        self.finite = np.where(self.near, self.cost, 0.0)

    def solve(self, tolerance: float) -> _Found:
        """The interior-point method from φ = ψ = −1; the best plan and the best potentials on the way."""
        n, m = self.cost.shape
        phi, psi = np.full(n, -1.0), np.full(m, -1.0)
        if not self.near.any():
            return _Found(phi, psi, np.zeros((n, m)), self.alone, self.alone, 0)
        plan = np.where(self.near, self.mu[:, None] * self.nu[None, :] + 1e-3 / self.near.sum(), 0.0)
        best, count = _Found(phi, psi, plan, math.inf, -math.inf, 0), 0
        for _ in range(TOLERANCES.interior_iterations):
            count += 1
            step = self._direction(phi, psi, plan)
            if step is None:
                break
            phi, psi, plan = step
            primal, dual = self._primal(plan), self._dual(phi, psi)
            if primal < best.primal:
                best = best._replace(plan=plan, primal=primal)
            if dual > best.dual:
                best = best._replace(phi=phi, psi=psi, dual=dual)
            if best.primal - best.dual <= max(tolerance * abs(best.primal), TOLERANCES.nothing):
                break
        return best._replace(iterations=count)

    def _direction(self, phi: np.ndarray, psi: np.ndarray, plan: np.ndarray):
        """A predictor and corrector step [Mehrotra1992] of a_i = Σ_jγ, b_j = Σ_iγ, γs = t with a = mu e^{−φ},
        b = nu e^{−ψ}, s = c − φ − ψ; None where rounding is all that is left."""
        near, slack = self.near, self._slack(phi, psi)
        a, b = self.mu * np.exp(-phi), self.nu * np.exp(-psi)
        weight = np.where(near, plan / slack, 0.0)
        system = _Bipartite(a + weight.sum(axis=1), b + weight.sum(axis=0), weight)
        if system.factor is None:
            return None
        barrier = float((plan * slack)[near].mean())

        def solved(target: np.ndarray):
            """The step for products γs of `target`."""
            moved = np.where(near, target / slack, 0.0)
            d_phi, d_psi = system.solve(a - moved.sum(axis=1), b - moved.sum(axis=0))
            both = d_phi[:, None] + d_psi[None, :]
            return d_phi, d_psi, -both, np.where(near, moved - plan + weight * both, 0.0)

        _, _, d_slack, d_plan = solved(np.zeros_like(plan))
        ahead = _length(slack, d_slack, near), _length(plan, d_plan, near)
        after = float(((slack + ahead[0] * d_slack) * (plan + ahead[1] * d_plan))[near].mean())
        centre = barrier * min(max(after / barrier, 0.0), 1.0) ** 3
        d_phi, d_psi, d_slack, d_plan = solved(centre - d_slack * d_plan)
        longest = TOLERANCES.longest_step / max(
            np.abs(d_phi).max(), np.abs(d_psi).max(), TOLERANCES.longest_step
        )
        dual = min(TOLERANCES.boundary * _length(slack, d_slack, near), longest)
        primal = min(TOLERANCES.boundary * _length(plan, d_plan, near), longest)
        new = phi + dual * d_phi, psi + dual * d_psi, plan + primal * d_plan
        sound = all(np.all(np.isfinite(part)) for part in new) and self._slack(*new[:2])[near].min() > 0.0
        return new if sound and new[2][near].min() > 0.0 else None

    def _slack(self, phi: np.ndarray, psi: np.ndarray):
        return np.where(self.near, self.finite - phi[:, None] - psi[None, :], 1.0)

    def _primal(self, plan: np.ndarray) -> float:
        rows, columns = plan.sum(axis=1), plan.sum(axis=0)
        return (
            self.alone
            + _divergence(rows, self.mu)
            + _divergence(columns, self.nu)
            + float(np.vdot(self.finite, plan))
        )

    def _dual(self, phi: np.ndarray, psi: np.ndarray) -> float:
        return self.alone - float(self.mu @ np.expm1(-phi) + self.nu @ np.expm1(-psi))

    def everywhere(self, phi: np.ndarray, psi: np.ndarray):
        """Potentials at all points."""
        whole = np.full(len(self.a), np.inf), np.full(len(self.b), np.inf)
        whole[0][self.rows], whole[1][self.columns] = phi, psi
        return whole

    def plan(self, plan: np.ndarray) -> np.ndarray:
        """A plan between all points."""
        whole = np.zeros((len(self.a), len(self.b)))
        whole[np.ix_(self.rows, self.columns)] = plan
        return whole


class _Bipartite:
    """(A W; Wᵀ B)(u, v) = (f, g) with diagonal A, B, positive definite, by its Schur complement."""

    def __init__(self, a: np.ndarray, b: np.ndarray, weight: np.ndarray):
        from scipy.linalg import LinAlgError, cho_factor

        self.turned = len(a) < len(b)  # the complement is as large as the shorter side
        self.a, self.b, self.weight = (b, a, weight.T) if self.turned else (a, b, weight)
        with np.errstate(all="ignore"):
            reduced = self.weight / np.sqrt(self.a)[:, None]
            complement = np.diag(self.b) - reduced.T @ reduced
        try:
            self.factor = cho_factor(complement) if np.all(np.isfinite(complement)) else None
        except LinAlgError:
            self.factor = None

    def solve(self, f: np.ndarray, g: np.ndarray):
        """(u, v)."""
        from scipy.linalg import cho_solve

        f, g = (g, f) if self.turned else (f, g)
        v = cho_solve(self.factor, g - self.weight.T @ (f / self.a))
        u = (f - self.weight @ v) / self.a
        return (v, u) if self.turned else (u, v)


def _length(field: np.ndarray, change: np.ndarray, where: np.ndarray) -> float:
    """How far a positive field can go along a change, 1 at most."""
    falling = where & (change < 0.0)
    return min(1.0, float(np.min(-field[falling] / change[falling], initial=np.inf)))


def _divergence(part: np.ndarray, whole: np.ndarray) -> float:
    """Σ p log(p/q) − p + q, by q(1 + u)log(1 + u) − qu with u = p/q − 1, a series where u is small."""
    u = part / whole - 1.0
    near = np.abs(u) < TOLERANCES.unbalanced_near
    v = np.where(near, 0.0, np.maximum(u, -1.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.where(v > -1.0, (1.0 + v) * np.log1p(v) - v, 1.0)
    small = u * u * (0.5 - u * (1.0 / 6.0 - u * (1.0 / 12.0 - u * (0.05 - u / 30.0))))
    return float(whole @ np.where(near, small, far))
