"""States at rest of a gradient flow on a grid, their stability, and branches of them in a parameter."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from functionals import Functional
from jko.errors import UnsupportedFunctional, whole_number
from jko.loops.elliptic.room_flux import faces_between
from jko.measures import Density, Measure
from jko.records import Status
from jko.steps.grid.dual_energy import DualEnergy
from jko.steps.grid.energy import DualProblem
from jko.steps.grid.marginals import components


@dataclass(frozen=True)
class Tolerances:
    """What steers the search for a state at rest."""

    mass: float = 1e-15  # relative, of the density that answers a field; rounding
    near: float = 1e-2  # L1 change of a descent step over the mass, below which Newton's method is tried
    nearer: float = 0.1  # times `near`, after an attempt of Newton's method that led elsewhere
    newton: int = 25  # iterations; from a start that is near four to eight are needed
    linear: float = 1e-3  # residual of Newton's equation, relative: its error is a thousandth of the step
    krylov: int = 60  # vectors before a restart: W∗ is smooth, few of its modes count
    rounding: float = 1e-13  # of the size of a field: a residual below it is none
    rise: float = 1e-12  # of the size of F, by which Newton's answer may lie above the descent's
    tail: float = 1e-12  # of the largest density: cells below it take no part in rates
    most_modes: int = 1500  # faces of a grid, up to which the slowest rate is found by dense algebra
    neutral: float = 1e-9  # eigenvalues nearer to 0: symmetries, such as translations, move F by rounding
    piled: float = 1e-4  # of 1: eigenvalues of the second variation that are not told from 1
    directions: int = 6  # eigenvalues asked for: an index of as many means at least so many
    difference: float = 1e-6  # of a branch's range, for the derivative by its parameter
    few: int = 3  # Newton iterations, up to which a branch's step grows
    growth: float = 1.3  # of a branch's step after an easy point, at most to its first length
    shortest: float = 1e-3  # of the first step of a branch: below it the branch is given up


TOLERANCES = Tolerances()


@dataclass(frozen=True)
class Stability:
    """The second variation at a state at rest, against perturbations γ of no mass.

    least: the least eigenvalue of ∫U″γ² + ∬W(x − y)γγ over ∫U″γ², the interaction held against what the
    internal energy resists with: 1 without interaction, ≤ 0 where the state loses its hold; nondimensional.
    index: how many directions lower F, `TOLERANCES.directions` standing for that many or more.
    """

    least: float
    index: int

    @property
    def is_minimum(self) -> bool:
        """Whether no direction lowers F; a symmetry of F leaves directions along which it does not change."""
        return self.index == 0


@dataclass(frozen=True, eq=False)
class Equilibrium:
    """A state at rest: δF/δρ = c on the support, no less off it.

    measure: the density; energy: F there; residual: ‖∇δF/δρ‖ in L²(ρ), the speed at which the flow would
    leave it, differences on the grid; level: c, up to the constant that W₂ flows do not see; status:
    CONVERGED where the residual of the equation is rounding; iterations: of descent and of Newton's method;
    pieces: of the support. One level holds for all of them: mass was exchanged between them, which a flow
    does not do where the density between is 0.
    """

    measure: Density
    energy: float
    residual: float
    level: float
    status: Status
    iterations: int
    pieces: int
    linearised: _Linearised = field(repr=False)

    @property
    def converged(self) -> bool:
        """Whether the state is one at rest to the last digits."""
        return self.status is Status.CONVERGED

    @cached_property
    def stability(self) -> Stability:
        """Whether it is a minimum, by the second variation; found when first asked for."""
        return self.linearised.stability()

    @cached_property
    def slowest_rate(self) -> float:
        """The least rate of the linearised flow ∂γ = ∇·(ρ∇(U″γ + W∗γ)), per nondimensional time.

        Perturbations decay as e^{−rate·t}; negative where one grows. NaN where the flow has no such linear
        form on the grid: at fronts, under a cap that is reached, on a support in pieces (wells between which
        next to no mass passes); and on grids of too many faces.
        """
        return self.linearised.slowest_rate()


class _SelfConsistency:
    """ψ = V + W∗ρ(ψ), ρ(ψ) the density of given mass whose pressure is c − ψ: what is true at rest."""

    def __init__(self, F: Functional, mu: Density):
        if F.depends_on_time:
            raise TypeError(
                f"functional: {F!r} depends on time and has no state at rest: take F.at(t) for one time"
            )
        if F.parts.kinds & {"local", "gradient", "rest"}:
            raise UnsupportedFunctional(
                f"functional: {F!r} has parts that are no internal energy, potential, interaction or cap; "
                "run jko.flow until it stands still"
            )
        self.problem = DualProblem(F, mu, None, "jko.equilibrium")
        self.problem.require_room(mu)
        self.dual = DualEnergy(self.problem.internal, self.problem.cap)
        self.grid, self.total = mu.grid, float(mu.values.sum())

    def interaction(self, values: np.ndarray) -> np.ndarray:
        """W∗γ of values of any sign."""
        out = np.zeros(self.grid.cells)
        for sign in (1.0, -1.0):
            part = np.maximum(sign * values, 0.0)
            if self.problem.parts.interaction and part.any():
                out += sign * self.problem.interaction(part)
        return out

    def density(self, psi: np.ndarray) -> tuple[float, np.ndarray]:
        """(c, ρ(ψ))."""
        return self.dual.normalise(psi, self.total, TOLERANCES.mass)

    def residual(self, psi: np.ndarray, rho: np.ndarray) -> np.ndarray:
        """V + W∗ρ − ψ, less its mean under ρ: fields that differ by a constant have one density."""
        found = self.problem.potential + self.interaction(rho) - psi
        return found - float(np.vdot(rho, found)) / self.total

    def size(self, psi: np.ndarray, rho: np.ndarray) -> float:
        """What ψ and U′ vary by, an energy: the range of ψ, or ∫ρ²U″/∫ρ, θ of an entropy, if that is more."""
        weight = self.dual.curvature(rho)
        free = weight > 0.0
        stiffness = float((rho[free] ** 2 / weight[free]).sum() / rho[free].sum()) if free.any() else 0.0
        return max(float(np.ptp(psi[rho > 0.0])), stiffness)

    def response(self, rho: np.ndarray) -> Callable:
        """v ↦ −δρ for a change v of ψ: (v − v̄)/U″, v̄ keeping the mass."""
        weight = self.dual.curvature(rho)
        whole = float(weight.sum())
        return lambda v: weight * (v - float(np.vdot(weight, v)) / whole)

    def newton_step(self, psi: np.ndarray, rho: np.ndarray, rhs: np.ndarray) -> np.ndarray:
        """The v with v + W∗(response v) = rhs, by GMRES."""
        from scipy.sparse.linalg import LinearOperator, gmres

        respond, shape = self.response(rho), psi.shape
        n = psi.size

        def product(v):
            v = v.reshape(shape)
            out = v + self.interaction(respond(v))
            return (out - float(np.vdot(rho, out)) / self.total).ravel()

        operator = LinearOperator((n, n), matvec=product, dtype=float)
        options = {"rtol": TOLERANCES.linear, "atol": 0.0, "restart": min(n, TOLERANCES.krylov), "maxiter": 4}
        found = gmres(operator, rhs.ravel(), **options)[0].reshape(shape)
        return found - float(np.vdot(rho, found)) / self.total  # constants are in the null space

    def newton(self, psi: np.ndarray, most: int) -> tuple[np.ndarray, float, np.ndarray, bool, int]:
        """(ψ, c, ρ, whether the residual is rounding, iterations)."""
        c, rho = self.density(psi)
        size, last, number = self.size(psi, rho), math.inf, 0
        while True:
            r = self.residual(psi, rho)
            norm = float(np.abs(r[rho > 0.0]).max(initial=0.0))
            if norm <= TOLERANCES.rounding * size or not norm < 2.0 * last or number == most:
                return psi, c, rho, norm <= 1e3 * TOLERANCES.rounding * size, number
            last, number = min(last, norm), number + 1
            psi = psi + self.newton_step(psi, rho, r)
            c, rho = self.density(psi)

    def energy(self, rho: np.ndarray) -> float:
        """F, V less its minimum."""
        return self.problem.energy(rho, self.interaction(rho))


@dataclass(frozen=True, eq=False)
class _Linearised:
    """The flow linearised at a density."""

    equation: _SelfConsistency
    rho: np.ndarray

    def stability(self) -> Stability:
        """By Lanczos' method for u ↦ u + U″^{−½}W∗(U″^{−½}u), u without the direction of mass."""
        from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

        root = np.sqrt(self.equation.dual.curvature(self.rho))
        if not self.equation.problem.parts.interaction:
            return Stability(1.0, 0)
        shape, n = root.shape, root.size
        mass = root.ravel() / np.linalg.norm(root)

        def product(u):
            along = float(mass @ u)
            v = u - along * mass
            out = v + (root * self.equation.interaction(root * v.reshape(shape))).ravel()
            return out - float(mass @ out) * mass + along * mass

        operator = LinearOperator((n, n), matvec=product, dtype=float)
        start = np.random.default_rng(0).standard_normal(n)
        options = {"which": "SA", "v0": start, "tol": TOLERANCES.neutral, "return_eigenvectors": False}
        try:
            found = eigsh(operator, k=min(TOLERANCES.directions, n - 1), maxiter=20, **options)
        except ArpackNoConvergence as error:  # eigenvalues that pile up at 1, as those of repulsions do
            found = error.eigenvalues
            below = found[found < 1.0 - TOLERANCES.piled]
            found = below if below.size else np.array([self._least_of(product, n)])
        return Stability(float(found.min()), int((found < -TOLERANCES.neutral).sum()))

    def _least_of(self, product: Callable, n: int) -> float:
        """The least eigenvalue of a symmetric operator by Rayleigh quotients of few digits."""
        from scipy.sparse.linalg import LinearOperator, eigsh

        operator = LinearOperator((n, n), matvec=product, dtype=float)
        start = np.random.default_rng(0).standard_normal(n)
        options = {"which": "SA", "v0": start, "tol": TOLERANCES.piled, "return_eigenvectors": False}
        return float(eigsh(operator, k=1, ncv=min(n, 4 * TOLERANCES.directions), maxiter=400, **options)[0])

    def slowest_rate(self) -> float:
        """The least eigenvalue of √ρ∇(U″ + W∗)∇ᵀ√ρ on the faces between cells with mass."""
        from scipy.sparse import coo_array

        rho, problem = self.rho, self.equation.problem
        capped = problem.cap is not None and bool((rho >= problem.cap).any())
        if capped or not problem.full_support or self.pieces() > 1:
            return math.nan
        held = rho > TOLERANCES.tail * rho.max()
        place = np.cumsum(held.ravel()) - 1
        lower, upper, axis = faces_between(held, problem.grid.periodic)
        if lower.size > TOLERANCES.most_modes:
            return math.nan
        root = np.sqrt(0.5 * (rho.flat[lower] + rho.flat[upper])) / np.array(problem.grid.spacing)[axis]
        faces = np.arange(root.size)
        difference = coo_array(
            (np.append(-root, root), (np.tile(faces, 2), place[np.append(lower, upper)])),
            shape=(root.size, int(held.sum())),
        ).tocsr()
        middle = np.diag(problem.internal.second_derivative(rho[held]))
        if problem.parts.interaction:
            middle += self._kernel(held)
        matrix = difference @ (difference @ middle).T
        rates = np.linalg.eigvalsh(0.5 * (matrix + matrix.T))
        loops = root.size - int(held.sum()) + 1  # circulations move no mass
        return float(np.sort(np.delete(rates, np.argsort(np.abs(rates))[:loops]))[0])

    def pieces(self) -> int:
        """The number of parts of the support, the ends of periodic axes joined."""
        return components(self.rho > TOLERANCES.tail * self.rho.max(), self.equation.grid.periodic)[1]

    def _kernel(self, held: np.ndarray) -> np.ndarray:
        columns = np.empty((int(held.sum()), int(held.sum())))
        for k, cell in enumerate(np.flatnonzero(held)):
            unit = np.zeros(held.size)
            unit[cell] = 1.0
            columns[:, k] = self.equation.interaction(unit.reshape(held.shape))[held]
        return columns


