"""value_and_gradient: a loss of a flow, and its derivative by the adjoint of every step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from functionals.programs import kept
from functionals.reading import as_it_reads_now
from jko.errors import one_of, positive_number, shown, whole_number
from jko.measures import Gaussian, Measure
from jko.progress import progress_bar
from jko.run import step_failed
from jko.scheme import Scheme
from jko.sensitivity.engine import Arrays
from jko.sensitivity.engines import derivative_of
from jko.sensitivity.parametrised import MakeFunctional, checked_parameters
from jko.sensitivity.tolerances import TOLERANCES


class Of(StrEnum):
    """What a loss is a function of."""

    FINAL = "final"
    TRAJECTORY = "trajectory"


class By(StrEnum):
    """What a loss is differentiated by."""

    PARAMETERS = "parameters"
    MEASURE = "measure"
    TAU = "tau"


@dataclass(frozen=True)
class GradientRecord:
    """The certificate of a gradient: for every step the relative residual |Hλ − c|/|c| of its adjoint
    equation, and the gap of the step itself (NaN where the scheme has none).

    The gradient is that of the steps as they were solved: an error of the step of size ε, (2τ·gap)^½ at most
    in W₂, makes one of the order of ε in the gradient, which no residual of the adjoint shows, and moves
    central differences of runs with a step e by ε/e. Particles have no linear solve but in
    implicit steps; their residuals are 0. `n_steps` steps, some of which may share an entry. `open_steps` are
    the numbers of steps that ended above the scheme's own `tolerance`, `open_adjoints` those of steps whose
    adjoint equation did above its own; a warning tells of both.
    """

    residuals: np.ndarray
    gaps: np.ndarray
    n_steps: int
    open_steps: tuple[int, ...] = ()
    open_adjoints: tuple[int, ...] = ()

    @property
    def worst_residual(self) -> float:
        """The largest residual of an adjoint equation."""
        return float(self.residuals.max())


class ValueAndGradient(tuple):
    """(value, gradient), with the `record` beside them."""

    record: GradientRecord

    def __new__(cls, value: float, gradient: Any, record: GradientRecord):
        pair = super().__new__(cls, (value, gradient))
        pair.record = record
        return pair

    @property
    def value(self) -> float:
        """The loss."""
        return self[0]

    @property
    def gradient(self) -> Any:
        """The derivative of the loss."""
        return self[1]


def value_and_gradient(
    loss: Callable,
    make_functional: MakeFunctional,
    parameters: Any,
    mu0: Measure,
    scheme: Scheme,
    *,
    tau: float,
    n_steps: int,
    of: str = Of.FINAL,
    by: str | Sequence[str] = By.PARAMETERS,
    progress: bool | None = None,
) -> ValueAndGradient:
    """(value, gradient) of a loss of n_steps of a scheme for the functional make_functional(parameters).

    `parameters` is any jax pytree of real numbers, and the gradient one of the same shape, in float64.
    `make_functional` is written in jax.numpy. `loss` takes the final measure or, with of="trajectory", the
    list of all n_steps + 1 measures, and returns one number, written in jax.numpy from what a measure holds:
    `mu.values`, `mu.positions`, `mu.mean()`, `mu.covariance()`, `mu.integrate(f)`, `F.energy(mu)`;
    of a Gaussian from its mean and covariance.

    `by` says what the loss is differentiated by: "parameters", "measure" (the arrays of mu0, a dictionary
    by their names) or "tau" (a number: all steps get longer together). Of several names the gradient is a
    dictionary.

    A step that solves an optimality G(ρ′; ρ, ϑ) = 0 is differentiated there: Hλ = ∂L/∂ρ′ with the step's own
    Hessian H, dL/dϑ = −λ·∂_ϑG, and the cotangent of ρ is −λ·∂_ρG [BlondelEtAl2022]: memory does not grow with
    the iterations of a step. Explicit steps of particles are differentiated by jax along their path, which is
    kept with its slopes up to 256 MB; beyond, √n_steps of them at a time are taken again on the way back.
    What the derivative means at a front, at a wall and under a cap is told in the documentation.

    The pair has a `record`: the residual of every adjoint equation. `progress` shows a bar, by default on a
    terminal when it takes more than a second. Raises TypeError and ValueError, before any work, for what has
    no derivative, with the schemes that would take it, and StepFailed where a step fails.
    """
    parameters = checked_parameters(parameters)
    tau, n_steps = positive_number("tau", tau), whole_number("n_steps", n_steps)
    of, wanted = Of(one_of("of", of, tuple(map(str, Of)))), _wanted(by)
    if not callable(loss):
        raise TypeError(f"loss: expected a function of a measure, got {shown(loss)}")
    engine = derivative_of(make_functional, parameters, mu0, scheme)
    if By.MEASURE in wanted:
        engine.require_initial_derivative()
    with progress_bar(progress, 2 * n_steps, "gradient", "step") as tick:
        path = _forward(engine, mu0, tau, n_steps, of, tick)
        value, cotangents = _loss(loss, mu0, path.measures, of)
        found, residuals = _backward(engine, path, cotangents, tau, tick)
    gaps = np.concatenate(path.gaps)
    record = GradientRecord(np.array(residuals), gaps, n_steps, *_left_open(path, residuals, mu0))
    chosen = {str(name): found[name] for name in wanted}
    return ValueAndGradient(value, chosen if not isinstance(by, str) else chosen[by], record)


def _left_open(path: _Path, residuals: list, mu0: Measure):
    """(steps above the scheme's tolerance, those whose adjoint equation is above its own), with a warning."""
    single = any(np.asarray(array).dtype == np.float32 for array in mu0.packed().values())
    enough = TOLERANCES.enough_single if single else TOLERANCES.enough
    adjoints = [n + 1 for n, left in zip(path.numbers, residuals, strict=True) if left > enough]
    for steps, what in (
        (path.unsolved, "the step ended above the tolerance of its scheme, and differences of runs scatter"),
        (adjoints, "the adjoint equation was left at more than its tolerance, and the gradient errs"),
    ):
        if steps:
            warnings.warn(
                f"value_and_gradient: in {len(steps)} of {sum(map(len, path.gaps))} steps, first number "
                f"{steps[0]}, {what} as the record says: take a smaller tau, or a box that ends where the "
                "density does",
                stacklevel=3,
            )
    return tuple(path.unsolved), tuple(adjoints)


def _wanted(by: By) -> tuple[By, ...]:
    names = (by,) if isinstance(by, str) else tuple(by)
    if not names:
        raise ValueError(f"by: expected some of {', '.join(map(repr, map(str, By)))}, got none")
    return tuple(By(one_of("by", name, tuple(map(str, By)))) for name in names)


@dataclass
class _Path:
    """A run forwards: measures that the loss sees, and for every block its tape and first step's number."""

    measures: list
    tapes: list
    numbers: list[int]
    gaps: list[np.ndarray]
    unsolved: list[int]  # steps whose gap is above the scheme's tolerance

    def steps(self, place: int) -> int:
        """The number of steps of a block."""
        return len(self.gaps[place])


def _forward(engine, mu0: Measure, tau: float, n_steps: int, of: Of, tick: Callable) -> _Path:
    mu, state, done = mu0, engine.problem.start, 0
    path, asked = _Path([mu0], [], [], [], []), getattr(engine.scheme, "tolerance", None)
    block = 1 if of is Of.TRAJECTORY else engine.block(n_steps)
    while done < n_steps:
        count = min(block, n_steps - done)
        taken = engine.step(mu, state, done * tau, tau, count)
        if not taken.info.converged:
            raise step_failed(engine.scheme, done + 1, taken.info)
        mu, state = taken.measure, taken.state
        path.tapes.append(taken.tape)
        path.numbers.append(done)
        path.gaps.append(np.full(count, taken.info.gap))
        if asked is not None and taken.info.relative_gap > asked:
            path.unsolved.append(done + 1)
        if of is Of.TRAJECTORY:
            path.measures.append(mu)
        done += count
        tick(count)
    if of is Of.FINAL:
        path.measures = [mu]
    return path


def _loss(loss: Callable, mu0: Measure, measures: list, of: Of) -> tuple[float, list[Arrays]]:
    """The loss and its cotangents of the arrays of every measure."""
    frame = _Frame(type(mu0), getattr(mu0, "grid", None))
    with jax.enable_x64(True):
        packed = [{k: jnp.asarray(a) for k, a in mu.packed().items()} for mu in measures]
        try:
            value, slopes = _differentiated(as_it_reads_now(loss), of, frame)(packed, mu0.fixed())
        except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError) as error:
            raise TypeError(
                "loss: cannot be traced by jax: write it with jax.numpy, of "
                + (
                    "mu.mean() and mu.covariance(), which all integrals of a Gaussian are functions of"
                    if isinstance(mu0, Gaussian)
                    else "mu.values, mu.positions, mu.mean(), mu.covariance() or mu.integrate(f)"
                )
            ) from error
    cotangents = [{k: np.asarray(a) for k, a in slope.items()} for slope in slopes]
    if not np.isfinite(value) or not all(np.isfinite(a).all() for c in cotangents for a in c.values()):
        raise ValueError(f"loss: the value {float(value):g} or its derivative is not finite; change the loss")
    return float(value), cotangents


