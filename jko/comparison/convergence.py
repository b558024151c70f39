"""convergence: a run repeated at finer and finer τ, h or N, and the order that is seen."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from jko.comparison.distances import l1_distance, w2_distance
from jko.comparison.reference import Reference
from jko.comparison.text import aligned
from jko.errors import finite_array, one_of
from jko.measures import Measure
from jko.trajectory import Trajectory
from jko.writing import write_text


@dataclass
class Convergence:
    """Errors `[k]` at the `values` `[k]` of a parameter, in the order in which they were given.

    error ≈ C valueᵖ: `orders` `[k − 1]` are p between neighbours, `order` its least-squares slope over all
    of them and `spread` the standard error of that (with seeds, no less than what their scatter gives). A
    step size has p > 0, a number of particles p < 0. `scatter` is the standard deviation of an error over
    the seeds, `seconds` the time a run took, `measured` says what the errors are.
    """

    values: np.ndarray
    errors: np.ndarray
    parameter: str = "parameter"
    measured: str = "error"
    scatter: np.ndarray | None = None
    seconds: np.ndarray | None = None
    repeats: int = 1
    orders: np.ndarray = field(init=False)
    order: float = field(init=False)
    spread: float = field(init=False)

    def __post_init__(self):
        logs = np.log(np.where(self.errors > 0.0, self.errors, np.nan))
        self.orders = np.diff(logs) / np.diff(np.log(self.values))
        self.order, self.spread = _slope(np.log(self.values), logs)
        if self.scatter is not None:
            self.spread = np.fmax(self.spread, _sampling_spread(self))

    def __str__(self) -> str:
        header = [self.parameter, self.measured, "order"]
        columns = [[f"{v:g}" for v in self.values], [f"{e:.3e}" for e in self.errors]]
        columns.append(["", *(f"{p:.2f}" for p in self.orders)])
        if self.scatter is not None:
            header.insert(2, "± over seeds")
            columns.insert(2, [f"{s:.1e}" for s in self.scatter])
        if self.seconds is not None:
            header.append("seconds")
            columns.append([f"{s:.3g}" for s in self.seconds])
        spread = "" if math.isnan(self.spread) else f" ± {self.spread:.2f}"
        summary = (
            f"observed order in {self.parameter}: {self.order:.3f}{spread} (least squares over all rows)"
        )
        return "\n".join(
            [*aligned([header, *(list(row) for row in zip(*columns, strict=True))]), "", summary]
        )

    def to_csv(self, path) -> Path:
        """Write values, errors and orders, one line a value; the file is written beside and renamed."""
        orders = ["", *(f"{p:.6g}" for p in self.orders)]
        rows = [f"{v:.12g},{e:.12g},{p}" for v, e, p in zip(self.values, self.errors, orders, strict=True)]
        return write_text(path, "\n".join([f"{self.parameter},error,order", *rows]) + "\n")


def convergence(
    run: Callable,
    values: Sequence[float],
    *,
    parameter: str = "parameter",
    error: Callable | None = None,
    exact=None,
    distance: str = "L1",
    seeds: Sequence[int] | None = None,
) -> Convergence:
    """The numbers of `jko.convergence`, without its picture."""
    import time

    values = _checked_values(values)
    if error is not None and exact is not None:
        raise ValueError("error, exact: give one of them; an error function can hold the exact answer itself")
    one_of("distance", distance, ("L1", "W2"))
    successive = error is None and exact is None
    if successive and seeds is not None:
        raise ValueError(
            "seeds: differences of successive runs need an error or an exact answer to average: give one"
        )
    results, seconds = [], []
    for value in values:
        started = time.perf_counter()
        results.append([run(value)] if seeds is None else [run(value, seed) for seed in seeds])
        seconds.append(time.perf_counter() - started)
    if successive:
        finals = [_final(result[0]) for result in results]
        errors = [[_between(distance, a, b)] for a, b in itertools.pairwise(finals)]
        values, seconds = values[:-1], seconds[:-1]
        measured = f"{distance} to the next"
    else:
        measure = error or (lambda result: _to_exact(distance, result, exact))
        errors = [
            [_number(measure(result), value) for result in row]
            for row, value in zip(results, values, strict=True)
        ]
        measured = "error" if error is not None else f"{distance} to exact"
    errors = np.array(errors)
    return Convergence(
        values=values,
        errors=np.sqrt(np.mean(errors**2, axis=1)),
        parameter=parameter,
        measured=measured,
        scatter=None if seeds is None else errors.std(axis=1),
        seconds=np.array(seconds),
        repeats=errors.shape[1],
    )


def _checked_values(values: list) -> np.ndarray:
    values = finite_array("values", values)
    if (
        values.ndim != 1
        or values.size < 2
        or not np.all(values > 0.0)
        or len(np.unique(values)) < values.size
    ):
        raise ValueError(
            f"values: expected two or more positive numbers, all different, got {values.tolist()}"
        )
    return values


def _number(value: float, at: float) -> float:
    number = float(value)
    if not (math.isfinite(number) and number >= 0.0):
        raise ValueError(
            f"error: expected a number of at least 0 at {at:g}, got {number:g}: return a norm or a distance"
        )
    return number


def _final(result: float):
    if not isinstance(result, Trajectory):
        raise TypeError(
            f"run: expected it to return a Trajectory, got {type(result).__name__}: give error= for others"
        )
    return result.final


def _between(distance, mu: Measure, nu: Measure) -> float:
    return (l1_distance if distance == "L1" else w2_distance)(mu, nu).value


def _to_exact(distance, result, exact) -> float:
    final, t = _final(result), float(result.times[-1])
    return _between(distance, final, Reference(exact, {"": result}).beside(final, t))


def _slope(x: np.ndarray, y: np.ndarray):
    """Least-squares slope of y over x and its standard error, rows with a NaN left out."""
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    if x.size < 2:
        return math.nan, math.nan
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    if x.size == 2:
        return slope, math.nan
    residual = y - y.mean() - slope * centred
    return slope, math.sqrt(float(residual @ residual) / (x.size - 2) / float(centred @ centred))


def _sampling_spread(study) -> float:
    """The standard error of the slope when log(error) has the standard error of a mean over the seeds."""
    x = np.log(study.values) - np.log(study.values).mean()
    sigma = study.scatter / np.where(study.errors > 0.0, study.errors, np.nan) / math.sqrt(study.repeats)
    return float(np.sqrt(np.sum((x * sigma) ** 2)) / np.sum(x**2))