def equilibrium(functional: Functional, measure: Measure, *, max_iterations: int = 2000) -> Equilibrium:
    """A state at rest of the Wasserstein gradient flow of F, without steps of time.

    functional: internal energies, potentials, interactions and caps. measure: a Density; its mass and its
    grid count, and where there are several minima it is the start. One level c = δF/δρ holds on the whole
    support: mass goes from piece to piece of it, as F asks, also where a flow could not carry it over a gap.
    Descent first, ρ ← ρ + s(ρ(ψ) − ρ), ψ = V + W∗ρ, ρ(ψ) the minimiser with that field
    held and s = min(1, D/∬W dd) of the gap D and d = ρ(ψ) − ρ: F falls by at least sD/2, the generalised
    conditional gradient [BrediesLorenzMaass2009]; then Newton's method for ψ = V + W∗ρ(ψ), taken where F
    does not rise. So a start that is not itself at rest, such as a symmetric one under a symmetric F, leads
    to a minimum; `stability` tells. The grid's own error in F is all that is left, O(h²).

    Raises UnsupportedFunctional without an internal energy, or with functionals of one's own; TypeError for
    what is no Density.
    """
    if not isinstance(functional, Functional):
        raise TypeError(f"functional: expected a Functional, got {type(functional).__name__}")
    if not isinstance(measure, Density):
        raise TypeError(
            f"measure: expected a Density, got {type(measure).__name__}: "
            "take measure.on(grid), or move particles by descent.BackwardEuler until they stand still"
        )
    if measure.grid.is_room:
        raise ValueError(
            f"measure: expected a density on a box or a torus, got one on {measure.grid!r}, whose parts may "
            "each have a level of their own: take limits.FiniteVolume until it stands still"
        )
    most = whole_number("max_iterations", max_iterations)
    equation = _SelfConsistency(functional, measure)
    rho, near, spent = measure.values, TOLERANCES.near, 0
    while True:
        rho, moved, count = _descended(equation, rho, near, most - spent)
        spent += count
        psi = equation.problem.potential + equation.interaction(rho)
        found = equation.newton(psi, TOLERANCES.newton)
        spent += found[4]
        rise = equation.energy(found[2]) - equation.energy(rho)
        if found[3] and rise <= TOLERANCES.rise * equation.problem.size(rho, equation.interaction(rho)):
            return _answer(functional, equation, *found[:4], spent)
        if spent >= most or moved == 0.0:
            c, _ = equation.density(psi)
            return _answer(functional, equation, psi, c, rho, False, spent)
        near *= TOLERANCES.nearer


