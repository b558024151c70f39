"""An SDE and its three views."""

from __future__ import annotations

from collections.abc import Callable

from numpy.typing import ArrayLike

from functionals.array import Array
from functionals.pointwise import describe
from jko import inline
from jko.diffusion import coefficients
from jko.diffusion.arguments import cloud, common_times, finite_outcome, known_times, within
from jko.diffusion.given_function import checked_function, probe
from jko.diffusion.paths import Paths, checked_times, euler_maruyama
from jko.errors import seed_number, whole_number
from jko.measures import Density, Particles


class SDE:
    """dx = f(x, t) dt + G(x, t) dB in the sense of Itô, with f `[d]` and G `[d, k]` jax functions of a point.

    Its law solves ∂ₜp = −∇·(fp) + ½ Σ ∂ᵢ∂ⱼ[(GGᵀ)ᵢⱼ p]; three views of that law are paths (`simulate`), a
    density on a grid (`fokker_planck`) and an ODE of the same marginals (`probability_flow`)
    [SongEtAl2021]; `compare_views` lays them side by side. Raises TypeError for coefficients that are no
    functions; wherever they are used, ValueError for one that returns another shape or that jax cannot trace.
    """

    def __init__(self, drift: Callable, diffusion: Callable, *, backward: bool = False):
        self.drift, self.diffusion = (
            checked_function("drift", drift),
            checked_function("diffusion", diffusion, ("d", None)),
        )
        if not isinstance(backward, bool):
            raise TypeError(f"backward: expected True or False, got {type(backward).__name__}")
        self.backward = backward
        self.known_times = common_times(known_times(drift), known_times(diffusion))
        self.covariance = coefficients.covariance(self.diffusion)
        self.covariance_divergence = coefficients.row_divergence(self.covariance)

    def __repr__(self) -> str:
        drift, diffusion = (describe(part) for part in (self.drift, self.diffusion))
        return f"SDE(drift={drift}, diffusion={diffusion}{', backward=True' if self.backward else ''})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the equation and its coefficients."""
        rows = [("f", describe(self.drift)), ("G", describe(self.diffusion))]
        rows += [("times", f"{self.known_times[0]:g} to {self.known_times[1]:g}")] if self.known_times else []
        direction = ", t decreasing" if self.backward else ""
        return inline.titled(f"dx = f(x, t) dt + G(x, t) dB{direction}", inline.table(rows))

    def simulate(self, particles: Particles, times: list, *, seed: int, substeps: int = 20) -> Paths:
        """The cloud at each of `times` `[m + 1]`, of which the first is its own, by Euler–Maruyama.

        `substeps` steps lead from each time to the next: weak order 1 in their length. A reverse SDE takes
        decreasing times. Raises ValueError for times that run the wrong way or at which the score of a
        reverse SDE is not known, and for paths that become infinite.
        """
        self.check(cloud("particles", particles).dimension)
        times = checked_times(times, self.backward)
        within("times", times, self.known_times)
        substeps = whole_number("substeps", substeps)
        seed = seed_number("seed", seed)
        positions = euler_maruyama(self.drift, self.diffusion, particles.positions, times, substeps, seed)
        finite_outcome("drift, diffusion", positions, times)
        return Paths(times, positions, particles.weights)

    def reverse(self, law) -> SDE:
        """The SDE whose paths, followed from a late time to an early one, have the marginals of this one.

        dx = (f − ∇·(GGᵀ) − GGᵀ∇log pₜ) dt + G dB̄ with t decreasing [Anderson1982]. `law` is the score
        ∇log pₜ `[d]` as a jax function of (x, t), or the `DensityPath` of `fokker_planck`.
        """
        self._require_forward()
        score, known = _score_of(law)

        def drift(x, t):
            return self.drift(x, t) - self.covariance_divergence(x, t) - self.covariance(x, t) @ score(x, t)

        reverse = SDE(drift, self.diffusion, backward=True)
        reverse.known_times = common_times(self.known_times, known)
        return reverse

    def fokker_planck(
        self, density: Density, times: ArrayLike, *, substeps: int = 1, order: int = 2, fluxes: str = "fitted"
    ):
        """The density at each of `times`, the first of which is its own, as a `DensityPath`.

        Positive, conservative, of second order in steps and of `order` 2 or 4 in cells, on the line or in the
        plane, with no flux through the grid's boundary; see `jko.diffusion.fokker_planck.solve`. Warns where
        the cells are too wide for the drift and the noise, and says so in the path's `note`;
        `fluxes="centred"` is for them.
        """
        from jko.diffusion.fokker_planck import solve

        self._require_forward()
        return solve(self, density, times, substeps, order, fluxes)

    def probability_flow(self, law: Callable):
        """The ODE dx/dt = f − ½∇·(GGᵀ) − ½GGᵀ∇log pₜ, whose flow carries p₀ to pₜ, as a `Flow`.

        `law` is the score ∇log pₜ as a jax function of (x, t), or the `DensityPath` of `fokker_planck`.
        """
        from jko.diffusion.flow import Flow

        self._require_forward()
        score, known = _score_of(law)

        def velocity(x: Array, t: Array):
            osmotic = self.covariance_divergence(x, t) + self.covariance(x, t) @ score(x, t)
            return self.drift(x, t) - 0.5 * osmotic

        return Flow(velocity, known_times=common_times(self.known_times, known))

    def compare_views(self, density: Density, times, *, n: int = 20_000, seed: int = 0, steps: int = 200):
        """Paths, density and ODE from one start, and how far their marginals are apart, as `Views`.

        About `steps` even steps lead from the first of `times` to the last. The density is of fourth order in
        the cells where their number is even; where the grid is too coarse for it, the `note` of the views
        says that it is the density which is wrong.
        """
        from jko.diffusion.views import compare

        self._require_forward()
        return compare(self, density, times, n, seed, steps)

    def film(self, path, density: Density, times, **options):
        """Write paths, density and ODE from one start as a film: see `jko.films.film_of_views`, which has the
        `options` (n, drawn, seed, seconds, fps, size, progress)."""
        from jko.films import film_of_views

        self._require_forward()
        return film_of_views(self, density, times, path, **options)

    def check(self, dimension: int):
        """Refuse coefficients that do not fit this dimension."""
        probe(self.drift, dimension)
        probe(self.diffusion, dimension)

    def _require_forward(self):
        if self.backward:
            raise ValueError("this SDE runs backward in time and can only be simulated: use the forward one")


def _score_of(law: Callable):
    """The score of a law, or the score itself, and the times between which it is known."""
    score = getattr(law, "score", law)
    if not callable(score):
        raise TypeError(f"law: expected a score (x, t) or a DensityPath, got {type(law).__name__}")
    return checked_function("score", score), known_times(score)
