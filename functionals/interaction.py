"""The interaction energy ½∬W(x − y) dρ dρ."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property

import numpy as np

from functionals import pointwise
from functionals.array import Array
from functionals.base import Functional
from functionals.named_kernels import NAMED_KERNELS
from functionals.registry import register
from functionals.summation import Summation
from functionals.time_dependence import TimeDependent, frozen, is_traced, with_time


@register("interaction")
class Interaction(Functional):
    """F(ρ) = ½∬W(x−y) dρ(x)dρ(y) for an even W, or ½∬k(x, y) dρ dρ for a general kernel.

    δF/δρ = W∗ρ and ∇_W F = ∇W∗ρ; for a general kernel ½∫[k(x,y) + k(y,x)]dρ(y) and its gradient in x.
    `W` is a jax function of a difference `[d]`, or the name of one with its parameters:
    `Interaction("gaussian", width=0.3)`; a general kernel `k(x, y)` comes with `general=True`.

    A kernel that is infinite at 0 (log, Riesz) leaves out pairs of coincident points on particles, and on a
    grid enters by its cell averages; the gradient of an even kernel at 0 is 0. `linearly_convex` declares Ŵ
    ≥ 0 (a solver measures it where it matters), `modulus` declares λ of W: the functional is λ-convex along
    geodesics that keep the mean fixed, and min(λ, 0)-convex along all.

    The rest says how sums over particles are taken; grids have their own. `method` "auto" sums all pairs of
    fewer than 20 000 particles, and of more picks the cheapest way to a relative root mean square error of
    the forces of `tolerance`: "direct" (all pairs), "cells" (a W that is 0 beyond `cutoff`), "fourier" (a
    smooth W), "split" (a W smooth away from 0: a Fourier series, and near pairs one by one), "tree" (the
    same W over clouds of any shape: boxes within boxes). `choice(mu)` tells which, and its measured error;
    one that misses the tolerance threefold gives way to the next, one asked for only below 4096 particles.
    "random batch" [JinLiLiu2020] gives each particle `partners` others, drawn from `seed` and from where the
    particles are, and leaves the energy exact.
    """

    example = 'fn.Interaction("gaussian")'
    kind = "interaction"
    memoised = frozenset({"_even_in"})

    def __init__(
        self,
        W: Callable | str,
        *,
        general: bool = False,
        linearly_convex=None,
        modulus=None,
        method: str = "auto",
        tolerance: float = 1e-6,
        cutoff: float | None = None,
        partners: int = 2,
        seed: int = 0,
        **parameters,
    ):
        self._label = pointwise.describe(W) if callable(W) else repr(W)
        if isinstance(W, str):
            if W not in NAMED_KERNELS:
                raise ValueError(f"unknown kernel {W!r}; known are {', '.join(NAMED_KERNELS)}")
            self._label = ", ".join([repr(W)] + [f"{k}={v!r}" for k, v in parameters.items()])
            try:
                named = NAMED_KERNELS[W](**parameters)
            except TypeError as error:
                raise TypeError(f"kernel {self._label}: {error}") from None
            W = named.W
            linearly_convex = named.linearly_convex if linearly_convex is None else linearly_convex
            modulus = named.modulus if modulus is None else modulus
        elif parameters:
            raise TypeError(f"only a named kernel takes parameters, got {', '.join(parameters)}")
        elif not callable(W):
            raise TypeError(
                f"W must be a jax function of a difference or a kernel's name, got {type(W).__name__}"
            )
        if not isinstance(general, bool):
            raise TypeError(f"general: expected True or False, got {general!r}")
        self.summation = Summation(method, tolerance, cutoff, partners, seed)
        if general and not (method in ("auto", "direct") and cutoff is None):
            raise ValueError(
                f"method: {method!r} with cutoff={cutoff!r} is of a kernel of the difference; a general "
                "kernel is summed over all pairs"
            )
        self.W = with_time(W, 2 if general else 1)
        self.general = general
        self.linearly_convex = linearly_convex
        self.modulus = modulus
        self._even_in: set[int] = set()

    def at(self, t: float | Array):
        if not self.depends_on_time:
            return self
        here = copy.copy(self)
        here.__dict__.pop("symmetric_kernel", None)
        here._even_in = set()  # it may be even at one time and not at another
        here.W, here._label = frozen(self.W, t), f"{self._label} at t={t!s:.9}"
        return here

    @property
    def depends_on_time(self):
        return isinstance(self.W, TimeDependent)

    @cached_property
    def symmetric_kernel(self):
        """The kernel of the first variation as a function of two points, (k(x, y) + k(y, x))/2."""
        W = pointwise.scalar(self.W)
        return (lambda x, y: 0.5 * (W(x, y) + W(y, x))) if self.general else (lambda x, y: W(x - y))

    def require_even(self, dimension: int):
        """Refuse a W whose first variation would not be W∗ρ; asked once a dimension."""
        if self.general or dimension in self._even_in or is_traced(self.W):
            return
        directions = np.random.default_rng(20260102).normal(size=(8, dimension))
        # decade by decade of lengths: far below its own unit any smooth W looks even
        for decade in (0, *range(-9, 10)):
            z = directions * 10.0**decade
            there, back = pointwise.values(self.W, z), pointwise.values(self.W, -z)
            if decade == 0 and np.all(np.isnan(there)):
                raise ValueError(
                    f"W must be a number away from 0, but {self._label} is NaN at {z[0].tolist()}"
                )
            size = np.max(np.abs(there[np.isfinite(there)]), initial=0.0)
            odd = np.flatnonzero(~np.isclose(there, back, rtol=1e-6, atol=1e-9 * size, equal_nan=True))
            if odd.size:
                raise ValueError(
                    f"W must be even, but {self._label} has W({z[odd[0]].tolist()}) = {there[odd[0]]:g} and "
                    f"{back[odd[0]]:g} at the opposite point: give k(x, y) with general=True"
                )
        self._even_in.add(dimension)

    def energy(self, mu):
        self.require_even(mu.dimension)
        if self.general:
            return 0.5 * mu.pair_integrate(self.symmetric_kernel)
        return 0.5 * mu.difference_integrate(self.W, *self._how(mu))

    def first_variation(self, mu):
        self.require_even(mu.dimension)
        return mu.pair_average(self.symmetric_kernel) if self.general else mu.convolve(self.W, *self._how(mu))

    def wasserstein_gradient(self, mu):
        self.require_even(mu.dimension)
        if self.general:
            return mu.pair_average_gradient(self.symmetric_kernel)
        return mu.convolve_gradient(self.W, *self._how(mu))

    def hessian_product(self, mu, v):
        """The derivative of `wasserstein_gradient` along v `[n, d]`; None where jax is to differentiate."""
        return None if self.general else mu.convolve_product(self.W, v, *self._how(mu))

    def choice(self, mu):
        """How sums over these particles are taken, why, and the measured error: a record that prints."""
        if self.general or not getattr(mu, "sums_pairs", False):
            raise TypeError(
                f"choice: a kernel of x − y on Particles has a choice of sums, got {self!r} on {mu!r}"
            )
        self.require_even(mu.dimension)
        return mu.choice_of_sums(self.W, self.summation)

    def _how(self, mu):
        return (self.summation,) if getattr(mu, "sums_pairs", False) else ()

    def probe(self, mu):
        points, W = np.asarray(mu.points)[:512], self.at(0.0).W
        if self.general:
            return [pointwise.values(lambda x: W(x, points[0]), points)]
        return [pointwise.values(W, points - points.mean(axis=0) + 0.01)]

    def displacement_modulus(self, dimension: int):
        return None if self.modulus is None or self.general else min(self.modulus, 0.0)

    def __repr__(self):
        return f"Interaction({self._label}{', general=True' if self.general else ''}{self.summation})"
