"""Which functional moves these populations: V, W and θ from snapshots."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from functionals import Functional
from jko.errors import one_of, positive_number, seed_number, shown, whole_number
from jko.learn.bases import Basis
from jko.learn.closed_form import Cloud, Data, Solved, cloud_of, coupled, solve
from jko.learn.couplings import side_by_side
from jko.learn.equations import Normal
from jko.learn.identifiability import Identifiability, free_of, identifiability
from jko.learn.implicit import takes_steps, through_steps
from jko.learn.landscape import (
    ByInterval,
    Landscape,
    PolynomialInTime,
    assembled,
    interaction_of,
    time_factors,
)
from jko.learn.model import Model
from jko.learn.refinement import MOST_DIFFERENCED, Refined, refine
from jko.learn.snapshots import Snapshots, as_snapshots
from jko.learn.tolerances import TOLERANCES
from jko.learn.uncertainty import uncertainty
from jko.measures import Particles
from jko.progress import progress_bar
from jko.trajectory import Trajectory

STEPS = ("flow", "explicit", "implicit")
REMEDIES = {"flow": 'step="explicit"', "implicit": "more rounds (refinement)"}  # where rounds do not settle
ROUNDS = 12  # of refinement at most; it ends where the paths agree


@dataclass(frozen=True, eq=False)
class Part:
    """What one solve found: its intervals, their model and parameters, and how well they are known. `rounds`
    are the residuals of the refinement, empty where there was none."""

    intervals: list[int]
    model: Model
    parameters: np.ndarray
    covariance: np.ndarray
    identifiability: Identifiability
    regularisation: float
    tried: dict[float, float]
    rounds: list[float]
    settled: bool
    gain: float

    @property
    def leaves_out_paths(self) -> bool:
        """Whether the covariance of W leaves out how refined paths change with the parameters."""
        refined = bool(self.rounds) and self.model.interactions > 0
        return refined and self.model.size > MOST_DIFFERENCED


@dataclass(frozen=True, eq=False)
class Report:
    """How a fit went: the `regularisation` of each part (a share of the mean diagonal of its equations), the
    `rounds` of refinement with their residuals, `gain`, the share of the motion by which refinement
    changed the closed form, `warnings`, `seconds`, and `excess`: of each coupling's cost at most the share
    above the least (0 of exact plans, NaN where clouds are too large to tell; empty without couplings)."""

    regularisation: list[float]
    rounds: list[list[float]]
    gain: list[float]
    warnings: list[str]
    seconds: float
    excess: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        strength = ", ".join(f"{share:.1e}" for share in self.regularisation)
        lines = [f"least squares in {self.seconds:.1f} s, regularisation {strength}"]
        if any(self.rounds):
            counts = ", ".join(str(len(r)) for r in self.rounds)
            lines.append(
                f"refined in {counts} rounds, by {', '.join(f'{g:.1%}' for g in self.gain)} of the motion"
            )
        if any(share != 0.0 for share in self.excess):
            told = ", ".join(f"{share:.1%}" for share in self.excess)
            lines.append(f"couplings in parts, at most {told} above the least cost")
        return "\n".join([*lines, *(f"warning: {w}" for w in self.warnings)])


@dataclass(frozen=True, eq=False)
class Fit:
    """What was learnt: `functional`, with `V`, `W` and `temperature` on their own, and what is known of it.

    `functional` is a sum of registered functionals, ∫V dρ + ½∬W dρdρ + θ∫ρ log ρ of what was asked for,
    and runs
    in every engine; a potential that depends on time takes the times of the snapshots.
    """

    snapshots: Snapshots
    parts: list[Part]
    step: str
    report: Report
    settings: dict = field(repr=False, default_factory=dict)

    @cached_property
    def V(self) -> Landscape | ByInterval | PolynomialInTime | None:
        """The potential as a jax function of a point, or of a point and the time; None where none was
        asked."""
        model = self.parts[0].model
        if model.potential is None:
            return None
        if self.settings.get("per_interval"):
            each = [self.landscape(k) for k in range(len(self.snapshots) - 1)]
            return ByInterval(tuple(each), self.snapshots.times) if len(each) > 1 else each[0]
        table = model.table(self.parts[0].parameters)
        if len(table) == 1:
            return Landscape(model.potential, table[0])
        return PolynomialInTime(model.potential, table, self.snapshots.times[0], self.snapshots.times[-1])

    def landscape(self, k: int) -> Landscape:
        """The potential of the k-th interval, from snapshot k to k + 1."""
        part = next(part for part in self.parts if k in part.intervals)
        number, model = part.intervals.index(k), part.model
        coefficients = model.of_interval(number, part.parameters)[: model.potentials]
        return Landscape(model.potential, coefficients, f"learnt V of interval {k}")

    @cached_property
    def W(self) -> Landscape | None:
        """The interaction as a jax function of a difference; None where none was asked for."""
        model, p = self.parts[0].model, self.parts[0].parameters
        return None if model.kernels is None else Landscape(model.kernels, model.kernel_part(p), "learnt W")

    @property
    def temperature(self) -> float:
        """θ, estimated or as it was given; 0 where none was asked for."""
        return max(self.parts[0].model.theta(self.parts[0].parameters), 0.0)

    @cached_property
    def functional(self) -> Functional:
        """F = ∫V dρ + ½∬W dρdρ + θ∫ρ log ρ, of what was asked for."""
        return assembled(self.V, self._interaction, self.temperature)

    def functional_of(self, k: int) -> Functional:
        """F as it is in the k-th interval, without time; one object, whose programs are kept."""
        whole_number("k", k, least=0)
        if k >= len(self.snapshots) - 1:
            raise ValueError(f"k: expected the number of one of {len(self.snapshots) - 1} intervals, got {k}")
        return self._of_intervals[k]

    @cached_property
    def _interaction(self) -> Functional | None:
        return None if self.W is None else interaction_of(self.W)

    @cached_property
    def _of_intervals(self) -> list[Functional]:
        each = [None if self.V is None else self.landscape(k) for k in range(len(self.snapshots) - 1)]
        return [assembled(V, self._interaction, self.temperature) for V in each]

    @property
    def identifiability(self) -> Identifiability:
        """What the data cannot tell; of the first interval where each has its own (`parts` has them all)."""
        return self.parts[0].identifiability

    @property
    def parameters(self) -> np.ndarray:
        """The coefficients of V, of W, and θ where it was fitted, of the first part."""
        return self.parts[0].parameters

    @property
    def standard_errors(self) -> np.ndarray:
        """One for each parameter; infinite where a direction that the data do not show moves it, NaN where
        it is not known: of W after a refinement beside many parameters."""
        part = self.parts[0]
        errors = np.sqrt(np.maximum(np.diag(part.covariance), 0.0))
        own = part.model.penalised == 0.0
        for direction in part.identifiability.null_directions:
            shares = np.abs(direction.shares)
            least = TOLERANCES.much * np.linalg.norm(shares)
            if direction.held is not None and own.any():
                least = 0.1 * shares[own].max()
            errors[own & (shares > least)] = np.inf
        if part.leaves_out_paths:
            of_kernels = errors[part.model.first_kernel :][: part.model.interactions]
            of_kernels[np.isfinite(of_kernels)] = np.nan
        return errors

    @property
    def temperature_error(self) -> float:
        """The standard error of θ, 0 where it was given."""
        return float(self.standard_errors[-1]) if self.parts[0].model.fits_temperature else 0.0

    def intervals(self, level: float = 0.95) -> np.ndarray:
        """Confidence intervals `[size, 2]` of the parameters, from the standard errors."""
        from scipy.special import ndtri

        if not (isinstance(level, (int, float)) and 0.0 < level < 1.0):
            raise ValueError(f"level: expected a number between 0 and 1, got {shown(level)}")
        half = float(ndtri(0.5 + 0.5 * level)) * self.standard_errors
        return np.stack([self.parameters - half, self.parameters + half], axis=1)

    def predict(
        self,
        mu0: Particles | np.ndarray,
        times: ArrayLike | None = None,
        scheme=None,
        *,
        tau: float | None = None,
        seed: int = 0,
    ) -> Trajectory:
        """The measures at `times` that the learnt functional makes of mu0, which is at times[0]; see
        `jko.learn.prediction.predict`."""
        from jko.learn.prediction import predict

        return predict(self, mu0, times, scheme, tau=tau, seed=seed)

    def __str__(self) -> str:
        first = self.parts[0]
        lines = [f"learnt from {self.snapshots!r}", f"F = {self.functional!r}"]
        if first.model.fits_temperature:
            lines.append(f"temperature {self.temperature:.4g} ± {self.temperature_error:.2g}")
        if self.W is not None:
            kernel = zip(
                first.model.kernel_part(first.parameters), range(first.model.interactions), strict=True
            )
            named = ", ".join(f"{c:.4g} {first.model.kernels.describe(j)}" for c, j in kernel)
            lines.append(
                f"W = {named if first.model.interactions <= 6 else f'{first.model.interactions} kernels'}"
            )
        return "\n".join([*lines, str(self.report), str(first.identifiability)])


def fit(
    snapshots: Snapshots,
    potential: Basis | None = None,
    interaction: Basis | None = None,
    temperature: float | str | None = None,
    regularisation: float | None = None,
    *,
    step: str = "flow",
    refinement: int = ROUNDS,
    seed: int = 0,
    progress: bool | None = None,
) -> Fit:
    """The functional F = ∫V dρ + ½∬W dρdρ + θ∫ρ log ρ whose gradient flow the snapshots show.

    `potential` and `interaction` are bases (`Radial`, `Polynomial`, `Quadratic`, `Splines`,
    `RandomFeatures`, `Network`); what is not asked for is absent. `temperature` is a number that is known,
    "fit" to be estimated, None for 0; `regularisation` a share of the mean diagonal, None by held-out halves.

    `step` says what lies between two snapshots:

    - `"flow"`: the gradient flow. Every energy F_i of the basis falls by ⟨∇δF_i, ∇δF⟩, which is linear in
      what is sought [GaoLangLu2024]; nothing is paired, no density is estimated, and θ enters exactly. The
      time integral is the trapezoidal rule's in the closed form, and that along simulated paths after at
      most `refinement` rounds.
    - `"explicit"`, `"implicit"`: one step y = x − τ∇δF(x), or x = y + τ∇δF(y), of the length of the gap,
      with (x, y) from an exact optimal coupling [TerpinEtAl2024]; for gaps so long that the flow within
      means nothing. Implicit steps of V alone are fitted to where it sends x, by Gauss–Newton.

    Standard errors come from blocks of the points (`Fit.standard_errors`), and directions of the parameters
    that the data do not show from the spectrum of the equations (`Fit.identifiability`): where nothing
    regularises them they are set to 0, which is said in a warning.

    Raises TypeError or ValueError for what is no basis, and more unregularised parameters than points.
    """
    begun = time.monotonic()
    snapshots = as_snapshots("snapshots", snapshots)
    _check(potential, interaction, temperature, regularisation, step)
    rounds, seed = whole_number("refinement", refinement, least=0), seed_number("seed", seed)
    clouds = _clouds(snapshots, interaction is not None, seed)
    groups = _groups(snapshots, potential, interaction, temperature)
    first = _model(snapshots, clouds, potential, interaction, temperature, groups[0], len(groups) > 1)
    # few parameters with noise: the paths, which pair nothing, decide whatever the closed form began with
    noisy = temperature not in (None, 0) and not first.penalised.any()
    data = coupled(snapshots.times, clouds, step, interaction is not None or noisy)
    with progress_bar(progress, len(groups) * (2 + rounds), "fit", "round") as tick:

        def part(chosen: list[int]) -> Part:
            model = _model(snapshots, clouds, potential, interaction, temperature, chosen, len(groups) > 1)
            _enough(model, clouds, chosen, regularisation)
            model = model if potential is None else potential.trained(model, data, chosen, seed)
            solved = solve(model, data, chosen, regularisation, seed)
            tick()
            if step == "implicit" and rounds and takes_steps(model):
                return _stepped(model, data, chosen, solved, regularisation, rounds, seed, tick)
            return _finished(model, data, chosen, solved, rounds if step == "flow" else 0, seed, tick)

        parts = side_by_side(part, groups)
    report = _reported(parts, step, begun, [plan.excess for plan in data.couplings or []])
    own = potential is not None and potential.per_interval
    return Fit(snapshots, parts, step, report, {"per_interval": own})


def _clouds(snapshots: Snapshots, paired: bool, seed: int) -> list[Cloud]:
    return [
        cloud_of(c, isinstance(mu, Particles), paired, seed)
        for c, mu in zip(snapshots.clouds, snapshots.measures, strict=True)
    ]


def _reported(parts: list[Part], step: str, begun: float, excess: list[float]) -> Report:
    """The report of a fit that `begun` then; its warnings are given as such too."""
    said = _warnings(parts, step)
    for sentence in said:
        warnings.warn(sentence, stacklevel=3)
    strengths, rounds, gains = zip(*((p.regularisation, p.rounds, p.gain) for p in parts), strict=True)
    return Report(list(strengths), list(rounds), list(gains), said, time.monotonic() - begun, excess)


def _check(potential, interaction, temperature: float | str | None, regularisation, step: str) -> None:
    for name, basis in (("potential", potential), ("interaction", interaction)):
        if basis is not None and not isinstance(basis, Basis):
            raise TypeError(f"{name}: expected a basis such as jko.learn.Radial(), got {shown(basis)}")
    if potential is None and interaction is None:
        raise ValueError("potential: nothing is asked for; give a basis, such as jko.learn.Radial()")
    if interaction is not None and (interaction.per_interval or interaction.time_degree):
        raise ValueError(
            "interaction: it is one and the same at all times; leave per_interval and time_degree out"
        )
    if temperature is not None and temperature != "fit":
        if isinstance(temperature, str):
            raise ValueError(f'temperature: expected a number, "fit" or None, got {temperature!r}')
        if temperature != 0:
            positive_number("temperature", temperature)
    if regularisation is not None and regularisation != 0:
        positive_number("regularisation", regularisation)
    one_of("step", step, STEPS)


def _groups(snapshots: Snapshots, potential, interaction, temperature: float | str | None) -> list[list[int]]:
    """Intervals that are solved together: each alone where they share nothing."""
    every = list(range(len(snapshots) - 1))
    alone = potential is not None and potential.per_interval and interaction is None and temperature != "fit"
    return [[k] for k in every] if alone else [every]


def _model(
    snapshots: Snapshots,
    clouds: list,
    potential,
    interaction,
    temperature: float | str | None,
    chosen: list,
    alone: bool,
) -> Model:
    points = np.concatenate([clouds[k].x for k in sorted({*chosen, *(k + 1 for k in chosen)})])
    factors = np.ones((len(chosen), 1))
    if potential is not None and not alone and (potential.per_interval or potential.time_degree):
        factors = time_factors(snapshots.times, potential.per_interval, potential.time_degree)
    return Model(
        None if potential is None else potential.potentials(points),
        None if interaction is None else interaction.kernels(points),
        0.0 if temperature in (None, "fit") else float(temperature),
        temperature == "fit",
        factors,
    )


def _enough(model: Model, clouds: list, chosen: list, regularisation) -> None:
    points = sum(len(clouds[k].x) for k in {*chosen, *(k + 1 for k in chosen)})
    free = model.size if regularisation == 0 else int(np.sum(model.penalised == 0.0))
    if free > points * clouds[0].x.shape[1]:
        raise ValueError(
            f"potential: {free} parameters without regularisation are more than {points} points determine; "
            "lower the degree or the number of centres, or leave regularisation out"
        )


def _finished(
    model: Model, data: Data, chosen: list, solved: Solved, rounds: int, seed: int, tick: Callable
) -> Part:
    """Refined, its errors and null directions found, and what nothing tells set to 0."""
    parameters, normal, steps, residuals, settled, gain = (
        solved.parameters,
        solved.normal,
        None,
        [],
        True,
        0.0,
    )
    if rounds:
        refined = refine(model, data, chosen, parameters, solved.share, rounds, seed, tick)
        settled = refined is not None and refined.settled
        if refined is not None:
            gain = _gain(refined, parameters)
            parameters, normal = refined.parameters, refined.normal
            steps, residuals = refined.steps, refined.residuals
    means = np.array([c.w @ c.x for c in data.clouds])
    known = uncertainty(model, data, chosen, parameters, normal, solved.share, steps, seed)
    seen = identifiability(model, normal, solved.share, known.moments, parameters, means)
    within, spread = free_of(seen), known.covariance
    if within is not None:
        parameters = normal.solved(solved.share, model.penalised, within)
        spread = _spread_within(within, model, normal, solved.share, known.moments)
    tick()
    return Part(chosen, model, parameters, spread, seen, solved.share, solved.tried, residuals, settled, gain)


def _stepped(
    model: Model, data: Data, chosen: list, closed: Solved, share, rounds: int, seed: int, tick: Callable
) -> Part:
    """Fitted through implicit steps; errors and null directions are those of the closed form's equations."""
    solved, refined = through_steps(model, data, chosen, share, rounds, seed, tick)
    parameters, normal, share = refined.parameters, closed.normal, solved.share
    means = np.array([c.w @ c.x for c in data.clouds])
    known = uncertainty(model, data, chosen, parameters, normal, share, None, seed)
    seen = identifiability(model, normal, share, known.moments, parameters, means)
    within, spread = free_of(seen), known.covariance
    if within is not None:
        parameters = refined.normal.solved(share, model.penalised, within)
        spread = _spread_within(within, model, normal, share, known.moments)
    tick()
    gain = _gain(refined, closed.parameters)
    return Part(
        chosen, model, parameters, spread, seen, share, solved.tried, refined.residuals, refined.settled, gain
    )


