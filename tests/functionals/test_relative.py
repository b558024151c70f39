"""Divergences to a target: values in closed form, the rate of their flows near the target, refusals."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko

FV = jko.limits.FiniteVolume()
NORMAL = jko.Gaussian.of(0.0, 1.0, dimension=1)


@pytest.mark.parametrize("order", [0.5, 1.5, 2.0])
def test_the_renyi_divergence_of_gaussians(order):
    """αm²/2s* + log(s^{1−α}/s*)/2(α − 1), s* = α + (1 − α)s [GilAlajajiLinder2013]."""
    m, s = 0.4, 0.7
    mixed = order + (1.0 - order) * s
    exact = 0.5 * order * m**2 / mixed + 0.5 * np.log(s ** (1.0 - order) / mixed) / (order - 1.0)
    rho = jko.Gaussian.of(m, np.sqrt(s), dimension=1)
    assert fn.Renyi(NORMAL, order)(rho) == pytest.approx(exact, rel=1e-9)
    assert fn.Renyi(NORMAL, order)(rho.on(jko.Grid.uniform(-9.0, 9.0, 400))) == pytest.approx(exact, rel=1e-6)


def test_chi_squared_is_renyi_of_order_two_and_a_phi_divergence():
    rho = jko.Gaussian.of(0.4, 0.8, dimension=1).on(jko.Grid.uniform(-6.0, 6.0, 200))
    chi = fn.ChiSquared(NORMAL)(rho)
    assert np.log1p(chi) == pytest.approx(fn.Renyi(NORMAL, 2.0)(rho), rel=1e-6)
    assert fn.PhiDivergence(NORMAL, lambda r: (r - 1.0) ** 2)(rho) == pytest.approx(chi, rel=1e-6)
    logarithm = fn.PhiDivergence(NORMAL, lambda r: r * jnp.log(r))
    assert logarithm(rho) == pytest.approx(fn.KL(NORMAL)(rho), rel=1e-12)


@pytest.mark.parametrize(
    ("F", "curvature"),
    [
        (fn.ChiSquared(NORMAL), 2.0),
        (fn.Renyi(NORMAL, 2.0), 2.0),
        (fn.Renyi(NORMAL, 0.5), 0.5),
        (fn.PhiDivergence(NORMAL, lambda r: (jnp.sqrt(r) - 1.0) ** 2), 0.5),
    ],
    ids=["chi squared", "renyi 2", "renyi 1/2", "hellinger"],
)
def test_perturbations_decay_at_the_curvature_of_phi(F, curvature):
    """ρ = π(1 + εx): x is the slowest mode of N(0, 1), whose spectral gap is 1."""
    grid = jko.Grid.uniform(-5.0, 5.0, 100)
    target = NORMAL.on(grid)
    start = jko.Density(grid, target.values * (1.0 + 1e-3 * grid.axes[0]))
    run = jko.flow(F, start, FV, tau=0.0625 / curvature, n_steps=8)
    means = [mu.mean()[0] for mu in (start, run.final)]
    assert np.log(means[1] / means[0]) == pytest.approx(-0.5, rel=1e-3)
    assert np.all(np.diff(run.energy) < 0.0)
    assert set(run.info.note) == {""}


def test_kl_as_a_phi_divergence_flows_as_kl():
    rho = jko.Density.gaussian(jko.Grid.uniform(-4.0, 4.0, 80), 0.5, std=0.6)
    logarithm = fn.PhiDivergence(NORMAL, lambda r: r * jnp.log(r))
    finals = [jko.flow(F, rho, FV, tau=0.02, n_steps=5).final.values for F in (fn.KL(NORMAL), logarithm)]
    assert np.abs(finals[0] - finals[1]).sum() * 0.1 < 2e-3  # two discretisations of order 2


def test_a_uniform_target_makes_chi_squared_a_porous_medium():
    grid = jko.Grid.uniform(0.0, 1.0, 50)
    rho = jko.Density(grid, 1.0 + 0.5 * np.cos(np.pi * grid.axes[0]))
    flat = fn.ChiSquared(lambda x: 0.0 * x[0])
    finals = [jko.flow(F, rho, FV, tau=0.01, n_steps=5).final.values for F in (flat, fn.Power(2))]
    np.testing.assert_allclose(finals[0], finals[1], atol=1e-4)


def test_an_energy_of_the_place_comes_to_rest_where_its_variation_is_constant():
    """U = w(x)s²: at rest ρ ∝ 1/w."""
    grid = jko.Grid.uniform(-1.0, 1.0, 60)
    F = fn.LocalEnergy(lambda x, s: (1.0 + x[0] ** 2) * s**2)
    for scheme in (FV, jko.steps.Cvxpy(formulation="eulerian")):
        run = jko.flow(
            F, jko.Density(grid, 1.0 + 0.0 * grid.axes[0]).normalized(), scheme, tau=5.0, n_steps=2
        )
        rest = 1.0 / (1.0 + grid.axes[0] ** 2)
        assert np.abs(run.final.values / (rest / (rest.sum() * grid.cell_volume)) - 1.0).max() < 1e-2
    assert fn.LocalEnergy(lambda x, s: s**2)(run.final) == pytest.approx(fn.Power(2)(run.final))


def test_refusals():
    rho = jko.Density.gaussian(jko.Grid.uniform(-3.0, 3.0, 30), 0.0, std=1.0)
    with pytest.raises(ValueError, match="phi must be convex"):
        fn.PhiDivergence(NORMAL, lambda r: -((r - 1.0) ** 2))
    with pytest.raises(ValueError, match=r"1 is fn\.KL"):
        fn.Renyi(NORMAL, 1.0)
    with pytest.raises(ValueError, match="convex=False"):
        jko.flow(fn.LocalEnergy(lambda x, s: -(s**2)), rho, FV, tau=0.1, n_steps=1)
    with pytest.raises(ValueError, match="its density is 0 in"):
        fn.ChiSquared(lambda x: jnp.where(x[0] > 0.0, 0.0, -jnp.inf))(rho)
    with pytest.raises(ValueError, match="expected a measure in 1D"):
        fn.ChiSquared(jko.Gaussian.of(0.0, 1.0, dimension=2))(rho)


def test_the_mean_under_a_spring_relaxes_at_its_strength():
    cloud = NORMAL.sample(200, seed=1)
    run = jko.flow(fn.Barycentre(2.0, strength=1.5), cloud, jko.descent.ForwardEuler(), tau=1e-3, n_steps=400)
    exact = 2.0 + (cloud.mean() - 2.0) * (1.0 - 1.5e-3) ** 400
    np.testing.assert_allclose(run.final.mean(), exact, rtol=1e-9)
    np.testing.assert_allclose(run.final.covariance(), cloud.covariance(), rtol=1e-9)


def test_a_torus_has_no_mean_to_hold():
    circle = jko.Grid.uniform(-6.0, 6.0, 24, periodic=True)
    with pytest.raises(ValueError, match=r"^measure: on a torus points have no mean for Barycentre"):
        jko.flow(fn.Barycentre(1.0), NORMAL.on(circle), FV, tau=0.1, n_steps=1)


def test_a_second_moment_under_a_spring():
    """M = ∫|x|²: M′ = −4k(M − c)M."""
    cloud = NORMAL.sample(300, seed=2)
    F = fn.Moment(lambda x: jnp.sum(x**2), 2.0, strength=1.0)
    run = jko.flow(F, cloud, jko.descent.ForwardEuler(), tau=1e-3, n_steps=300)
    start = float(np.mean(cloud.positions**2))
    growth = start / (start - 2.0) * np.exp(8.0 * 0.3)
    assert np.mean(run.final.positions**2) == pytest.approx(2.0 * growth / (growth - 1.0), rel=5e-3)


def test_a_target_has_no_mass_beyond_its_box():
    target = jko.Density.uniform(jko.Grid.uniform(-1.0, 1.0, 40))
    wide = jko.Density.gaussian(jko.Grid.uniform(-5.0, 5.0, 100), 1.5, 0.5)
    assert fn.KL(target)(wide) == np.inf
    assert np.isfinite(fn.KL(target)(jko.Density.gaussian(jko.Grid.uniform(-1.0, 1.0, 80), 0.0, 0.3)))
    for F in (fn.ChiSquared(target), fn.Renyi(target)):
        with pytest.raises(ValueError, match="its density is 0 in 80 of 100 points"):
            F(wide)
    with pytest.raises(ValueError, match="infinite or NaN in 80 cells"):
        jko.flow(fn.KL(target), wide, jko.limits.FiniteVolume(), tau=0.1, n_steps=1)


@pytest.mark.parametrize(
    ("make", "error", "what"),
    [
        (lambda: fn.PhiDivergence(NORMAL, lambda r: jnp.nan * r), ValueError, "phi must be finite"),
        (lambda: fn.GradientEnergy(lambda s: jnp.log(-s)), ValueError, "g must be finite"),
        (lambda: fn.PhiDivergence(NORMAL, np.log), TypeError, "write it with jax.numpy, not numpy"),
        (lambda: fn.GradientEnergy(np.sqrt), TypeError, "write it with jax.numpy, not numpy"),
    ],
)
def test_functions_that_are_no_numbers_or_no_jax_are_refused(make, error, what):
    with pytest.raises(error, match=what):
        make()
