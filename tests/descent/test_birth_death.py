"""Birth and death of particles: closed forms, order, laws in the mean, populations."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import functionals as fn
import jko
from jko import Population, descent, steps
from jko.descent.schemes import birth_death
from jko.experiment.experiment import parse
from tests import problems


def population(n=200, d=1, seed=0, mass=2.0):
    return Population(np.random.default_rng(seed).normal(size=(n, d)), mass=mass)


def test_a_potential_in_closed_form():
    start = population(d=2)
    F = fn.Potential("quadratic", stiffness=2.0)
    run = jko.flow(F, start, descent.BirthDeath(length=0.5, population="weights"), tau=0.01, n_steps=10)
    exact = start.weights * np.exp(-0.1 / 0.25 * np.sum(start.positions**2, axis=1))
    assert np.allclose(run.final.weights, exact, rtol=1e-12)
    assert np.array_equal(run.final.positions, start.positions)
    made, left = (np.sum(run.info.detail(name)) for name in ("made", "left"))
    assert made == 0.0
    assert run.final.mass == pytest.approx(start.mass - left, rel=1e-12)
    assert np.all(np.diff(run.energy) < 0.0)
    held = jko.flow(
        F, start, descent.BirthDeath(length=0.5, population="weights", conserving=True), tau=0.01, n_steps=10
    )
    assert np.allclose(held.final.weights, exact * start.mass / exact.sum(), rtol=1e-11)


@pytest.mark.parametrize("conserving", [False, True])
def test_weights_follow_their_equation_to_second_order(conserving):
    """ẇ = −w ξ(w) of an entropy by blobs and an interaction, against an integrator of high order."""
    start = population(60)
    F = 0.5 * fn.Entropy() + fn.Interaction("gaussian", width=0.5)
    scheme = descent.BirthDeath(population="weights", bandwidth=0.4, conserving=conserving)
    x = start.positions[:, 0]
    blobs = np.exp(-0.5 * (x[:, None] - x) ** 2 / 0.16) / np.sqrt(2 * np.pi * 0.16)
    W = np.exp(-0.5 * (x[:, None] - x) ** 2 / 0.25)

    def right(t, w):
        density = blobs @ w
        xi = 0.5 * (np.log(density) + blobs @ (w / density)) + W @ w
        return -w * (xi - (w @ xi / w.sum() if conserving else 0.0))

    exact = solve_ivp(right, (0, 0.5), start.weights, rtol=1e-11, atol=1e-14).y[:, -1]
    errors = []
    for n in (4, 8, 16):
        run = jko.flow(F, start, scheme, tau=0.5 / n, n_steps=n)
        errors.append(np.abs(run.final.weights - exact).max())
    assert np.all(np.abs(np.log2(np.array(errors[:-1]) / errors[1:]) - 2.0) < 0.25), errors
    assert np.all(np.diff(run.energy) < 0.0)


@pytest.mark.slow
def test_gaussians_on_probabilities():
    """The law of the Hellinger–Kantorovich flow of KL, s′ = (1 − s)(2 + s/δ²), by Langevin with birth and
    death."""
    delta, F = 0.5, fn.KL(jko.Gaussian.of(0.0, 1.0, dimension=1))

    def right(t, y):
        mean, s = y
        return [-(1 + s / delta**2) * mean, (1 - s) * (2 + s / delta**2)]

    mean, s = solve_ivp(right, (0, 0.4), [1.0, 0.36], rtol=1e-9, atol=1e-12).y[:, -1]
    found = []
    for seed in range(4):
        start = Population.of(jko.Gaussian.of(1.0, 0.6, dimension=1).sample(600, seed=seed))
        scheme = steps.HellingerKantorovich(
            descent.Langevin(seed=seed), length=delta, reaction=descent.BirthDeath(conserving=True, seed=seed)
        )
        run = jko.flow(F, start, scheme, tau=0.04, n_steps=10)
        assert run.info.mass_error.max() < 1e-12
        found.append([run.final.mean()[0], run.final.covariance()[0, 0]])
    # a third of 2400 particles counts; 0.02 is for blobs, and transport alone ends at 0.67, 0.71
    error, noise = np.mean(found, axis=0) - [mean, s], np.sqrt([s / 800, 2 * s**2 / 800])
    assert np.all(np.abs(error) < 3.0 * noise + 0.02), (error, noise)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fixed", "changing"])
def test_populations_are_right_in_the_mean(kind):
    """The mean of ∫x over many draws is that of the weights; the number is kept, or follows the mass."""
    F = fn.Potential("linear", slope=-1.0)
    start = population(100, mass=1.0)
    weights = jko.flow(F, start, descent.BirthDeath(population="weights"), tau=0.25, n_steps=8).final
    exact, means = weights.weights @ weights.positions[:, 0], []
    for seed in range(12):
        scheme = descent.BirthDeath(population=kind, seed=seed, threshold=0.9)
        run = jko.flow(F, start, scheme, tau=0.25, n_steps=8)
        assert sum(run.info.detail("resampled")) >= 2
        means.append(run.final.weights @ run.final.positions[:, 0])
        expected = 100 if kind == "fixed" else 100 * run.final.mass / start.mass
        assert run.final.n == pytest.approx(expected, rel=0.26)
    assert abs(np.mean(means) - exact) < 3.0 * np.std(means) / np.sqrt(12)
    assert np.std(means) > 0.0


@pytest.mark.slow
def test_it_goes_on_from_a_checkpoint_to_the_same_bits(tmp_path):
    F = fn.Entropy() + fn.Potential("quadratic", stiffness=1.0)
    scheme = steps.HellingerKantorovich(
        descent.Langevin(seed=1), reaction=descent.BirthDeath(population="changing", threshold=0.95)
    )
    start = population(100)
    whole = jko.flow(F, start, scheme, tau=0.1, n_steps=6)
    assert sum(whole.info.detail("resampled")) >= 1
    jko.flow(F, start, scheme, tau=0.1, n_steps=3, checkpoint=tmp_path / "run")
    again = jko.flow(F, start, scheme, tau=0.1, n_steps=6, checkpoint=tmp_path / "run")
    assert np.array_equal(again.final.positions, whole.final.positions)
    assert np.array_equal(again.final.weights, whole.final.weights)


def test_a_file_draws_a_population():
    text = """
    [grid]
    lower = -3.0
    upper = 3.0
    cells = 40
    [initial]
    kind = "gaussian"
    mean = 0.5
    std = 0.5
    [[functional]]
    name = "potential"
    potential = "quadratic"
    [runs.dying]
    scheme = "BirthDeath"
    particles = 50
    tau = 0.1
    n_steps = 2
    """
    made = parse(text)
    run = made.runs["dying"].flow(made.functional)
    assert isinstance(run.final, Population)
    assert run.final.mass < 1.0


def test_refusals():
    with pytest.raises(TypeError, match=r"moves Population, got Particles: .* jko.Population.of"):
        jko.flow(fn.Potential("quadratic"), problems.particles(1), descent.BirthDeath(), tau=0.1, n_steps=1)
    with pytest.raises(
        ValueError, match="population: expected one of 'fixed', 'changing', 'weights', got 'many'"
    ):
        descent.BirthDeath(population="many")
    with pytest.raises(ValueError, match="threshold: expected a share"):
        descent.BirthDeath(threshold=2.0)
    with pytest.raises(jko.errors.StepFailed, match="take a smaller tau"):
        jko.flow(
            fn.Potential("quadratic", stiffness=1e3), population(), descent.BirthDeath(), tau=1.0, n_steps=1
        )


@pytest.mark.slow
def test_a_changing_population_is_compiled_for_few_sizes_and_feels_none_of_it(monkeypatch):
    start, F = population(100), 0.5 * fn.Entropy() + fn.Interaction("gaussian", width=0.5)
    F = F + fn.Potential(lambda x: 0.1 * jnp.sum(x**2) - 8.0)
    scheme, sizes = descent.BirthDeath(population="changing", bandwidth=0.4, length=2.0), set()

    def run():
        sizes.clear()
        return jko.flow(F, start, scheme, tau=0.1, n_steps=12, store_every=3)

    variation = birth_death._variation

    def recorded(flow):
        return lambda x, w: (sizes.add(len(x)), variation(flow)(x, w))[1]

    monkeypatch.setattr(birth_death, "_variation", recorded)
    padded = run()
    numbers = set(padded.info.detail("particles"))
    assert len(sizes) < len(numbers)
    assert all(birth_death.pointwise.program_size(size) == size for size in sizes)
    monkeypatch.setattr(birth_death.pointwise, "program_size", lambda n: n)
    plain = run()
    assert len(sizes) == len(numbers | {100} - {padded.final.n})
    np.testing.assert_allclose(padded.energy, plain.energy, rtol=1e-12)
    np.testing.assert_allclose(padded.final.weights, plain.final.weights, rtol=1e-12)
