"""Flows to data: energy distance, sliced Wasserstein, Sinkhorn divergence, W₂² itself."""

import jax
import numpy as np
import pytest

import functionals as fn
import jko

EULER = jko.descent.ForwardEuler()
SHIFT = np.array([0.7, -0.4])


def cloud(n=40, seed=0):
    return jko.Particles(np.random.default_rng(seed).normal(size=(n, 2)))


def shifted(mu):
    return jko.Particles(mu.positions + SHIFT)


@pytest.mark.slow
def test_the_energy_distance_on_the_line_follows_its_quantile_equation():
    """To the uniform law on [0, 1]: Q′ = 2(q − Q), so Q = q + (Q₀ − q)e^{−2t} [SzekelyRizzo2013]."""
    n, target = 60, jko.Density(jko.Grid.uniform(0.0, 1.0, 600), np.ones(600))
    q = (np.arange(n) + 0.5) / n
    start = jko.Particles(0.25 + 0.5 * q)
    F = fn.EnergyDistance(target)
    run = jko.flow(F, start, EULER, tau=1e-3, n_steps=500, store_every=500)
    exact = q + (start.positions[:, 0] - q) * np.exp(-1.0)
    assert np.abs(run.final.positions[:, 0] - exact).max() < 1e-3
    # F = ∫(F_ρ − F_ν)²: ∫(2x − ½ − x)² on the cloud's interval and x² on its two sides
    assert F(jko.Particles(0.25 + 0.5 * (np.arange(2000) + 0.5) / 2000)) == pytest.approx(
        1.0 / 48.0, rel=2e-3
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "share", "energy"),
    [
        (lambda nu: fn.SlicedWasserstein(nu, directions=40), 0.5, 0.25),
        (lambda nu: fn.SinkhornDivergence(nu, epsilon=0.3, tolerance=1e-9), 1.0, 0.5),
        (jko.transport.SquaredDistance, 1.0, 0.5),
    ],
    ids=["sliced", "sinkhorn", "squared distance"],
)
def test_a_shifted_cloud_comes_back_as_a_whole(make, share, energy):
    """F = ½|s|² for W₂² and the Sinkhorn divergence, half of it sliced; ∇F = s and s/2 at every point."""
    start = cloud()
    F = make(shifted(start))
    assert F(start) == pytest.approx(energy * SHIFT @ SHIFT, rel=1e-7)
    np.testing.assert_allclose(F.wasserstein_gradient(start), np.tile(-share * SHIFT, (40, 1)), atol=1e-7)
    run = jko.flow(F, start, EULER, tau=0.1, n_steps=5)
    expected = start.positions + SHIFT * (1.0 - (1.0 - 0.1 * share) ** 5)
    np.testing.assert_allclose(run.final.positions, expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("unit", [1.0, 1e3])
def test_the_squared_distance_of_a_density_in_the_plane_has_its_potential(unit):
    """To itself shifted by s, δF/δρ = −s·x up to a constant: a target's own grid was read as a line."""
    grid = jko.Grid.uniform((-4.0 * unit, -4.0 * unit), (4.0 * unit, 4.0 * unit), 48)
    here, there = (jko.Density.gaussian(grid, s * unit, 0.7 * unit) for s in (np.zeros(2), SHIFT))
    xi = jko.transport.SquaredDistance(there).first_variation(here)
    wanted = -unit * grid.centers @ SHIFT
    error = xi - wanted - np.vdot(here.masses, (xi - wanted).ravel())
    assert np.sqrt(np.vdot(here.masses, error.ravel() ** 2)) < 0.02 * unit**2


@pytest.mark.slow
def test_the_sliced_distance_of_a_density_in_the_plane_has_its_potential():
    """To itself shifted by s, δF/δρ = −s·x/2 up to a constant, as the mean of θ(θ·s) is s/2."""
    grid = jko.Grid.uniform((-4.0, -4.0), (4.0, 4.0), 48)
    here, there = (jko.Density.gaussian(grid, s, 0.7) for s in (np.zeros(2), SHIFT))
    xi = fn.SlicedWasserstein(there, directions=16).first_variation(here)
    error = xi + 0.5 * grid.centers @ SHIFT
    error -= np.vdot(here.masses, error.ravel())
    assert np.sqrt(np.vdot(here.masses, error.ravel() ** 2)) < 0.02


@pytest.mark.slow
def test_the_sinkhorn_divergence_tends_to_half_the_squared_distance():
    mu, nu = cloud(30, 1), cloud(30, 2)
    exact = 0.5 * jko.wasserstein(mu, nu) ** 2
    errors = [abs(fn.SinkhornDivergence(nu, epsilon=e, tolerance=1e-5)(mu) - exact) for e in (0.2, 0.05)]
    assert errors[1] < 0.3 * errors[0]
    assert errors[1] < 0.1 * exact
    assert fn.SinkhornDivergence(mu, epsilon=0.2, tolerance=1e-8)(mu) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.slow
def test_the_sinkhorn_divergence_does_without_masses_that_float32_has_not():
    """It iterates in float32 as far as that goes: e^{−288} is no number there, and the answer is the same."""
    nu = jko.Density.gaussian(jko.Grid.uniform(-6.0, 6.0, 60), std=0.25)
    mu = jko.Particles(np.random.default_rng(3).normal(size=(30, 1)))
    loose, tight = (fn.SinkhornDivergence(nu, epsilon=0.3, tolerance=e) for e in (1e-4, 1e-9))
    assert loose(mu) == pytest.approx(tight(mu), rel=1e-5)
    np.testing.assert_allclose(loose.wasserstein_gradient(mu), tight.wasserstein_gradient(mu), atol=1e-3)


def test_half_the_squared_distance_flows_along_the_geodesic_by_an_exponential_clock():
    mu, nu = cloud(25, 3), cloud(25, 4)
    images = jko.transport.brenier_map(mu, nu)(mu.positions)
    run = jko.flow(jko.transport.SquaredDistance(nu), mu, EULER, tau=0.2, n_steps=6)
    np.testing.assert_allclose(run.final.positions, images + 0.8**6 * (mu.positions - images), atol=1e-9)
    np.testing.assert_allclose(
        run.energy, 0.5 * jko.wasserstein(mu, nu) ** 2 * 0.64 ** np.arange(7), rtol=1e-9
    )


def test_the_barycentre_of_two_clouds_is_the_middle_of_their_geodesic():
    first, second = cloud(20, 5), cloud(20, 6)
    F = sum(0.5 * jko.transport.SquaredDistance(nu) for nu in (first, second))
    run = jko.flow(F, first, EULER, tau=0.5, n_steps=30)
    apart = jko.wasserstein(first, second)
    assert run.energy[-1] == pytest.approx(apart**2 / 8.0, rel=1e-6)
    assert jko.wasserstein(run.final, first) == pytest.approx(0.5 * apart, rel=1e-5)


def test_densities_follow_the_geodesic_as_well():
    """Between Gaussians mean and standard deviation go to the target's as e^{−t}."""
    grid = jko.Grid.uniform(-3.0, 4.0, 140)
    start, target = (jko.Density.gaussian(grid, m, std=s) for m, s in ((0.0, 0.6), (1.0, 0.4)))
    F = jko.transport.SquaredDistance(target)
    run = jko.flow(F, start, jko.limits.FiniteVolume(), tau=0.05, n_steps=4)
    left = np.exp(-0.2)
    assert run.final.mean()[0] == pytest.approx(1.0 - left, rel=2e-3)
    assert np.sqrt(run.final.covariance()[0, 0]) == pytest.approx(0.4 + 0.2 * left, rel=5e-3)
    assert np.all(np.diff(run.energy) < 0.0)
    assert (
        np.abs(
            F.wasserstein_gradient(start)[60:80, 0] - (grid.axes[0] - 1.0 - 2 / 3 * grid.axes[0])[60:80]
        ).max()
        < 1e-2
    )


def test_opinions_beyond_the_radius_keep_apart():
    F = fn.Interaction("bounded_confidence", radius=1.0)
    start = jko.Particles(np.array([0.0, 0.4, 0.8, 3.0, 3.2]))
    run = jko.flow(F, start, EULER, tau=0.1, n_steps=400, store_every=400)
    np.testing.assert_allclose(run.final.positions[:, 0], [0.4, 0.4, 0.4, 3.1, 3.1], atol=1e-6)


def test_granular_media_cool_algebraically():
    """Two grains under W = |z|³/3: r′ = −r², r = r₀/(1 + r₀t)."""
    run = jko.flow(
        fn.Interaction("cubic"), jko.Particles(np.array([-0.5, 0.5])), EULER, tau=1e-3, n_steps=1000,
        store_every=1000,
    )  # fmt: skip
    assert np.ptp(run.final.positions) == pytest.approx(0.5, rel=2e-3)


def test_refusals():
    with pytest.raises(TypeError, match="expected a measure such as"):
        fn.SlicedWasserstein([1.0, 2.0])
    with pytest.raises(ValueError, match="expected a measure in 1D"):
        fn.SinkhornDivergence(cloud(), epsilon=0.1)(jko.Particles(np.zeros(3)))
    with pytest.raises(ValueError, match="epsilon must be a positive number"):
        fn.SinkhornDivergence(cloud(), epsilon=0.0)


@pytest.mark.slow
def test_a_step_keeps_the_gradient_that_it_has_paid_for(tmp_path):
    """One computation gives F after a step and the gradient of the next; a run that goes on has its bits."""
    mu, F = cloud(20, 5), fn.SinkhornDivergence(cloud(20, 6), epsilon=0.3, tolerance=1e-8)
    whole = jko.flow(F, mu, EULER, tau=0.2, n_steps=4)
    jko.flow(F, mu, EULER, tau=0.2, n_steps=2, checkpoint=tmp_path / "run")
    again = jko.flow(F, mu, EULER, tau=0.2, n_steps=4, checkpoint=tmp_path / "run")
    assert np.array_equal(again.final.positions, whole.final.positions)
    moved = mu
    for _ in range(4):
        moved = moved.with_positions(moved.positions - 0.2 * np.asarray(F.wasserstein_gradient(moved)))
    np.testing.assert_allclose(whole.final.positions, moved.positions, atol=1e-12)
    assert whole.energy[-1] == pytest.approx(F(moved), rel=1e-9)


@pytest.mark.slow
def test_the_sinkhorn_divergence_is_the_same_from_wherever_its_iteration_starts():
    mu, far = cloud(20, 5), jko.Particles(9.0 + 3.0 * cloud(20, 1).positions)
    F = fn.SinkhornDivergence(cloud(20, 6), epsilon=0.3, tolerance=1e-8)
    with jax.enable_x64(True):
        value, end = F.energy_from(mu, F.unknown(mu))
        _, elsewhere = F.energy_from(far, F.unknown(far))
        for start in (end, elsewhere, 0.0 * end, np.full_like(end, np.nan)):
            assert float(F.energy_from(mu, start)[0]) == pytest.approx(float(value), abs=1e-9)
