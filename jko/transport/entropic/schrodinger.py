"""The Schrödinger bridge between any two measures of one kind."""

from __future__ import annotations

from jko.errors import positive_number, whole_number
from jko.measures import Density, Gaussian
from jko.transport.distances.common_kind import alike
from jko.transport.entropic.bridge import SchrodingerBridge


def schrodinger_bridge(
    mu: Density, nu: Density, epsilon: float, *, tolerance: float = 1e-8, max_iterations: int = 5000
) -> SchrodingerBridge:
    """inf ∫₀¹∫½ρ|v|² under ∂tρ + div(ρv) = εΔρ, ρ₀ = mu, ρ₁ = nu [Leonard2014], [ChenGeorgiouPavon2016].

    The law of the paths is the one nearest to dX = √(2ε) dB that has these marginals, and the infimum is 2ε
    times its relative entropy with respect to that motion started from mu. It tends to ½W₂² as ε → 0, as
    ½W₂² + ε(∫ν log ν − ∫μ log μ) + O(ε²). The static problem, solved by iterated proportional fitting, is
    entropic transport with cost ½|x − y|² and temperature 2ε: `sinkhorn` at 4ε. The motion is that of free
    space: nothing reflects it at the walls of a grid.

    Between Gaussians everything is in closed form; densities on a grid (one of them may be a Gaussian) need
    ε ≥ h²/4; between clouds all functions are sums over the atoms, and the cost is infinite.
    tolerance: the L1 error of the marginal at t = 1 over the mass; the one at t = 0 is exact.

    Raises TypeError and ValueError for measures of different kind, grid, dimension or mass and for epsilon
    ≤ 0 or too small for the grid; RuntimeError where `max_iterations` do not suffice.
    """
    mu, nu = alike(mu, nu)
    epsilon = positive_number("epsilon", epsilon)
    tolerance = positive_number("tolerance", tolerance)
    most = whole_number("max_iterations", max_iterations)
    if isinstance(mu, Gaussian):
        from jko.transport.entropic.gaussian import bridge_between_gaussians

        return bridge_between_gaussians(mu, nu, epsilon)
    if isinstance(mu, Density):
        from jko.transport.entropic.grid_bridge import bridge_on_grid

        return bridge_on_grid(mu, nu, epsilon, tolerance, most)
    from jko.transport.entropic.cloud_bridge import bridge_between_clouds

    return bridge_between_clouds(mu, nu, epsilon, tolerance, most)
