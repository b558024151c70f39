"""Every functional has a way into a convex step, equal functionals take equal steps, the rest is refused."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.steps import Cvxpy
from jko.steps.cvxpy.line import LinePotential, cut_edges, density_on
from tests.first_step import first_step

GRID = jko.Grid.uniform(-3.0, 3.0, 60)
START = jko.Density.gaussian(GRID, mean=0.5, std=0.6)
SCHEMES = {"lagrangian": Cvxpy(), "eulerian": Cvxpy(formulation="eulerian")}


def one_step(F, scheme, tau=0.05):
    return jko.flow(F, START, scheme, tau=tau, n_steps=1)


def entropy_density(s):
    return jnp.where(s > 0, s * jnp.log(jnp.where(s > 0, s, 1.0)), 0.0)


PAIRS = {
    "entropy": (fn.Entropy(), fn.InternalEnergy(entropy_density)),
    "square": (fn.Power(2), fn.InternalEnergy(lambda s: s**2)),
    "cube": (fn.Power(3), fn.InternalEnergy(lambda s: s**3 / 2.0)),
    "sum": (fn.Entropy() + fn.Power(2), fn.InternalEnergy(lambda s: entropy_density(s) + s**2)),
}


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_quadratic_models_reach_the_conic_step(scheme, pair):
    cones, models = (one_step(F + fn.Potential("quadratic"), scheme) for F in PAIRS[pair])
    difference = np.abs(cones.final.values - models.final.values).sum() * GRID.cell_volume
    # ∫U is at least 2-convex in L² or 1-convex in L¹ here: L1 distance ≤ √(2·gap) each
    bound = sum(np.sqrt(2.0 * max(run.info.gap[0], 1e-12)) for run in (cones, models))
    assert difference <= 4.0 * bound
    assert models.info.relative_gap[0] <= 1e-6


def test_kl_is_entropy_and_potential():
    target = jko.Gaussian(np.zeros(1), np.eye(1))
    first, second = (
        one_step(fn.KL(target), Cvxpy()),
        one_step(fn.Entropy() + fn.Potential("quadratic"), Cvxpy()),
    )
    np.testing.assert_allclose(first.final.values, second.final.values, atol=2e-5)


class SmoothedLength(fn.Functional):
    """∫√(1+ρ²), a convex functional given by its energy alone."""

    linearly_convex = True

    def energy(self, mu):
        return jnp.sum(jnp.sqrt(1.0 + mu.values**2)) * mu.grid.cell_volume


def test_a_convex_functional_given_as_an_energy():
    twin = fn.InternalEnergy(lambda s: jnp.sqrt(1.0 + s**2) - 1.0)
    first = one_step(fn.Entropy() + SmoothedLength(), Cvxpy())
    second = one_step(fn.Entropy() + twin, Cvxpy(formulation="eulerian"))
    np.testing.assert_allclose(first.final.values, second.final.values, atol=2e-4)
    assert first.info.relative_gap[0] <= 1e-6


def test_an_indefinite_interaction_descends():
    F = 0.3 * fn.Entropy() + fn.Interaction(lambda z: jnp.cos(2.0 * z[0]) - 0.5 * jnp.exp(-jnp.sum(z**2)))
    run = jko.flow(F, START, Cvxpy(), tau=0.05, n_steps=3)
    assert np.all(run.info.dissipation >= 0.0)
    assert np.all(np.diff(run.energy) < 0.0)
    assert "tangent" in run.info.note[0]


def test_a_general_kernel_equals_its_difference_form():
    even = fn.Interaction(lambda z: jnp.exp(-jnp.sum(z**2)))
    general = fn.Interaction(lambda x, y: jnp.exp(-jnp.sum((x - y) ** 2)), general=True)
    first, second = (one_step(fn.Entropy() + W, Cvxpy()).final.values for W in (even, general))
    np.testing.assert_allclose(first, second, atol=1e-3)
    assert np.abs(first - second).sum() * GRID.cell_volume <= 1e-4


def test_another_solver_passes_through():
    options = {"eps_abs": 1e-8, "eps_rel": 1e-8, "max_iters": 50_000}
    F = fn.Power(2) + fn.Potential("quadratic")
    scs = one_step(F, Cvxpy(solver="SCS", solver_options=options))
    np.testing.assert_allclose(scs.final.values, one_step(F, Cvxpy()).final.values, atol=1e-3)


def test_cut_and_read_back_is_fourth_order():
    errors = []
    for n in (40, 80):
        grid = jko.Grid.uniform(-6.0, 6.0, n)
        mu = jko.Density.gaussian(grid, mean=0.3, std=1.0)
        back = density_on(grid, *cut_edges(mu))
        errors.append(abs(back.covariance()[0, 0] - mu.covariance()[0, 0]))
        assert abs(back.mass - mu.mass) <= 1e-14
    assert np.log2(errors[0] / errors[1]) >= 3.5


def test_cutting_keeps_a_gap_and_a_front():
    values = np.where((GRID.points[:, 0] > 1.0) | (GRID.points[:, 0] < -1.0), 1.0, 0.0)
    mu = jko.Density(GRID, values).normalized()
    edges, masses = cut_edges(mu)
    assert np.sum(masses == 0.0) == 1
    np.testing.assert_allclose(density_on(GRID, edges, masses).values, mu.values, atol=1e-9)


def test_a_potential_on_the_line_keeps_its_convexity():
    kink = LinePotential(lambda x: np.abs(x[:, 0] - 0.21), -2.0, 2.0, 40)
    assert kink.modulus >= -1e-9
    smooth = LinePotential(lambda x: np.cos(x[:, 0]), -2.0, 2.0, 40)
    x = np.linspace(-2.0, 2.0, 301)
    np.testing.assert_allclose(smooth.derivative(x), -np.sin(x), atol=3e-4)
    np.testing.assert_allclose(smooth.modulus, -1.0, atol=1e-3)


class Concave(fn.Functional):
    linearly_convex = False

    def energy(self, mu):
        return -jnp.sum(mu.values**2)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Cvxpy(formulation="polar"), ValueError, "formulation"),
        (lambda: Cvxpy(slices=0), ValueError, "slices"),
        (lambda: Cvxpy(tolerance=-1.0), ValueError, "tolerance"),
        (lambda: Cvxpy(solver=3), TypeError, "solver"),
        (lambda: Cvxpy(solver_options=[1]), TypeError, "solver_options"),
        (lambda: Cvxpy(solver="NONE").prepare(fn.Entropy(), START), ValueError, "installed are"),
        (lambda: Cvxpy().prepare(Concave(), START), ValueError, "linearly_convex"),
        (lambda: Cvxpy().prepare(fn.Cap(0.1), START), ValueError, "raise the cap"),
        (lambda: Cvxpy(formulation="eulerian").prepare(fn.Cap(0.1), START), ValueError, "raise the cap"),
        (
            lambda: Cvxpy(formulation="lagrangian").prepare(fn.Interaction("gaussian"), START),
            ValueError,
            "eulerian",
        ),
        (lambda: Cvxpy().prepare(fn.Potential(lambda x: jnp.log(x[0])), START), ValueError, "finite"),
        (lambda: Cvxpy().prepare(fn.Entropy(), START.sample(9, seed=0)), TypeError, "Density"),
    ],
)
def test_refusals_are_one_sentence(make, error, words):
    with pytest.raises(error, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_slices_of_the_lagrangian_form_are_refused():
    mu = jko.Density.uniform(jko.Grid.uniform(-1.0, 1.0, 8))
    for scheme in (Cvxpy(slices=2), Cvxpy(slices=2, formulation="lagrangian")):
        with pytest.raises(ValueError, match=r"slices: the Lagrangian form.*formulation='eulerian'"):
            scheme.check(fn.Entropy(), mu)
    Cvxpy(slices=2, formulation="eulerian").check(fn.Entropy(), mu)


def test_the_note_says_that_a_gap_does_not_bound_the_slices():
    # a step that tears mass apart, whose one slice is 22 % of the move off
    grid = jko.Grid.uniform((-2.0, -2.0), (2.0, 2.0), (16, 16))
    F = fn.Entropy() + fn.Potential(lambda x: 5.0 * (x[0] ** 2 - 1.0) ** 2 + 2.5 * x[1] ** 2)
    rho = jko.Density.gaussian(grid, (0.05, 0.2), std=0.4)
    scheme = jko.steps.Cvxpy()
    problem = scheme.prepare(F, rho)
    state = problem.start
    notes = [scheme.step(problem, rho, 0.0, tau, state)[2].note for tau in (0.2, 0.04)]
    assert "does not bound the time error of its one slice" in notes[0]
    assert notes[1] == ""


@pytest.mark.parametrize("tau", [-1.0, 0.0, float("nan")])
def test_tau_is_checked(tau):
    mu = jko.Density.gaussian(jko.Grid.uniform(-2.0, 2.0, 8), std=0.5)
    scheme = jko.steps.Cvxpy()
    with pytest.raises(ValueError, match="tau: expected a positive number"):
        first_step(scheme, fn.Entropy(), mu, tau)


@pytest.mark.parametrize("cells", [1, 3])
def test_a_density_on_few_cells_is_cut_into_many(cells):
    grid = jko.Grid.uniform(-4.0, 4.0, 160)
    values = np.zeros(160)
    values[90 : 90 + cells] = 1.0
    mu = jko.Density(grid, values).normalized()
    F = fn.Entropy() + fn.Potential("quadratic")
    lagrangian, quantile = (jko.flow(F, mu, s, tau=0.05, n_steps=4) for s in (Cvxpy(), jko.steps.Quantile()))
    apart = np.abs(lagrangian.final.values - quantile.final.values).sum() * grid.cell_volume
    assert apart < 0.01


def test_the_certificate_closes_where_the_tails_reach_a_wall():
    grid = jko.Grid.uniform(-5.0, 5.0, 100)
    mu, F = jko.Density.gaussian(grid, 1.0, 0.5), fn.Entropy() + fn.Potential("quadratic")
    for functional, n_steps in ((fn.Entropy(), 9), (F, 30)):  # the box holds six and eight deviations of it
        run = jko.flow(functional, mu, Cvxpy(), tau=0.05, n_steps=n_steps, store_every=n_steps)
        assert run.info.gap.max() < 5e-8


@pytest.mark.parametrize("unit", [1.0, 1e3])
@pytest.mark.parametrize(("mean", "std"), [(0.3, 0.5), (-0.8, 0.4)])
def test_a_cell_at_a_wall_that_a_solver_hardly_sees_does_not_open_the_gap(mean, std, unit):
    """Of 2e-11 of the mass its width was off by a factor, and with it what the wall pushes: 3e-6 of a gap."""
    grid = jko.Grid.uniform(-3.0 * unit, 3.0 * unit, 100)
    mu = jko.Density.gaussian(grid, mean * unit, std * unit)
    for F in (fn.Entropy(), fn.Entropy() + fn.Potential("quadratic", stiffness=unit**-2)):
        run = jko.flow(F, mu, Cvxpy(), tau=0.1 * unit**2, n_steps=4)
        assert run.info.gap.max() < 1e-8


@pytest.mark.parametrize("formulation", [None, "eulerian"])
@pytest.mark.parametrize("values", [np.ones(12), np.where(np.arange(12) < 6, 1.0, 0.2)], ids=["all", "half"])
def test_full_cells_under_fermi_and_dirac(values, formulation):
    """Where all is full nothing moves; where half is, the step is that of a density just below the cap."""
    grid, scheme, F = (
        jko.Grid.uniform(0.0, 1.0, 12),
        jko.steps.Cvxpy(formulation=formulation),
        fn.FermiDirac(1.0),
    )
    new, _, info = first_step(scheme, F, jko.Density(grid, values), 0.1)
    below, _, _ = first_step(
        jko.steps.Cvxpy(formulation="eulerian"), F, jko.Density(grid, (1.0 - 1e-8) * values), 0.1
    )
    assert info.converged
    assert np.allclose(new.values, below.values, atol=1e-5)
