"""flow: what it stores, how it fails, what it refuses."""

from dataclasses import dataclass

import numpy as np
import pytest

import functionals as fn
import jko
from jko.errors import StepFailed
from tests import own_schemes, problems

F = fn.Potential("quadratic")


def walk(scheme=None, n_steps=7, **options):
    return jko.flow(
        F, problems.particles(2), scheme or own_schemes.Noise(), tau=0.1, n_steps=n_steps, **options
    )


@pytest.mark.parametrize(
    ("store_every", "steps"), [(1, range(8)), (3, [0, 3, 6, 7]), (7, [0, 7]), (100, [0, 7])]
)
@pytest.mark.parametrize("scheme", [own_schemes.Noise(), own_schemes.NoiseInBlocks()])
def test_what_is_stored(scheme, store_every, steps):
    run, every = walk(scheme, store_every=store_every), walk()
    np.testing.assert_allclose(run.times, 0.1 * np.array(steps), rtol=1e-15)
    assert len(run) == len(run.times) == len(run.energy) == len(run.measures) == len(run.energy_uncertainty)
    for i, step in enumerate(steps):
        assert np.array_equal(run.measures[i].positions, every.measures[step].positions)
        assert run.energy[i] == F(run.measures[i])
    assert run.energy_uncertainty.tolist() == [0.25] * len(run)
    assert run.info.n_steps == 7
    assert run.info.iterations.tolist() == list(range(7))
    assert list(run.info["note"]) == [f"step {i}" for i in range(7)]
    assert all(len(column) == 7 for column in run.info.values())


def test_the_final_measure_and_the_settings_of_the_run():
    run = jko.flow(fn.Entropy(), problems.gaussian(2), own_schemes.HeatOnLine(), tau=0.25, n_steps=4)
    np.testing.assert_allclose(run.final.covariance(), problems.gaussian(2).covariance() + 2.0 * np.eye(2))
    assert run.final is run.measures[-1]
    assert run.functional == "Entropy()"
    assert run.scheme == "HeatOnLine()"
    assert run.tau == 0.25
    assert run.displacement_modulus == 0.0
    assert np.all(np.diff(run.energy) < 0)
    assert run.at(0.6) is run.measures[2]


def test_no_steps_store_the_beginning():
    run = walk(n_steps=0)
    assert run.times.tolist() == [0.0]
    assert run.info.n_steps == 0


@pytest.mark.slow
def test_blocks_longer_than_a_thousand_steps_are_cut_and_nothing_is_lost():
    lengths = []

    class Counting(own_schemes.NoiseInBlocks):
        def advance(self, problem, mu, t, tau, n, state):
            lengths.append(n)
            return super().advance(problem, mu, t, tau, n, state)

    jko.scheme.Scheme.known.pop(Counting.scheme_name())
    run = walk(Counting(), n_steps=2345, store_every=2345)
    assert lengths == [1000, 1000, 345]
    assert np.array_equal(run.final.positions, walk(n_steps=2345, store_every=5000).final.positions)


@pytest.mark.parametrize("scheme", [own_schemes.Failing(at=3), own_schemes.FailingInBlocks(at=3)])
@pytest.mark.parametrize("store_every", [1, 2, 10])
def test_a_failed_step_raises_or_ends_the_run(scheme, store_every):
    with pytest.raises(
        StepFailed, match=r"step 4 .* 'not converged': the bed was too hard, .*throw=False"
    ) as caught:
        walk(scheme, store_every=store_every)
    assert caught.value.info.gap == 0.5
    run = walk(scheme, store_every=store_every, throw=False)
    assert run.info.n_steps == 4
    assert list(run.info.status) == ["converged"] * 3 + ["not converged"]
    assert run.times[-1] == pytest.approx(0.3)
    assert np.array_equal(run.final.positions, walk(n_steps=3).final.positions)


def test_a_failure_at_the_first_step():
    run = walk(own_schemes.Failing(at=0), throw=False)
    assert run.times.tolist() == [0.0]
    assert list(run.info.status) == ["not converged"]


@dataclass
class NotAScheme:
    def prepare(self, F, mu): ...

    def step(self, problem, mu, t, tau, state): ...


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"functional": lambda x: x}, TypeError, r"functional: expected a Functional, got function"),
        (
            {"measure": np.zeros((3, 2))},
            TypeError,
            r"measure: expected a Density, Particles or Gaussian, got ndarray",
        ),
        (
            {"scheme": own_schemes.Noise},
            TypeError,
            r"scheme: expected a scheme such as .*, got the class Noise",
        ),
        ({"scheme": NotAScheme()}, TypeError, r"scheme: expected a scheme such as .*, got NotAScheme"),
        ({"tau": 0.0}, ValueError, r"tau: expected a positive number, got 0"),
        ({"tau": np.nan}, ValueError, r"tau: expected a positive number, got nan"),
        ({"tau": "0.1"}, TypeError, r"tau: expected a positive number, got '0.1'"),
        ({"n_steps": 2.5}, TypeError, r"n_steps: expected a whole number, got 2.5"),
        ({"n_steps": -1}, ValueError, r"n_steps: expected a whole number of at least 0, got -1"),
        ({"n_steps": True}, TypeError, r"n_steps: expected a whole number, got True"),
        ({"store_every": 0}, ValueError, r"store_every: expected a whole number of at least 1, got 0"),
        (
            {"measure": problems.density(1)},
            TypeError,
            r"moves Particles, got Density: draw them with mu.sample",
        ),
    ],
)
def test_refusals_before_any_work(change, error, message):
    arguments = {"functional": F, "measure": problems.particles(2), "scheme": own_schemes.Noise()}
    arguments |= {"tau": 0.1, "n_steps": 2} | change
    with pytest.raises(error, match=message):
        jko.flow(**arguments)


def test_the_progress_bar_is_shown_when_asked(capsys):
    class Slow(own_schemes.Noise):
        pass

    jko.scheme.Scheme.known.pop(Slow.scheme_name())
    walk(Slow(pause=0.4), n_steps=4, progress=True)
    assert "Slow" in capsys.readouterr().err
    walk(n_steps=3, progress=False)
    assert capsys.readouterr().err == ""
