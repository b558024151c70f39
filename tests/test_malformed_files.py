"""Malformed experiments and damaged results, some of the thousands of tests/fuzz."""

import math

import pytest

import jko
from tests.fuzz import damaged, malformed


@pytest.mark.parametrize("seed", range(10_000, 10_040))
def test_a_malformed_experiment_is_one_sentence_and_leaves_nothing(seed):
    assert not malformed.outcome(seed).startswith("fault")


def test_most_of_the_damage_is_damage_and_the_undamaged_are_good():
    files = {"experiment.toml": malformed.MORE["cloud"].encode()} | malformed.companions()
    assert malformed.of_files(files) == "ran"
    assert malformed.of_files(files | {"points.csv": b"PK"}) == "refused"
    assert malformed.of_files(files | {"experiment.toml": b"\xff"}) == "refused"


@pytest.mark.parametrize("seed", range(10_000, 10_024))
def test_damaged_results_are_refused_or_the_same(seed):
    assert damaged.outcome(seed) in ("refused", "same", "another run")


def test_a_run_of_every_kind_of_measure_is_loaded_as_it_was(tmp_path):
    runs = damaged._runs()
    ours = {name for name, kind in jko.measures.Measure.known.items() if kind.__module__.startswith("jko.")}
    assert {type(run.final).__name__ for run in runs} >= ours - {"CellDensity", "Shard"}
    for run in runs:
        loaded = jko.Trajectory.load(run.save(tmp_path / "run.nc"))
        assert damaged._everything(loaded) == damaged._everything(run), run.final


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda d: d.assign_coords(time=d["time"] * math.nan), "times: expected finite numbers that rise"),
        (lambda d: d.assign_coords(time=-d["time"]), "times: expected finite numbers that rise"),
        (lambda d: d.drop_vars("energy"), "No variable named 'energy'"),
        (lambda d: d.assign(energy=("k", [1.0])), "energy: expected 4 numbers, one a measure"),
        (lambda d: d.assign(step_gap=("k", [1.0])), "step_gap: expected one entry a step"),
        (lambda d: d.assign(step_gap=("step", ["a"] * 3)), "step_gap: expected one entry a step"),
        (lambda d: d.assign(step_status=("step", ["good"] * 3)), "status: expected one of"),
        (lambda d: d.assign(step_details=("step", ["3"] * 3)), "step_details: expected names and values"),
        (lambda d: d.assign_attrs(tau=-1.0), "tau: expected a positive number, got -1"),
    ],
)
def test_what_another_tool_wrote_is_a_run_or_refused(tmp_path, change, what):
    path = tmp_path / "run.nc"
    change(damaged._runs()[1].to_xarray()).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(ValueError, match=what):
        jko.Trajectory.load(path)
