"""Langevin against Ornstein–Uhlenbeck and its own exact recursion: law, orders, energies, seeds, resumes."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko import Particles
from jko.descent import ForwardEuler, Langevin
from jko.errors import StepFailed
from jko.measures.entropy_estimate import entropy_estimate
from tests.descent.laws import distance_to_gaussian, gaussian_quantiles, sampling_error
from tests.first_step import energy_of, first_block

STIFFNESS, TEMPERATURE, MEAN, STD = 1.0, 1.0, 1.5, 0.5
FUNCTIONAL = TEMPERATURE * fn.Entropy() + fn.Potential(lambda x: 0.5 * STIFFNESS * jnp.sum(x**2))
EXACT = jko.exact.OrnsteinUhlenbeck(mean=MEAN, std=STD, stiffness=STIFFNESS, temperature=TEMPERATURE)
GRADUAL = fn.Entropy() + fn.Potential(lambda x: jnp.sum(jnp.cosh(x)))


class Stiff(fn.Functional):
    """500∫|x|², of no kind that a scheme looks into before it starts."""

    def energy(self, mu):
        return mu.integrate(lambda x: 500.0 * jnp.sum(x**2))


STIFF = fn.Entropy() + Stiff()


def euler_maruyama(tau, steps):
    """Mean and deviation of the scheme's own law: m ← (1−λτ)m, σ² ← (1−λτ)²σ² + 2θτ."""
    mean, variance = MEAN, STD**2
    for _ in range(steps):
        mean *= 1.0 - STIFFNESS * tau
        variance = (1.0 - STIFFNESS * tau) ** 2 * variance + 2.0 * TEMPERATURE * tau
    return mean, np.sqrt(variance)


def draws(n, seed, dimension=1, dtype=np.float32):
    return Particles((MEAN + STD * np.random.default_rng(seed).normal(size=(n, dimension))).astype(dtype))


def run(mu, tau, steps, **settings):
    return jko.flow(FUNCTIONAL, mu, Langevin(**settings), tau=tau, n_steps=steps, store_every=steps)


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["gaussian", "three-point"])
def test_weak_order_one_in_tau(noise):
    """4·10⁵ particles from quantiles: the variance scatters by 2e-3, its least error is 0.03."""
    start = Particles(gaussian_quantiles(400_000, MEAN, STD).astype(np.float32))
    exact = float(EXACT.at(0.8).covariance()[0, 0])
    errors = []
    for steps in (2, 4, 8):
        final = run(start, 0.8 / steps, steps, noise=noise, seed=steps).final
        mean, std = euler_maruyama(0.8 / steps, steps)
        assert float(final.mean()[0]) == pytest.approx(mean, abs=6e-3)
        assert float(final.covariance()[0, 0]) == pytest.approx(std**2, abs=8e-3)
        errors.append(float(final.covariance()[0, 0]) - exact)
    expected = [euler_maruyama(0.8 / k, k)[1] ** 2 - exact for k in (2, 4, 8, 256, 512)]
    assert orders_of(errors) == pytest.approx(orders_of(expected[:3]), abs=0.1)
    assert orders_of(expected[3:]) == pytest.approx([1.0], abs=0.01)


def orders_of(errors):
    return np.log2(np.array(errors[:-1]) / errors[1:])


@pytest.mark.slow
def test_order_one_half_in_the_number_of_particles():
    """W₂ to the scheme's own law, root mean square over seeds."""
    mean, std = euler_maruyama(0.05, 10)
    sizes = np.array([1000, 8000, 64_000])
    errors = []
    for n in sizes:
        distances = [
            distance_to_gaussian(run(draws(n, s), 0.05, 10, seed=s).final, mean, std) for s in range(16)
        ]
        errors.append(np.sqrt(np.mean(np.square(distances))))
    slope = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("n", [1000, 100_000])
def test_within_the_sampling_bound_of_fokker_planck(n):
    """Twice the root mean square of W₂ from n draws of the exact law to it; τ = 0.002 biases by 5e-4."""
    law = EXACT.at(1.0)
    mean, std = float(law.mean()[0]), float(np.sqrt(law.covariance()[0, 0]))
    final = run(draws(n, 5), 0.002, 500, seed=7).final
    assert distance_to_gaussian(final, mean, std) < 2.0 * sampling_error(n, std)