def _descended(equation, rho, near, most):
    """(ρ after steps that lower F until one moves less than `near` of the mass, how far it moved, steps)."""
    internal, volume = equation.problem.internal, equation.grid.cell_volume
    local = equation.problem.potential
    moved, number, field = 0.0, 0, equation.interaction(rho)
    while number < max(most, 1):
        number += 1
        _, wanted = equation.density(local + field)
        change = wanted - rho
        moved = float(np.abs(change).sum()) / equation.total
        image = equation.interaction(change)
        curvature = volume * float(np.vdot(change, image))
        gap = volume * (
            float((internal.density(rho) - internal.density(wanted)).sum())
            - float(np.vdot(local + field, change))
        )
        share = 1.0 if curvature <= max(gap, 0.0) else max(gap, 0.0) / curvature
        rho, field = rho + share * change, field + share * image
        if share * moved <= near:
            break
    return np.maximum(rho, 0.0), moved, number


def _answer(functional, equation, psi, c, rho, converged, spent) -> Equilibrium:
    problem = equation.problem
    with np.errstate(all="ignore"):
        slope = problem.internal.derivative(rho) + psi - c
    if problem.cap is not None:
        slope = np.where(rho >= problem.cap, np.maximum(slope, 0.0), slope)
    residual = math.sqrt(problem.squared_slope(rho, slope) * equation.grid.cell_volume)
    measure = Density(equation.grid, rho)
    linearised = _Linearised(equation, rho)
    return Equilibrium(
        measure,
        functional(measure),
        residual,
        float(c),
        Status.of(converged),
        spent,
        linearised.pieces(),
        linearised,
    )


