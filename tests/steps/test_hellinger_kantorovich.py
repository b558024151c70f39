"""The Hellinger–Kantorovich flow by splitting: laws, order, decay, mass, checkpoints."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import functionals as fn
import jko
from jko import descent, limits, steps
from tests import problems

KL = fn.KL(jko.Gaussian.of(0.0, 1.0, dimension=1))
GROW = fn.Potential(lambda x: -1.0 + 0.0 * x[0])
LOGISTIC = 0.5 * fn.Power(2.0) + GROW


def conserving(transport, length, order):
    reaction = steps.FisherRao(conserving=True, order=order)
    return steps.HellingerKantorovich(transport, length=length, order=order, reaction=reaction)


@pytest.mark.parametrize("unit", [1.0, 1e-3])
@pytest.mark.parametrize(
    ("transport", "order", "cells"),
    [
        (steps.Quantile(), 1, 400),
        (steps.SecondOrder(steps.Quantile()), 2, 1600),
        (limits.FiniteVolume(), 2, 400),
    ],
)
def test_gaussians_on_probabilities(transport, order, cells, unit):
    """s′ = (1 − s)(2 + s/δ²), m′ = −(1 + s/δ²)m, in two units of length, to 1e-4 where the order is 2."""
    delta, T = 0.5, 0.4
    grid = jko.Grid.uniform(-6.0 * unit, 6.0 * unit, cells)
    F = fn.KL(jko.Gaussian.of(0.0, unit, dimension=1))

    def right(t, y):
        mean, s = y
        return [-(1 + s / delta**2) * mean, (1 - s) * (2 + s / delta**2)]

    exact = solve_ivp(right, (0, T), [1.0, 0.36], rtol=1e-11, atol=1e-12).y[:, -1]
    errors = []
    for n in (5, 10, 20):
        scheme = conserving(transport, delta * unit, order)
        run = jko.flow(
            F, jko.Density.gaussian(grid, unit, 0.6 * unit), scheme, tau=T * unit**2 / n, n_steps=n
        )
        found = np.array([run.final.mean()[0] / unit, run.final.covariance()[0, 0] / unit**2])
        errors.append(np.abs(found - exact).max())
        assert abs(run.final.mass - 1.0) < 1e-12
    assert np.all(np.log2(np.array(errors[:-1]) / errors[1:]) > order - 0.3), errors
    if order == 2:
        assert errors[-1] < 1e-4


def test_the_plane():
    """The same law along each axis of the plane, to second order in cells and τ together."""
    F = fn.KL(jko.Gaussian.of(0.0, 1.0, dimension=2))

    def right(t, y):
        mean, s = y
        return [-(1 + s) * mean, (1 - s) * (2 + s)]

    mean, s = solve_ivp(right, (0, 0.2), [1.0, 0.36], rtol=1e-10, atol=1e-12).y[:, -1]
    errors = []
    for n in (5, 10, 20):
        grid = jko.Grid.uniform((-5.0, -5.0), (5.0, 5.0), (6 * n, 6 * n))
        start = jko.Density.gaussian(grid, (1.0, -0.5), 0.6)
        scheme = conserving(limits.FiniteVolume(), 1.0, 2)
        final = jko.flow(F, start, scheme, tau=0.2 / n, n_steps=n).final
        far = [
            np.abs(final.mean() - [mean, -0.5 * mean]).max(),
            np.abs(final.covariance() - s * np.eye(2)).max(),
        ]
        errors.append(max(far))
    assert np.all(np.log2(np.array(errors[:-1]) / errors[1:]) > 1.7), errors
    assert errors[-1] < 2e-4


@pytest.mark.parametrize("start", ["two bumps", "nearly a point", "far"])
def test_the_contraction_of_a_step(start):
    """KL_{k+1} ≤ KL_k/(1 + c) with 1 + c = (1 + λτ)² of the transport, λ = 1 of a Gaussian target, from any
    start; the reaction on probabilities takes KL further down."""
    grid = jko.Grid.uniform(-8.0, 8.0, 320)
    rho = {
        "two bumps": jko.Density.mixture(grid, [-3.0, 2.5], [0.4, 0.7]),
        "nearly a point": jko.Density.gaussian(grid, 0.5, 0.15),
        "far": jko.Density.gaussian(grid, 4.0, 1.3),
    }[start]
    tau, c = 0.1, (1 + 0.1) ** 2 - 1
    run = jko.flow(KL, rho, conserving(steps.Quantile(), 0.8, 1), tau=tau, n_steps=25)
    excess = run.energy - KL(jko.Density.gaussian(grid, 0.0, 1.0))
    held = excess[:-1] > 1e-4  # above the grid's own error
    assert held.sum() >= 10
    assert np.all(excess[1:][held] <= excess[:-1][held] / (1 + c))
    alone = jko.flow(KL, rho, steps.Quantile(), tau=tau, n_steps=1)
    assert run.energy[1] < alone.energy[1]


def test_the_mass_of_free_measures_and_its_balance():
    """KL + mass on positive measures: mass after = mass before + made − left, towards that of the target."""
    grid = jko.Grid.uniform(-6.0, 6.0, 240)
    F = KL + GROW  # ∫ρ log(ρ/π) − ρ, at its least in π itself
    rho = jko.Density.gaussian(grid, 1.0, 0.7)
    rho = rho.with_values(3.0 * rho.values)
    scheme = steps.HellingerKantorovich(steps.Quantile(), length=0.5)
    run = jko.flow(F, rho, scheme, tau=0.1, n_steps=20)
    made, left = (np.sum(run.info.detail(name)) for name in ("made", "left"))
    assert left > 1.0
    assert run.final.mass == pytest.approx(rho.mass + made - left, abs=1e-12)
    assert run.info.mass_error.max() < 1e-12
    assert run.final.mass == pytest.approx(1.0, abs=1e-3)
    assert np.all(np.diff(run.energy) < 0.0)
    assert np.allclose(run.final.values, jko.Density.gaussian(grid, 0.0, 1.0).values, atol=2e-3)
    assert jko.compare({"HK": run}).table[0]["mass_error"] < 1e-11


@pytest.mark.long
@pytest.mark.parametrize("interaction", [False, True])
def test_every_transport_takes_a_mass_that_changes(interaction):
    """One step of each engine from a density of mass 2.5 that has grown, against finite volumes."""
    grid = jko.Grid.uniform(-4.0, 4.0, 80)
    F = 0.5 * fn.Entropy() + fn.Potential("quadratic", stiffness=1.0)
    if interaction:
        F = F + fn.Interaction("gaussian", strength=0.4, width=1.0)
    rho = jko.Density.gaussian(grid, 0.5, 0.8)
    rho = rho.with_values(2.5 * rho.values)
    found = {}
    engines = [
        steps.Quantile(),
        steps.BackAndForth(),
        steps.MongeAmpere(),
        steps.Linearized(),
        steps.PrimalDual(),
        steps.Entropic(),
    ]
    for scheme in [limits.FiniteVolume(), *engines]:
        split = steps.HellingerKantorovich(scheme, length=1.0, reaction_functional=LOGISTIC)
        run = jko.flow(F, rho, split, tau=0.02, n_steps=4)
        found[scheme.scheme_name()] = run.final.values
        assert run.info.mass_error.max() < 1e-12
    reference = found.pop("limits.FiniteVolume")
    for name, values in found.items():
        assert np.abs(values - reference).sum() * grid.cell_volume < 0.004, name


def test_it_goes_on_from_a_checkpoint_to_the_same_bits(tmp_path):
    grid = jko.Grid.uniform(-4.0, 4.0, 60)
    rho = jko.Density.gaussian(grid, 0.5, 0.8)
    scheme = steps.HellingerKantorovich(
        steps.SecondOrder(steps.Quantile()), length=0.5, order=2, reaction_functional=LOGISTIC
    )
    whole = jko.flow(KL, rho, scheme, tau=0.05, n_steps=6)
    jko.flow(KL, rho, scheme, tau=0.05, n_steps=3, checkpoint=tmp_path / "run")
    again = jko.flow(KL, rho, scheme, tau=0.05, n_steps=6, checkpoint=tmp_path / "run")
    assert np.array_equal(again.final.values, whole.final.values)
    loaded = jko.Trajectory.load(whole.save(tmp_path / "run.nc"))
    assert loaded.final.mass == whole.final.mass
    other = steps.HellingerKantorovich(scheme.scheme, length=0.6, order=2, reaction_functional=LOGISTIC)
    with pytest.raises(jko.errors.CheckpointMismatch, match="its scheme"):
        jko.flow(KL, rho, other, tau=0.05, n_steps=6, checkpoint=tmp_path / "run")


def disk(grid, radius):
    """The share of each cell within a radius, by 256 points a cell."""
    shifts = (np.arange(16) + 0.5) / 16 - 0.5
    total = np.zeros(grid.cells)
    for a in shifts * grid.spacing[0]:
        for b in shifts * grid.spacing[1]:
            total += np.sum((grid.centers + np.array([a, b])) ** 2, axis=-1) < radius**2
    return total / 256


@pytest.mark.long
def test_a_tumour_under_a_cap():
    """Hele–Shaw growth: the radius of a full ball grows as e^{gt/d}, and it stays a ball."""
    errors = []
    for n in (24, 48, 96):
        grid = jko.Grid.uniform((-1.0, -1.0), (1.0, 1.0), (n, n))
        ball = jko.Density(grid, disk(grid, 0.4))
        scheme = steps.HellingerKantorovich(limits.FiniteVolume(), reaction_functional=GROW)
        run = jko.flow(fn.Cap(1.0), ball, scheme, tau=1.0 / n, n_steps=n // 2)
        assert run.final.mass == pytest.approx(ball.mass / (1.0 - 0.5 / n) ** n, rel=1e-12)
        assert run.final.values.max() <= 1.0 + 1e-12
        radius = np.sqrt(run.final.mass / np.pi)
        assert radius == pytest.approx(np.sqrt(ball.mass / np.pi) * np.exp(0.25), rel=0.3 / n)
        assert np.sqrt(2.0 * np.trace(run.final.covariance())) == pytest.approx(radius, rel=0.1 / n)
        errors.append(np.abs(run.final.values - disk(grid, radius)).sum() * grid.cell_volume / run.final.mass)
    assert np.all(np.log2(np.array(errors[:-1]) / errors[1:]) > 0.9), errors
    assert errors[-1] < 5e-3


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: steps.HellingerKantorovich(steps.Quantile(), length=0.0), "length: expected a positive"),
        (
            lambda: steps.HellingerKantorovich(steps.Quantile(), order=2),
            "order: Strang's splitting has order 2",
        ),
        (
            lambda: steps.HellingerKantorovich(steps.Quantile(), reaction=steps.FisherRao(length=0.3)),
            "give it here alone",
        ),
    ],
)
def test_settings_that_make_no_sense(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


@pytest.mark.slow
def test_explicit_steps_that_keep_a_gradient_are_the_two_parts_in_turn():
    """Down a Sinkhorn divergence `ForwardEuler` keeps what follows from the cloud alone: it was refused."""
    cloud = jko.Population.of(problems.particles(2, n=40))
    F = fn.SinkhornDivergence(jko.Gaussian.of(1.0, 0.5, dimension=2).sample(30, seed=1), epsilon=0.3)
    both = steps.HellingerKantorovich(descent.ForwardEuler(), length=2.0, reaction=descent.BirthDeath())
    run = jko.flow(F, cloud, both, tau=0.05, n_steps=2)
    expected = cloud
    for _ in range(2):
        for part in (descent.BirthDeath(length=2.0), descent.ForwardEuler()):
            expected = jko.flow(F, expected, part, tau=0.05, n_steps=1).final
    np.testing.assert_allclose(run.final.weights, expected.weights, rtol=1e-4)
    np.testing.assert_allclose(run.final.positions, expected.positions, atol=1e-4)


def test_what_it_does_not_take():
    with pytest.raises(TypeError, match=r"expected a scheme such as steps\.Quantile"):
        steps.HellingerKantorovich(steps.Quantile)
    with pytest.raises(TypeError, match="reaction_functional: expected a Functional, got float"):
        steps.HellingerKantorovich(steps.Quantile(), reaction_functional=1.0)
    cloud = problems.particles(1, n=50)
    with pytest.raises(TypeError, match="FisherRao moves Density, got Particles"):
        jko.flow(GROW, cloud, steps.HellingerKantorovich(descent.ForwardEuler()), tau=0.1, n_steps=1)
    heavy = steps.HellingerKantorovich(descent.UnderdampedLangevin(), reaction=descent.BirthDeath())
    with pytest.raises(ValueError, match="keeps velocities, gradient for each particle"):
        jko.flow(GROW, jko.Population.of(cloud), heavy, tau=0.1, n_steps=1)


@pytest.mark.parametrize(
    "scheme",
    [
        steps.FisherRao(),
        steps.HellingerKantorovich(steps.Quantile()),
        jko.limits.FiniteVolume(reaction=fn.Entropy()),
    ],
    ids=["reaction", "both", "finite volumes"],
)
def test_a_transport_that_reacts_already_is_refused(scheme):
    with pytest.raises(TypeError, match="scheme: expected a transport alone"):
        steps.HellingerKantorovich(scheme)