@pytest.mark.slow
def test_temperature_multiplies_the_entropy():
    functional = 0.25 * fn.Entropy() + fn.Potential(lambda x: 0.5 * jnp.sum(x**2))
    final = jko.flow(functional, draws(200_000, 0), Langevin(), tau=0.05, n_steps=200, store_every=200).final
    assert float(final.covariance()[0, 0]) == pytest.approx(0.25 / (1.0 - 0.025), abs=4e-3)


@pytest.mark.slow
def test_interaction_keeps_the_mean_but_for_noise_and_contracts():
    functional = fn.Entropy() + fn.Interaction(lambda z: 0.5 * jnp.sum(z**2))
    n, steps = 1500, 40
    mu = draws(n, 1, dtype=np.float64)
    final = jko.flow(functional, mu, Langevin(seed=2), tau=0.1, n_steps=steps, store_every=steps).final
    assert float(final.covariance()[0, 0]) == pytest.approx(1.0 / (1.0 - 0.05), abs=4.0 * np.sqrt(2.0 / n))
    assert float(final.mean()[0] - mu.mean()[0]) == pytest.approx(
        0.0, abs=4.0 * np.sqrt(2.0 * 0.1 * steps / n)
    )


@pytest.mark.parametrize(("noise", "dtype"), [("gaussian", np.float64), ("three-point", np.float32)])
def test_blocks_steps_and_resumes_give_the_same_bits(noise, dtype):
    scheme, mu = Langevin(seed=3, noise=noise), draws(301, 0, dimension=3, dtype=dtype)
    problem = scheme.prepare(GRADUAL, mu)
    state = problem.start
    whole, end, records = scheme.advance(problem, mu, 0.0, 0.01, 12, state)
    part, middle, _ = scheme.advance(problem, mu, 0.0, 0.01, 5, state)
    again = jko.State(middle)
    rest, _, _ = scheme.advance(problem, part, 0.0, 0.01, 7, again)
    single = mu
    for _ in range(12):
        single, state, info = scheme.step(problem, single, 0.0, 0.01, state)
    assert whole.positions.dtype == dtype
    assert np.array_equal(rest.positions, whole.positions)
    assert np.array_equal(single.positions, whole.positions)
    assert state == end
    assert records.n_steps == 12
    assert info.status == "converged"


def test_seeds_differ_and_repeat():
    mu = draws(100, 0)
    first, same, other = (run(mu, 0.01, 3, seed=s).final.positions for s in (1, 1, 2))
    assert np.array_equal(first, same)
    assert not np.any(first == other)


def test_the_energy_is_an_estimate_with_its_uncertainty():
    """At equilibrium θ log ρ + V is constant: the uncertainty is that of the neighbours' noise alone."""
    exact_entropy = -0.5 * np.log(2.0 * np.pi * np.e)
    errors, uncertainties = [], []
    for seed in range(40):
        mu = Particles(np.random.default_rng(seed).normal(size=(2000, 1)))
        scheme = Langevin()
        value, uncertainty = energy_of(scheme, FUNCTIONAL, mu)
        parts = entropy_estimate(mu).value + 0.5 * float(np.mean(mu.positions**2))
        assert value == pytest.approx(parts, rel=1e-12)
        errors.append(value - (exact_entropy + 0.5))
        uncertainties.append(uncertainty)
    assert np.sum(np.abs(errors) < 2.0 * np.array(uncertainties)) >= 34
    assert 0.6 < np.std(errors) / np.mean(uncertainties) < 1.5


@pytest.mark.slow
def test_the_energy_decays_within_its_uncertainty():
    trajectory = jko.flow(
        FUNCTIONAL, draws(20_000, 3), Langevin(seed=1), tau=0.01, n_steps=200, store_every=20
    )
    exact = [jko.Gaussian(EXACT.at(t).mean(), EXACT.at(t).covariance()) for t in trajectory.times]
    energies = np.array([FUNCTIONAL(g) for g in exact])
    assert np.all(np.abs(trajectory.energy - energies) < 4.0 * trajectory.energy_uncertainty + 0.01)
    assert trajectory.energy_uncertainty.max() < 0.02


