"""Processes with jumps and chains on finite sets: laws by paths and equations, identities, time reversal."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2

import jko
from jko import diffusion
from jko.diffusion import FiniteGenerator, Generator, Jumps, MixtureKernel
from jko.diffusion.coefficients import at_points

KERNEL = MixtureKernel(lambda x, t: jnp.stack([-0.5 * x + 1.2, -0.5 * x - 0.8]), 0.3, [1.0, 2.0])
JUMPS = Generator(jumps=Jumps(lambda x, t: 1.0 + jnp.sin(x[0]) ** 2, KERNEL))
NOISY = Generator(drift=lambda x, t: -x, diffusion=lambda x, t: jnp.sqrt(0.6) * jnp.eye(1))
GRID = jko.Grid.uniform(-5.0, 5.0, 400)
START = jko.Density.gaussian(GRID, mean=0.5, std=0.4)


def chi_square(cloud, density, bins=40):
    """The statistic of counts in bins of equal mass, and its degrees of freedom."""
    mass = np.cumsum(density.values.ravel()) * density.grid.cell_volume
    edges = np.interp(np.linspace(0.0, 1.0, bins + 1)[1:-1], mass, density.grid.edges[0][1:])
    counts = np.bincount(np.searchsorted(edges, cloud.positions[:, 0]), minlength=bins)
    at_edges = np.interp(edges, density.grid.edges[0][1:], mass)
    expected = np.diff(np.concatenate([[0.0], at_edges, [mass[-1]]])) * cloud.n
    return float(np.sum((counts - expected) ** 2 / expected)), bins - 1


def agrees(cloud, density, confidence=0.999):
    statistic, freedom = chi_square(cloud, density)
    return statistic < chi2.ppf(confidence, freedom)


@pytest.mark.slow
@pytest.mark.parametrize("n", [5000, pytest.param(100_000, marks=pytest.mark.long)])
def test_jumps_by_thinning_and_by_the_forward_equation_have_one_law(n):
    """Paths, exact in law, against the grid: χ² of 40 bins, at a confidence of 99.9 %."""
    path = JUMPS.forward(START, [0.0, 0.3, 1.0], substeps=10)
    run = JUMPS.simulate(START.sample(n, seed=1), [0.0, 0.3, 1.0], seed=2, rate_bound=2.0)
    assert all(agrees(cloud, density) for cloud, density in zip(run.measures, path.densities, strict=True))
    assert not agrees(run.measures[1], path.final)  # which the test tells apart
    assert path.final.mass == pytest.approx(START.mass, abs=1e-14)
    assert path.final.values.min() >= 0.0


def test_a_jump_process_whose_law_is_known():
    """Jumps of a constant rate to one law: p(t) = e^{−λt}p₀ + (1 − e^{−λt})k."""
    law = diffusion.NoisedMixture([-1.5, 1.0], [0.2, 0.1], schedule=diffusion.Schedule.straight())
    generator = Generator(jumps=Jumps(lambda x, t: 3.0 * jnp.ones(()), diffusion.LawKernel(law)))
    found = generator.forward(START, [0.0, 0.5]).final
    left = np.exp(-1.5)
    np.testing.assert_allclose(
        found.values, left * START.values + (1.0 - left) * law.on(GRID, 0.0).values, atol=1e-12
    )


def test_the_sum_of_drift_noise_and_jumps_is_of_order_two_in_steps():
    total = NOISY + JUMPS
    finest = total.forward(START, [0.0, 0.5], substeps=32).final.values
    errors = [
        np.abs(total.forward(START, [0.0, 0.5], substeps=n).final.values - finest).max() for n in (2, 4)
    ]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.2)


@pytest.mark.long
def test_reversed_paths_return_to_the_start():
    """Sum of all three parts, run backward from draws of its end: χ² at a confidence of 99.9 %."""
    total = NOISY + JUMPS
    path = total.forward(START, np.linspace(0.0, 1.0, 41))
    end = path.final.sample(4000, seed=3)
    back = total.reverse(path).simulate(end, [1.0, 0.0], seed=4, substeps=100)
    assert agrees(back.final, START)
    assert not agrees(end, START)
    wrong = NOISY.reverse(path).simulate(end, [1.0, 0.0], seed=4, substeps=100)
    assert not agrees(wrong.final, START)


@pytest.mark.long
def test_steps_of_paths_have_weak_order_one():
    """Linear drift and jumps by a shift: d/dt E x = −E x + 2, whose Euler steps are known."""
    shift = Generator(
        drift=lambda x, t: -x,
        jumps=Jumps(lambda x, t: 4.0 * jnp.ones(()), MixtureKernel(lambda x, t: x + 0.5, 0.1)),
    )
    start = jko.Particles(np.full((40_000, 1), 1.0))
    exact, errors = 2.0 - np.exp(-1.0), []
    for steps in (2, 4):
        errors.append(shift.simulate(start, [0.0, 1.0], seed=5, substeps=steps).final.mean()[0] - exact)
    # of deviation 0.004 each; the mean of the steps themselves is (1 − τ)m + ½(1 − e^{−4τ}) a step
    for steps, error in zip((2, 4), errors, strict=True):
        mean = 1.0
        for _ in range(steps):
            mean = (1.0 - 1.0 / steps) * mean + 0.5 * (1.0 - np.exp(-4.0 / steps))
        assert error == pytest.approx(mean - exact, abs=0.016)


def test_the_generator_of_a_function_is_the_derivative_of_its_mean():
    """Dynkin's formula E f(x_T) − f(x_0) = ∫E ℒf dt on the grid, and ⟨p, ℒf⟩ = ⟨ℒ*p, f⟩."""
    total = NOISY + JUMPS
    path = total.forward(START, np.linspace(0.0, 0.5, 81))

    def f(x):
        return jnp.cos(1.3 * x[0]) + 0.2 * x[0]

    values = at_points(lambda x, t: f(x), GRID.points, 0.0)
    image = at_points(total.apply(f), GRID.points, 0.0)
    means = np.array([rho.masses @ values for rho in path.densities])
    slopes = np.array([rho.masses @ image for rho in path.densities])
    gain = np.sum(0.5 * (slopes[1:] + slopes[:-1])) * 0.5 / 80
    assert means[-1] - means[0] == pytest.approx(gain, rel=1e-3)
    assert abs(means[-1] - means[0]) > 0.1


