"""Direct preference optimisation against the exact tilt."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jko import diffusion
from jko.diffusion import NoisedMixture, Preferences, Schedule

GENERATOR = np.random.default_rng(0)
LAW, REWARD, BETA = GENERATOR.dirichlet(np.full(6, 5.0)), GENERATOR.normal(size=6), 0.7
EXACT = diffusion.tilted_probabilities(LAW, REWARD, BETA)
SHARES = diffusion.bradley_terry_shares(LAW, REWARD)
MEANS, VARIANCES, WEIGHTS = np.array([-1.0, 1.2]), np.array([0.2, 0.3]), np.array([0.6, 0.4])
MIXTURE = NoisedMixture(MEANS, VARIANCES, list(WEIGHTS), schedule=Schedule.straight())


def apart(p, q):
    return 0.5 * np.abs(p - q).sum()


def test_the_minimiser_for_the_whole_population_is_the_tilted_law():
    fit = diffusion.preference_table(LAW, SHARES, BETA)
    np.testing.assert_allclose(fit.law, EXACT, rtol=1e-10)
    assert fit.slope < 1e-13
    assert SHARES.sum() == pytest.approx(1.0)


def test_the_error_of_sampling_falls_as_one_over_the_root_of_the_pairs():
    """Its mean over 40 sets of pairs, of which the ratio has a deviation of some 10 %."""
    errors = [
        np.mean(
            [
                apart(
                    diffusion.preference_table(
                        LAW, diffusion.drawn_preferences(LAW, REWARD, n, seed), BETA
                    ).law,
                    EXACT,
                )
                for seed in range(40)
            ]
        )
        for n in (4000, 64_000)
    ]
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.3)


def test_the_error_of_optimisation_falls_at_a_rate_and_that_of_sampling_stays():
    pairs = diffusion.drawn_preferences(LAW, REWARD, 4000, seed=1)
    best = diffusion.preference_table(LAW, pairs, BETA).law
    errors = [apart(diffusion.preference_table(LAW, pairs, BETA, steps=n).law, best) for n in (20, 40, 80)]
    # a factor for every twenty steps
    assert errors[2] / errors[0] == pytest.approx((errors[1] / errors[0]) ** 3, rel=0.3)
    assert errors[2] < 0.1 * errors[0]
    assert apart(best, EXACT) > 1e-3


@pytest.mark.parametrize("unit", [1.0, 1e3])
def test_a_mixture_learns_the_weights_and_means_of_its_tilt(unit):
    """r = ax shifts the means by Sa/β and weighs by e^{am/β + Sa²/2β²}: of 20 000 pairs."""
    means, variances = unit * MEANS, unit**2 * VARIANCES
    law = NoisedMixture(means, variances, list(WEIGHTS), schedule=Schedule.straight())
    slope, beta = 0.8 / unit, 0.5

    def log_density(theta, x):
        parts = jax.nn.log_softmax(theta["logits"])
        squares = (x[0] - unit * theta["means"]) ** 2 / variances
        return jax.scipy.special.logsumexp(parts - 0.5 * (squares + jnp.log(2.0 * jnp.pi * variances)))

    pairs = diffusion.drawn_preferences(law, lambda x: slope * x[0], 20_000, seed=2)
    start = {"logits": np.log(WEIGHTS), "means": MEANS}
    fit = diffusion.preference_fit(log_density, start, lambda x: law.log_density(x, 0.0), pairs, beta)
    tilt = WEIGHTS * np.exp(slope * means / beta + 0.5 * variances * (slope / beta) ** 2)
    np.testing.assert_allclose(fit.parameters["means"], MEANS + VARIANCES * 0.8 / beta, atol=0.15)
    found = np.exp(fit.parameters["logits"] - np.logaddexp(*fit.parameters["logits"]))
    np.testing.assert_allclose(found, tilt / tilt.sum(), atol=0.06)
    assert fit.slope < 1e-5
    assert fit.losses[-1] < fit.losses[0]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: Preferences(np.zeros((3, 1)), np.zeros((4, 1))), "preferred, other"),
        (
            lambda: diffusion.preference_table(LAW, Preferences(np.array([0, 1]), np.array([1, 2])), BETA),
            "pseudocount",
        ),
        (lambda: diffusion.preference_table(LAW, np.ones((2, 2)), BETA), "shares"),
        (lambda: diffusion.tilted_probabilities(LAW, REWARD[:3], BETA), "reward"),
        (lambda: diffusion.preference_table(LAW, SHARES, 0.0), "strength"),
    ],
)
def test_refusals(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def test_a_pseudocount_answers_for_states_that_never_lose():
    pairs = Preferences(np.array([0, 1]), np.array([1, 2]))
    fit = diffusion.preference_table(np.full(3, 1 / 3), pairs, 1.0, pseudocount=0.1)
    assert fit.law[0] > fit.law[1] > fit.law[2] > 0.0