def test_without_an_entropy_it_is_forward_euler():
    functional = fn.Potential(lambda x: jnp.sum(jnp.cosh(x)))
    mu = draws(50, 0, dtype=np.float64)
    scheme = Langevin()
    langevin = jko.flow(functional, mu, scheme, tau=0.1, n_steps=5).final
    euler = jko.flow(functional, mu, ForwardEuler(), tau=0.1, n_steps=5).final
    assert np.allclose(langevin.positions, euler.positions, rtol=1e-13)
    assert energy_of(scheme, functional, mu) == (pytest.approx(functional(mu)), 0.0)


@pytest.mark.slow
def test_observables_are_the_averages_over_the_stored_particles():
    observables = {
        "centre": "mean",
        "spread": "covariance",
        "cosines": lambda x: jnp.cos(jnp.outer(x, x)[0]),
        "norm": lambda x: jnp.sum(x**2),
    }
    weights = np.random.default_rng(0).uniform(0.5, 1.5, 301)
    mu = Particles(draws(301, 0, dimension=3, dtype=np.float64).positions + 50.0, weights / weights.sum())
    functional = fn.Entropy() + fn.Potential(lambda x: 0.5 * jnp.sum((x - 50.0) ** 2))
    run = jko.flow(functional, mu, Langevin(seed=1, observables=observables), tau=0.01, n_steps=6)
    plain = jko.flow(functional, mu, Langevin(seed=1), tau=0.01, n_steps=6)
    for step, measure in enumerate(run.measures[1:]):
        assert np.array_equal(measure.positions, plain.measures[step + 1].positions)
        x, w = measure.positions, measure.weights
        assert np.allclose(run.info["centre"][step], measure.mean(), rtol=1e-14)
        assert np.allclose(run.info["spread"][step], measure.covariance(), rtol=1e-11, atol=1e-13)
        assert np.allclose(run.info["cosines"][step], w @ np.cos(x[:, :1] * x), rtol=1e-12)
        assert np.allclose(run.info.norm[step], w @ np.sum(x**2, axis=1), rtol=1e-14)


@pytest.mark.slow
def test_observables_are_kept_by_files_checkpoints_and_failed_runs(tmp_path):
    scheme = Langevin(observables={"spread": "covariance", "norm": lambda x: jnp.sum(x**2)})
    mu, path = draws(50, 0, dimension=2), tmp_path / "run.ckpt"
    whole = jko.flow(FUNCTIONAL, mu, scheme, tau=0.1, n_steps=8, store_every=4)
    jko.flow(FUNCTIONAL, mu, scheme, tau=0.1, n_steps=4, store_every=4, checkpoint=path)
    resumed = jko.flow(FUNCTIONAL, mu, scheme, tau=0.1, n_steps=8, store_every=4, checkpoint=path)
    loaded = jko.Trajectory.load(whole.save(tmp_path / "run.nc"))
    for run in (resumed, loaded):
        assert np.array_equal(run.info["spread"], whole.info["spread"])
        assert np.array_equal(run.info["norm"], whole.info["norm"])
    wall = fn.Potential(lambda x: jnp.sum(jnp.exp(60.0 * (x - 1.0)) - x))  # reached in the tenth step
    start = jko.Particles(0.01 * mu.positions)
    failed = jko.flow(wall, start, scheme, tau=0.1, n_steps=200, store_every=4, throw=False)
    assert failed.info["norm"][3] == pytest.approx(2.0 * 0.4**2, rel=0.1)
    assert np.isnan(failed.info["norm"][-1])


def test_a_long_block_is_its_parts():
    """More steps than a compiled block holds."""
    mu, scheme = draws(3, 0), Langevin(observables={"centre": "mean"})
    whole, _, records = first_block(scheme, FUNCTIONAL, mu, 1e-3, 2500)
    part, state, _ = first_block(scheme, FUNCTIONAL, mu, 1e-3, 700)
    problem = scheme.prepare(FUNCTIONAL, mu)
    rest, _, _ = scheme.advance(problem, part, 0.0, 1e-3, 1800, state)
    assert np.array_equal(whole.positions, rest.positions)
    assert records["centre"].shape == (2500, 1)
    assert records["centre"][-1] == pytest.approx(whole.mean(), rel=1e-6)


