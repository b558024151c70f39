"""Direct preference optimisation against the exact tilt."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jko
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


@pytest.mark.slow
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
        (lambda: Preferences(np.zeros((0, 1)), np.zeros((0, 1))), "one pair at least"),
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


@pytest.mark.slow
@pytest.mark.parametrize("unit", [1.0, pytest.param(1e3, marks=pytest.mark.long)])
def test_a_learnt_flow_ends_in_the_tilt_of_its_own_law(unit):
    """20 000 pairs of its draws, r = .8x: the tilt is known from the density that the flow carries."""
    law = NoisedMixture(unit * MEANS, unit**2 * VARIANCES, list(WEIGHTS), schedule=Schedule.straight())
    source = jko.Gaussian([0.0], [[unit**2]])
    training = diffusion.Training(600, batch=128, width=12, depth=2, rate=2e-2, gradient=False)
    data = law.sample(20_000, 0.0, seed=1)
    flow = diffusion.flow_matching(source, data, training=training, progress=False)
    grid = jko.Grid.uniform(-4.0 * unit, 5.0 * unit, 300)

    def ends(flow):
        logs = flow.flow.log_density(grid.points, source.log_density_function, [0.0, 1.0], substeps=20)
        return np.exp(logs) * grid.cell_volume

    reference = ends(flow)
    tilt = reference * np.exp(0.8 * grid.axes[0] / unit)
    tilt /= tilt.sum()
    pairs = diffusion.drawn_preferences(flow, lambda x: 0.8 * x[0] / unit, 20_000, seed=3)
    gentle = replace(training, steps=100, batch=256, rate=5e-3)
    tuned = diffusion.preferred_flow(flow, pairs, 1.0, steps=4, training=gentle, progress=False)
    assert tuned.losses[0] == pytest.approx(np.log(2.0), rel=1e-5)  # the flow is its own reference
    assert apart(reference, tilt) > 0.35
    assert apart(ends(tuned), tilt) < 0.1


@pytest.mark.long
def test_a_learnt_flow_in_the_plane_ends_in_the_tilt_of_its_own_law():
    source = jko.Gaussian(np.zeros(2), np.eye(2))
    training = diffusion.Training(3000, width=48, depth=2, gradient=False)
    flow = diffusion.flow_matching(
        source, diffusion.two_moons(20_000, seed=1), training=training, progress=False
    )
    grid = jko.Grid.uniform((-4.0, -4.0), (4.0, 4.0), (120, 120))

    def ends(flow):
        logs = flow.flow.log_density(grid.points, source.log_density_function, [0.0, 1.0], substeps=30)
        return np.exp(logs) * grid.cell_volume

    reference = ends(flow)
    assert reference.sum() == pytest.approx(1.0, abs=0.02)
    tilt = reference * np.exp(0.7 * grid.points[:, 0] - 0.5 * grid.points[:, 1])
    tilt /= tilt.sum()
    pairs = diffusion.drawn_preferences(flow, lambda x: 0.7 * x[0] - 0.5 * x[1], 20_000, seed=3)
    tuned = diffusion.preferred_flow(flow, pairs, 1.0, progress=False)
    assert apart(ends(tuned), tilt) < 0.2 * apart(reference, tilt)


@pytest.mark.long
def test_a_training_that_ends_above_its_start_is_refused():
    source = jko.Gaussian([0.0], [[1.0]])
    training = diffusion.Training(50, batch=32, width=8, depth=1, gradient=False)
    flow = diffusion.flow_matching(source, source, training=training, progress=False)
    pairs = diffusion.drawn_preferences(flow, lambda x: x[0], 100, seed=0)
    with pytest.raises(ValueError, match="above log 2, that of the flow itself"):
        diffusion.preferred_flow(flow, pairs, 1e6, steps=4, training=training, progress=False)


def test_a_flow_of_a_cloud_has_no_density_to_tune():
    training = diffusion.Training(50, width=8, depth=1)
    cloud = jko.Particles(np.random.default_rng(0).normal(size=(50, 1)))
    flow = diffusion.flow_matching(cloud, cloud, training=training, progress=False)
    pairs = diffusion.drawn_preferences(flow, lambda x: x[0], 10, seed=0)
    with pytest.raises(ValueError, match="source that has a density"):
        diffusion.preferred_flow(flow, pairs, 1.0)
    with pytest.raises(ValueError, match="pairs of points"):
        diffusion.preferred_flow(flow, Preferences(np.zeros((3, 2)), np.ones((3, 2))), 1.0)


def test_states_that_are_never_drawn_do_not_outweigh_the_others():
    law = diffusion.tilted_probabilities([0.5, 0.5, 0.0], [0.0, 1.0, 5e3], 1.0)
    np.testing.assert_allclose(law, [1.0 / (1.0 + np.e), np.e / (1.0 + np.e), 0.0])
