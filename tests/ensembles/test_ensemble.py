"""Many runs as one: the numbers of single runs, labels, failures as data, what is finished stays finished."""

import multiprocessing
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import jax.numpy as jnp
import numpy as np
import pytest
import xarray

import functionals as fn
import jko
from jko.ensembles import compiled

WELL = fn.Potential(lambda x: 0.5 * jnp.sum(x**2))
F = fn.Entropy() + WELL
MU = jko.Particles(np.random.default_rng(0).normal(size=(40, 2)))
SCHEME = jko.descent.Langevin(observables={"size": lambda x: jnp.sum(x**2)})
RUN = {"tau": 0.02, "n_steps": 6, "store_every": 4}


def by_stiffness(stiffness):
    return 0.5 * fn.Entropy() + fn.Potential(lambda x: 0.5 * stiffness * jnp.sum(x**2))


def by_name(stiffness):
    """It looks at its number, so it cannot be traced in it."""
    return 0.5 * fn.Entropy() + fn.Potential("quadratic", stiffness=float(stiffness))


class Stiff(fn.Functional):
    """500∫|x|², of no kind that a scheme looks into before it starts."""

    def energy(self, mu):
        return mu.integrate(lambda x: 500.0 * jnp.sum(x**2))


def far(mu):
    return np.max(np.abs(mu.positions))


def assert_same(member, run, tolerance=1e-13):
    for name in ("energy", "energy_uncertainty"):
        np.testing.assert_allclose(member[name].values, getattr(run, name), rtol=tolerance, err_msg=name)
    np.testing.assert_allclose(member["time"].values, run.times, rtol=1e-15)
    np.testing.assert_allclose(member["mean"].values, [mu.mean() for mu in run.measures], atol=tolerance)
    covariances = [mu.covariance() for mu in run.measures]
    np.testing.assert_allclose(member["covariance"].values, covariances, rtol=1e-11)
    np.testing.assert_allclose(member["size"].values, run.info["size"], rtol=tolerance)


@pytest.mark.slow
def test_seeds_temperatures_and_steps_in_one_call(monkeypatch):
    calls = []
    run_group = compiled._advance_all
    monkeypatch.setattr(compiled, "_advance_all", lambda *a: (calls.append(1), run_group(*a)))
    over = {"seed": [3, 1], "temperature": [0.5, 2.0], "tau": [0.02, 0.01]}
    result = jko.ensemble(F, MU, SCHEME, over=over, n_steps=6, store_every=4, observe={"far": far})
    assert calls == [1]
    for dimension, size in {"seed": 2, "temperature": 2, "tau": 2, "stored": 3, "step": 6}.items():
        assert result.sizes[dimension] == size
    for seed, temperature, tau in ((3, 0.5, 0.02), (1, 2.0, 0.01)):
        scheme = jko.descent.Langevin(seed=seed, observables=SCHEME.observables)
        run = jko.flow(temperature * fn.Entropy() + WELL, MU, scheme, tau=tau, n_steps=6, store_every=4)
        member = result.sel(seed=seed, temperature=temperature, tau=tau)
        assert_same(member, run)
        assert np.allclose(member["far"], [far(mu) for mu in run.measures], rtol=1e-13)
    assert np.all(result["failure"] == "")


@pytest.mark.slow
def test_time_is_a_coordinate_where_the_members_share_it():
    result = jko.ensemble(F, MU, SCHEME, over={"seed": [3, 1]}, tau=0.02, n_steps=6, store_every=2)
    assert result["energy"].dims == ("seed", "time")
    np.testing.assert_allclose(result["time"], [0.0, 0.04, 0.08, 0.12], rtol=1e-15)
    run = jko.flow(F, MU, jko.descent.Langevin(seed=1, observables=SCHEME.observables), tau=0.02, n_steps=4)
    assert float(result["energy"].sel(seed=1, time=0.08)) == pytest.approx(run.energy[-1], rel=1e-13)
    alone = jko.ensemble(F, MU, SCHEME, over={"tau": [0.02]}, n_steps=6, store_every=2)
    assert alone["energy"].dims == ("tau", "time")
    assert float(run.to_xarray()["energy"].sel(time=0.08)) == run.energy[-1]


