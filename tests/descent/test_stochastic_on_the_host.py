"""Schemes with noise where an interaction sums outside jax: the steps, averages and energies of all pairs."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko import Particles
from jko.descent import Langevin, LeimkuhlerMatthews, StochasticHeun, UnderdampedLangevin
from jko.descent.fields.program import field
from tests.first_step import first_block

OTHERS = 0.5 * fn.Entropy() + fn.Potential("quadratic")
SCHEMES = [Langevin(seed=4), StochasticHeun(seed=4), LeimkuhlerMatthews(seed=4), UnderdampedLangevin(seed=4)]
KERNELS = {
    "fourier": ("gaussian", {"method": "fourier", "tolerance": 1e-8}, 1e-7),
    "split": ("logarithmic", {"method": "split", "tolerance": 1e-6}, 1e-5),
}


def cloud(n=300, dtype=float):
    generator = np.random.default_rng(3)
    weights = generator.uniform(0.5, 1.5, n)
    return Particles(generator.normal(size=(n, 2)).astype(dtype), (weights / weights.sum()).astype(dtype))


def fourth_moment(x):
    return jnp.sum(x**2) ** 2


def both(method):
    """The functional with fast sums and with all pairs, and the tolerance of what follows from them."""
    name, options, tolerance = KERNELS[method]
    return OTHERS + fn.Interaction(name, **options), OTHERS + fn.Interaction(name), tolerance


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "scheme"),
    [
        pytest.param("split", SCHEMES[0], marks=pytest.mark.long),
        *(("fourier", scheme) for scheme in SCHEMES[1:2]),
        *(pytest.param("fourier", scheme, marks=pytest.mark.long) for scheme in SCHEMES[2:]),
    ],
    ids=lambda s: s if isinstance(s, str) else type(s).__name__,
)
def test_steps_and_energies_are_those_of_all_pairs(method, scheme):
    fast, plain, tolerance = both(method)
    runs = [jko.flow(F, cloud(), scheme, tau=0.01, n_steps=3, store_every=3) for F in (fast, plain)]
    assert np.abs(runs[0].final.positions - cloud().positions).max() > 0.05
    assert np.abs(runs[0].final.positions - runs[1].final.positions).max() < tolerance
    assert runs[0].energy == pytest.approx(runs[1].energy, abs=10.0 * tolerance)
    assert runs[0].energy_uncertainty == pytest.approx(runs[1].energy_uncertainty, abs=10.0 * tolerance)
    assert all(method in note and "error of the forces" in note for note in runs[0].info.note)
    assert all(note == "" for note in runs[1].info.note)


@pytest.mark.parametrize("scheme", [SCHEMES[0], SCHEMES[3]], ids=lambda s: type(s).__name__)
def test_blocks_steps_and_resumes_give_the_same_bits(scheme):
    (F, *_), mu = both("fourier"), cloud(dtype=np.float32)
    whole, end, records = first_block(scheme, F, mu, 0.01, 5)
    part, middle, _ = first_block(scheme, F, mu, 0.01, 2)
    problem = scheme.prepare(F, mu)
    rest, again, info = part, jko.State(middle), None
    for _ in range(3):
        rest, again, info = scheme.step(problem, rest, 0.0, 0.01, again)
    assert whole.positions.dtype == np.float32
    assert np.array_equal(rest.positions, whole.positions)
    assert again.keys() == end.keys()
    assert again["step"] == end["step"] == records.n_steps == 5
    assert info.note == records.note[0]


def test_averages_are_taken_after_every_step():
    observables = {"mean": "mean", "spread": "covariance", "fourth": fourth_moment}
    (F, *_), mu = both("fourier"), cloud()
    run = jko.flow(F, mu, Langevin(seed=2, observables=observables), tau=0.01, n_steps=3, store_every=1)
    for step, measure in enumerate(list(run.measures)[1:]):
        x, w = measure.positions, measure.weights
        assert run.info["mean"][step] == pytest.approx(w @ x, abs=1e-14)
        assert run.info["spread"][step] == pytest.approx(np.cov(x.T, aweights=w, ddof=0), rel=1e-12)
        assert run.info["fourth"][step] == pytest.approx(w @ np.sum(x**2, axis=1) ** 2, rel=1e-12)


def test_a_run_taken_up_from_its_file_repeats_the_bits(tmp_path):
    (F, *_), mu, scheme = both("split"), cloud(), Langevin(seed=1)
    whole = jko.flow(F, mu, scheme, tau=0.01, n_steps=4, store_every=2)
    jko.flow(F, mu, scheme, tau=0.01, n_steps=2, store_every=2, checkpoint=tmp_path / "run")
    resumed = jko.flow(F, mu, scheme, tau=0.01, n_steps=4, store_every=2, checkpoint=tmp_path / "run")
    assert np.array_equal(resumed.final.positions, whole.final.positions)
    assert np.array_equal(resumed.info.note, whole.info.note)


@pytest.mark.slow
def test_what_becomes_infinite_ends_the_block():
    scheme = Langevin()
    F = fn.Entropy() + fn.Potential(lambda x: jnp.sum(x**4)) + fn.Interaction("logarithmic", method="split")
    mu = Particles(100.0 * cloud().positions)
    problem = scheme.prepare(F, mu)
    same, _, records = scheme.advance(problem, mu, 0.01, 0.01, 40, problem.start.having(step=1))
    assert same is mu
    assert set(records.status) == {"unstable"}
    assert "take a smaller tau" in records.note[0]


def test_members_of_an_ensemble_are_the_runs_themselves():
    (F, *_), mu = both("fourier"), cloud()
    together = jko.ensemble(F, mu, Langevin(), over={"seed": [1, 2]}, tau=0.01, n_steps=2)
    for index, seed in enumerate((1, 2)):
        alone = jko.flow(F, mu, Langevin(seed=seed), tau=0.01, n_steps=2, store_every=2)
        assert np.array_equal(np.asarray(together["energy"])[index], alone.energy)


def test_a_method_that_does_not_carry_the_kernel_is_refused_before_the_first_step():
    F = OTHERS + fn.Interaction(lambda z: jnp.exp(-(z[0] ** 2) - 3.0 * z[1] ** 2), method="split")
    with pytest.raises(ValueError, match="'split' needs a kernel that is a smooth function"):
        Langevin().prepare(F, cloud())


@pytest.mark.parametrize(
    ("n", "options", "backend", "expected"),
    [
        (300, {}, "cpu", False),
        (5000, {}, "cpu", True),
        (5000, {}, "gpu", False),
        (5000, {"method": "direct"}, "gpu", False),
        (5000, {"method": "fourier"}, "gpu", True),
        (20_000, {}, "gpu", True),
        (5000, {"method": "random batch"}, "cpu", False),
    ],
)
def test_where_a_step_is_taken(monkeypatch, n, options, backend, expected):
    monkeypatch.setattr("jax.default_backend", lambda: backend)
    flow = field(((1.0, fn.Interaction("gaussian", **options)),))
    assert flow.leaves_jax(np.zeros((n, 2))) is expected
