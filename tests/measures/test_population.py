"""Populations: mass, resampling, files, and everything that must not lose the mass without a word."""

import numpy as np
import pytest

import functionals as fn
import jko
from jko import Density, Grid, Particles, Population, descent
from jko.comparison.distances import l1_distance, w2_distance
from jko.measures.entropy_estimate import entropy_estimate
from tests import problems


@pytest.fixture
def population():
    generator = np.random.default_rng(3)
    return Population(generator.normal(size=(400, 2)), generator.uniform(0.5, 1.5, 400))


def test_its_mass_is_the_sum_of_its_weights(population):
    assert population.mass == pytest.approx(population.weights.sum())
    assert Population(population.positions, mass=3.0).weights.sum() == pytest.approx(3.0)
    assert Population(population.positions).mass == pytest.approx(1.0)
    assert Population.of(population.normalized(), mass=2.5).mass == pytest.approx(2.5)
    assert np.allclose(population.mean(), population.normalized().mean())
    V = fn.Potential("quadratic", stiffness=1.0)
    assert V(population) == pytest.approx(population.mass * V(population.normalized()))
    W = fn.Interaction("gaussian", width=0.7)
    assert W(population) == pytest.approx(population.mass**2 * W(population.normalized()))


def test_resampling_keeps_every_mean(population):
    """The counts of systematic resampling are ⌊nw/Σw⌋ or one more, nw/Σw on average."""
    share = 300 * population.weights / population.mass
    counts = []
    for seed in range(400):
        drawn = population.resampled(300, seed)
        assert drawn.mass == pytest.approx(population.mass, rel=1e-12)
        equal = (drawn.positions[:, None, 0] == population.positions[None, :, 0]).sum(axis=0)
        assert np.all((equal == np.floor(share)) | (equal == np.floor(share) + 1))
        counts.append(equal)
    noise = np.sqrt(0.25 / 400)
    assert np.abs(np.mean(counts, axis=0) - share).max() < 4.5 * noise
    assert np.std(np.mean(counts, axis=0) - share) < 1.2 * noise


@pytest.mark.slow
def test_it_goes_into_a_file_whatever_its_number(tmp_path):
    cloud = Population(np.random.default_rng(0).normal(size=(40, 2)), mass=2.0)
    F = fn.Potential(lambda x: -1.0 + 0.0 * x[0])
    run = jko.flow(F, cloud, descent.BirthDeath(population="changing"), tau=0.1, n_steps=8)
    sizes = [mu.n for mu in run.measures]
    assert len(set(sizes)) > 2
    loaded = jko.Trajectory.load(run.save(tmp_path / "run.nc"))
    assert [mu.n for mu in loaded.measures] == sizes
    for ours, theirs in zip(run.measures, loaded.measures, strict=True):
        assert isinstance(theirs, Population)
        assert np.array_equal(ours.positions, theirs.positions)
        assert np.array_equal(ours.weights, theirs.weights)
    assert "4.451081857" in str(jko.compare({"grown": run}))  # its mass, 2e^{0.8}


@pytest.mark.long
def test_every_scheme_for_particles_moves_it(population):
    F = fn.Potential("quadratic", stiffness=1.0)
    for scheme in (
        descent.ForwardEuler(),
        descent.BackwardEuler(),
        descent.Langevin(),
        descent.Trapezoidal(),
    ):
        run = jko.flow(F, population, scheme, tau=0.05, n_steps=2)
        assert isinstance(run.final, Population)
        assert np.array_equal(run.final.weights, population.weights)
        plain = jko.flow(F, population.normalized(), scheme, tau=0.05, n_steps=2)
        assert np.allclose(run.final.positions, plain.final.positions, atol=1e-12)


@pytest.mark.long
def test_blobs_spread_alike_whatever_the_mass():
    """The entropy's flow does not know the mass: blobs of the same bandwidth, the same moves."""
    cloud = problems.particles(2, n=200)
    runs = [
        jko.flow(fn.Entropy(), mu, descent.Blob(), tau=0.01, n_steps=3)
        for mu in (cloud, Population.of(cloud, mass=50.0))
    ]
    assert np.allclose(runs[0].final.positions, runs[1].final.positions, atol=1e-10)
    assert runs[0].info["bandwidth"][0] == pytest.approx(runs[1].info["bandwidth"][0])


def test_the_entropy_of_a_mass(population):
    """∫ρ log ρ = M(∫q log q + log M)."""
    M, q = population.mass, entropy_estimate(population.normalized())
    found = entropy_estimate(population)
    assert found.value == pytest.approx(M * (q.value + np.log(M)))
    assert found.uncertainty == pytest.approx(M * q.uncertainty)
    run = jko.flow(fn.Entropy(), population, descent.Langevin(), tau=0.01, n_steps=1)
    assert run.energy[0] == pytest.approx(found.value)


def test_conversions_keep_the_mass(population):
    grid = Grid.uniform((-6.0, -6.0), (6.0, 6.0), (40, 40))
    assert Density.histogram(population, grid).mass == pytest.approx(population.mass)
    estimate, shape = (Density.kernel_estimate(m, grid) for m in (population, population.normalized()))
    assert np.allclose(estimate.values, population.mass * shape.values)
    drawn = estimate.sample(100, seed=0)
    assert isinstance(drawn, Population)
    assert drawn.mass == pytest.approx(estimate.mass)
    assert type(shape.sample(100, seed=0)) is Particles


def test_distances_know_the_mass(population):
    plain = population.normalized()
    other = Particles(plain.positions + 0.3, plain.weights)
    scaled = Population.of(other, mass=population.mass)
    expected = np.sqrt(population.mass) * float(jko.wasserstein(plain, other))
    assert float(jko.wasserstein(population, scaled)) == pytest.approx(expected)
    with pytest.raises(ValueError, match=r"expected the same mass, got 405\.6.* or take helling"):
        jko.wasserstein(population, plain)
    with pytest.raises(ValueError, match="expected particles of mass 1, got 400 particles of mass 405"):
        jko.transport.interpolate(population, scaled, 0.5)
    measured = w2_distance(population, plain)
    assert measured.value < 1e-12
    assert measured.of_shapes
    assert l1_distance(population, plain).value == pytest.approx(population.mass - 1.0, rel=0.02)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda x: Population(x, mass=0.0), "mass: expected a positive number, got 0"),
        (lambda x: Population(x, [1.0, 1.0], mass=1.0), "mass: 1 was given with weights that sum to 2"),
        (lambda x: Population(x, [1.0, 0.0]), "weights: expected positive numbers, got 0"),
        (lambda x: Population(x, [1.0]), "weights: expected 2, one a particle"),
        (lambda x: Population([[np.nan]]), "positions: expected finite numbers"),
    ],
)
def test_what_is_no_population(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make([[0.0], [1.0]])
    with pytest.raises(TypeError, match="particles: expected Particles, got Density"):
        Population.of(problems.density(1))