@pytest.mark.slow
@pytest.mark.parametrize(("make", "calls"), [(by_stiffness, 1), (by_name, 2)])
def test_a_parameter_of_the_functional_is_traced_where_it_can_be(make, calls, monkeypatch):
    groups = []
    run_group = compiled._advance_all
    monkeypatch.setattr(compiled, "_advance_all", lambda *a: (groups.append(1), run_group(*a)))
    result = jko.ensemble(make, MU, SCHEME, over={"stiffness": [1.0, 3.0], "seed": [0, 1]}, **RUN)
    assert len(groups) == calls
    scheme = jko.descent.Langevin(seed=1, observables=SCHEME.observables)
    assert_same(result.sel(stiffness=3.0, seed=1), jko.flow(make(3.0), MU, scheme, **RUN))


def test_any_scheme_and_measure_one_after_the_other():
    def start(shift):
        return jko.Density.gaussian(jko.Grid.uniform(-4.0, 4.0, 40), mean=shift, std=0.5)

    over = {"shift": [0.0, 1.0], "tau": [0.1, 0.2]}
    result = jko.ensemble(F, start, jko.steps.Quantile(), over=over, n_steps=2)
    run = jko.flow(F, start(1.0), jko.steps.Quantile(), tau=0.2, n_steps=2, store_every=2)
    member = result.sel(shift=1.0, tau=0.2)
    assert np.array_equal(member["energy"], run.energy)
    assert member["mean"].shape == (2, 1)


@pytest.mark.slow
def test_a_member_that_fails_is_recorded_with_its_sentence():
    over = {"tau": [0.02, 3.0], "seed": [0, 1]}
    together = jko.ensemble(F, MU, SCHEME, over=over, n_steps=4)
    apart = jko.ensemble(F, MU, SCHEME, over=over, n_steps=4, executor=ThreadPoolExecutor(1))
    diverging = jko.ensemble(Stiff(), MU, jko.descent.Langevin(), over={"tau": [1.0]}, n_steps=300)
    for result in (together, apart):
        assert np.all(result["failure"].sel(tau=0.02) == "")
        assert np.all(np.isfinite(result["energy"].sel(tau=0.02)))
        said = str(result["failure"].sel(tau=3.0, seed=0).item())
        assert said.startswith("ValueError: tau: 3 is beyond the stability limit")
        assert np.all(np.isnan(result["energy"].sel(tau=3.0)))
    assert str(diverging["failure"].item()).startswith("StepFailed: a position became infinite")
    assert "energy" not in diverging


@pytest.mark.slow
def test_what_is_finished_is_not_done_again(tmp_path):
    folder, done = tmp_path / "members", []
    observe = {"far": lambda mu: (done.append(1), far(mu))[1]}
    options = {"observe": observe, "folder": folder} | RUN
    jko.ensemble(F, MU, SCHEME, over={"seed": [0, 1], "tau": [0.02, 9.0]}, **options)
    first = len(done)
    result = jko.ensemble(F, MU, SCHEME, over={"seed": [0, 1, 2], "tau": [0.02]}, **options)
    assert len(done) - first == first // 2
    one = next(folder.iterdir())
    one.write_bytes(one.read_bytes()[:50])
    again = jko.ensemble(F, MU, SCHEME, over={"seed": [0, 1, 2], "tau": [0.02]}, **options)
    xarray.testing.assert_allclose(again.drop_vars("failure"), result.drop_vars("failure"), rtol=1e-12)
    before = len(done)
    jko.ensemble(2.0 * F, MU, SCHEME, over={"seed": [0]}, **options)
    assert len(done) > before


@pytest.mark.slow
def test_executors_give_the_same(tmp_path):
    """Threads here; two dask workers of their own processes, to which lambdas travel too."""
    from dask.distributed import Client, LocalCluster

    options = {"over": {"slope": [0.5, 1.0, 2.0]}, "tau": 0.1, "n_steps": 3}

    def functional(slope):
        return fn.Potential(lambda x: slope * jnp.sum(x**2))

    def run(executor=None):
        return jko.ensemble(functional, MU, jko.descent.ForwardEuler(), executor=executor, **options)

    here = run()
    with ThreadPoolExecutor(2) as threads:
        assert run(threads).identical(here)
    settings = {"threads_per_worker": 1, "dashboard_address": None, "local_directory": str(tmp_path)}
    with LocalCluster(2, **settings) as cluster, Client(cluster) as client:
        assert run(client).identical(here)
        assert run(cluster.scheduler_address).identical(here)


class Broken:
    """An executor whose workers die."""

    def submit(self, function, *arguments):
        class Future:
            def result(self):
                raise ConnectionError("the worker is gone")

        return Future()


