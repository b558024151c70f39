"""The three views of an SDE against exact laws and against each other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jko
from jko import diffusion
from jko.diffusion.coefficients import at_points
from jko.diffusion.generator import generator
from jko.loops.grids.selling import decompose

MIXTURE = jko.exact.GaussianMixture([-1.0, 0.8], [0.3, 0.25], [0.4, 0.6], stiffness=1.0, temperature=0.25)
TIMES = np.array([0.0, 0.2, 0.5])


def sinh_drift(x, t):
    return -jnp.arcsinh(x) * jnp.sqrt(1.0 + x**2) + 0.25 * x


# x = sinh(y) with y an Ornstein-Uhlenbeck process: by Itô's formula, state-dependent noise and an exact law
SINH = diffusion.SDE(sinh_drift, lambda x, t: jnp.sqrt(0.5 * (1.0 + x**2))[:, None])


def sinh_law(x, t):
    return MIXTURE.density(t, np.arcsinh(x)[:, None]) / np.sqrt(1.0 + x**2)


def sinh_start(cells):
    grid = jko.Grid.uniform(-8.0, 8.0, cells)
    return jko.Density(grid, sinh_law(grid.axes[0], 0.0)).normalized()


@functools.cache
def sinh_error(cells):
    path = SINH.fokker_planck(sinh_start(cells), [0.0, 0.5], substeps=cells // 10)
    exact = sinh_law(path.grid.axes[0], 0.5)
    assert path.final.mass == pytest.approx(1.0, abs=1e-13)
    assert path.final.values.min() >= 0.0
    return np.abs(path.final.values - exact).sum() * path.grid.cell_volume


def test_fokker_planck_is_of_second_order_on_the_line():
    errors = np.array([sinh_error(cells) for cells in (100, 200, 400)])
    assert np.log2(errors[:-1] / errors[1:]) == pytest.approx(2.0, abs=0.05)


def test_fokker_planck_is_of_fourth_order_by_extrapolation():
    """Steps so short that the error in time is a hundredth of the rest."""
    errors = []
    for cells in (100, 200):
        path = SINH.fokker_planck(sinh_start(cells), [0.0, 0.5], substeps=cells, order=4)
        exact = sinh_law(path.grid.axes[0], 0.5)
        errors.append(np.abs(path.final.values - exact).sum() * path.grid.cell_volume)
    assert np.log2(errors[0] / errors[1]) > 3.5
    assert errors[1] < 0.1 * sinh_error(200)
    assert path.final.mass == pytest.approx(1.0, abs=1e-13)
    assert path.final.values.min() >= 0.0
    with pytest.raises(ValueError, match="order 4 needs an even number of cells"):
        SINH.fokker_planck(sinh_start(51), [0.0, 0.5], order=4)
    with pytest.raises(ValueError, match="order: expected one of 2, 4, got 3"):
        SINH.fokker_planck(sinh_start(50), [0.0, 0.5], order=3)


def correlated(angle, ratio):
    c, s = np.cos(angle), np.sin(angle)
    return jnp.array([[c, -ratio * s], [s, ratio * c]])


def plane_error(cells, angle, ratio):
    """Ornstein-Uhlenbeck with a full tensor D, of which the moments are known in closed form."""
    G = correlated(angle, ratio)
    sde = diffusion.SDE(lambda x, t: -x, lambda x, t: G)
    grid = jko.Grid.uniform((-4.5, -4.0), (4.5, 4.0), (cells, cells))
    final = sde.fokker_planck(
        jko.Density.gaussian(grid, (0.8, -0.5), 0.6), [0, 0.4], substeps=cells // 8
    ).final
    decay = np.exp(-0.4)
    covariance = 0.36 * decay**2 * np.eye(2) + 0.5 * (1 - decay**2) * np.array(G @ G.T)
    exact = jko.Density.gaussian(grid, (0.8 * decay, -0.5 * decay), covariance=covariance)
    assert final.mass == pytest.approx(1.0, abs=1e-13)
    return np.abs(final.values - exact.values).sum() * grid.cell_volume


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:fokker_planck. drift outruns noise")
def test_fokker_planck_is_of_second_order_in_the_plane_with_a_full_tensor():
    errors = [plane_error(cells, angle=1.1, ratio=0.3) for cells in (48, 96)]
    assert np.log2(errors[0] / errors[1]) > 1.8


def test_any_tensor_is_a_positive_sum_of_offsets():
    roots = np.random.default_rng(0).normal(size=(200, 2, 2))
    D = roots @ roots.transpose(0, 2, 1) + 1e-2 * np.eye(2)
    offsets, weights = decompose(D)
    assert weights.min() >= 0.0
    np.testing.assert_allclose(np.einsum("nk,nka,nkb->nab", weights, offsets, offsets), D, rtol=1e-9)


def test_the_generator_moves_mass_and_loses_none():
    grid = jko.Grid.uniform((0.0, 0.0), (1.0, 1.0), (7, 6))
    D = np.array([[1.0, 0.9], [0.9, 1.0]])
    chain = generator(grid, np.full((42, 2), 30.0), np.broadcast_to(D, (42, 2, 2)))
    u = np.random.default_rng(1).random(42)
    assert min(chain.right.min(), chain.left.min()) >= 0.0
    assert chain.gathered(chain.flux(u)).sum() == pytest.approx(0.0, abs=1e-9)
    v = chain.solve(0.7, u)
    assert v.min() > 0.0
    np.testing.assert_allclose(v - 0.7 * chain.gathered(chain.flux(v)), u, rtol=1e-9, atol=1e-11)


def test_a_long_step_from_a_spike_stays_positive():
    grid = jko.Grid.uniform(-3.0, 3.0, 61)
    spike = jko.Density(grid, np.eye(61)[30]).normalized()
    path = diffusion.ornstein_uhlenbeck().fokker_planck(spike, [0.0, 0.05, 0.1])
    assert all(rho.values.min() >= 0.0 for rho in path.densities)
    assert path.final.mass == pytest.approx(1.0, abs=1e-13)


def thin(ratio, cells, half_width):
    c, s = np.cos(0.3), np.sin(0.3)
    G = jnp.array([[c, -s / ratio], [s, c / ratio]])
    grid = jko.Grid.uniform((-half_width,) * 2, (half_width,) * 2, (cells, cells))
    sde = diffusion.SDE(lambda x, t: -x, lambda x, t: G)
    return sde.fokker_planck(jko.Density.gaussian(grid, (0.0, 0.0), 0.4), [0.0, 0.05, 0.1])


def test_a_grid_too_coarse_for_the_drift_is_named_with_the_one_that_is_not():
    """Along the line P = 2|f|h/g², here |f| = 1 and g² = 0.02; a grid of P cells for each is fine."""
    sde = diffusion.SDE(lambda x, t: jnp.ones_like(x), lambda x, t: 0.02**0.5 * jnp.eye(1))
    start = jko.Density.gaussian(jko.Grid.uniform(-4.0, 4.0, 160), mean=-0.5, std=0.3)
    with pytest.warns(RuntimeWarning, match="Péclet number 5 at the worst time.* about 800 cells"):
        path = sde.fokker_planck(start, [0.0, 0.1, 0.2], order=4)
    assert path.cell_peclet == pytest.approx(5.0, rel=1e-6)
    assert "spreads too far" in path.note
    with pytest.warns(RuntimeWarning, match="Péclet"):
        assert thin(20.0, 24, 2.0).cell_peclet > 5.0
    fine = thin(1.5, 24, 2.0)
    assert fine.cell_peclet < 1.0
    assert fine.note == ""


def test_centred_fluxes_add_no_noise_however_thin_the_tensor():
    c, s, ratio = np.cos(0.3), np.sin(0.3), 1000.0
    G = 0.9 * np.array([[c, -s / ratio**0.5], [s, c / ratio**0.5]])
    grid = jko.Grid.uniform((-3.0, -3.0), (3.0, 3.0), (48, 48))
    sde = diffusion.SDE(lambda x, t: -x, lambda x, t: jnp.asarray(G))
    start = jko.Density.gaussian(grid, (0.0, 0.0), 0.6)
    final = sde.fokker_planck(start, np.linspace(0.0, 0.5, 26), fluxes="centred").final
    exact = 0.36 * np.exp(-1.0) * np.eye(2) + 0.5 * (1.0 - np.exp(-1.0)) * G @ G.T
    assert np.abs(final.covariance() - exact).max() < 3e-4
    assert final.values.min() >= 0.0
    assert final.mass == pytest.approx(1.0, abs=1e-12)
    with pytest.raises(ValueError, match="order: centred fluxes are of order 2"):
        sde.fokker_planck(start, [0.0, 0.1], order=4, fluxes="centred")


@pytest.mark.slow
def test_the_views_say_which_of_them_is_wrong():
    start = jko.Density.gaussian(jko.Grid.uniform(-4.0, 4.0, 40), mean=0.5, std=0.5)
    weak = diffusion.ornstein_uhlenbeck(1.0, 0.05)
    with pytest.warns(RuntimeWarning, match="Péclet"):
        views = weak.compare_views(start, [0.0, 0.2], n=50, steps=4)
    assert str(views).splitlines()[-1].startswith("densities, and with them flow, are the wrong view")
    with pytest.raises(ValueError, match="density: expected mass 1, got 2"):
        weak.compare_views(start.with_values(2.0 * start.values), [0.0, 0.2])


def log_target(x):
    return jnp.logaddexp(-jnp.sum((x - 1.5) ** 2) / 0.7, -jnp.sum((x + 1.5) ** 2) / 0.5)


@pytest.mark.slow
def test_the_three_views_agree_under_noise_that_depends_on_the_place():
    sde = diffusion.reversible(log_target, lambda x, t: (1.0 + 0.5 * jnp.sin(2.0 * x))[:, None])
    start = jko.Density.gaussian(jko.Grid.uniform(-5.0, 5.0, 200), mean=0.0, std=0.5)
    views = sde.compare_views(start, [0.0, 0.2, 1.5], n=5000, seed=0, steps=80)
    assert views.l1_flow.max() <= 5e-3
    # the mean over independent draws has a standard deviation of a quarter: three of them
    assert np.all(views.l1_paths <= 1.75 * views.l1_sampling)
    assert np.all(views.w2_paths <= 3.0 * views.w2_sampling)
    assert "l1_flow" in str(views)


@pytest.mark.slow
def test_the_divergence_of_the_noise_matters():
    """Without ½∇·(GGᵀ) the ODE's marginals are wrong, and the comparison sees it."""
    path = SINH.fokker_planck(sinh_start(200), np.linspace(0.0, 0.5, 41), order=4)

    def without(x, t):
        return SINH.probability_flow(path).velocity(x, t) + 0.5 * SINH.covariance_divergence(x, t)

    exact = sinh_law(path.grid.axes[0], 0.5)
    right, wrong = (
        flow.density(path.densities[0], [0.0, 0.5], substeps=20).values
        for flow in (SINH.probability_flow(path), diffusion.Flow(without))
    )
    assert np.abs(right - exact).sum() * path.grid.cell_volume <= 1e-2
    assert np.abs(wrong - exact).sum() * path.grid.cell_volume > 0.1


