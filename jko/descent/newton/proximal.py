"""The proximal step of a particle energy, by the Newton's method that its pairs ask for."""

from __future__ import annotations

from typing import Any

import numpy as np

from jko.descent.fields.program import Field
from jko.descent.fields.sharded import laid_out
from jko.descent.newton.conjugate_gradients import proximal_step
from jko.descent.newton.dense import has_dense_newton
from jko.descent.newton.host import proximal_step_on_the_host
from jko.descent.newton.separable import is_separable, separable_proximal_step
from jko.loops.sums.pair_sums import precision


def proximal_point(
    flow: Any,
    start: np.ndarray,
    guess: np.ndarray,
    w: np.ndarray,
    tau: float,
    tolerance: float,
    max_iterations: int,
    max_inner: int,
) -> tuple[np.ndarray, float, int]:
    """(x, relative residual, iterations): a minimiser of Σ w_i|x_i − start_i|²/2τ + F(x), as `proximal_step`
    has it: each particle for itself where none feels another, on the host where pairs are summed there or the
    whole matrix is worth its factors (from the start on), else all together in a compiled program."""
    if is_separable(flow, start):
        terms = tuple((c, atom.V) for c, atom in flow.terms)
        return separable_proximal_step(terms, start, guess, w, tau, tolerance, max_iterations)
    if isinstance(flow, Field) and (flow.native(start) or has_dense_newton(flow, start)):
        return proximal_step_on_the_host(flow, start, w, tau, tolerance, max_iterations, max_inner)
    with precision(start):
        scalars = np.asarray([tau, tolerance], start.dtype)
        places = [laid_out(flow, x, w)[0] for x in (start, guess)]
        solve = proximal_step(flow, max_iterations, max_inner)
        x, error, count, _ = solve(*places, laid_out(flow, start, w)[1], *scalars)
        return np.asarray(x)[: len(start)], float(error), int(count)
