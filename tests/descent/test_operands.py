"""One program for all numbers of a potential, and for several of particles that do not feel each other."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from functionals.time_dependence import AtTime
from jko.descent.fields.blob import blob_field
from jko.descent.fields.program import field
from jko.descent.fields.sharded import compiled_energy, energy_at, laid_out
from jko.fingerprint import fingerprint
from jko.learn import Radial
from jko.learn.landscape import Landscape


def bowl(x, numbers):
    return 0.5 * numbers["stiffness"] * jnp.sum((x - numbers["centre"]) ** 2)


TILT = fn.Potential(lambda x, t: t * x[0])


def terms(stiffness, centre):
    V = AtTime(bowl, {"stiffness": stiffness, "centre": np.full(2, centre)})
    return ((2.0, fn.Potential(V)), (1.0, TILT))


def cloud(n):
    return jko.Particles(np.random.default_rng(0).normal(size=(n, 2)))


@pytest.mark.parametrize("made", [field, lambda outside: blob_field(((1.0, fn.Entropy()),), outside, 0.5)])
def test_numbers_and_times_are_operands_of_one_program(made):
    mu, programs = cloud(20), set()
    still = made(terms(0.0, 0.0)).at(0.0)
    for stiffness, centre, t in ((1.0, 0.0, 0.0), (3.0, 0.4, 2.0)):
        flow = made(terms(stiffness, centre)).at(t)
        exact = stiffness * np.sum((mu.positions - centre) ** 2, axis=1).mean() + t * mu.mean()[0]
        assert energy_at(flow, mu) - energy_at(still, mu) == pytest.approx(exact, rel=1e-12)
        programs.add(compiled_energy(flow).func)
    assert len(programs) == 1


def test_particles_that_feel_no_others_are_padded_and_others_are_not():
    for n in (20, 21):
        x, w = laid_out(field(terms(1.0, 0.0)), cloud(n).positions, cloud(n).weights)
        assert len(x) == len(w) == 24
        assert w.sum() == pytest.approx(1.0)
    pairs = field(((1.0, fn.Interaction("quadratic")),))
    assert len(laid_out(pairs, cloud(21).positions, cloud(21).weights)[0]) == 21


@pytest.mark.parametrize(
    "scheme", [jko.descent.StochasticHeun(), jko.descent.BackwardEuler(), jko.descent.ForwardEuler()]
)
def test_padding_moves_nothing(scheme):
    """Each particle goes its own way, with noise of its own, however many others there are."""
    V = fn.Potential(AtTime(bowl, {"stiffness": 1.0, "centre": np.zeros(2)}))
    F = V + 0.1 * fn.Entropy() if isinstance(scheme, jko.descent.StochasticHeun) else V
    ends = [jko.flow(F, cloud(n), scheme, tau=0.1, n_steps=3, progress=False).final for n in (17, 24)]
    x = [end.positions[:17] for end in ends]
    assert np.allclose(*x, rtol=1e-8)
    assert len(ends[0].positions) == 17


def test_the_numbers_are_part_of_a_fingerprint():
    one, other = (
        fingerprint(fn.Potential(AtTime(bowl, {"stiffness": s, "centre": np.zeros(2)}))) for s in (1.0, 2.0)
    )
    assert one != other


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "scheme", [jko.descent.StochasticHeun(), jko.descent.BackwardEuler(), jko.descent.ForwardEuler()]
)
def test_a_potential_that_knows_itself_without_jax_moves_particles_as_its_program_does(scheme, dtype):
    """The work of many bumps is done in numpy, without compiling a step; the same function alone is
    compiled."""
    generator = np.random.default_rng(1)
    bumps = Radial(40, 1.0).potentials(generator.standard_normal((200, 2)))
    V = Landscape(bumps, 0.1 * generator.standard_normal(bumps.size))
    mu = jko.Particles(generator.standard_normal((900, 2)).astype(dtype))
    ends, noise = [], 0.1 * fn.Entropy() if isinstance(scheme, jko.descent.StochasticHeun) else None
    for one in (V, lambda x: bumps.at(x, V.coefficients)):
        F = fn.Potential(one) if noise is None else fn.Potential(one) + noise
        ends.append(jko.flow(F, mu, scheme, tau=0.1, n_steps=2, progress=False).final.positions)
    assert field(((1.0, fn.Potential(V)),)).native(mu.positions)
    assert ends[0].dtype == dtype
    assert np.abs(ends[0] - ends[1]).max() < (1e-8 if dtype == np.float64 else 2e-5)
