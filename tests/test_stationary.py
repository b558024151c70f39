"""States at rest against closed forms: Gibbs, Barenblatt, Dawson's and Kuramoto's models."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import iv

import functionals as fn
import jko
from jko import Density, Gaussian, Grid
from jko.errors import UnsupportedFunctional
from jko.plotting import plot_branch

CIRCLE = Grid.uniform(0.0, 2.0 * np.pi, 128, periodic=True)
LINE = Grid.uniform(-3.5, 3.5, 200)
ALIGNMENT = fn.Interaction(lambda z: -jnp.cos(z[0]))
ATTRACTION = fn.Interaction(lambda z: 0.5 * z[0] ** 2)
DOUBLE_WELL = fn.Potential(lambda x: x[0] ** 4 / 4.0 - x[0] ** 2 / 2.0)


def quadratic(stiffness):
    return fn.Potential(lambda x: 0.5 * stiffness * jnp.sum(x**2))


def kuramoto(coupling):
    return fn.Entropy() + coupling * ALIGNMENT


def dawson(temperature):
    return temperature * fn.Entropy() + DOUBLE_WELL + ATTRACTION


def order_parameter(measure):
    return float(abs(measure.masses @ np.exp(1j * measure.points[:, 0])))


def exact_order(coupling):
    """r = I₁(Kr)/I₀(Kr), 0 below K = 2."""
    if coupling <= 2.0:
        return 0.0
    return brentq(lambda r: r - iv(1, coupling * r) / iv(0, coupling * r), 1e-9, 1.0)


def bump_on_the_circle():
    return Density.from_function(CIRCLE, lambda x: 1.0 + 0.5 * jnp.cos(x[0] - 1.0))


def mean_and_variance(measure):
    x = measure.points[:, 0]
    mean = float(measure.masses @ x)
    return mean, float(measure.masses @ (x - mean) ** 2)


@pytest.mark.parametrize(("scale", "energy"), [(1.0, 1.0), (1e-3, 1e6), (1e4, 1e-5)])
@pytest.mark.parametrize("dimension", [1, 2])
def test_fokker_planck_rests_at_gibbs(dimension, scale, energy):
    cells = (200,) if dimension == 1 else (40, 32)
    grid = Grid.uniform((-5.0 * scale,) * dimension, (5.0 * scale,) * dimension, cells)
    stiffness = energy / scale**2
    F = energy * fn.Entropy() + quadratic(stiffness)
    start = Gaussian(np.full(dimension, 0.5 * scale), 0.3 * scale**2 * np.eye(dimension)).on(grid)
    found = jko.equilibrium(F, start)
    gibbs = np.exp(-0.5 * (grid.points**2).sum(axis=1) / scale**2).reshape(cells)
    gibbs *= start.values.sum() / gibbs.sum()
    assert found.converged
    np.testing.assert_allclose(found.measure.values, gibbs, rtol=1e-9, atol=1e-13 * gibbs.max())
    assert found.residual <= 1e-9 * energy / scale
    assert found.stability.is_minimum
    if dimension == 1:  # the spectral gap of the Ornstein–Uhlenbeck flow is the stiffness, to O(h²)
        assert found.slowest_rate == pytest.approx(stiffness, rel=0.02)


def test_porous_medium_rests_at_a_parabola_of_the_mass():
    grid = Grid.uniform((-2.0, -2.0), (2.0, 2.0), (64, 64))
    start = 2.5 * Gaussian([0.3, 0.0], 0.2 * np.eye(2)).on(grid).values
    found = jko.equilibrium(fn.Power(2.0) + quadratic(1.0), Density(grid, start))
    square = (grid.points**2).sum(axis=1).reshape(grid.cells)
    level = brentq(
        lambda c: 0.5 * np.maximum(c - 0.5 * square, 0.0).sum() - start.sum(), 0.0, 10.0, xtol=1e-14
    )
    np.testing.assert_allclose(found.measure.values, 0.5 * np.maximum(level - 0.5 * square, 0.0), atol=1e-10)
    assert found.measure.mass == pytest.approx(start.sum() * grid.cell_volume, rel=1e-12)


def test_a_crowd_rests_where_the_cap_and_the_potential_let_it():
    F = fn.Cap(0.4) + 0.01 * fn.Entropy() + quadratic(1.0)
    found = jko.equilibrium(F, Gaussian([1.0], [[0.5]]).on(LINE))
    full = found.measure.values >= 0.4 * (1.0 - 1e-12)
    assert found.converged
    assert found.residual < 1e-10
    assert full.sum() * LINE.cell_volume == pytest.approx(2.5, abs=0.15)
    later = jko.flow(F, found.measure, jko.limits.FiniteVolume(), tau=0.1, n_steps=1)
    assert jko.wasserstein(later.final, found.measure).value < 2e-3


@pytest.mark.parametrize("temperature", [0.3, 0.7])
def test_the_second_variation_of_dawsons_model(temperature):
    """At rest ρ ∝ exp(−(V + (x − m)²/2)/θ); it loses its hold where Var = θ: least = 1 − Var/θ."""
    found = jko.equilibrium(dawson(temperature), Gaussian([0.4], [[0.4]]).on(LINE))
    mean, variance = mean_and_variance(found.measure)
    x = LINE.points[:, 0]
    gibbs = np.exp(-(x**4 / 4.0 - x**2 / 2.0 + 0.5 * (x - mean) ** 2) / temperature)
    gibbs /= gibbs.sum() * LINE.cell_volume
    np.testing.assert_allclose(found.measure.values, gibbs, rtol=1e-8, atol=1e-12)
    assert (abs(mean) > 0.5) if temperature == 0.3 else (abs(mean) < 1e-8)
    assert found.stability.least == pytest.approx(1.0 - variance / temperature, abs=1e-9)
    assert found.stability.is_minimum
    assert found.slowest_rate > 0.0


def test_a_symmetric_start_leads_to_the_symmetric_state_and_its_index_says_what_it_is():
    found = jko.equilibrium(dawson(0.3), Gaussian([0.0], [[0.4]]).on(LINE))
    assert found.converged
    assert abs(mean_and_variance(found.measure)[0]) < 1e-10
    assert found.stability.index == 1
    assert not found.stability.is_minimum
    assert found.slowest_rate < 0.0


def test_the_flow_leaves_the_saddle_at_the_rate_that_is_told():
    F = dawson(0.3)
    saddle = jko.equilibrium(F, Gaussian([0.0], [[0.4]]).on(LINE))
    pushed = Density(LINE, saddle.measure.values * (1.0 + 1e-4 * LINE.points[:, 0]))
    run = jko.flow(F, pushed, jko.limits.FiniteVolume(), tau=0.01, n_steps=400, store_every=200)
    means = [mean_and_variance(measure)[0] for measure in run.measures]
    assert np.log(means[2] / means[1]) / 2.0 == pytest.approx(-saddle.slowest_rate, rel=2e-3)


@pytest.mark.parametrize("coupling", [1.5, 2.05, 3.0])
def test_kuramotos_oscillators(coupling):
    found = jko.equilibrium(kuramoto(coupling), bump_on_the_circle())
    assert found.converged
    assert order_parameter(found.measure) == pytest.approx(exact_order(coupling), abs=1e-9)
    if coupling < 2.0:
        assert found.stability.least == pytest.approx(1.0 - coupling / 2.0, abs=1e-9)
    else:  # turning all of it costs nothing
        assert abs(found.stability.least) < 1e-9
        assert found.stability.is_minimum


def test_kuramotos_branch_and_its_turn():
    branch = jko.continuation(kuramoto, (4.0, 1.0), bump_on_the_circle(), points=12)
    found = branch.observe(order_parameter)
    wanted = [exact_order(k) for k in branch.parameters]
    np.testing.assert_allclose(found, wanted, atol=1e-8)
    assert branch.parameters.min() == pytest.approx(2.0, abs=0.05)
    assert branch.turns.size == 1
    assert branch.complete
    assert branch.stable.all()


@pytest.mark.slow
def test_a_branch_is_followed_through_states_that_are_no_minima():
    start = Gaussian([0.0], [[0.4]]).on(LINE)
    branch = jko.continuation(dawson, (0.7, 0.3), start, points=8)
    variances = np.array([mean_and_variance(state.measure)[1] for state in branch.states])
    np.testing.assert_array_equal(branch.stable, variances < branch.parameters)
    assert branch.stable[0]
    assert branch.parameters[-1] == 0.3
    assert not branch.stable[-1]
    assert branch.complete
    figure = plot_branch(branch, lambda measure: mean_and_variance(measure)[1], ordinate="variance")
    assert len(figure.axes[0].lines) == 2


def test_refusals_name_the_argument():
    rho = Gaussian([0.0], [[1.0]]).on(LINE)
    with pytest.raises(TypeError, match="functional: expected a Functional, got int"):
        jko.equilibrium(3, rho)
    with pytest.raises(TypeError, match="measure: expected a Density, got Gaussian"):
        jko.equilibrium(fn.Entropy(), Gaussian([0.0], [[1.0]]))
    with pytest.raises(UnsupportedFunctional, match="internal energy"):
        jko.equilibrium(quadratic(1.0), rho)
    with pytest.raises(TypeError, match="depends on time"):
        jko.equilibrium(fn.Entropy() + fn.Potential(lambda x, t: t * x[0] ** 2), rho)
    with pytest.raises(ValueError, match="parameters: expected two different numbers"):
        jko.continuation(dawson, (1.0, 1.0), rho)


@pytest.mark.parametrize("F", [0.01 * fn.Entropy() + fn.Cap(1.0), fn.Power(3.0)], ids=["cap", "front"])
def test_a_rate_is_told_only_where_the_flow_is_linear(F):
    assert np.isnan(jko.equilibrium(F + quadratic(1.0), Gaussian([0.5], [[0.4]]).on(LINE)).slowest_rate)


def test_wells_with_next_to_no_mass_between_are_pieces_without_a_rate():
    found = jko.equilibrium(0.005 * fn.Entropy() + DOUBLE_WELL, Gaussian([0.5], [[0.4]]).on(LINE))
    assert found.pieces == 2
    assert np.isnan(found.slowest_rate)
    around = jko.equilibrium(kuramoto(3.0), bump_on_the_circle())
    assert around.pieces == 1


def test_repulsion_has_a_second_variation_whose_eigenvalues_pile_up_at_one():
    F = fn.Entropy() + quadratic(1.0) + fn.Interaction(lambda z: jnp.exp(-(z[0] ** 2)))
    stability = jko.equilibrium(F, Gaussian([0.5], [[0.4]]).on(LINE)).stability
    assert stability.least == pytest.approx(1.0, abs=1e-3)
    assert stability.is_minimum


def test_a_branch_asks_for_no_functional_beyond_its_range():
    asked = []

    def functional_of(temperature):
        asked.append(temperature)
        return dawson(temperature)

    branch = jko.continuation(functional_of, (0.3, 0.05), Gaussian([0.4], [[0.4]]).on(LINE), points=6)
    assert branch.complete
    assert min(asked) >= 0.05 - 1e-15
