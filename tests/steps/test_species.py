"""Several species: laws of two Gaussians and of segregation, order, caps, couplings without an energy,
files."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko import Density, Grid, Particles, Population, Species, descent, limits, steps
from tests import problems

THETA, KAPPA = 0.5, 0.8
BOUND = (
    fn.on("a", THETA * fn.Entropy())
    + fn.on("b", THETA * fn.Entropy())
    + fn.Cross("quadratic", "a", "b", strength=KAPPA)
)


def two_gaussians(cells=200):
    grid = Grid.uniform(-6.0, 6.0, cells)
    return Species(a=Density.gaussian(grid, -1.0, 0.7), b=Density.gaussian(grid, 1.5, 0.9))


def errors_of_bound(final, t):
    """m_a′ = −κ(m_a − m_b), s′ = 2θ − 2κs: the means' sum stays and their difference decays by e^{−2κt}."""
    middle, apart = 0.25, -1.25 * np.exp(-2 * KAPPA * t)
    variances = THETA / KAPPA + (np.array([0.49, 0.81]) - THETA / KAPPA) * np.exp(-2 * KAPPA * t)
    means = np.array([middle + apart, middle - apart])
    found = [final[name] for name in ("a", "b")]
    return max(
        *(abs(mu.mean()[0] - m) for mu, m in zip(found, means, strict=True)),
        *(abs(mu.covariance()[0, 0] - s) for mu, s in zip(found, variances, strict=True)),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheme", "sweep", "order"),
    [
        (steps.Quantile(), "gauss-seidel", 1),
        (limits.FiniteVolume(), "jacobi", 1),
        (limits.FiniteVolume(), "gauss-seidel", 2),
    ],
)
def test_two_gaussians_bound(scheme, sweep, order):
    errors = []
    for n in (5, 10, 20):
        mover = steps.SpeciesInTurn(scheme, sweep=sweep, order=order)
        run = jko.flow(
            BOUND, two_gaussians(300 if order == 1 else 40 * n), mover, tau=0.5 / n, n_steps=n, store_every=n
        )
        errors.append(errors_of_bound(run.final, 0.5))
        assert run.info.mass_error.max() < 1e-12
        if sweep == "gauss-seidel":
            assert np.all(np.diff(run.energy) < 0.0)
            assert run.info.dissipation.min() > 0.0
    assert np.all(np.log2(np.array(errors[:-1]) / errors[1:]) > order - 0.25), errors


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheme", "order", "n", "interface", "most"),
    [
        (limits.FiniteVolume(), 2, 80, 0.6, (1e-3, 8e-3)),
        (limits.FiniteVolume(), 2, 20, 0.0, (1e-4, 1e-4)),
        (steps.PrimalDual(), 1, 20, 0.0, (1e-3, 1e-3)),
        (steps.BackAndForth(), 1, 20, 0.0, (1.5e-3, 1e-3)),
    ],
)
def test_segregation_is_a_barenblatt_profile_cut_in_two(scheme, order, n, interface, most):
    """F = ½∫(ρ_a + ρ_b)²: the sum follows ∂_tρ = ½Δρ², the interface stays at its share of the mass. L1 of
    the sum and of one species, at 400 cells; where the interface moves it is smeared over some cells."""
    grid = Grid.uniform(-3.0, 3.0, 400)
    solution = jko.exact.Barenblatt(exponent=2.0, start_time=0.5)
    profile, left = solution.on(grid, 0.0).values, grid.axes[0] < interface
    cut = profile[left].sum() * grid.cell_volume
    start = Species(a=Density(grid, profile * left), b=Density(grid, profile * ~left))
    F = 0.5 * fn.TotalInternal(fn.Power(2.0))
    run = jko.flow(F, start, steps.SpeciesInTurn(scheme, order=order), tau=0.4 / n, n_steps=n, store_every=n)
    after = solution.on(grid, 0.2).values
    held = after * grid.cell_volume
    share = np.clip((cut - np.cumsum(held) + held) / np.where(held > 0.0, held, 1.0), 0.0, 1.0)
    errors = [run.final.total_values() - after, run.final["a"].values - after * share]
    found = [np.abs(error).sum() * grid.cell_volume for error in errors]
    assert np.all(np.array(found) < most), found
    assert run.final["a"].mass == pytest.approx(cut, rel=1e-12)