def test_pure_drift_goes_upwind_and_sums_add():
    drift = Generator(drift=lambda x, t: jnp.ones_like(x))
    with pytest.warns(RuntimeWarning, match="upwind fluxes"):
        path = drift.forward(START, [0.0, 1.0], substeps=40)
    assert path.final.masses @ GRID.points[:, 0] == pytest.approx(1.5, abs=1e-3)
    assert path.final.values.min() >= 0.0
    twice = drift + drift
    assert np.allclose(twice.drift(jnp.zeros(1), 0.0), 2.0)


@pytest.mark.parametrize("unit", [1.0, 1e3])
def test_the_variance_that_upwind_fluxes_add_is_said(unit):
    """A drift of 1 for a time of 1 adds h to the variance."""
    grid = jko.Grid.uniform(-1.0 * unit, 3.0 * unit, 20)
    start = jko.Density.gaussian(grid, mean=0.0, std=0.4 * unit)
    drift = Generator(drift=lambda x, t: unit * jnp.ones_like(x))
    with pytest.warns(RuntimeWarning, match="upwind fluxes") as said:
        path = drift.forward(start, [0.0, 1.0], substeps=40)
    before, after = (float(mu.covariance()[0, 0]) for mu in (start, path.final))
    assert after - before == pytest.approx(0.2 * unit**2, rel=0.02)  # h = .2
    told = float(re.search(r"add ([\d.]+) %", str(said[0].message)).group(1))
    assert told == pytest.approx(100.0 * (after - before) / after, rel=0.02)