class _Frame(NamedTuple):
    """What measures of a run have in common, beside arrays."""

    kind: type
    grid: Any

    def measure(self, arrays: dict, fixed: dict):
        """The measure of traced arrays."""
        return self.kind(*([] if self.grid is None else [self.grid]), **arrays, **fixed)


@kept
def _differentiated(loss: Callable, of: Of, frame: _Frame):
    def evaluated(packed: list, fixed: dict):
        seen = [frame.measure(arrays, fixed) for arrays in packed]
        value = loss(seen if of is Of.TRAJECTORY else seen[0])
        if value is None or isinstance(value, str):
            raise TypeError(f"loss: expected one real number, got {value!r}; return a value of jax.numpy")
        value = jnp.asarray(value)
        if value.size != 1 or value.dtype.kind != "f":
            raise TypeError(f"loss: expected one real number, got {value.dtype} of shape {value.shape}")
        return value.reshape(())

    return jax.jit(jax.value_and_grad(evaluated))


def _backward(engine, path: _Path, cotangents: list, tau: float, tick: Callable):
    """({By: gradient}, the residual of every block's adjoint equation), last step first."""
    after = {**engine.nothing(path.tapes[-1]), **cotangents[-1]}
    total, by_tau, residuals = jax.tree.map(np.zeros_like, engine.parameters), 0.0, []
    for place in reversed(range(len(path.tapes))):
        pulled = engine.pull(path.tapes[place], after)
        total = jax.tree.map(np.add, total, pulled.parameters)
        by_tau += pulled.tau + path.numbers[place] * pulled.time
        residuals.append(pulled.residual)
        if not pulled.residual <= TOLERANCES.refused:
            raise ValueError(
                f"scheme: the adjoint equation of step {path.numbers[place] + 1} was solved to a residual of "
                f"{pulled.residual:.1e} only, and the gradient would be wrong: take a smaller tau, or a box "
                "that ends where the density does"
            )
        after = dict(pulled.before)
        if place and len(cotangents) > 1:
            after = {k: a + cotangents[place][k] if k in cotangents[place] else a for k, a in after.items()}
        tick(path.steps(place))
    initial = engine.pull_initial(after)
    if len(cotangents) > 1:
        initial = {k: a + cotangents[0][k] for k, a in initial.items()}
    return {By.PARAMETERS: total, By.MEASURE: initial, By.TAU: float(by_tau)}, residuals[::-1]