@dataclass(frozen=True, eq=False)
class Branch:
    """States at rest along a branch, in the order in which they were met.

    parameters `[m]`; states: an Equilibrium each; turns: where the parameter's direction changed, at folds
    and where a symmetric branch is crossed; complete: whether the branch was followed to an end of the range.
    """

    parameters: np.ndarray
    states: list[Equilibrium]
    complete: bool

    def __repr__(self) -> str:
        ends = f"{self.parameters[0]:g} to {self.parameters[-1]:g}"
        return f"Branch of {len(self.states)} states, {ends}{'' if self.complete else ', given up'}"

    @property
    def stable(self) -> np.ndarray:
        """Which states are minima, booleans `[m]`."""
        return np.array([state.stability.is_minimum for state in self.states])

    @property
    def turns(self) -> np.ndarray:
        """The numbers of the points at which the parameter turned back."""
        steps = np.sign(np.diff(self.parameters))
        return np.flatnonzero(steps[1:] * steps[:-1] < 0.0) + 1

    def observe(self, observable: Callable) -> np.ndarray:
        """An observable of the measures, `[m]`; raises TypeError where it gives no number."""
        if not callable(observable):
            raise TypeError(
                f"observable: expected a function of the measure, got {type(observable).__name__}"
            )
        values = [observable(state.measure) for state in self.states]
        if any(np.ndim(value) or not np.isrealobj(value) or isinstance(value, str) for value in values):
            raise TypeError("observable: expected one real number a measure, got another value")
        return np.array(values, dtype=float)


