"""Drift, noise and jumps as one object: the generator of a Markov process."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from functionals.array import Array
from jko.diffusion import coefficients
from jko.diffusion.arguments import cloud, common_times, instance, known_times, within
from jko.diffusion.density_path import DensityPath
from jko.diffusion.given_function import checked_function, probe
from jko.diffusion.jumps import Jumps, reversed_jumps
from jko.diffusion.paths import Paths, checked_times
from jko.diffusion.sde import SDE
from jko.errors import positive_number, seed_number, whole_number
from jko.measures import Density, Particles


class Generator:
    """ℒf = b·∇f + ½ tr(GGᵀ∇²f) + Σ λ(x, t)(E f(y) − f(x)), y ~ k(· | x, t), of a process on Rᵈ.

    `drift` b `[d]` and `diffusion` G `[d, k]` are jax functions of (x, t) as for an `SDE`, and `jumps` a
    `Jumps` or a list of them; each may be left out, and generators can be added: drifts, GGᵀ and jump rates
    add up [HolderriethEtAl2025]. `apply` is ℒf, `simulate` makes paths, `forward` solves the Kolmogorov
    equation ∂ₜp = ℒ*p on a grid, and `reverse` is the process run backward. Raises TypeError for parts that
    are no functions or jumps, ValueError where none is given, and where they are used for other shapes.
    """

    def __init__(
        self,
        drift: Callable | None = None,
        diffusion: Callable | None = None,
        jumps: Jumps | list[Jumps] | tuple[Jumps, ...] = (),
        *,
        backward: bool = False,
    ):
        self.drift = None if drift is None else checked_function("drift", drift)
        self.diffusion = None if diffusion is None else checked_function("diffusion", diffusion, ("d", None))
        given = [jumps] if isinstance(jumps, Jumps) else jumps
        if not isinstance(given, list | tuple):
            raise TypeError(f"jumps: expected Jumps or a list of them, got {type(jumps).__name__}")
        self.jumps = tuple(instance("jumps", part, Jumps) for part in given)
        if drift is None and diffusion is None and not self.jumps:
            raise ValueError("drift, diffusion, jumps: expected one of them at least, got none")
        self.backward = backward
        self.known_times = common_times(
            *(known_times(part) for part in (drift, diffusion) if part is not None),
        )
        self.covariance = (
            _no_covariance if self.diffusion is None else coefficients.covariance(self.diffusion)
        )

    def __add__(self, other: Generator) -> Generator:
        instance("other", other, Generator)
        if self.backward != other.backward:
            raise ValueError("other: one generator runs backward in time and the other forward: no sum")
        total = Generator(
            _joined(self.drift, other.drift, lambda a, b: a + b),
            _joined(self.diffusion, other.diffusion, lambda a, b: jnp.concatenate([a, b], axis=1)),
            [*self.jumps, *other.jumps],
            backward=self.backward,
        )
        total.known_times = common_times(self.known_times, other.known_times)
        return total

    def apply(self, f: Callable) -> Callable:
        """ℒf as a jax function of (x, t), for a smooth jax function f of a point."""
        f = checked_function("f", f, (), of="(x)")

        def image(x: Array, t: Array) -> Array:
            value = jnp.zeros((), x.dtype)
            if self.drift is not None:
                value += jax.grad(f)(x) @ self.drift(x, t)
            if self.diffusion is not None:
                value += 0.5 * jnp.sum(self.covariance(x, t) * jax.hessian(f)(x))
            for part in self.jumps:
                value += part.rate(x, t) * (part.kernel.expectation(f, x, t) - f(x))
            return value

        return image

    def simulate(
        self,
        particles: Particles,
        times: ArrayLike,
        *,
        seed: int,
        substeps: int = 20,
        rate_bound: float | None = None,
    ) -> Paths:
        """The cloud at each of `times` `[m + 1]`, of which the first is its own.

        Jumps alone, with a bound λ ≤ `rate_bound` declared, are simulated exactly by thinning
        [LewisShedler1979]; the bound is checked at every event. Else `substeps` steps lead from each time to
        the next, Euler–Maruyama and then a jump with the probability 1 − e^{−λτ}: weak order 1 in their
        length τ. A reversed generator takes decreasing times. Raises ValueError for times that run the wrong
        way, rates that are negative or above the bound, and for paths that become infinite.
        """
        from jko.diffusion.jump_paths import stepped, thinned

        self.check(cloud("particles", particles).dimension)
        times = checked_times(times, self.backward)
        within("times", times, self.known_times)
        seed, substeps = seed_number("seed", seed), whole_number("substeps", substeps)
        if rate_bound is None:
            positions = stepped(self, particles.positions, times, substeps, seed)
        else:
            bound = positive_number("rate_bound", rate_bound)
            if self.drift is not None or self.diffusion is not None:
                raise ValueError("rate_bound: thinning is for jumps alone: leave it out, and steps are taken")
            positions = thinned(self, particles.positions, times, bound, seed)
        return Paths(times, positions, particles.weights)

    def forward(self, density: Density, times: ArrayLike, *, substeps: int = 1) -> DensityPath:
        """The density at each of `times`, the first of which is its own, as a `DensityPath`; d = 1, 2.

        Positive and conservative, of order 2 in steps; see `jko.diffusion.forward_equation.solve`.
        """
        from jko.diffusion.forward_equation import solve

        if self.backward:
            raise ValueError("this generator runs backward in time and can only be simulated")
        return solve(self, density, times, whole_number("substeps", substeps))

    def reverse(self, law: Callable | DensityPath) -> Generator:
        """The generator whose paths, followed from a late time to an early one, have this one's marginals.

        Drift and noise as `SDE.reverse` has them, with the score of `law`; jumps from y to x at the rate
        λ(x)k(y | x)p(x)/p(y) [ConfortiLeonard2022], for which `law` has to be the `DensityPath` of `forward`.
        """
        if self.backward:
            raise ValueError("this generator runs backward in time: reverse the forward one")
        if self.jumps and not isinstance(law, DensityPath):
            raise TypeError(
                f"law: jumps are reversed by the ratio of densities: expected the DensityPath of forward, "
                f"got {type(law).__name__}"
            )
        drift, diffusion, times = None, None, getattr(law, "known_times", None)
        if self.drift is not None or self.diffusion is not None:
            back = SDE(self.drift or _zero, self.diffusion or _no_noise).reverse(law)
            drift, times = back.drift, back.known_times
            diffusion = None if self.diffusion is None else back.diffusion
        reversed_ = Generator(
            drift,
            diffusion,
            [reversed_jumps(part, law) for part in self.jumps if isinstance(law, DensityPath)],
            backward=True,
        )
        reversed_.known_times = common_times(self.known_times, times)
        return reversed_

    def check(self, dimension: int) -> None:
        """Refuse parts that do not fit this dimension."""
        for part in (self.drift, self.diffusion, *(jumps.rate for jumps in self.jumps)):
            if part is not None:
                probe(part, dimension)
        with jax.enable_x64(True):
            x, t = jnp.zeros(dimension), jnp.zeros(())
            for jumps in self.jumps:
                found = jax.eval_shape(jumps.kernel.draw, jax.random.key(0), x, t)
                if found.shape != (dimension,):
                    raise ValueError(
                        f"kernel: expected draws of shape [{dimension}], got {list(found.shape)}"
                    )


def _joined(first: Callable | None, second: Callable | None, join: Callable) -> Callable | None:
    if first is None or second is None:
        return first or second
    return lambda x, t: join(first(x, t), second(x, t))


def _zero(x: Array, t: Array) -> Array:
    return jnp.zeros_like(x)


def _no_noise(x: Array, t: Array) -> Array:
    return jnp.zeros((x.size, 1), x.dtype)


def _no_covariance(x: Array, t: Array) -> Array:
    return jnp.zeros((np.size(x), np.size(x)), x.dtype)
