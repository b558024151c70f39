"""An SDE and its three views."""

from __future__ import annotations

from jko.diffusion import coefficients
from jko.diffusion.paths import Paths, checked_times, euler_maruyama
from jko.errors import seed_number, whole_number
from jko.measures import Density, Particles


class SDE:
    """dx = f(x, t) dt + G(x, t) dB in the sense of Itô, with f `[d]` and G `[d, k]` jax functions of a point.

    Its law solves ∂ₜp = −∇·(fp) + ½ Σ ∂ᵢ∂ⱼ[(GGᵀ)ᵢⱼ p]; three views of that law are paths (`simulate`), a
    density on a grid (`fokker_planck`) and an ODE of the same marginals (`probability_flow`)
    [SongEtAl2021]; `compare_views` lays them side by side. Raises TypeError for coefficients that are no
    functions.
    """

    def __init__(self, drift, diffusion, *, backward: bool = False):
        for name, function in (("drift", drift), ("diffusion", diffusion)):
            if not callable(function):
                raise TypeError(
                    f"{name}: expected a jax function of (x, t), got {type(function).__name__}: wrap a "
                    "constant in a lambda"
                )
        self.drift, self.diffusion, self.backward = drift, diffusion, backward
        self.covariance = coefficients.covariance(diffusion)
        self.covariance_divergence = coefficients.row_divergence(self.covariance)

    def simulate(self, particles: Particles, times, *, seed: int, substeps: int = 20) -> Paths:
        """The cloud at each of `times` `[m + 1]`, of which the first is its own, by Euler–Maruyama.

        `substeps` steps lead from each time to the next: weak order 1 in their length. A reverse SDE takes
        decreasing times. Raises ValueError for times that run the wrong way.
        """
        if not isinstance(particles, Particles):
            raise TypeError(
                f"particles: expected Particles, got {type(particles).__name__}: call .sample on a density"
            )
        self.check(particles.dimension)
        times = checked_times(times, self.backward)
        substeps = whole_number("substeps", substeps)
        seed = seed_number("seed", seed)
        positions = euler_maruyama(self.drift, self.diffusion, particles.positions, times, substeps, seed)
        return Paths(times, positions, particles.weights)

    def reverse(self, score) -> SDE:
        """The SDE whose paths, followed from a late time to an early one, have the marginals of this one.

        dx = (f − ∇·(GGᵀ) − GGᵀ∇log pₜ) dt + G dB̄ with t decreasing [Anderson1982]; `score(x, t)` is
        ∇log pₜ `[d]`.
        """
        self._require_forward()

        def drift(x, t):
            return self.drift(x, t) - self.covariance_divergence(x, t) - self.covariance(x, t) @ score(x, t)

        return SDE(drift, self.diffusion, backward=True)

    def fokker_planck(self, density: Density, times, *, substeps: int = 1, order: int = 2):
        """The density at each of `times`, the first of which is its own, as a `DensityPath`.

        Positive, conservative, of second order in steps and of `order` 2 or 4 in cells, on the line or in the
        plane, with no flux through the grid's boundary; see `jko.diffusion.fokker_planck.solve`.
        """
        from jko.diffusion.fokker_planck import solve

        self._require_forward()
        return solve(self, density, times, substeps, order)

    def probability_flow(self, law):
        """The ODE dx/dt = f − ½∇·(GGᵀ) − ½GGᵀ∇log pₜ, whose flow carries p₀ to pₜ, as a `Flow`.

        `law` is the score ∇log pₜ as a jax function of (x, t), or the `DensityPath` of `fokker_planck`.
        """
        from jko.diffusion.flow import Flow

        self._require_forward()
        score = getattr(law, "score", law)
        if not callable(score):
            raise TypeError(f"law: expected a score or a DensityPath, got {type(law).__name__}")

        def velocity(x, t):
            osmotic = self.covariance_divergence(x, t) + self.covariance(x, t) @ score(x, t)
            return self.drift(x, t) - 0.5 * osmotic

        return Flow(velocity)

    def compare_views(self, density: Density, times, *, n: int = 20_000, seed: int = 0, steps: int = 200):
        """Paths, density and ODE from one start, and how far their marginals are apart, as `Views`.

        About `steps` even steps lead from the first of `times` to the last. The density is of fourth order in
        the cells where their number is even.
        """
        from jko.diffusion.views import compare

        return compare(self, density, times, n, seed, steps)

    def check(self, dimension: int):
        """Refuse coefficients of the wrong shape in this dimension."""
        coefficients.require_shape("drift", self.drift, dimension, (dimension,))
        coefficients.require_shape("diffusion", self.diffusion, dimension, (dimension, None))

    def _require_forward(self):
        if self.backward:
            raise ValueError("this SDE runs backward in time and can only be simulated: use the forward one")