@pytest.mark.parametrize(
    "unit", [pytest.param(1.0, marks=pytest.mark.long), pytest.param(1e3, marks=pytest.mark.slow)]
)
def test_segregated_particles_are_a_barenblatt_profile_cut_in_two(unit):
    """The same law by 1600 blobs, the mass between the middles of neighbours counted in 400 cells: L1 to
    1e-3, and nobody passes another."""
    n, solution, grid = 1600, jko.exact.Barenblatt(exponent=2.0, start_time=0.5), Grid.uniform(-3.0, 3.0, 400)
    fine = solution.on(Grid.uniform(-3.0, 3.0, 60_000), 0.0)
    x = np.interp((np.arange(n) + 0.5) / n, np.cumsum(fine.masses), fine.grid.edges[0][1:])
    sides = {"a": x[x < 0.6], "b": x[x >= 0.6]}
    start = Species(**{k: Population(unit * y[:, None], mass=y.size / n) for k, y in sides.items()})
    F = 0.5 * fn.TotalInternal(fn.Power(2.0))
    run = jko.flow(F, start, descent.SpeciesBlob(), tau=0.02 * unit**3, n_steps=20, store_every=20)
    y, left, held = run.final.points[:, 0] / unit, sides["a"].size, solution.on(grid, 0.2).masses
    assert np.all(np.diff(y) > 0.0)
    ends = np.concatenate([[1.5 * y[0] - 0.5 * y[1]], 0.5 * (y[1:] + y[:-1]), [1.5 * y[-1] - 0.5 * y[-2]]])
    share = np.clip((left / n - np.cumsum(held) + held) / np.where(held > 0.0, held, 1.0), 0.0, 1.0)
    for k, exact in ((n, held), (left, held * share)):
        found = np.diff(np.interp(grid.edges[0], ends[: k + 1], np.arange(k + 1) / n))
        assert np.abs(found - exact).sum() < 1e-3
    assert run.energy[-1] < run.energy[0]
    assert run.info.mass_error.max() < 1e-12


@pytest.mark.slow
def test_each_species_of_blobs_feels_its_own_potential(tmp_path):
    """Far apart each mean goes down its own slope, to rounding, as blobs push nobody's mean; a run resumes
    to the same bits."""
    clouds = [problems.particles(1, n=20, seed=k).positions + 40.0 * k for k in (0, 1)]
    start = Species(a=Population(clouds[0], mass=0.3), b=Population(clouds[1], mass=0.7))
    slopes = fn.on("a", fn.Potential("linear", slope=3.0)) + fn.on("b", fn.Potential("linear", slope=-1.0))
    F, scheme = fn.TotalInternal(fn.Power(2.0)) + slopes, descent.SpeciesBlob(descent.Blob(bandwidth=0.8))
    run = jko.flow(F, start, scheme, tau=0.05, n_steps=4)
    for name, path in (("a", -0.6), ("b", 0.2)):
        assert run.final[name].mean()[0] - start[name].mean()[0] == pytest.approx(path, abs=1e-12)
        assert run.final[name].covariance()[0, 0] > 1.01 * start[name].covariance()[0, 0]
    assert np.all(np.diff(run.energy) < 0.0)
    jko.flow(F, start, scheme, tau=0.05, n_steps=2, checkpoint=tmp_path / "run")
    resumed = jko.flow(F, start, scheme, tau=0.05, n_steps=4, checkpoint=tmp_path / "run")
    assert np.array_equal(resumed.final["b"].positions, run.final["b"].positions)


@pytest.mark.parametrize(
    ("F", "sentence"),
    [
        (fn.TotalInternal(fn.Power(2.0)) + fn.TotalCap(1.0), "does not take TotalCap"),
        (fn.TotalInternal(fn.Power(2.0)) + fn.on("a", fn.Entropy()), "does not take on"),
        (fn.TotalInternal(fn.Power(2.0)) + fn.Cross("quadratic", "a", "b"), "does not take Cross"),
        (fn.on("a", fn.Potential("quadratic")), "has none: take descent.SpeciesEuler"),
    ],
)
def test_blobs_of_species_refuse(F, sentence):
    clouds = Species(a=problems.particles(1), b=problems.particles(1))
    with pytest.raises(jko.errors.UnsupportedFunctional, match=sentence):
        jko.flow(F, clouds, descent.SpeciesBlob(), tau=0.1, n_steps=1)
    with pytest.raises(TypeError, match="moves Species of particles, got Species"):
        jko.flow(F, two_gaussians(40), descent.SpeciesBlob(), tau=0.1, n_steps=1)


