"""Sums of an interaction over the particles of a cloud, by the method that its size and kernel ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np

from functionals.summation import Summation
from jko.measures.radial import refute, terms_of

NATIVE = 4_096  # particles from which compiled loops are worth their loading
FAST = 20_000  # particles below which "auto" sums all pairs, to round-off
# differences of a cloud at which a kernel of one's own is asked whether it depends on |z| alone: in every
# sum, and where a choice is made
_ASKED, _ASKED_ONCE = 512, 2**16
_DEFAULT = Summation()


@dataclass(frozen=True)
class Choice:
    """How sums over a cloud are taken: the method, why, and what it was found to err.

    `error_of_values` and `error_of_gradients` are relative root mean squares over 64 particles against direct
    sums, 0 where the sums are direct; `seconds` is what an evaluation was expected to cost; `missed` tells
    whether another method came first and missed the tolerance.
    """

    method: str
    reason: str
    tolerance: float
    error_of_values: float = 0.0
    error_of_gradients: float = 0.0
    seconds: float = float("nan")
    missed: bool = False

    @property
    def worth_a_note(self) -> bool:
        """Whether not simply all pairs are summed."""
        return self.method != "direct" or self.missed

    def __str__(self):
        if self.method in ("direct", "random batch"):
            return f"pair sums: {self.method}, {self.reason}"
        missed = max(self.error_of_gradients, self.error_of_values) > 3.0 * self.tolerance
        return (
            f"pair sums: {self.method}, {self.reason}; error of the forces {self.error_of_gradients:.1e} and "
            f"of the values {self.error_of_values:.1e}, asked for {self.tolerance:g}{', MISSED' * missed}"
        )


def native_sums(W: Callable, x: np.ndarray, w: np.ndarray, summation: Summation | None = None):
    """The `Sums` of W over positions `[n, d]` on the host, or None where jax is to sum all pairs.

    Raises ValueError where the method asked for does not carry the kernel.
    """
    how = summation or _DEFAULT
    refute(W, x, _ASKED)
    return Sums(terms_of(W, x.shape[1], how.cutoff), x, w, how) if is_native(W, *x.shape, how) else None


def is_native(W: Callable, n: int, dimension: int, summation: Summation | None = None) -> bool:
    """Whether n particles are summed by compiled loops, not by jax; raises where the method asked for cannot
    be."""
    how = summation or _DEFAULT
    anyhow = how.method in ("direct", "auto", "random batch")
    if anyhow and n < NATIVE:
        return False
    if terms_of(W, dimension, how.cutoff) is not None:
        return True
    if anyhow:
        return False
    raise ValueError(
        f"method: {how.method!r} needs a kernel that is a smooth function of |z| away from 0, and this one "
        "is not: use method='direct' or 'random batch'"
    )


def outruns_jax(n: int, summation: Summation) -> bool:
    """Whether the host's sums over n particles, where there are any, take less time than jax's.

    Not a random batch, which jax draws as well; and on an accelerator not those over all pairs.
    """
    if summation.method == "random batch":
        return False
    fast = summation.method not in ("direct", "auto") or (summation.method == "auto" and n >= FAST)
    return fast or jax.default_backend() == "cpu"


class Sums:
    """Σ_j w_j W(x_i − x_j), its gradients and Hessian products, over one cloud.

    Values and gradients are compared with direct sums at 32 particles, and taken by the next plan where they
    miss (`evaluate.watched_sums`); products, which steer iterations, are not.
    """

    def __init__(self, terms, x: np.ndarray, w: np.ndarray, how: Summation):
        from jko.loops.forces.plan import Plan, plans

        self.terms, self.w, self.how = terms, np.asarray(w), how
        self.columns = np.ascontiguousarray(np.asarray(x).T)
        if how.method in ("direct", "random batch") or (how.method == "auto" and len(x) < FAST):
            self.plans = [Plan("direct", reason=f"all pairs of {len(x)} particles")]
        else:
            self.plans = plans(terms, self.columns, self._tolerance, how.method)

    @property
    def _tolerance(self):
        return self.how.tolerance

    def values(self) -> np.ndarray:
        """W∗α at the particles, `[n]`."""
        return self._checked(0)[0][0]

    def gradients(self) -> np.ndarray:
        """∇W∗α at the particles, `[n, d]`."""
        return self._checked(1)[0].T

    def products(self, v) -> np.ndarray:
        """The derivative of `gradients` along v `[n, d]`."""
        from jko.loops.forces import evaluate

        columns = np.ascontiguousarray(np.asarray(v, self.columns.dtype).T)
        return evaluate.products(self.terms, self.columns, columns, self.w, self.plans[0]).T

    def choice(self) -> Choice:
        """The method taken, with its measured error."""
        from jko.loops.forces import evaluate

        _, taken, missed = self._checked(1)
        errors = evaluate.errors(self.terms, self.columns, self.w, taken)
        reason = taken.reason
        if missed:
            why = " and ".join(f"{way.method} would err by {error:.1e}" for way, error in missed)
            reason = f"all pairs, since {why}" if taken.method == "direct" else f"{reason}, since {why}"
        return Choice(taken.method, reason, self._tolerance, *errors, taken.seconds, bool(missed))

    def _checked(self, order: int):
        from jko.loops.forces import evaluate

        return evaluate.watched_sums(order, self.terms, self.columns, self.w, self.plans, self._tolerance)


def choice_of(W: Callable, x: np.ndarray, w: np.ndarray, summation: Summation | None = None) -> Choice:
    """How the forces of W on a cloud are summed, and how well."""
    how = summation or _DEFAULT
    refute(W, x, _ASKED_ONCE)
    if how.method == "random batch":
        partners = min(how.partners, 2 * max(1, (len(x) - 1) // 2))
        reason = f"{partners} partners a particle, drawn from seed {how.seed}"
        return Choice("random batch", reason, how.tolerance)
    sums = native_sums(W, x, w, how)
    if sums is None:
        return Choice("direct", f"all pairs of {len(x)} particles in jax", how.tolerance)
    return sums.choice()
