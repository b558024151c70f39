"""Particles on a torus and between reflecting walls: closed forms, Kuramoto's branch, files, and refusals."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import i0, i1

import functionals as fn
import jko
from jko import ConfinedParticles, Grid, Particles
from jko.descent import BackwardEuler, Blob, ForwardEuler, Langevin, StochasticHeun
from jko.errors import UnsupportedFunctional

CIRCLE = Grid.uniform(0.0, 2.0 * np.pi, 16, periodic=True)
PULL = fn.Interaction(lambda z: -jnp.cos(z[0]))


@pytest.mark.slow
@pytest.mark.parametrize("unit", [1.0, 1e3])
def test_two_oscillators_meet_across_the_seam(unit):
    """tan(δ/2) = tan(δ₀/2)e^{−Kt} of the difference of two phases, to order 1 in τ, in two units of
    length."""
    side, coupling, errors = 2.0 * np.pi * unit, 1.5, []
    circle = Grid.uniform(0.0, side, 16, periodic=True)
    F = coupling * unit**2 * fn.Interaction(lambda z: -jnp.cos(z[0] / unit))
    start = ConfinedParticles(unit * np.array([[0.3], [2.0 * np.pi - 0.4]]), circle)
    for n in (50, 100, 200):
        run = jko.flow(F, start, ForwardEuler(), tau=1.0 / n, n_steps=n)
        x = run.final.positions[:, 0] / unit
        errors.append(np.mod(x[0] - x[1], 2.0 * np.pi) - 2.0 * np.arctan(np.tan(0.35) * np.exp(-coupling)))
        assert np.all((x >= 0.0) & (x < 2.0 * np.pi))
        assert np.all(np.diff(run.energy) < 0.0)
    assert np.diff(np.log2(np.abs(errors))) == pytest.approx(-1.0, abs=0.05)


@pytest.mark.slow
def test_a_kernel_that_is_no_wave_is_read_at_the_nearest_image():
    """½|z|² of the nearest image: δ decays as e^{−t}, whichever way round is shorter."""
    start = ConfinedParticles(
        np.array([[0.1, 0.5], [0.9, 0.5]]), Grid.uniform((0.0, 0.0), (1.0, 1.0), 4, True)
    )
    F = fn.Interaction("quadratic")
    run = jko.flow(F, start, ForwardEuler(), tau=1e-2, n_steps=100, store_every=100)
    x = run.final.positions
    apart = np.mod(x[0, 0] - x[1, 0], 1.0)
    assert apart == pytest.approx(0.2 * 0.99**100, rel=1e-9)
    assert F(start) == pytest.approx(0.25 * 0.5 * 0.2**2)
    around = start.with_positions(start.positions + np.array([0.9, 0.0]))
    assert jko.wasserstein(start, around) == pytest.approx(0.1)


@pytest.mark.long
def test_kuramotos_branch_by_noise():
    """r = I₁(Kr)/I₀(Kr), K = 3, kept by 400 particles from the law itself: r of one time scatters by .027,
    the mean over a time of 8 by some .01."""
    coupling, r = 3.0, 0.5
    for _ in range(200):
        r = i1(coupling * r) / i0(coupling * r)
    start = ConfinedParticles(np.random.default_rng(0).vonmises(np.pi, coupling * r, (400, 1)) + 6.0, CIRCLE)
    seen = {"cosine": lambda x: jnp.cos(x[0]), "sine": lambda x: jnp.sin(x[0])}
    F = fn.Entropy() + coupling * PULL
    run = jko.flow(F, start, StochasticHeun(seed=1, observables=seen), tau=0.04, n_steps=200, store_every=200)
    assert np.hypot(run.info.cosine, run.info.sine).mean() == pytest.approx(r, abs=0.02)


def test_heat_between_reflecting_walls():
    """(1 + .8 cos πx) on [0, 1]: the mean of cos πx is .4e^{−π²t}; 40 000 particles see it to .0035."""
    draws = np.random.default_rng(3).random((2, 160_000))
    x = draws[0][1.8 * draws[1] < 1.0 + 0.8 * np.cos(np.pi * draws[0])][:40_000]
    start = ConfinedParticles(x[:, None], Grid.uniform(0.0, 1.0, 4))
    run = jko.flow(fn.Entropy(), start, Langevin(seed=2), tau=0.002, n_steps=50, store_every=50)
    seen = [np.cos(np.pi * mu.positions[:, 0]).mean() for mu in (start, run.final)]
    assert seen[1] == pytest.approx(seen[0] * np.exp(-(np.pi**2) * 0.1), abs=0.01)
    assert run.final.positions.min() >= 0.0
    assert run.final.positions.max() <= 1.0


@pytest.mark.slow
def test_rest_against_a_wall_and_an_interaction_between_walls():
    """e^{−2x} on [0, 1], of mean .3435; and W(x − y) between walls moves as in free space."""
    walls = Grid.uniform(0.0, 1.0, 4)
    start = ConfinedParticles(np.random.default_rng(4).random((20_000, 1)), walls)
    F = fn.Entropy() + fn.Potential(lambda x: 2.0 * x[0])
    run = jko.flow(F, start, Langevin(seed=5), tau=0.004, n_steps=250, store_every=250)
    mean = 0.5 - 1.0 / np.expm1(2.0)
    assert run.final.positions.mean() == pytest.approx(mean, abs=0.008)
    pair = np.array([[0.2], [0.7]])
    inside, free = (
        jko.flow(fn.Interaction("quadratic"), mu, ForwardEuler(), tau=0.1, n_steps=3).final.positions
        for mu in (ConfinedParticles(pair, walls), Particles(pair))
    )
    assert inside == pytest.approx(free, abs=1e-12)


@pytest.mark.slow
def test_they_are_kept_by_files_and_checkpoints(tmp_path):
    mu, F = ConfinedParticles(np.array([[0.5], [6.0], [7.0]]), CIRCLE), fn.Entropy() + PULL
    scheme = Langevin(neighbours=1)
    whole = jko.flow(F, mu, scheme, tau=0.1, n_steps=4, checkpoint=tmp_path / "run.ckpt")
    whole.save(tmp_path / "run.nc")
    again = jko.Trajectory.load(tmp_path / "run.nc")
    assert again.final.domain == CIRCLE
    assert np.array_equal(again.final.positions, whole.final.positions)
    assert repr(mu).startswith("3 particles in the box of Grid.uniform(0, 6.28319, 16, periodic=True)")


class SquaredMean(fn.Functional):
    """A functional known by its energy alone."""

    def energy(self, mu):
        return mu.integrate(lambda x: x[0]) ** 2


def test_what_they_do_not_take_is_refused():
    mu = ConfinedParticles(np.array([[0.5], [1.0]]), CIRCLE)
    for scheme in (BackwardEuler(), Blob()):
        with pytest.raises(ValueError, match=r"does not take particles in a box.*descent.ForwardEuler"):
            scheme.prepare(PULL, mu)
    with pytest.raises(UnsupportedFunctional, match="particles in a box take the entropy, potentials and"):
        ForwardEuler().prepare(SquaredMean(), mu)
    with pytest.raises(ValueError, match="leave inside out"):
        ConfinedParticles(np.zeros((2, 1)), Grid.uniform(-1.0, 1.0, 8, inside=lambda x: x[0] > -0.5))
    with pytest.raises(TypeError, match="domain: expected a Grid"):
        ConfinedParticles(np.zeros((2, 1)), 1.0)
    with pytest.raises(ValueError, match="domain: expected 2 dimensions"):
        ConfinedParticles(np.zeros((2, 2)), CIRCLE)
    with pytest.raises(ValueError, match="in a box"):
        jko.transport.brenier_map(mu, mu)