@pytest.mark.slow
def test_another_internal_energy_of_the_sum():
    """U of the sum of two halves of one density is that of the density: the sum follows the flow of U."""
    rho = problems.density(1)
    half = rho.with_values(0.5 * rho.values)
    for U in (fn.Entropy(), fn.InternalEnergy(problems.quartic_internal), fn.Power(2.0)):
        mover = steps.SpeciesInTurn(limits.FiniteVolume(), order=2)
        run = jko.flow(
            fn.TotalInternal(U), Species(a=half, b=half), mover, tau=0.002, n_steps=20, store_every=20
        )
        alone = jko.flow(U, rho, limits.FiniteVolume(), tau=0.002, n_steps=20).final
        assert run.energy[0] == pytest.approx(U(rho))
        assert np.abs(run.final.total_values() - alone.values).sum() * rho.grid.cell_volume < 2e-3


def test_a_cap_of_the_sum():
    """Two crowds that press towards 0 share a cap: together they fill it, whatever the other leaves."""
    grid = Grid.uniform(-2.0, 2.0, 100)
    start = Species(
        a=Density.uniform(grid, lower=-1.5, upper=-0.1), b=Density.uniform(grid, lower=0.1, upper=1.5)
    )
    pull = fn.Potential("quadratic", stiffness=2.0)
    F = fn.on("a", pull) + fn.on("b", pull) + fn.TotalCap(1.0)
    run = jko.flow(F, start, steps.SpeciesInTurn(limits.FiniteVolume()), tau=0.02, n_steps=60)
    total = run.final.total_values()
    assert max(mu.total_values().max() for mu in run.measures) <= 1.0 + 1e-9
    assert np.abs(total - (np.abs(grid.axes[0]) < 1.0)).sum() * grid.cell_volume < 0.05
    assert np.all(np.diff(run.energy) <= 1e-12)
    assert run.info.mass_error.max() < 1e-12


def test_prey_and_predator_have_no_common_energy():
    """Prey flees at the rate κ, the predator follows at 2κ: means by a linear equation without potential."""
    flee = fn.Cross(lambda z: -0.25 * jnp.sum(z**2), "prey", "predator")
    chase = fn.Cross("quadratic", "prey", "predator", strength=1.0)
    errors = []
    for n in (10, 20, 40):
        grid = Grid.uniform(-8.0, 8.0, 16 * n)
        start = Species(prey=Density.gaussian(grid, 0.5, 0.4), predator=Density.gaussian(grid, -0.5, 0.5))
        mover = steps.SpeciesInTurn(limits.FiniteVolume(), order=2)
        F = fn.each(prey=flee + 0.1 * fn.Entropy(), predator=chase + 0.1 * fn.Entropy())
        final = jko.flow(F, start, mover, tau=1.0 / n, n_steps=n, store_every=n).final
        # d = m_prey − m_predator decays at κ, and 2m_prey − m_predator stays
        apart, still = np.exp(-0.5), 1.5
        prey = still - apart
        found = final["prey"].mean()[0], final["predator"].mean()[0]
        errors.append(max(abs(found[0] - prey), abs(found[1] - (prey - apart))))
    assert np.all(np.log2(np.array(errors[:-1]) / errors[1:]) > 1.7), errors
    assert errors[-1] < 1e-3


def test_species_that_grow_on_each_other():
    """A reaction that speaks of the other species: with no transport ρ_a′ = −ρ_aρ_b, and ρ_b dies alike."""
    rho = problems.density(1)
    start = Species(a=rho, b=rho.with_values(2.0 * rho.values))
    mover = steps.SpeciesInTurn(
        steps.HellingerKantorovich(
            limits.FiniteVolume(), order=2, reaction_functional=fn.TotalInternal(fn.Power(2.0))
        ),
        order=2,
    )
    still = fn.Potential("linear", slope=0.0)
    run = jko.flow(fn.each(a=still, b=still), start, mover, tau=0.02, n_steps=10, store_every=10)
    # of ρ_i′ = −2ρ_i(ρ_a + ρ_b) the sum s obeys s′ = −2s², and shares stay
    total = 3.0 * rho.values / (1.0 + 6.0 * rho.values * 0.2)
    assert np.allclose(run.final.total_values(), total, rtol=2e-3)
    assert np.allclose(run.final["b"].values, 2.0 * run.final["a"].values, rtol=2e-3)
    made, left = (np.sum(run.info.detail(name)) for name in ("made", "left"))
    assert run.final.mass == pytest.approx(start.mass + made - left, rel=1e-12)