@pytest.mark.parametrize("unit", [1.0, 1e-3])
def test_jumps_in_the_plane_in_two_units(unit):
    """Mean and variance of jumps to a law, in the plane, in two units of length."""
    law = diffusion.NoisedMixture(
        unit * np.array([[1.0, 0.0]]), 0.09 * unit**2, schedule=diffusion.Schedule.straight()
    )
    generator = Generator(jumps=Jumps(lambda x, t: jnp.ones(()), diffusion.LawKernel(law)))
    grid = jko.Grid.uniform((-2.0 * unit,) * 2, (2.5 * unit,) * 2, (30, 30))
    start = jko.Density.gaussian(grid, mean=(0.0, 0.0), std=0.4 * unit)
    found = generator.forward(start, [0.0, 1.0]).final
    assert found.masses @ grid.points[:, 0] == pytest.approx(unit * (1.0 - np.exp(-1.0)), rel=1e-3)


def test_jumps_beyond_the_grid_are_said():
    far = Generator(jumps=Jumps(lambda x, t: jnp.ones(()), MixtureKernel(lambda x, t: x + 4.0, 0.5)))
    with pytest.warns(RuntimeWarning, match="beyond the grid"):
        path = far.forward(START, [0.0, 2.0])
    assert path.final.mass == pytest.approx(1.0, abs=1e-12)
    assert "larger box" in path.note


Q = np.random.default_rng(0).random((5, 5))


def test_a_finite_chain_has_one_law_by_paths_and_by_the_equation():
    chain, start = FiniteGenerator(Q), np.array([0.6, 0.4, 0.0, 0.0, 0.0])
    law = chain.forward(start, [0.0, 0.3, 1.0])
    states = np.random.default_rng(1).choice(5, size=100_000, p=start)
    paths = chain.simulate(states, [0.0, 0.3, 1.0], seed=2)
    for k in (1, 2):
        counts = 100_000 * paths.law(k, 5)
        expected = 100_000 * law.laws[k]
        assert np.sum((counts - expected) ** 2 / expected) < chi2.ppf(0.999, 4)
    f = np.arange(5.0) ** 2
    slope = (law.at(0.5 + 1e-5) - law.at(0.5 - 1e-5)) @ f / 2e-5
    assert slope == pytest.approx(law.at(0.5) @ chain.apply(f), rel=1e-7)


def test_a_reversed_chain_restores_the_start():
    """By its equation to the order of its steps, and by paths: χ² at a confidence of 99.9 %."""
    chain, start = FiniteGenerator(Q), np.array([0.5, 0.3, 0.1, 0.06, 0.04])
    law = chain.forward(start, [0.0, 0.7])
    back = chain.reverse(law)
    errors = [np.abs(back.forward(law.final, [0.7, 0.0], substeps=n).final - start).max() for n in (20, 40)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.1)
    states = np.random.default_rng(3).choice(5, size=50_000, p=law.final)
    found = 50_000 * back.simulate(states, [0.7, 0.0], seed=4, substeps=40).law(1, 5)
    assert np.sum((found - 50_000 * start) ** 2 / (50_000 * start)) < chi2.ppf(0.999, 4)


