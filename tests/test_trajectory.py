"""Trajectories: saved as netCDF that other tools open, and loaded again."""

import errno
import functools
import math
import os
from pathlib import Path

import numpy as np
import pytest

import functionals as fn
import jko
from jko.errors import NotWritten
from jko.measures import Density, Gaussian, Grid, Particles
from jko.records import Records, StepInfo
from jko.trajectory import Trajectory
from tests import own_schemes, problems


def odd_columns():
    """Records with every kind of column, NaN and infinities among them."""
    numbers = np.array([[1.0, math.nan], [-math.inf, -0.0]])
    return jko.Records.constant(2, note="σ ≤ ∞, \n").with_columns(
        field=numbers, counts=np.array([1, 2**62]), taken=np.array([True, False]), words=np.array(["", "ü"]),
        single=np.float32([0.1, 3e38]), spectrum=np.array([1 + 2j, 0]), deep=np.arange(8).reshape(2, 2, 2),
    )  # fmt: skip


def runs():
    def flow(F, mu, scheme, **options):
        return jko.flow(F, mu, scheme, tau=0.125, n_steps=5, store_every=2, **options)

    box = Grid.uniform((-1.0, 0.0), (1.0, 3.0), (6, 5))
    plane = Density(box, np.random.default_rng(0).uniform(size=box.cells))
    F = fn.Potential("quadratic")
    cloud, torus = problems.particles(2), Grid.uniform((0.0, -1.0), (1.0, 1e9), (3, 2), (False, True))
    ramp = np.arange(1.0, cloud.n + 1)
    moved = Particles(cloud.positions, ramp / ramp.sum())
    wound = Density(torus, np.random.default_rng(0).uniform(size=torus.cells))
    energy = np.array([math.inf, math.nan])
    return {
        "weights that change": lambda: Trajectory([0, 1], energy, [cloud, moved], odd_columns(), 0.5),
        "torus": lambda: Trajectory(
            [0, 1], energy, [wound, wound], odd_columns(), 0.5, displacement_modulus=-math.inf
        ),
        "no step": lambda: jko.flow(F, cloud, own_schemes.Noise(), tau=0.5, n_steps=0),
        "density 1D": lambda: flow(fn.Entropy(), problems.density(1), own_schemes.Smoothing()),
        "density 2D": lambda: Trajectory(
            np.arange(2.0), np.ones(2), [plane, plane], jko.Records.constant(1), 1.0
        ),
        "particles": lambda: flow(F, problems.particles(2, weighted=True), own_schemes.Noise()),
        "particles float32": lambda: flow(F, problems.particles(3, dtype=np.float32), own_schemes.Noise()),
        "gaussian": lambda: flow(fn.Entropy() + F, problems.gaussian(3), own_schemes.HeatOnLine()),
        "failed": lambda: flow(F, problems.particles(2), own_schemes.Failing(at=2), throw=False),
    }


MADE = runs()


@functools.cache
def run_of(name):
    """A run, made when a test first asks for it."""
    return MADE[name]()


def same_measure(mu, nu):
    assert type(mu) is type(nu)
    if isinstance(mu, Density):
        assert mu.grid == nu.grid
        assert np.array_equal(mu.values, nu.values)
    elif isinstance(mu, Particles):
        assert mu.positions.dtype == nu.positions.dtype
        assert mu.weights.dtype == nu.weights.dtype
        assert np.array_equal(mu.positions, nu.positions)
        assert np.array_equal(mu.weights, nu.weights)
    else:
        assert np.array_equal(mu.mean(), nu.mean())
        assert np.array_equal(mu.covariance(), nu.covariance())


@pytest.mark.parametrize("name", MADE)
def test_a_saved_run_is_loaded_as_it_was(tmp_path, name):
    run = run_of(name)
    path = run.save(tmp_path / "run.nc")
    loaded = Trajectory.load(str(path))
    for field in ("times", "energy", "energy_uncertainty"):
        assert np.array_equal(getattr(run, field), getattr(loaded, field), equal_nan=True), field
    for field in ("tau", "functional", "scheme", "energy_kind", "displacement_modulus", "attributes"):
        assert getattr(run, field) == getattr(loaded, field), field
    for mu, nu in zip(run.measures, loaded.measures, strict=True):
        same_measure(mu, nu)
    for column in run.info:
        assert run.info[column].dtype.kind == loaded.info[column].dtype.kind
        assert run.info[column].shape == loaded.info[column].shape
        if run.info[column].dtype.kind == "U":
            assert run.info[column].tolist() == loaded.info[column].tolist()
        else:
            assert run.info[column].dtype == loaded.info[column].dtype
            assert run.info[column].tobytes() == loaded.info[column].tobytes()
    assert [p.name for p in tmp_path.iterdir()] == ["run.nc"]
    assert loaded.save(tmp_path / "again.nc").exists()


@pytest.mark.parametrize("name", MADE)
def test_other_tools_open_it(tmp_path, name):
    import h5py
    import xarray

    run = run_of(name)
    path = run.save(tmp_path / "run.nc")
    with xarray.open_dataset(path) as dataset:
        assert np.array_equal(dataset["time"], run.times)
        assert np.array_equal(dataset["energy"].values, run.energy, equal_nan=True)
        assert dataset.attrs["units"] == "nondimensional"
        assert list(dataset["step_status"].values) == list(run.info.status)
    with h5py.File(path) as file:
        assert np.array_equal(file["energy"][:], run.energy, equal_nan=True)
        field = {Density: "density", Particles: "position", Gaussian: "mean"}[type(run.final)]
        assert file[field].shape[0] == len(run)