def test_in_the_plane_on_a_torus_with_a_third_species_of_particles():
    """Densities that attract each other, beside particles that make a field and stay."""
    grid = Grid.uniform((0.0, 0.0), (1.0, 1.0), (16, 16), periodic=True)
    wave = 1.0 + 0.3 * np.cos(2 * np.pi * grid.centers[..., 0])
    start = Species(a=Density(grid, wave), b=Density(grid, wave[::-1]), stones=Particles([[0.5, 0.5]]))
    attract = fn.Cross("gaussian", "a", "b", strength=-1.0, width=0.1)
    shun = fn.Cross("gaussian", "a", "stones", strength=0.5, width=0.1)
    F = 0.1 * (fn.on("a", fn.Entropy()) + fn.on("b", fn.Entropy())) + attract + shun
    run = jko.flow(F, start, steps.SpeciesInTurn(limits.FiniteVolume()), tau=0.01, n_steps=10)
    assert np.all(np.diff(run.energy) < 0.0)
    assert np.array_equal(run.final["stones"].positions, [[0.5, 0.5]])
    assert run.final["a"].values[8, 8] < run.final["a"].values[0, 8]


@pytest.mark.slow
def test_it_goes_on_from_a_checkpoint_and_a_file(tmp_path):
    start = two_gaussians(80)
    mover = steps.SpeciesInTurn(
        {"a": steps.SecondOrder(steps.Quantile()), "b": limits.FiniteVolume()}, order=2
    )
    whole = jko.flow(BOUND, start, mover, tau=0.05, n_steps=6)
    jko.flow(BOUND, start, mover, tau=0.05, n_steps=3, checkpoint=tmp_path / "run")
    again = jko.flow(BOUND, start, mover, tau=0.05, n_steps=6, checkpoint=tmp_path / "run")
    loaded = jko.Trajectory.load(whole.save(tmp_path / "run.nc"))
    for name in start.names:
        assert np.array_equal(again.final[name].values, whole.final[name].values)
        assert np.array_equal(loaded.final[name].values, whole.final[name].values)
        assert loaded.final[name].grid == start[name].grid
    assert loaded.attributes.keys() == whole.attributes.keys()
    other = start.having(b=Density.gaussian(start["b"].grid, 1.0, 0.9))
    with pytest.raises(jko.errors.CheckpointMismatch, match="its initial measure has other values"):
        jko.flow(BOUND, other, mover, tau=0.05, n_steps=6, checkpoint=tmp_path / "run")


@pytest.mark.slow
def test_particles_move_together():
    """Without noise Euler's own recursion for the means; with it the law of two Gaussians in the mean."""
    generator = np.random.default_rng(0)
    start = Species(
        a=Particles(generator.normal(-1.0, 0.7, size=(1000, 1))),
        b=Particles(generator.normal(1.5, 0.9, size=(1000, 1))),
    )
    plain = fn.Cross("quadratic", "a", "b", strength=KAPPA)
    run = jko.flow(plain, start, descent.SpeciesEuler(), tau=0.05, n_steps=10)
    means = np.array([start[name].mean()[0] for name in ("a", "b")])
    apart = (means[0] - means[1]) * (1 - 2 * 0.05 * KAPPA) ** 10
    found = run.final["a"].mean()[0] - run.final["b"].mean()[0]
    assert found == pytest.approx(apart, rel=1e-12)
    assert np.all(np.diff(run.energy) < 0.0)
    noisy = jko.flow(BOUND, start, descent.SpeciesEuler(seed=3), tau=0.02, n_steps=25, store_every=25)
    assert errors_of_bound(noisy.final, 0.5) < 0.1
    again = jko.flow(BOUND, start, descent.SpeciesEuler(seed=3), tau=0.02, n_steps=25, store_every=25)
    assert np.array_equal(again.final["b"].positions, noisy.final["b"].positions)