def test_birth_and_death_at_rest_and_masking():
    """A queue's law at rest is geometric; letters are masked independently, each with 1 − e^{−t}."""
    queue = FiniteGenerator.birth_and_death(np.full(30, 1.0), np.full(30, 2.0))
    rest = queue.forward(np.eye(30)[0], [0.0, 200.0]).final
    np.testing.assert_allclose(rest[1:12] / rest[:11], 0.5, rtol=1e-6)
    masks = FiniteGenerator.masking(2, 2, rate=1.5)
    start = np.zeros(9)
    start[[0, 4]] = 0.5
    law = masks.forward(start, [0.0, 1.0]).final
    kept = np.exp(-1.5)
    assert law[8] == pytest.approx((1.0 - kept) ** 2)
    assert law[0] == pytest.approx(0.5 * kept**2)
    assert law[2] == pytest.approx(0.5 * kept * (1.0 - kept))
    # backward, masked letters return at a rate 1/t near t = 0, of which τ/2 is left in the last step
    again = masks.reverse(masks.forward(start, [0.0, 1.0]))
    lacking = [0.5 - again.forward(law, [1.0, 0.0], substeps=n).final[0] for n in (50, 100)]
    assert lacking[0] / lacking[1] == pytest.approx(2.0, abs=0.05)
    assert lacking[1] < 3e-3


def test_sums_of_chains_add_rates():
    moving = FiniteGenerator(lambda t: (1.0 + t) * Q)
    total = FiniteGenerator(Q) + moving
    np.testing.assert_allclose(total.at(1.0), 3.0 * FiniteGenerator(Q).at())
    start = np.eye(5)[0]
    exact = FiniteGenerator(Q).forward(start, [0.0, 1.0 + 1.5]).final
    np.testing.assert_allclose(total.forward(start, [0.0, 1.0]).final, exact, rtol=1e-10)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (Generator, ValueError, "expected one of them"),
        (lambda: Generator(jumps=3), TypeError, "expected Jumps"),
        (lambda: Jumps(lambda x, t: 1.0, lambda x: x), TypeError, "expected a Kernel"),
        (lambda: MixtureKernel(lambda x, t: x, -1.0), ValueError, "std"),
        (lambda: FiniteGenerator([[0.0, -1.0], [1.0, 0.0]]), ValueError, "from state 0 to 1"),
        (lambda: FiniteGenerator([[0.0, 1.0]]), ValueError, "array"),
        (lambda: FiniteGenerator(Q).forward([1.0, 1.0, 0.0, 0.0, 0.0], [0.0, 1.0]), ValueError, "sum 1"),
        (lambda: FiniteGenerator(Q).simulate([7], [0.0, 1.0], seed=0), ValueError, "from 0 to 4"),
        (
            lambda: JUMPS.simulate(START.sample(50, seed=0), [0.0, 1.0], seed=0, rate_bound=0.5),
            ValueError,
            "rate_bound: expected a bound",
        ),
        (
            lambda: NOISY.simulate(START.sample(5, seed=0), [0.0, 1.0], seed=0, rate_bound=0.5),
            ValueError,
            "jumps alone",
        ),
        (lambda: JUMPS.reverse(lambda x, t: x), TypeError, "DensityPath"),
        (
            lambda: Generator(jumps=Jumps(lambda x, t: x[0], KERNEL)).forward(START, [0.0, 1.0]),
            ValueError,
            "rates of at least 0",
        ),
        (
            lambda: Generator(
                jumps=Jumps(lambda x, t: jnp.ones(()), diffusion.PointsKernel([[0.0]]))
            ).forward(START, [0.0, 1.0]),
            ValueError,
            "log_density",
        ),
    ],
)
def test_refusals(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_the_time_in_a_kernel_is_seen():
    moving = MixtureKernel(lambda x, t: x + t, 0.3)
    generator = Generator(jumps=Jumps(lambda x, t: jnp.ones(()), moving))
    grid = jko.Grid.uniform(-4.0, 6.0, 200)
    start = jko.Density.gaussian(grid, mean=0.0, std=0.5)
    found = generator.forward(start, [0.0, 1.0], substeps=20).final
    # d/dt E x = t
    assert found.masses @ grid.points[:, 0] == pytest.approx(0.5, abs=1e-3)
    with jax.enable_x64(True):
        assert moving.expectation(lambda y: y[0] ** 2, jnp.ones(1), 1.0) == pytest.approx(4.09)