def test_the_dataset_has_labelled_axes():
    dataset = run_of("density 2D").to_xarray()
    grid = run_of("density 2D").final.grid
    assert dataset["density"].dims == ("time", "x1", "x2")
    assert np.array_equal(dataset["x2"], grid.axes[1])
    assert (
        dataset["density"].sel(time=1.0, x1=grid.axes[0][3], x2=grid.axes[1][1]).item()
        == run_of("density 2D").final.values[3, 1]
    )
    particles = run_of("particles").to_xarray()
    assert particles["position"].dims == ("time", "particle", "axis")
    assert particles["step_iterations"].dims == ("step",)
    assert particles["step"].values.tolist() == [1, 2, 3, 4, 5]


def test_attributes_are_kept(tmp_path):
    run = run_of("gaussian")
    attributes = {"figure": "3a", "run": 4, "seconds": 0.5, "worst": -math.inf, "largest": 2**80, "empty": ""}
    attributes |= {"tested": True, "seed": None, "path": ["x", "ü☃", 3], "nested": {"a": [1.5, {"b": False}]}}
    attributes |= {"zero": "a\0b", "json": "json: true", "ξ": "\ud800", "one": [7], "none": []}
    noted = Trajectory(
        run.times, run.energy, run.measures, run.info, run.tau, functional="F\0", attributes=attributes
    )
    loaded = Trajectory.load(noted.save(tmp_path / "run.nc"))
    assert loaded.attributes == attributes
    assert {name: type(value) for name, value in loaded.attributes.items()} == {
        name: type(value) for name, value in attributes.items()
    }
    assert loaded.functional == "F\0"
    assert loaded.displacement_modulus is None


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"tau": 1.0}, "'tau' is what the file calls a part of the run: rename it"),
        ({"a": object()}, "a file keeps texts, numbers, .* not the object that 'a' is"),
        ({"a/b": 1}, "expected names that are plain texts"),
    ],
)
def test_attributes_that_would_not_come_back_are_refused(tmp_path, attributes, message):
    run = run_of("gaussian")
    noted = Trajectory(run.times, run.energy, run.measures, run.info, run.tau, attributes=attributes)
    with pytest.raises(ValueError, match=f"^attributes: {message}"):
        noted.save(tmp_path / "run.nc")
    assert not list(tmp_path.iterdir())


def test_measures_that_no_file_holds_are_refused(tmp_path):
    run = run_of("particles")
    others = [*run.measures[:-1], problems.particles(2, n=5)]
    with pytest.raises(ValueError, match=r"^measures: a file holds measures of one kind"):
        Trajectory(run.times, run.energy, others, run.info, run.tau).save(tmp_path / "run.nc")


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = run_of("gaussian").save(tmp_path / "run.nc")
    content = path.read_bytes()

    def half(self, content):
        write(self, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(NotWritten, match=r"no space left .*; what it held before is kept"):
        run_of("particles").save(path)
    assert path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["run.nc"]


def other_netcdf(path):
    import xarray

    xarray.Dataset({"x": ("t", [1.0])}).to_netcdf(path, engine="h5netcdf")


def cut_netcdf(path):
    run_of("gaussian").save(path)
    path.write_bytes(path.read_bytes()[:3000])


def emptied_netcdf(path):
    run_of("gaussian").to_xarray().drop_vars("covariance").to_netcdf(path, engine="h5netcdf")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no file"),
        (lambda path: path.write_text("time,energy\n0,1\n"), "is not a netCDF file of a run"),
        (lambda path: path.write_bytes(b""), "is empty, expected a netCDF file of a run"),
        (lambda path: path.mkdir(), "is not a netCDF file of a run"),
        (other_netcdf, "not one that Trajectory.save wrote"),
        (emptied_netcdf, "not one that Trajectory.save wrote"),
        (cut_netcdf, "is damaged, or was changed by another tool"),
    ],
)
def test_other_files_are_refused(tmp_path, make, message):
    path = tmp_path / "run.nc"
    make(path)
    with pytest.raises(ValueError, match=rf"^path: .*{message}"):
        Trajectory.load(path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"^path: the folder .* does not exist"):
        run_of("gaussian").save(tmp_path / "nowhere" / "run.nc")


def test_a_run_saved_before_there_were_checksums_is_loaded(tmp_path):
    run = run_of("density 2D")
    run.to_xarray().to_netcdf(tmp_path / "run.nc", engine="h5netcdf")
    same_measure(Trajectory.load(tmp_path / "run.nc").final, run.final)


def test_a_changed_number_is_noticed(tmp_path):
    import h5py

    path = run_of("gaussian").save(tmp_path / "run.nc")
    with h5py.File(path, "r+") as file:
        file["energy"][1] += 1e-12
    with pytest.raises(ValueError, match=r"^path: .* is damaged, or was changed by another tool"):
        Trajectory.load(path)


@pytest.mark.parametrize("place", [3, None, b"run.nc", ["run.nc"]])
def test_what_is_no_file_name_is_refused_in_a_sentence(place):
    run = jko.flow(fn.Potential("quadratic"), Gaussian.of(1.0, 0.5), jko.steps.Gaussian(), tau=0.1, n_steps=1)
    for use in (run.save, run.film, jko.Trajectory.load, jko.compare({"run": run}).report):
        with pytest.raises(TypeError, match="path: expected the name of a file"):
            use(place)


def test_a_detail_that_no_step_has_is_an_error_unless_a_default_says_what_it_is():
    records = Records.of([StepInfo(details={"made": 1.0}), StepInfo(details={"passes": 2})])
    assert records.detail("made") == [1.0, None]
    assert records.detail("made", 0.0) == [1.0, 0.0]
    assert records.detail("left", 0.0) == [0.0, 0.0]
    with pytest.raises(KeyError, match="no step has a detail 'left'; there are 'made', 'passes'"):
        records.detail("left")
    assert Records.of([]).detail("left") == []
