"""Steps that throw particles fail, in every scheme that could not see it, and those that do not are kept."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.descent import (
    SVGD,
    ForwardEuler,
    Langevin,
    LeimkuhlerMatthews,
    NoiseInjection,
    StochasticHeun,
    UnderdampedLangevin,
)
from jko.descent.fields.watch import Watch, watched_steps
from jko.errors import StepFailed


def wall(x):
    return x[0] + 1e4 * jnp.maximum(-x[0], 0.0)


def rounded(x):
    """A wall that rises over the length of a step."""
    return x[0] + 2.0 * jnp.logaddexp(-10.0 * x[0], 0.0)


START = jko.Particles(np.random.default_rng(0).exponential(size=(600, 1)) + 0.05)
GAS = fn.Entropy() + fn.Potential("quadratic") + fn.Interaction("logarithmic", strength=2.0)
STOCHASTIC = [Langevin(), LeimkuhlerMatthews(), StochasticHeun(), UnderdampedLangevin()]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", [*STOCHASTIC, SVGD(), NoiseInjection(level=0.1)], ids=repr)
def test_a_steep_wall_fails_and_says_what_works(scheme):
    F = fn.Potential(wall) if isinstance(scheme, NoiseInjection) else fn.Entropy() + fn.Potential(wall)
    with pytest.raises(StepFailed, match=r"particles were thrown between steps.*limits\.FiniteVolume"):
        jko.flow(F, START, scheme, tau=0.01, n_steps=100, store_every=100)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", STOCHASTIC, ids=repr)
def test_a_singular_repulsion_on_the_line_fails(scheme):
    """Its force has no second moment at a step's end, whatever τ."""
    cloud = jko.Particles(np.random.default_rng(0).normal(size=(200, 1)))
    with pytest.raises(StepFailed, match="thrown"):
        jko.flow(GAS, cloud, scheme, tau=0.01, n_steps=200, store_every=200)


@pytest.mark.slow
def test_many_particles_of_which_few_steps_are_watched():
    """More than are watched at every step: a wall, and one that a particle in a thousand meets."""
    many = jko.Particles(np.random.default_rng(1).exponential(size=(20_500, 1)).astype(np.float32) + 0.05)
    F = fn.Entropy() + fn.Potential(wall)
    with pytest.raises(StepFailed, match="thrown between steps"):
        jko.flow(F, many, Langevin(), tau=0.01, n_steps=50, store_every=50)
    far = many.with_positions(many.positions + np.float32(2.4))
    with pytest.raises(StepFailed, match="thrown between steps"):
        jko.flow(F, far, Langevin(), tau=0.01, n_steps=64, store_every=64)


@pytest.mark.slow
def test_members_of_an_ensemble_fail_one_by_one():
    def F(steepness):
        return fn.Entropy() + fn.Potential(lambda x: x[0] + steepness * jnp.maximum(-x[0], 0.0))

    found = jko.ensemble(F, START, Langevin(), over={"steepness": [4.0, 1e4]}, tau=0.01, n_steps=100)
    assert found["failure"][0] == ""
    assert "thrown" in str(found["failure"][1].item())


@pytest.mark.parametrize("scheme", STOCHASTIC, ids=repr)
def test_what_a_step_resolves_is_kept(scheme):
    """Rounded off over a step's length, the wall and the repulsion run; the watch changes no number."""
    F = fn.Entropy() + fn.Potential(rounded)
    run = jko.flow(F, START, scheme, tau=0.01, n_steps=100, store_every=50)
    again = jko.flow(F, START, scheme, tau=0.01, n_steps=100, store_every=25)
    assert np.array_equal(run.measures[-1].positions, again.measures[-1].positions)
    assert run.measures[-1].mean()[0] == pytest.approx(1.1, abs=0.25)


def test_watched_steps_do_not_depend_on_the_blocks():
    assert watched_steps(0, 600) == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    assert watched_steps(0, 70) + watched_steps(70, 600) == watched_steps(0, 600)


def test_throws_are_held_against_the_noise():
    watch = Watch(reaction=0.01, noise=0.02)
    assert not watch.thrown(0.04 * 0.02 * 1000, 0.02 * 1000, 1000, 1000)
    assert watch.thrown(0.06 * 0.02 * 1000, 0.02 * 1000, 1000, 1000)
    assert watch.thrown(np.nan, 1.0, 1, 1)


def test_a_kink_gets_no_limit_that_makes_no_sense():
    with pytest.raises(StepFailed, match="crossed a kink") as failure:
        jko.flow(fn.Potential(wall), START, ForwardEuler(), tau=0.01, n_steps=100)
    assert "2/L" not in str(failure.value)