def test_runs_are_compared(tmp_path):
    start = two_gaussians(80)
    runs = {
        "volumes": jko.flow(BOUND, start, steps.SpeciesInTurn(limits.FiniteVolume()), tau=0.05, n_steps=4),
        "quantiles": jko.flow(BOUND, start, steps.SpeciesInTurn(steps.Quantile()), tau=0.05, n_steps=4),
    }
    report = jko.compare(runs)
    assert "a: 80 cells, b: 80 cells" in str(report)
    assert 0.0 < report.pairs["W2"].max() < 0.02
    assert 0.0 < report.pairs["L1"].max() < 0.05


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda mu: fn.Entropy(), TypeError, "does not say of which species: write fn.on\\('a'"),
        (lambda mu: fn.on("prey", fn.Entropy()), ValueError, "speaks of 'prey', the species are 'a', 'b'"),
        (lambda mu: fn.Cross("gaussian", "a", "c", width=1.0), ValueError, "speaks of 'c'"),
        (
            lambda mu: fn.Cross("gaussian", "a", "a", width=1.0),
            ValueError,
            "expected two species, got 'a' twice",
        ),
        (lambda mu: fn.on("a", fn.on("b", fn.Entropy())), TypeError, "speaks of species already"),
        (lambda mu: fn.TotalCap(0.0), ValueError, "cap must be a positive number, got 0"),
        (lambda mu: fn.TotalInternal(fn.Cap(1.0)), TypeError, "expected an internal energy"),
        (lambda mu: fn.each(a=3.0), TypeError, "a: expected a Functional, got float"),
        (lambda mu: mu["c"], KeyError, "there is no 'c', there are 'a', 'b'"),
        (lambda mu: Species(), ValueError, "expected one measure or more by name"),
        (lambda mu: Species(**{"a/b": mu}), ValueError, "without '/', got 'a/b'"),
        (lambda mu: Species(a=1.0), TypeError, "a: expected a Density, Particles or a Gaussian, got float"),
        (lambda mu: Species(a=problems.density(1), b=problems.density(2)), ValueError, "of one dimension"),
        (lambda mu: fn.Entropy()(mu), TypeError, "of which species"),
        (
            lambda mu: steps.SpeciesInTurn(steps.Quantile(), order=2),
            ValueError,
            "has order 2 only where inner",
        ),
    ],
)
def test_refusals(make, error, sentence):
    mu = two_gaussians(40)
    with pytest.raises(error, match=sentence):
        jko.flow(make(mu), mu, steps.SpeciesInTurn(limits.FiniteVolume()), tau=0.1, n_steps=1)


def test_multiples_and_sums_of_internal_energies_of_the_total():
    mu, powers = two_gaussians(40), (fn.Power(2.0), fn.Entropy())
    F = fn.TotalInternal(2.0 * powers[0] + 0.5 * powers[1])
    same = 2.0 * fn.TotalInternal(powers[0]) + 0.5 * fn.TotalInternal(powers[1])
    assert F(mu) == same(mu)
    assert repr(F) == repr(same)


def test_what_the_schemes_do_not_move():
    with pytest.raises(TypeError, match="moves Species, got Density: give jko"):
        jko.flow(fn.Entropy(), problems.density(1), steps.SpeciesInTurn(steps.Quantile()), tau=0.1, n_steps=1)
    with pytest.raises(TypeError, match="moves particles, got Species"):
        jko.flow(BOUND, two_gaussians(40), descent.SpeciesEuler(), tau=0.1, n_steps=1)
    clouds = Species(a=problems.particles(1), b=problems.particles(1))
    with pytest.raises(
        jko.errors.UnsupportedFunctional, match=r"particles have no density for TotalInternal"
    ):
        jko.flow(fn.TotalInternal(fn.Power(2.0)), clouds, descent.SpeciesEuler(), tau=0.1, n_steps=1)


@pytest.mark.slow
def test_a_scheme_of_one_measure_says_how_it_moves_species():
    mover = steps.Linearized()
    for scheme in (
        steps.Quantile(), steps.FisherRao(), limits.FiniteVolume(), steps.HellingerKantorovich(mover),
        steps.Adaptive(mover), steps.SecondOrder(mover), steps.VariationalBDF2(steps.Quantile()),
    ):  # fmt: skip
        remedy = rf"got Species: take steps.SpeciesInTurn\({scheme.scheme_name()}\(...\)\)"
        with pytest.raises(TypeError, match=remedy):
            jko.flow(BOUND, two_gaussians(40), scheme, tau=0.1, n_steps=1)
        steps.SpeciesInTurn(scheme).prepare(BOUND, two_gaussians(40))
