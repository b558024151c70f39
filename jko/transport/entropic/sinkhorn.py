"""What an entropic transport problem answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from jko.errors import finite_array, positive_number, shown, whole_number
from jko.measures import Density, Gaussian, Measure
from jko.transport.distances.common_kind import alike
from jko.transport.entropic.discrete import Discrete
from jko.transport.entropic.gaussian import gaussian_cost
from jko.transport.entropic.scaling import CloudKernel, GridKernel, Scaling, scale_clouds, scale_on_grid
from jko.transport.entropic.tolerances import TOLERANCES


@dataclass(frozen=True, eq=False)
class EntropicTransport:
    """Transport of mu to nu with entropy, min ∫|x − y|²dπ + ε KL(π | μ⊗ν), for |x − y|² without ½.

    `cost` is that minimum, by its dual; `value` the Sinkhorn divergence where it was asked for, else the
    cost. `potentials` (f, g), `[*cells]` or `[n]` and `[m]`, make the plan
    π = exp((f + g − |x − y|²)/ε) μ⊗ν, whose first marginal is exact; `marginal_error` is the L1 error of the
    second over the mass. `gap` is a feasible plan's objective less the dual: what `cost` may be too low by.
    Between Gaussians all of it is in closed form, and potentials are None.
    """

    epsilon: float
    cost: float
    value: float
    gap: float
    marginal_error: float
    iterations: int
    method: str
    potentials: tuple[np.ndarray, np.ndarray] | None = field(default=None, repr=False)
    problem: Any = field(default=None, repr=False)
    centred: Any = field(default=None, repr=False)

    @property
    def plan(self) -> np.ndarray:
        """The masses of the pairs, `[n, m]`; refused where they do not fit in memory."""
        return self._discrete("plan").plan(*self.centred)

    @cached_property
    def map(self) -> np.ndarray:
        """The barycentric projection ∫y π(dy | x) at the cells `[*cells, d]` or points `[n, d]` of mu."""
        return self._discrete("map").barycentres(self.centred[1])

    @cached_property
    def transport_cost(self) -> float:
        """∫|x − y|²dπ, without the entropy."""
        return self._discrete("transport_cost").transport_cost(*self.centred)

    def _discrete(self, name: str):
        if self.problem is None:
            raise ValueError(f"{name}: Gaussians have no cells or points: put them on a grid, or sample them")
        return self.problem


def sinkhorn(
    mu: Measure,
    nu: Measure,
    epsilon: float,
    *,
    debias: bool | str = True,
    tolerance: float = 1e-4,
    max_iterations: int = 2000,
) -> EntropicTransport:
    """min over couplings of ∫|x − y|²dπ + ε KL(π | μ⊗ν) [Cuturi2013], and the Sinkhorn divergence
    S = OT(μ, ν) − ½OT(μ, μ) − ½OT(ν, ν) [FeydyEtAl2019].

    The unit is that of W₂² = min ∫|x − y|²dπ, without ½, so `epsilon` is a squared length: the kernel is
    exp(−|x − y|²/ε), whose standard deviation is √(ε/2), and the same plan is the Schrödinger bridge of
    diffusivity ε/4. S tends to W₂² as ε → 0, is 0 where μ = ν, and errs by O(ε²) for smooth densities
    where OT errs by O(ε log 1/ε).

    mu, nu: densities on one grid (d = 1, 2, 3), a density and a Gaussian, two clouds, or two Gaussians (in
    closed form). On grids the kernel goes axis by axis, in the log domain, from coarse grids to fine; there
    is no ε too small for the range of floating point, but the cells must see the kernel: its sums are
    accurate to 1e-4 for ε ≥ h², and less than h²/20 is refused. On grids and
    between clouds the costs round at 1e-16 ε, so that ε = 1e16 W₂² leaves no digit. Masses other than 1
    multiply cost and value.
    tolerance: the L1 error of the second marginal, over the mass; the first is exact.

    Raises TypeError and ValueError for measures of different kind, grid, dimension or mass and for epsilon
    ≤ 0 or too small for the grid; RuntimeError where `max_iterations` at one temperature do not suffice.
    """
    mu, nu = alike(mu, nu)
    epsilon = positive_number("epsilon", epsilon)
    if not isinstance(debias, bool | np.bool_):
        raise TypeError(f"debias: expected True or False, got {shown(debias)}")
    tolerance = positive_number("tolerance", tolerance)
    most = whole_number("max_iterations", max_iterations)
    if isinstance(mu, Gaussian):
        return _between_gaussians(mu, nu, epsilon, debias)
    pair = discrete(mu, nu, epsilon)
    found = potentials(pair, tolerance, most)
    f, g = epsilon * found.first, epsilon * found.second
    dual = pair.dual(f, g)
    cost = value = dual + float(pair.shift @ pair.shift)
    if debias:
        value -= 0.5 * sum(_with_itself(p, tolerance, most) for p in (pair, pair.swapped))
    return EntropicTransport(
        epsilon=epsilon,
        cost=pair.mass * cost,
        value=pair.mass * value,
        gap=pair.mass * max(pair.primal(f, g) - dual, 0.0),
        marginal_error=found.error,
        iterations=found.iterations,
        method="Sinkhorn on a grid" if pair.spacing else "Sinkhorn between clouds",
        potentials=pair.moved_back(f, g),
        problem=pair,
        centred=(f, g),
    )


def discrete(mu: Measure, nu: Measure, epsilon: float) -> Discrete:
    """The discrete problem between two densities on one grid or two clouds; refuses an ε that their cells
    cannot see."""
    if isinstance(mu, Density):
        grid = mu.grid
        widest = max(grid.spacing)
        if epsilon < TOLERANCES.finest * widest**2:
            raise ValueError(
                f"epsilon: expected at least h²/20 = {TOLERANCES.finest * widest**2:.2g} on cells of width "
                f"{widest:.2g}, got {epsilon:.2g}, for which every cell keeps to itself; take a finer grid"
            )
        kernel = GridKernel(grid.cells, grid.spacing, epsilon)
        masses = (m.values / m.values.sum() for m in (mu, nu))
        middle = 0.5 * (np.array(grid.lower) + grid.upper)
        x = grid.centers - middle
        return Discrete(kernel, *masses, x, x, epsilon, mu.mass, grid.spacing, middles=(middle, middle))
    x, y = (finite_array(name, m.positions) for name, m in (("mu", mu), ("nu", nu)))
    weights = (np.asarray(m.weights, dtype=float) / np.sum(m.weights, dtype=float) for m in (mu, nu))
    a, b = weights
    middles = a @ x, b @ y
    x, y = x - middles[0], y - middles[1]
    return Discrete(CloudKernel(x, y, epsilon), a, b, x, y, epsilon, 1.0, middles=middles)


def potentials(pair: Discrete, tolerance: float, most: int, symmetric: bool = False) -> Scaling:
    """The fixed point for a discrete problem, or for one between a measure and itself."""
    nu = None if symmetric else pair.nu
    if pair.spacing:
        found = scale_on_grid(pair.mu, nu, pair.spacing, pair.epsilon, tolerance, most)
    else:
        found = scale_clouds(pair.x, pair.y, pair.mu, nu, pair.epsilon, tolerance, most)
    if not found.error <= tolerance:
        raise RuntimeError(
            f"Sinkhorn's iteration stopped after {found.iterations} rounds at an L1 error of "
            f"{found.error:.1e} in the second marginal; raise max_iterations, tolerance or epsilon"
        )
    return found


def _with_itself(pair: Discrete, tolerance: float, most: int):
    """OT(μ, μ), by its dual with a plan whose mass need not be 1."""
    alone = pair.alone
    f = pair.epsilon * potentials(alone, TOLERANCES.self_tolerance * tolerance, most, symmetric=True).first
    return alone.dual(f, f, float(alone.second_marginal(f, f).sum()))


def _between_gaussians(mu: Measure, nu: Measure, epsilon: float, debias: bool):
    def cost(a: Measure, b: Measure):
        return gaussian_cost(a.mean(), a.covariance(), b.mean(), b.covariance(), epsilon)

    plain = cost(mu, nu)
    value = plain - 0.5 * (cost(mu, mu) + cost(nu, nu)) if debias else plain
    return EntropicTransport(epsilon, plain, value, 0.0, 0.0, 0, "closed form between Gaussians")
