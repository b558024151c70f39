"""Many runs as one call, with labelled results."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from functionals.base import Functional
from jko.ensembles.compiled import can_be_compiled, run_together
from jko.ensembles.dataset import labelled
from jko.ensembles.executors import answers
from jko.ensembles.family import Problem, run_member
from jko.ensembles.store import Store
from jko.errors import positive_number, whole_number
from jko.measures import Measure
from jko.scheme import Scheme
from jko.sharding import refuse_fork


def ensemble(
    functional,
    measure,
    scheme: Scheme,
    *,
    over: Mapping,
    tau: float | None = None,
    n_steps: int,
    store_every: int | None = None,
    observe: Mapping | None = None,
    executor=None,
    folder=None,
):
    """`jko.flow` for every combination of parameters, as an xarray.Dataset with a dimension for each.

    `over` maps names to lists of values: settings of the scheme ("seed"), "tau", "temperature" (the weight of
    the entropy), and the arguments of `functional` and `measure` where these are functions that return one:
    `ensemble(lambda stiffness: ..., mu, Langevin(), over={"seed": range(8), "stiffness": [1.0, 2.0]}, ...)`.

    The dataset holds `time` (the coordinate along the stored times where all members share them, else a
    variable along `stored`), `energy`, `energy_uncertainty`, `mean`, `covariance` and what `observe` names,
    functions of a measure, at the stored times, by default the first and the last; the scheme's own
    observables at every step; and `failure`, empty or the sentence of a member that failed, whose numbers are
    NaN.

    Runs of Langevin, StochasticHeun or LeimkuhlerMatthews in one process are compiled into one call over all
    members where the functional can be traced in its parameters. Otherwise members run one after the other,
    or on an `executor`: a number of processes, a concurrent.futures executor, a dask Client, or the address
    of a dask scheduler. With `folder`, each member is kept there as it finishes, and the same call goes on
    with those that are not, also after a worker, or the whole program, was killed.

    Raises TypeError or ValueError, before any work, for parameters that nothing takes.
    """
    problem = _checked(functional, measure, scheme, over, tau, n_steps, store_every, observe or {})
    axes = {name: list(values) for name, values in over.items()}
    members = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    store = Store(folder, problem)
    results = [store.get(member) for member in members]
    missing = [index for index, result in enumerate(results) if result is None]

    def keep(at, result):
        results[missing[at]] = result
        store.put(members[missing[at]], result)

    _run(problem, axes, [members[index] for index in missing], executor, keep)
    return labelled(problem, axes, results)


def _run(problem, axes, members, executor, keep):
    """Run the members and give each result to `keep(its number, result)`."""
    if executor is not None:
        for number, result in answers(executor, problem, members):
            keep(number, result)
    elif can_be_compiled(problem, axes):
        run_together(problem, members, keep)
    else:
        for number, member in enumerate(members):
            keep(number, run_member(problem, member))


def _checked(
    functional, measure, scheme: Scheme, over, tau: float, n_steps: int, store_every, observe
) -> Problem:
    refuse_fork()
    for name, value, kind, wanted in (
        ("functional", functional, Functional, "a Functional or a function that makes one"),
        ("measure", measure, Measure, "a measure or a function that makes one"),
    ):
        if not isinstance(value, kind) and not callable(value):
            raise TypeError(f"{name}: expected {wanted}, got {type(value).__name__}")
    if not isinstance(scheme, Scheme):
        raise TypeError(f"scheme: expected one such as jko.descent.Langevin(), got {type(scheme).__name__}")
    if not isinstance(over, Mapping):
        raise TypeError(
            "over: expected a mapping of names to lists of values, such as {'seed': range(8)}, got "
            f"{type(over).__name__}"
        )
    if not over:
        raise ValueError("over: expected at least one name to vary, such as {'seed': range(8)}, got none")
    n_steps = whole_number("n_steps", n_steps)
    store_every = n_steps if store_every is None else whole_number("store_every", store_every)
    problem = Problem(functional, measure, scheme, tau, n_steps, store_every, dict(observe))
    for name, values in over.items():
        if name not in problem.known:
            raise ValueError(f"over: nothing takes {name!r}; known are {', '.join(problem.known)}")
        if isinstance(values, str) or not hasattr(values, "__iter__") or not list(values):
            raise ValueError(f"over: expected a list of values of {name!r}, got {values!r}")
        if len(set(map(repr, values))) < len(list(values)):
            raise ValueError(f"over: the values of {name!r} repeat each other")
    if "tau" not in over:
        positive_number("tau", tau)
    return problem
