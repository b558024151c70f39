"""Multistep and stochastic solvers on exact scores: orders, costs, and where they are exact."""

from itertools import pairwise

import jax
import numpy as np
import pytest
from scipy.stats import norm

import jko
from jko import diffusion
from jko.diffusion import multistep
from jko.diffusion.coefficients import at_points

SCHEDULE = diffusion.Schedule.variance_preserving(0.1, 12.0)
LAW = diffusion.NoisedMixture([[-1.0, 0.3], [0.9, -0.4]], [0.15, 0.25], [0.4, 0.6], schedule=SCHEDULE)
LINE = diffusion.NoisedMixture([-1.0, 0.8], [0.1, 0.2], [0.4, 0.6], schedule=SCHEDULE)
START, END = 1.0, 0.05
CLOUD = LAW.sample(60, START, seed=0)


@pytest.fixture(scope="module")
def exact():
    return diffusion.ConsistencyFunction(LAW, END)(CLOUD.positions, START)


def final(method, steps, cloud=CLOUD, law=LAW, start=START, end=END, **options):
    return diffusion.sample(
        law.score, law.schedule, cloud, start, end, steps=steps, method=method, **options
    ).positions


@pytest.mark.parametrize(
    ("method", "order", "within"),
    [
        ("karras-heun", 2, 0.1),
        ("dpm-solver++2m", 2, 0.1),
        ("dpm-solver++3m", 3, 0.2),
        ("unipc-1", 2, 0.1),
        ("unipc-2", 3, 0.2),
    ],
)
def test_observed_orders(method, order, within, exact):
    errors = [np.sqrt(np.mean((final(method, steps) - exact) ** 2)) for steps in (80, 160, 320)]
    observed = np.log2(np.divide(errors[:-1], errors[1:]))
    np.testing.assert_allclose(observed, order, atol=within)


def weak_order(method, steps, n, seed, **options):
    """The order in which E x² at the end tends to its exact value, and its standard error, by n paths."""
    end = 0.02
    a, s = SCHEDULE.at(end)
    exact = LINE.weights @ (a**2 * (LINE.means[:, 0] ** 2 + np.array([0.1, 0.2])) + s**2)
    found = []
    for k, count in enumerate((steps, 2 * steps)):
        cloud = LINE.sample(n, START, seed=seed + k)
        squares = final(method, count, cloud, LINE, START, end, seed=seed + k, **options) ** 2
        error = abs(squares.mean() - exact)
        found.append((error, squares.std() / np.sqrt(n) / error))
    (first, share), (second, other) = found
    return np.log2(first / second), np.hypot(share, other) / np.log(2.0)


@pytest.mark.long
@pytest.mark.parametrize(
    ("method", "steps", "n", "order"),
    [("sde-dpm-solver++1", 20, 50_000, 1), ("sde-dpm-solver++2m", 10, 100_000, 2)],
)
def test_weak_orders(method, steps, n, order):
    """Within three standard errors (99.7 %) and 0.1, which the steps are too long by."""
    observed, error = weak_order(method, steps, n, 3)
    assert error < 0.2  # so that another order is told from this one
    assert observed == pytest.approx(order, abs=3.0 * error + 0.1)


@pytest.mark.long
@pytest.mark.parametrize(
    ("method", "steps", "options"),
    [("sde-dpm-solver++2m", 10, {}), ("karras-heun", 20, {"churn": diffusion.Churn(4.0)})],
)
def test_weak_orders_by_millions_of_paths(method, steps, options):
    observed, error = weak_order(method, steps, 3_000_000, 5, **options)
    assert error < 0.13
    assert observed == pytest.approx(2.0, abs=3.0 * error + 0.05)


@pytest.mark.parametrize("method", ["sde-dpm-solver++1", "sde-dpm-solver++2m"])
@pytest.mark.parametrize("steps", [1, 3])
def test_noise_about_known_data_is_exact_in_any_steps(method, steps):
    """x̂₀ does not move where the data are one point: every step has the law of the reverse SDE."""
    law = diffusion.NoisedMixture([0.7], 1e-12, schedule=SCHEDULE)
    drawn = final(method, steps, law.sample(40_000, START, seed=1), law, seed=2)[:, 0]
    a, s = SCHEDULE.at(END)
    z = np.sort((drawn - 0.7 * a) / s)
    # the Kolmogorov-Smirnov distance of 40 000 draws is above 1.95/200 with a probability of 0.1 %
    assert np.abs(norm.cdf(z) - (np.arange(len(z)) + 0.5) / len(z)).max() < 1.95 / np.sqrt(len(z))


