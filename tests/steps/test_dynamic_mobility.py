"""Dynamic steps under an exclusion, |q|²/ρ(1 − ρ/c): each other, holes as particles, Fermi's law, a flow."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

import functionals as fn
import jko
from jko.steps import Cvxpy, PrimalDual
from tests.first_step import first_step

LINE = jko.Grid.uniform(-3.0, 3.0, 24)
RING = jko.Grid.uniform(-3.0, 3.0, 24, periodic=True)
PLANE = jko.Grid.uniform((-2.0, -2.0), (2.0, 2.0), (8, 7), periodic=(True, False))
TRAP = fn.Potential(lambda x: 1.5 * jnp.sum(x**2))
WAVE = fn.Potential(lambda x: jnp.cos(jnp.pi * x[0] / 3.0))
PROBLEMS = {
    "linear diffusion": (fn.FermiDirac() + TRAP, LINE, 0.03, 1),
    "a ring, two slices": (0.5 * fn.FermiDirac() + WAVE, RING, 0.1, 2),
    "up to the cap": (TRAP, LINE, 3.0, 1),
    "power": (0.5 * fn.Power(2.0) + TRAP, LINE, 0.3, 3),
    "a cap of its own": (fn.Entropy() + fn.Cap(0.5) + TRAP, LINE, 0.1, 1),
    "cylinder": (fn.FermiDirac() + TRAP, PLANE, 0.2, 1),
}


def slope(grid, most=1.0):
    """A density that rises from .05 to .35 of the cap."""
    return jko.Density(grid, most * (0.2 + 0.15 * np.tanh(6.0 * grid.centers[..., 0] / grid.upper[0])))


@pytest.mark.parametrize("name", PROBLEMS)
def test_both_find_the_same_step_to_both_gaps(name):
    F, grid, tau, slices = PROBLEMS[name]
    mu = slope(grid)
    after, _, ours = first_step(PrimalDual(slices=slices, mobility="exclusion", tolerance=1e-4), F, mu, tau)
    _, _, theirs = first_step(Cvxpy(slices=slices, mobility=jko.Exclusion()), F, mu, tau)
    missed = theirs.dissipation - ours.dissipation
    assert ours.status == theirs.status == "converged", ours.note + theirs.note
    assert -theirs.gap - 1e-11 <= missed <= ours.gap + 1e-11
    assert ours.gap <= 2e-4 * ours.transport_cost
    assert theirs.gap <= 1e-5 * theirs.transport_cost
    assert ours.mass_error <= 1e-13
    assert after.values.max() <= 1.0 + 1e-12


@pytest.mark.parametrize("slices", [1, 2])
def test_holes_are_particles_in_the_opposite_field(slices):
    mu = slope(LINE)
    holes = mu.with_values(1.0 - mu.values)
    against = fn.Potential(lambda x: -1.5 * jnp.sum(x**2))
    scheme = PrimalDual(slices=slices, mobility="exclusion", tolerance=1e-7)
    filled = first_step(scheme, fn.FermiDirac() + TRAP, mu, 0.1)[0].values
    emptied = first_step(scheme, fn.FermiDirac() + against, holes, 0.1)[0].values
    assert np.abs(1.0 - emptied - filled).max() < 2e-4
    assert np.abs(filled - mu.values).max() > 0.05


def fermi(energy):
    return 1.0 / (1.0 + np.exp(energy))


@pytest.mark.parametrize("length", [1.0, 2e3])
def test_it_rests_at_fermis_law(length):
    """mathematics.md 15, ρ = c/(1 + e^{V − μ}) with c places a length or an area."""
    for grid in (
        jko.Grid.uniform(-3.0 * length, 3.0 * length, 40),
        jko.Grid.uniform((-2.0 * length,) * 2, (2.0 * length,) * 2, 12),
    ):
        most = 3.0 / length**grid.dimension
        mu, exclusion = slope(grid, most), jko.Exclusion(most)
        F = fn.FermiDirac(most) + fn.Potential(lambda x: 1.5 * jnp.sum((x / length) ** 2))
        run = jko.flow(F, mu, PrimalDual(mobility=exclusion, tolerance=1e-5), tau=2.0 * length**2, n_steps=8)
        V = 1.5 * np.sum((grid.centers / length) ** 2, axis=-1)
        share = mu.values.mean() / most
        level = brentq(lambda m, V=V, share=share: fermi(V - m).mean() - share, -30.0, 30.0)
        assert run.final.values / most == pytest.approx(fermi(V - level), abs=2e-3)
        assert np.all(np.diff(run.energy) <= 0.0)
        assert np.abs(mu.values - run.final.values).max() > 0.1 * most


def exclusion_flow(mu, slope_of_V, time):
    """∂_tρ = ∂_x(∂_xρ + ρ(1 − ρ)V′) by lines, on the same cells."""
    edges, h = mu.grid.edges[0][1:-1], mu.grid.spacing[0]

    def rate(_, r):
        face = 0.5 * (r[1:] + r[:-1])
        flux = np.diff(r) / h + face * (1.0 - face) * slope_of_V(edges)
        return np.diff(np.concatenate([[0.0], flux, [0.0]])) / h

    return solve_ivp(rate, (0.0, time), mu.values, method="BDF", rtol=1e-8, atol=1e-10).y[:, -1]


def test_it_follows_the_flow_to_first_order():
    errors = []
    for cells, steps in ((24, 4), (48, 8), (96, 16)):
        mu = slope(jko.Grid.uniform(-3.0, 3.0, cells))
        exact = exclusion_flow(mu, lambda x: 3.0 * x, 0.1)
        scheme = PrimalDual(mobility="exclusion")
        run = jko.flow(fn.FermiDirac() + TRAP, mu, scheme, tau=0.1 / steps, n_steps=steps)
        errors.append(np.abs(run.final.values - exact).sum() * mu.grid.cell_volume)
    assert np.log2(np.divide(errors[:-1], errors[1:])) == pytest.approx(1.0, abs=0.25)
    assert errors[-1] < 0.01


def test_room_for_all_is_the_common_metric():
    mu, F = slope(LINE), fn.Entropy() + TRAP
    plain = first_step(PrimalDual(tolerance=1e-7), F, mu, 0.05)[0].values
    off = []
    for most in (20.0, 40.0, 80.0):
        values = first_step(PrimalDual(mobility=jko.Exclusion(most), tolerance=1e-7), F, mu, 0.05)[0].values
        off.append(np.abs(values - plain).sum())
    assert np.log2(np.divide(off[:-1], off[1:])) == pytest.approx(1.0, abs=0.1)


def test_what_cannot_be_is_refused():
    mu = slope(LINE)
    for scheme in (PrimalDual, Cvxpy):
        with pytest.raises(ValueError, match=r"mobility: Exclusion.* has room for densities up to 0.3"):
            scheme(mobility=jko.Exclusion(0.3)).prepare(fn.Entropy(), mu)
        with pytest.raises(ValueError, match=r"takes jko.Exclusion\(cap\), got Mobility"):
            scheme(mobility=jko.Mobility(lambda s: s**2))
        with pytest.raises(ValueError, match="length: expected None beside a mobility"):
            scheme(mobility="exclusion", length=1.0)
    with pytest.raises(ValueError, match="mobility: the Lagrangian form"):
        Cvxpy(formulation="lagrangian", mobility="exclusion").prepare(fn.Entropy(), mu)