def test_a_lost_worker_is_a_failed_member():
    result = jko.ensemble(F, MU, SCHEME, over={"seed": [0, 1]}, executor=Broken(), **RUN)
    assert list(result["failure"].values) == ["ConnectionError: the worker is gone"] * 2


def fatal(slope):
    """Ends the process that makes the second member, unless that is the test's."""
    if slope == 1.0 and multiprocessing.parent_process() is not None:
        os._exit(9)
    return fn.Potential(lambda x: slope * jnp.sum(x**2))


@pytest.mark.slow
def test_a_killed_process_is_named_and_the_rest_is_run_by_the_same_call(tmp_path):
    def run(executor, folder=tmp_path):
        over, scheme = {"slope": [0.5, 1.0, 2.0]}, jko.descent.ForwardEuler()
        return jko.ensemble(
            fatal, MU, scheme, over=over, tau=0.1, n_steps=2, executor=executor, folder=folder
        )

    stopped = run(1)
    assert stopped["failure"].values[0] == ""
    for failure in stopped["failure"].values[1:]:
        assert failure.startswith("ProcessLost: a worker process ended without an answer")
        assert "call again, and with folder= no more than what is missing is run" in failure
    assert len(list(tmp_path.iterdir())) == 1
    assert run(None).identical(run(None, folder=None))


@pytest.mark.slow
@pytest.mark.parametrize("executor", [None, ThreadPoolExecutor(1)], ids=["compiled", "apart"])
def test_what_cannot_be_observed_of_one_member_is_its_own_failure(executor):
    def strange(mu):
        if mu.mean()[0] > 50.0:
            raise RuntimeError("out of sight")
        return np.zeros(2 if mu.mean()[0] > 20.0 else 1)

    def drift(shift):
        return 0.1 * fn.Entropy() + fn.Potential(lambda x: -shift * x[0])

    scheme = jko.descent.StochasticHeun() if executor is None else jko.descent.Langevin()
    over, observe = {"shift": [0.0, 30.0, 60.0]}, {"strange": strange}
    result = jko.ensemble(
        drift, MU, scheme, over=over, observe=observe, executor=executor, tau=0.5, n_steps=2, store_every=2
    )
    assert result["failure"].values[0] == ""
    assert np.all(np.isfinite(result["energy"].sel(shift=0.0)))
    assert "shape" in result["failure"].values[1]
    assert result["failure"].values[2] == "ValueError: observe['strange']: RuntimeError: out of sight"


def test_without_dask_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(ValueError, match=r"dask is not installed: pip install 'jko\[cluster\]'"):
        jko.ensemble(F, MU, SCHEME, over={"seed": [0]}, executor="tcp://127.0.0.1:1", **RUN)
    with pytest.raises(ValueError, match=r"cannot be sent to another process .*top of a module"):
        jko.ensemble(F, MU, SCHEME, over={"seed": [0]}, executor=Broken(), **RUN)


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"over": {"sead": [0]}}, ValueError, "nothing takes 'sead'; known are seed, noise"),
        ({"over": {}}, ValueError, "over: expected at least one name to vary"),
        ({"over": [1, 2]}, TypeError, "over: expected a mapping .* got list"),
        ({"over": {"seed": 5}}, ValueError, "expected a list of values of 'seed', got 5"),
        ({"over": {"seed": []}}, ValueError, "expected a list of values of 'seed'"),
        ({"over": {"seed": [1, 1]}}, ValueError, "repeat each other"),
        ({"tau": None}, TypeError, "tau"),
        ({"n_steps": 0}, ValueError, "n_steps"),
        ({"functional": 3}, TypeError, "functional: expected a Functional or a function"),
        ({"measure": 3}, TypeError, "measure: expected a measure or a function"),
        ({"scheme": jko.descent.Langevin}, TypeError, "scheme: expected one such as"),
        ({"executor": 2.5}, TypeError, "executor: expected a number of processes"),
    ],
)
def test_refusals(changes, error, match):
    given = {"functional": F, "measure": MU, "scheme": SCHEME, "over": {"seed": [0]}} | RUN | changes
    with pytest.raises(error, match=match):
        jko.ensemble(**given)


def test_temperature_of_other_internal_energies_is_a_recorded_failure():
    result = jko.ensemble(
        fn.Power(2) + WELL, MU, jko.descent.Blob(), over={"temperature": [1.0]}, tau=0.1, n_steps=1
    )
    assert "give a functional of temperature" in str(result["failure"].item())