def test_the_first_order_is_ddim():
    """x⁺ = (α⁺/α)x − σ⁺(e^h − 1)ε̂, by hand."""
    times = diffusion.even_times(SCHEDULE, START, END, 5)
    x = CLOUD.positions
    for t, later in pairwise(times):
        (a, s), (b, r) = SCHEDULE.at(t), SCHEDULE.at(later)
        x = b / a * x + r * np.expm1(np.log(b / r) - np.log(a / s)) * s * at_points(LAW.score, x, t)
    np.testing.assert_allclose(final("dpm-solver-1", 5), x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rate", [1.0, 2.0])
def test_weights_integrate_polynomials_exactly(rate):
    """∫₀ʰ c e^{−c(h−u)} p(λ + u) du for every p of the degree, on uneven nodes, by its antiderivative."""
    ratios = np.array([-1.3, -0.9, 0.4, 0.55, 2.0])
    for ahead, order in ((0, 3), (1, 2)):
        found = multistep._weights(ratios, order, rate, False, ahead)
        for k, (start, end) in enumerate(pairwise(ratios)):
            nodes = ratios[k + ahead - np.arange(min(order, k + 1) + ahead)]
            for degree in range(len(nodes)):
                # c ∫ e^{-c(end-v)} v^n dv = v^n - n/c (v^{n-1} - …), between the ends
                def inner(v, degree=degree):
                    return v**degree - (degree / rate * inner_of(v, degree - 1) if degree else 0.0)

                def inner_of(v, n):
                    return v**n - (n / rate * inner_of(v, n - 1) if n else 0.0)

                exact = inner(end) - np.exp(-rate * (end - start)) * inner(start)
                assert found[k, : len(nodes)] @ nodes**degree == pytest.approx(exact, rel=1e-12, abs=1e-13)


@pytest.mark.slow
def test_lengths_do_not_matter():
    """Data and noise a thousand times as long: the same points, a thousand times as far."""
    scale = 1000.0
    alike = diffusion.Schedule(SCHEDULE.alpha, lambda t: scale * SCHEDULE.sigma(t))
    law = diffusion.NoisedMixture(
        scale * LAW.means, scale**2 * np.array([0.15, 0.25]), [0.4, 0.6], schedule=alike
    )
    cloud = jko.Particles(scale * CLOUD.positions)
    for method in ("dpm-solver++3m", "unipc-2", "sde-dpm-solver++2m"):
        found = final(method, 12, cloud, law)
        np.testing.assert_allclose(found, scale * final(method, 12), rtol=1e-9)


@pytest.mark.long
def test_each_step_costs_what_is_said():
    """The score is called at so many points: counted by a callback."""
    seen, cloud = [], jko.Particles(CLOUD.positions[:1])

    def score(x, t):
        jax.debug.callback(lambda t: seen.append(float(t)), t)
        return -x

    for method in diffusion.METHODS:
        seen.clear()
        diffusion.sample(score, SCHEDULE, cloud, START, END, steps=3, method=method)
        jax.effects_barrier()
        assert len(seen) == diffusion.evaluations(method, 3), method


@pytest.mark.slow
def test_churn_adds_noise_where_it_is_asked_for_and_never_beyond_the_start():
    levels = np.geomspace(10.0, 0.01, 31)
    churned = diffusion.Churn(6.0, least=0.05, most=5.0).levels(levels)
    inside = (levels[:-1] >= 0.05) & (levels[:-1] <= 5.0)
    np.testing.assert_allclose(churned, np.where(inside, 1.2, 1.0) * levels[:-1])
    np.testing.assert_allclose(diffusion.Churn(1e6).levels(levels)[1:3], [10.0, np.sqrt(2.0) * levels[2]])
    assert diffusion.Churn(1e6).levels(levels)[0] == 10.0
    apart = final("karras-heun", 20, churn=diffusion.Churn(6.0, least=1e6)) - final("karras-heun", 20)
    assert np.abs(apart).max() < 1e-12


@pytest.mark.slow
def test_seeds_and_refusals():
    for method, options in (("sde-dpm-solver++2m", {}), ("karras-heun", {"churn": diffusion.Churn()})):
        one, two, other = (final(method, 4, seed=seed, **options) for seed in (1, 1, 2))
        np.testing.assert_array_equal(one, two)
        assert np.abs(one - other).max() > 1e-3
        with pytest.raises(ValueError, match="start, end: noise is added on the way to earlier times alone"):
            final(method, 4, start=END, end=START, **options)
    with pytest.raises(ValueError, match="churn: expected with method=\"karras-heun\" alone, got 'heun'"):
        final("heun", 4, churn=diffusion.Churn())
    with pytest.raises(TypeError, match="churn: expected a Churn, got float"):
        final("karras-heun", 4, churn=40.0)
    with pytest.raises(ValueError, match="most: expected more than least = 2, got 1"):
        diffusion.Churn(least=2.0, most=1.0)
    with pytest.raises(ValueError, match="amount: expected a positive number"):
        diffusion.Churn(0.0)
    with pytest.raises(ValueError, match="method: expected one of 'euler'"):
        diffusion.evaluations("ddim", 3)
