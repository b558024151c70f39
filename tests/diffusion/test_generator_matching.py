"""Generator matching against exact averages of conditional processes."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import jko
from jko import diffusion
from jko.diffusion import FiniteConditionalPaths, JumpingPath, NoisedMixture, Schedule
from jko.diffusion.coefficients import at_points

GENERATOR = np.random.default_rng(0)
JOINT = GENERATOR.dirichlet(np.full(9, 0.7)).reshape(3, 3)
DATA = NoisedMixture([-1.2, 1.5], [0.05, 0.1], [0.4, 0.6], schedule=Schedule.straight())


def test_the_bregman_loss_is_least_at_the_conditional_expectation():
    """A table of rates on a finite set: what L-BFGS finds is the exact average of the conditional rates."""
    laws = GENERATOR.dirichlet(np.ones(4), size=3)
    rates = GENERATOR.random((3, 4, 4)) * (1.0 - np.eye(4))
    paths = FiniteConditionalPaths([0.2, 0.5, 0.3], lambda t: laws, lambda t: rates)
    found = minimize(
        lambda flat: (lambda value, slope: (value, slope.ravel()))(*paths.loss(flat.reshape(4, 4), 0.5)),
        np.zeros(16),
        jac=True,
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-12},
    )
    off = ~np.eye(4, dtype=bool)
    np.testing.assert_allclose(np.exp(found.x.reshape(4, 4))[off], paths.average_rates(0.5)[off], rtol=1e-5)


def test_unmasking_by_the_average_rates_restores_the_joint_law():
    """The average process has the average law at every time, and whole words have the law asked for."""
    paths = FiniteConditionalPaths.masking(JOINT)
    start = paths.law(0.0)
    assert start[-1] == pytest.approx(1.0)
    errors = []
    for n in (20, 40):
        law = paths.generator.forward(start, [0.0, 0.6], substeps=n).final
        errors.append(np.abs(law - paths.law(0.6)).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.1)
    table = _conditional(JOINT)
    np.testing.assert_allclose(diffusion.MatchedWords(table).law.ravel(), JOINT.ravel(), atol=1e-14)


def _conditional(joint):
    """P(letter at a place | the letters that are seen), by hand."""
    letters, places = joint.shape[0], joint.ndim
    table = np.empty(((letters + 1) ** places, places, letters))
    for k, state in enumerate(diffusion.words(letters + 1, places)):
        seen = tuple(slice(None) if s == letters else slice(s, s + 1) for s in state)
        part = joint[seen]
        for place in range(places):
            found = part.sum(axis=tuple(a for a in range(places) if a != place))
            row = found if state[place] == letters else np.eye(letters)[state[place]]
            table[k, place] = row / row.sum()
    return table


def test_a_table_learns_the_joint_law_as_fast_as_counting_does():
    """Its law is that of the counts themselves: an error of √((1 − Σp²)/n) in the mean square."""
    words, draws = diffusion.words(3, 2), np.random.default_rng(1)
    errors = []
    for n in (400, 40_000):
        data = words[draws.choice(9, size=n, p=JOINT.ravel())]
        found = diffusion.masked_matching(data, 3, pseudocount=1e-9).law
        counts = np.bincount(3 * data[:, 0] + data[:, 1], minlength=9) / n
        np.testing.assert_allclose(found.ravel(), counts, atol=1e-7)
        errors.append(np.sqrt(np.sum((found - JOINT) ** 2)))
    assert errors[1] < 3.0 * np.sqrt((1.0 - np.sum(JOINT**2)) / 40_000)


def test_sampled_words_have_the_law_of_the_chain():
    model = diffusion.MatchedWords(_conditional(JOINT))
    drawn = model.sample(20_000, seed=2)
    counts = np.bincount(3 * drawn[:, 0] + drawn[:, 1], minlength=9)
    expected = 20_000 * JOINT.ravel()
    assert np.sum((counts - expected) ** 2 / expected) < 26.1  # of χ² with 8 degrees, 99.9 %


@pytest.mark.parametrize(("share", "noise"), [(0.0, 0.0), (0.5, 0.0), (0.6, 0.5)])
def test_flow_noise_and_jumps_solve_the_forward_equation(share, noise):
    """∂ₜ∫f pₜ = ∫ℒf pₜ for the closed-form average, by quadrature on the line."""
    exact = JumpingPath(share, noise).exact(DATA)
    x = np.linspace(-8.0, 8.0, 4001)[:, None]
    h = x[1, 0] - x[0, 0]

    def f(y):
        return jnp.exp(-0.5 * (y[0] - 0.7) ** 2) + 0.1 * jnp.sin(y[0])

    values = at_points(lambda y, t: f(y), x, 0.0)

    def law(t):
        return np.exp(at_points(exact.log_density, x, t))

    image = at_points(exact.generator.apply(f), x, 0.6)
    slope = (law(0.6 + 1e-4) - law(0.6 - 1e-4)) @ values * h / 2e-4
    assert law(0.6).sum() * h == pytest.approx(1.0, abs=1e-9)
    assert law(0.6) @ image * h == pytest.approx(slope, rel=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_a_learnt_generator_has_the_parts_and_the_law_of_the_exact_one(noise):
    data = NoisedMixture([[-1.2, 0.0], [1.0, 0.8]], 0.1, [0.4, 0.6], schedule=Schedule.straight())
    path = JumpingPath(0.5, noise)
    exact, learnt = path.exact(data), diffusion.generator_matching(data.sample(50_000, 0.0, seed=0), path)
    for t in (0.2, 0.5, 0.8):
        start = jko.Gaussian.of(0.0, 1.0, dimension=2).sample(2000, seed=1)
        points = exact.generator.simulate(start, [0.0, t], seed=2, substeps=60).final.positions
        v, u = (at_points(model.velocity, points, t) for model in (learnt, exact))
        assert np.sqrt(np.mean((v - u) ** 2) / np.mean(u**2)) < 0.15
        p, q = (at_points(model.unjumped, points, t) for model in (learnt, exact))
        assert np.sqrt(np.mean((p - q) ** 2)) < 0.05
    # of 4000 draws the share of a part has a deviation of 0.008, its mean of 0.008, its variance of 4 %
    found = learnt.sample(4000, seed=3).positions
    left = found @ [1.0, 0.36] < 0.0
    assert left.mean() == pytest.approx(0.4, abs=0.035)
    for part, mean in ((left, data.means[0]), (~left, data.means[1])):
        np.testing.assert_allclose(found[part].mean(axis=0), mean, atol=0.04)
        np.testing.assert_allclose(found[part].var(axis=0), 0.1, rtol=0.2)


@pytest.mark.long
def test_a_network_unmasks_with_the_joint_law():
    joint = np.random.default_rng(4).dirichlet(np.full(27, 0.4)).reshape(3, 3, 3)
    words = diffusion.words(3, 3)
    data = words[np.random.default_rng(5).choice(27, size=40_000, p=joint.ravel())]
    model = diffusion.masked_matching(data, 3, training=diffusion.Training(steps=2000))
    assert 0.5 * np.abs(model.law - joint).sum() < 0.02


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: JumpingPath(1.0), "from 0 to below 1"),
        (lambda: JumpingPath(0.5, -1.0), "noise"),
        (lambda: diffusion.masked_matching([[0, 3]], 3), "words"),
        (lambda: diffusion.masked_matching(np.zeros((4, 9), int), 3), "more than"),
        (lambda: FiniteConditionalPaths.masking(np.full((2, 3), 1 / 6)), "joint"),
    ],
)
def test_refusals(call, text):
    with pytest.raises(ValueError, match=text):
        call()