@pytest.mark.slow
def test_at_equilibrium_the_reverse_is_the_forward_and_the_flow_stands_still():
    """In the plane, with a full state-dependent G of three columns: f − ∇·D − D∇log π = −f, v = 0."""

    def noise(x, t):
        rows = [1.0 + 0.3 * jnp.sin(x[1]), x[0], 0.2], [0.5 * x[1], 0.7, jnp.cos(x[0] * x[1])]
        return jnp.array(rows)

    sde, score = diffusion.reversible(log_target, noise), jax.grad(log_target)
    back, flow = sde.reverse(lambda x, t: score(x)), sde.probability_flow(lambda x, t: score(x))
    points = np.random.default_rng(0).normal(size=(20, 2))
    drift, reverse, velocity = (
        at_points(field, points, 0.0) for field in (sde.drift, back.drift, flow.velocity)
    )
    np.testing.assert_allclose(reverse, -drift, atol=1e-12)
    np.testing.assert_allclose(velocity, 0.0, atol=1e-12)
    assert np.abs(at_points(sde.covariance_divergence, points, 0.0)).min() > 1e-3


@pytest.mark.slow
def test_reverse_paths_return_to_the_start():
    start = sinh_start(200)
    path = SINH.fokker_planck(start, np.linspace(0.0, 0.5, 51), order=4)
    back = SINH.reverse(path.score)
    assert back.backward
    returned = back.simulate(path.final.sample(5000, seed=0), [0.5, 0.0], seed=1, substeps=100).final
    floor = jko.wasserstein(start.sample(5000, seed=2), start)
    assert jko.wasserstein(returned, start) <= 3.0 * floor
    assert jko.wasserstein(path.final, start) > 10.0 * jko.wasserstein(returned, start)