@pytest.mark.slow
def test_many_coordinates():
    scheme, means = Langevin(seed=1), []
    for d in (3, 9):
        mu = Particles(np.zeros((4000, d)))
        functional = fn.Entropy() + fn.Potential(lambda x: 0.5 * jnp.sum(x**2))
        moved, _, _ = first_block(scheme, functional, mu, 0.02, 300)
        spread = moved.covariance()
        exact = (1.0 - (1.0 - 0.02) ** 600) / (1.0 - 0.01)
        assert np.allclose(spread, exact * np.eye(d), atol=5.0 * exact * np.sqrt(2.0 / 4000))
        means.append(moved.mean())
    assert np.all(np.abs(np.concatenate(means)) < 5.0 / np.sqrt(4000))


def test_the_energy_of_many_particles_is_estimated_from_some():
    mu = Particles(np.random.default_rng(0).normal(size=(20_000, 2)))
    functional = fn.Entropy() + fn.Potential(lambda x: 0.5 * jnp.sum(x**2))
    whole, some = Langevin(), Langevin(entropy_sample=2000)
    exact = -np.log(2.0 * np.pi * np.e) + 1.0
    for scheme in (whole, some):
        value, uncertainty = energy_of(scheme, functional, mu)
        assert abs(value - exact) < 4.0 * uncertainty + 2e-3
    assert uncertainty > 2.5 * energy_of(whole, functional, mu)[1]


@pytest.mark.parametrize(
    ("observables", "error", "match"),
    [
        (["mean"], TypeError, "mapping of names"),
        ({"gap": "mean"}, ValueError, "'gap' cannot name"),
        ({"two words": "mean"}, ValueError, "'two words' cannot name"),
        ({"middle": "median"}, ValueError, "one of 'mean', 'covariance'"),
    ],
)
def test_observables_that_cannot_be(observables, error, match):
    with pytest.raises(error, match=match):
        Langevin(observables=observables)


def test_an_observable_that_is_no_function_of_a_point():
    scheme = Langevin(observables={"bad": lambda x: "text"})
    with pytest.raises(TypeError, match="must map a point"):
        jko.flow(FUNCTIONAL, draws(5, 0), scheme, tau=0.1, n_steps=1)


def test_refusals():
    mu = draws(20, 0)
    with pytest.raises(ValueError, match=r"Power.*descent\.Blob"):
        Langevin().prepare(fn.Power(2), mu)
    with pytest.raises(ValueError, match="Cap"):
        Langevin().prepare(FUNCTIONAL + fn.Cap(1.0), mu)
    with pytest.raises(ValueError, match=r"noise.*'three-point'"):
        Langevin(noise="cauchy")
    with pytest.raises(ValueError, match="seed"):
        Langevin(seed=-1)
    with pytest.raises(ValueError, match="tau"):
        jko.flow(FUNCTIONAL, mu, Langevin(), tau=-1.0, n_steps=1)


def test_a_run_that_diverges_names_the_limit_where_the_block_began():
    for steps in (200, 1):
        with pytest.raises(StepFailed, match=r"(drift allows|can follow).*; take a smaller tau") as failure:
            jko.flow(STIFF, draws(20, 0), Langevin(), tau=1.0, n_steps=200, store_every=steps)
        assert "the stability limit is" in str(failure.value)


@pytest.mark.parametrize("place", [0.1, 1.0, 1e4])
def test_a_cloud_may_start_at_one_point(place):
    """The mean of equal numbers is off by rounding, which is no width of the cloud."""
    F = fn.Entropy() + fn.Potential("quadratic")
    for n in (1001, 10_000):
        cloud = Particles(np.full((n, 1), place))
        ends = jko.flow(F, cloud, Langevin(seed=0), tau=0.1, n_steps=1).final.positions
        # four standard errors of the mean, and of the spread, of 0.9 place + √0.2 ξ
        assert abs(ends.mean() - 0.9 * place) < 4.0 * np.sqrt(0.2 / n) + 1e-12 * place
        assert ends.var() == pytest.approx(0.2, abs=4.0 * 0.2 * np.sqrt(2.0 / n))