def continuation(
    functional_of: Callable[[float], Functional],
    parameters: tuple[float, float],
    measure: Measure,
    *,
    points: int = 40,
    most_points: int = 400,
) -> Branch:
    """The branch of states at rest through that of `functional_of(p)` at p = parameters[0].

    It begins at the equilibrium found from `measure` and is followed to parameters[1], round folds, by
    pseudo-arclength: the tangent is extended by a step, and Newton's method for (ψ, p) on the plane across
    it brings it back [Keller1977]; both stable and unstable states lie on it. points: steps in which the
    range would be crossed without turns. Ends early at parameters[0] when the branch comes back to it.
    Raises as `equilibrium`; ValueError for an empty range, or where the first state is not found.
    """
    if isinstance(functional_of, Functional) or not callable(functional_of):
        raise TypeError(
            "functional_of: expected a function of the parameter that returns a Functional, got "
            f"{type(functional_of).__name__}: write lambda p: fn.Entropy() + p * W"
        )
    try:
        first, last = (float(p) for p in parameters)
    except (TypeError, ValueError):
        raise ValueError(
            f"parameters: expected two different numbers (first, last), got {parameters!r}"
        ) from None
    if not (math.isfinite(first) and math.isfinite(last)) or first == last:
        raise ValueError(f"parameters: expected two different numbers, got {parameters!r}")
    points, most_points = whole_number("points", points), whole_number("most_points", most_points)
    begun = equilibrium(functional_of(first), measure)
    if not begun.converged:
        raise ValueError(
            f"parameters: no state at rest was found at {first:g} from this measure (residual "
            f"{begun.residual:.1e}): start from a density nearer to one"
        )
    walk = _Walk(functional_of, begun.measure, first, last, 1.0 / points)
    return walk.follow(most_points)