@pytest.mark.parametrize(
    ("sde", "mean", "variance"),
    [
        (diffusion.variance_preserving(0.1, 8.0), np.exp(-0.25 * 8.1), 1.0 - 0.75 * np.exp(-0.5 * 8.1)),
        (diffusion.variance_exploding(0.1, 1.5), 1.0, 0.25 + 1.5**2 - 0.1**2),
        (diffusion.ornstein_uhlenbeck(2.0, 0.5), np.exp(-2.0), 0.25 + (0.25 - 0.25) * np.exp(-4.0)),
    ],
)
def test_named_sdes_have_their_known_moments(sde, mean, variance):
    grid = jko.Grid.uniform(-9.0, 9.0, 450)
    final = sde.fokker_planck(jko.Density.gaussian(grid, mean=1.0, std=0.5), [0.0, 1.0], substeps=80).final
    assert final.mean()[0] == pytest.approx(mean, abs=2e-3)
    assert final.covariance()[0, 0] == pytest.approx(variance, rel=2e-3)


def test_refusals():
    sde = diffusion.ornstein_uhlenbeck()
    cloud = jko.Particles(np.zeros((3, 2)))
    with pytest.raises(TypeError, match="drift: expected a jax function"):
        diffusion.SDE(1.0, lambda x, t: x)
    with pytest.raises(ValueError, match=r"diffusion: .*shape \[2, k\].*got \[2\]"):
        diffusion.SDE(lambda x, t: x, lambda x, t: x).simulate(cloud, [0.0, 1.0], seed=0)
    with pytest.raises(ValueError, match="increasing times"):
        sde.simulate(cloud, [1.0, 0.0], seed=0)
    with pytest.raises(ValueError, match="decreasing times"):
        sde.reverse(lambda x, t: -x).simulate(cloud, [0.0, 1.0], seed=0)
    with pytest.raises(ValueError, match="can only be simulated"):
        sde.reverse(lambda x, t: -x).fokker_planck(sinh_start(50), [0.0, 1.0])
    with pytest.raises(ValueError, match="GGᵀ must be positive definite"):
        diffusion.SDE(lambda x, t: -x, lambda x, t: x[:, None]).fokker_planck(sinh_start(51), [0.0, 1.0])