def _gain(refined: Refined, closed: np.ndarray) -> float:
    """The share of the motion by which refinement changed the closed form."""
    p, matrix = refined.parameters, refined.normal.matrix
    change, motion = p - closed, max(float(p @ matrix @ p), np.finfo(float).tiny)
    return float(np.sqrt(max(change @ matrix @ change, 0.0) / motion))


def _spread_within(within: np.ndarray, model: Model, normal: Normal, share: float, moments: np.ndarray):
    """The covariance of parameters that are held to the span of `within`."""
    raised = normal.matrix + np.diag(share * normal.scale * model.penalised)
    inverse = within @ np.linalg.pinv(within.T @ raised @ within, rcond=1e-13) @ within.T
    return inverse @ moments @ inverse.T


def _warnings(parts: list[Part], step: str) -> list[str]:
    said = []
    for part in parts:
        where = f"interval {part.intervals[0]}: " if len(parts) > 1 else ""
        unset = free_of(part.identifiability)
        if unset is not None:
            count = unset.shape[0] - unset.shape[1]
            first = next(str(d) for d in part.identifiability.null_directions if d.held is not None)
            said.append(
                f"{where}{count} {'direction' if count == 1 else 'directions'} of the parameters the data do "
                f"not tell, set to 0: {first}"
            )
        free, size = part.identifiability.effective_parameters, part.model.size
        if part.model.penalised.any() and free < TOLERANCES.rests_on_data * size:
            said.append(
                f"{where}the estimate rests on the regularisation: the data set {free:.0f} of {size} "
                "parameters; trust V where the points are, and nowhere else"
            )
        if not part.settled and not (part.rounds and part.rounds[-1] < TOLERANCES.nearly_settled):
            left = f"{part.rounds[-1]:.1%} of the motion" if part.rounds else "the closed form"
            said.append(
                f"{where}refinement did not settle ({left} left): the gaps are long for this basis; take "
                f"{REMEDIES[step]}, more snapshots, or more regularisation"
            )
        if part.leaves_out_paths:
            said.append(
                f"{where}W has no standard errors: those of {part.model.size} parameters leave out how the "
                "paths change with them, and would be too small; compare fits to halves of the data"
            )
        theta = part.model.theta(part.parameters)
        if part.model.fits_temperature and theta < 0.0:
            said.append(f"{where}the temperature came out at {theta:.3g}, below 0, and is taken as 0")
    return said