class _Walk:
    """Pseudo-arclength continuation of ψ = V + W∗ρ(ψ) in a parameter p = first + q(last − first)."""

    def __init__(self, functional_of, measure, first, last, step):
        self.functional_of, self.measure, self.first, self.last = functional_of, measure, first, last
        self.step = self.longest = step

    def parameter(self, q: float) -> float:
        return self.first + q * (self.last - self.first)

    def equation(self, q: float) -> _SelfConsistency:
        return _SelfConsistency(self.functional_of(self.parameter(q)), self.measure)

    def follow(self, most: int) -> Branch:
        """The branch from q = 0."""
        equation, q = self.equation(0.0), 0.0
        psi = equation.problem.potential + equation.interaction(self.measure.values)
        self.weight = self._weight(equation, psi)
        parameters, states = [self.first], [self._state(equation, psi, 0.0)]
        before = (np.zeros_like(psi), 1.0)
        while len(states) < most:
            tangent = self._tangent(psi, q, before)
            point = self._ended(psi, q, tangent)
            if point is not None:
                parameters.append(self.parameter(point[1]))
                states.append(self._state(self.equation(point[1]), *point))
                return Branch(np.array(parameters), states, True)
            while point is None and self.step >= TOLERANCES.shortest * self.longest:
                point = self._corrected(psi, q, tangent)
                self.step *= 0.5 if point is None else 1.0
            if point is None:
                return Branch(np.array(parameters), states, False)
            psi, q, iterations = point
            if iterations <= TOLERANCES.few:
                self.step = min(TOLERANCES.growth * self.step, self.longest)
            before = tangent
            parameters.append(self.parameter(q))
            states.append(self._state(self.equation(q), psi, q))
        return Branch(np.array(parameters), states, False)

    def _ended(self, psi, q, tangent):
        """(ψ, q) at the end of the range, where the next step would lead to or beyond it; else None."""
        end = 1.0 if tangent[1] > 0.0 else 0.0
        if abs(end - q) > self.step * abs(tangent[1]) or (end == 0.0 and q == 0.0):
            return None
        share = (end - q) / tangent[1] if tangent[1] else 0.0
        found = self.equation(end).newton(psi + share * tangent[0], TOLERANCES.newton)
        return (found[0], end) if found[3] else None

    def _weight(self, equation, psi) -> np.ndarray:
        """Of squares of ψ beside those of q: by 1/U″, over the square of what ψ and U′ vary by."""
        rho = self.measure.values
        weight = equation.dual.curvature(rho)
        return weight / float(weight.sum()) / equation.size(psi, rho) ** 2

    def _state(self, equation, psi, q) -> Equilibrium:
        c, rho = equation.density(psi)
        return _answer(self.functional_of(self.parameter(q)), equation, psi, c, rho, True, 0)

    def _product(self, a, b) -> float:
        return float(np.vdot(self.weight * a[0], b[0])) + a[1] * b[1]

    def _by_parameter(self, psi, q):
        """∂ of the residual by q."""
        ahead, behind = min(q + TOLERANCES.difference, 1.0), max(q - TOLERANCES.difference, 0.0)
        r = [eq.residual(psi, eq.density(psi)[1]) for eq in map(self.equation, (ahead, behind))]
        return (r[0] - r[1]) / (ahead - behind)

    def _tangent(self, psi, q, before):
        """The unit (ψ′, q′) along the branch, on the side of the last one."""
        equation = self.equation(q)
        along = equation.newton_step(psi, equation.density(psi)[1], self._by_parameter(psi, q))
        tangent = (along, 1.0)
        length = math.sqrt(self._product(tangent, tangent))
        side = math.copysign(1.0, self._product(tangent, before)) / length
        return along * side, side

    def _corrected(self, psi, q, tangent):
        """(ψ, q, iterations) on the branch at the arclength of a step, or None."""
        at = psi + self.step * tangent[0], q + self.step * tangent[1]
        equation = self.equation(q)
        size, last = equation.size(psi, equation.density(psi)[1]), math.inf
        for number in range(TOLERANCES.newton):
            if not 0.0 <= at[1] <= 1.0:
                return None
            equation = self.equation(at[1])
            rho = equation.density(at[0])[1]
            r = equation.residual(at[0], rho)
            norm = float(np.abs(r[rho > 0.0]).max(initial=0.0))
            if norm <= 1e2 * TOLERANCES.rounding * size:
                return at[0], at[1], number
            if not norm < 4.0 * last:
                return None
            last = min(last, norm)
            out = equation.newton_step(at[0], rho, r)
            along = equation.newton_step(at[0], rho, self._by_parameter(at[0], at[1]))
            off = self._product((at[0] - psi, at[1] - q), tangent) - self.step
            steep = self._product((along, 1.0), tangent)
            change = -(off + self._product((out, 0.0), tangent)) / steep
            at = at[0] + out + change * along, at[1] + change
        return None
