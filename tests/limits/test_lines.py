"""The implicit stages of lines, solved in one batch."""

import numpy as np
import pytest

import functionals as fn
from jko.limits.line_newton import LineNewton
from jko.limits.nonlinear_diffusion import NonlinearDiffusion

WEIGHTS = np.array([1.0, 1e-4, 1e-8, 1e-12])  # of the densities of four lines


@pytest.mark.parametrize("m", [1.5, 2.0, 3.0])
def test_a_light_line_beside_a_heavy_one_is_solved_as_it_is_alone(m):
    """Vacuum at one end, ∂_tρ = ∂(M∂ξ) over a long step."""
    x = np.linspace(-3.0, 3.0, 24)[:, None]
    rho = np.maximum(1.0 - (x + 1.0) ** 2, 0.0) * WEIGHTS
    psi, cap = 0.5 * (x - 0.3) ** 2 + 0.0 * rho, np.full_like(rho, np.inf)
    solver = NonlinearDiffusion(fn.Power(m), cap)

    def solved(lines):
        batch = [np.ascontiguousarray(field[:, lines]) for field in (rho, psi, cap)]
        newton = LineNewton(solver, batch[0], batch[0] + 1e-9 * batch[0].max(axis=0), *batch[1:])
        mobility = solver.mobility(newton.rho, newton.p, newton.psi)
        assert newton.newton(30.0 * mobility, 60)
        return newton.rho

    together = solved(slice(None))
    for line in range(WEIGHTS.size):
        alone = solved(slice(line, line + 1))[:, 0]
        np.testing.assert_allclose(together[:, line], alone, atol=1e-10 * WEIGHTS[line])


@pytest.mark.parametrize("unit", [1.0, 2.0**20, 2.0**-20])
def test_a_cell_that_lets_nothing_through_keeps_its_base(unit):
    """Empty cells without a way out, in units of ρ and p, beside two that are joined: ρ′ − base = ∂²(2ρ′)."""
    base = np.array([0.3, 0.0, 0.5, 0.2, 0.4])[:, None] / unit
    start = np.array([0.0, 0.0, 0.0, 0.1, 0.4])[:, None] / unit
    solver = NonlinearDiffusion((unit**2 * fn.Power(2)).parts.internal_energy, np.full_like(base, np.inf))
    line = LineNewton(solver, base, start, 0.0 * base, solver.cap)
    line.side[:3], line.p[:3] = -1, -unit
    mobility = np.array([0.0, 0.0, 0.0, 1.0])[:, None] / unit**2
    assert line.newton(mobility, 20)
    assert np.array_equal(line.rho[:3], base[:3])
    np.testing.assert_allclose(unit * line.rho[3:, 0], [0.28, 0.32], rtol=1e-12)
