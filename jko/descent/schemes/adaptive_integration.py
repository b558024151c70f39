"""Particles moved by diffrax: explicit or implicit Runge-Kutta steps that adapt to a tolerance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from functionals import Functional
from jko.descent.fields.program import program
from jko.descent.fields.sharded import energy_at
from jko.descent.schemes.energy_descent import RegularisedDescent, rose, transport_cost
from jko.descent.tolerances import TOLERANCES
from jko.errors import one_of, positive_number, whole_number
from jko.loops.sums.pair_sums import precision
from jko.measures import Measure
from jko.scheme import Problem, Records, State, Status, StepInfo

METHODS = {"tsit5": "Tsit5", "dopri5": "Dopri5", "kvaerno5": "Kvaerno5"}


@dataclass(frozen=True)
class AdaptiveRungeKutta(RegularisedDescent):
    """ẋ = −∇_W F(α)(x) over each step of τ, in as many inner steps as the tolerances ask for, by diffrax.

    Every inner step keeps its estimated error below `atolerance` + `rtolerance`·|x − m|, m the mean where a
    step of τ begins, in the root mean square over the coordinates [Kidger2021]; `atolerance` is by default
    0.01 `rtolerance` times the root mean square of x − m then, so that no unit of length counts. τ only says
    when the measure is recorded. `method` is "tsit5" [Tsitouras2011] or "dopri5", explicit, or "kvaerno5"
    [Kvaerno2004], implicit and L-stable, for stiff drifts: its Newton steps factorise a dense matrix of (nd)²
    numbers, so that more than 2000 coordinates are refused.
    All are of order 5 where an inner step is all of τ. Internal energies enter as those of `Blob`,
    regularised with `bandwidth`.

    `accepted` and `rejected` inner steps are columns of the records. A step that needs more than `max_steps`
    is reported as "not converged", one that raises the energy beyond the tolerance as "unstable". Needs
    diffrax: `pip install "jko[adaptive]"`, without which ImportError is raised.
    """

    rtolerance: float = 1e-6
    atolerance: float | None = None
    method: str = "tsit5"
    max_steps: int = 10_000
    bandwidth: float | None = None

    takes: ClassVar = RegularisedDescent.takes_regularised
    order: ClassVar[int] = 5

    def __post_init__(self):
        positive_number("rtolerance", self.rtolerance)
        if self.atolerance is not None:
            positive_number("atolerance", self.atolerance)
        one_of("method", self.method, tuple(METHODS))
        whole_number("max_steps", self.max_steps)
        if self.bandwidth is not None:
            positive_number("bandwidth", self.bandwidth)

    def check(self, F: Functional, mu: Measure):
        super().check(F, mu)
        _diffrax()
        size = mu.n * mu.dimension
        if self.method == "kvaerno5" and size > TOLERANCES.largest_dense:
            raise ValueError(
                f"method: 'kvaerno5' factorises dense matrices of {size}² numbers for {mu!r}, above "
                f"{TOLERANCES.largest_dense}²: use descent.Trapezoidal or descent.BackwardEuler, whose "
                "solves need none"
            )

    def prepare(self, F: Functional, mu: Measure):
        problem = super().prepare(F, mu)
        return problem.starting(problem.start.having(inner_step=np.nan))

    def step(self, problem: Problem, mu: Measure, t: float, tau: float, state: State):
        mu, state, records = self.advance(problem, mu, t, tau, 1, state)
        return mu, state, records.row(0)

    def advance(self, problem: Problem, mu: Measure, t: float, tau: float, n: int, state: State):
        """n steps; `accepted` and `rejected` are recorded for each."""
        infos, counts = [], []
        tau = positive_number("tau", tau)
        for k in range(n):
            mu, state, info, count = self._advance_once(problem, mu, t + k * tau, tau, state)
            infos.append(info)
            counts.append(count)
            if not info.converged:
                break
        accepted, rejected = np.array(counts).T
        return mu, state, Records.of(infos).with_columns(accepted=accepted, rejected=rejected)

    def _advance_once(self, problem, mu: Measure, t, tau: float, state: State):
        flow, x, w = problem.flow, mu.positions, mu.weights
        before = self.energy_before(problem, mu, t, state)
        inner = tau if np.isnan(state["inner_step"]) else min(tau, state["inner_step"])
        with precision(x):
            solve = _compiled(flow, self.method, self.max_steps)
            centre = (np.asarray(w, float) @ x).astype(x.dtype)
            scalars = np.asarray([t, tau, inner, self.rtolerance, self._atol(x - centre)], x.dtype)
            moved, accepted, rejected, done = solve(x, w, centre, scalars)
            moved, accepted, rejected = np.asarray(moved), int(accepted), int(rejected)
        count = (accepted, rejected)
        after = energy_at(problem.at(t + tau), mu.with_positions(moved)) if done else np.nan
        if not done:
            failed = StepInfo(Status.NOT_CONVERGED, iterations=sum(count), note=_short(tau, self.max_steps))
            return mu, state, failed, count
        allowed = self._allowed(x - centre) * np.sqrt(2.0 * max(before - after, 0.0) / tau)
        if not problem.depends_on_time and rose(before + allowed, after, x.dtype):
            failed = StepInfo(
                Status.UNSTABLE, iterations=sum(count), note=_risen(before, after, self.rtolerance)
            )
            return mu, state, failed, count
        cost = transport_cost(x, moved, w, tau)
        info = StepInfo(
            iterations=sum(count),
            mass_error=0.0,
            dissipation=before - after - cost,
            transport_cost=cost,
        )
        state = state.having(energy=after, inner_step=tau / max(accepted, 1))
        return mu.with_positions(moved), state, info, count

    def _atol(self, z):
        size = float(np.sqrt(np.mean(np.square(z, dtype=float))))
        # a single point has no size of its own
        return self.atolerance or max(0.01 * self.rtolerance * size, np.finfo(z.dtype).tiny)

    def _allowed(self, z):
        return self._atol(z) + self.rtolerance * float(np.sqrt(np.mean(np.square(z, dtype=float))))


def _diffrax():
    try:
        import diffrax
    except ImportError:
        raise ImportError(
            'descent.AdaptiveRungeKutta needs diffrax, which is not installed: pip install "jko[adaptive]"'
        ) from None
    return diffrax


@program
def _compiled(flow, method, max_steps):
    """(x, w, m, [t, τ, first inner step, rtol, atol]) → (x⁺, accepted, rejected, whether τ was reached)."""
    diffrax = _diffrax()
    term = diffrax.ODETerm(lambda t, z, at: -flow.at(at[2] + t).gradient(z + at[1], at[0]))
    solver = getattr(diffrax, METHODS[method])()

    def solve(x, w, centre, scalars):
        start, tau, inner, rtol, atol = scalars
        solution = diffrax.diffeqsolve(
            term,
            solver,
            t0=jnp.zeros((), x.dtype),
            t1=tau,
            dt0=inner,
            y0=x - centre,
            args=(w, centre, start),
            stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
            adjoint=diffrax.ForwardMode(),
            max_steps=max_steps,
            throw=False,
        )
        stats = solution.stats
        done = (solution.result == diffrax.RESULTS.successful) & jnp.all(jnp.isfinite(solution.ys[-1]))
        return solution.ys[-1] + centre, stats["num_accepted_steps"], stats["num_rejected_steps"], done

    return solve


def _short(tau: float, max_steps):
    return (
        f"a step of tau={tau:g} was not completed in max_steps={max_steps} inner steps: take a smaller tau, "
        'raise max_steps, loosen the tolerances, or take method="kvaerno5" where the drift is stiff'
    )


def _risen(before, after, rtolerance):
    return (
        f"the energy rose from {before:.6g} to {after:.6g}: the tolerances are too loose, take an rtolerance "
        f"below {rtolerance:g}"
    )
