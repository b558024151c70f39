"""Trajectories: saved as netCDF that other tools open, and loaded again."""

import numpy as np
import pytest

import functionals as fn
import jko
from jko.measures import Density, Gaussian, Grid, Particles
from jko.trajectory import Trajectory
from tests import own_schemes, problems


def runs():
    def flow(F, mu, scheme, **options):
        return jko.flow(F, mu, scheme, tau=0.125, n_steps=5, store_every=2, **options)

    box = Grid.uniform((-1.0, 0.0), (1.0, 3.0), (6, 5))
    plane = Density(box, np.random.default_rng(0).uniform(size=box.cells))
    F = fn.Potential("quadratic")
    return {
        "density 1D": flow(fn.Entropy(), problems.density(1), own_schemes.Smoothing()),
        "density 2D": Trajectory(np.arange(2.0), np.ones(2), [plane, plane], jko.Records.constant(1), 1.0),
        "particles": flow(F, problems.particles(2, weighted=True), own_schemes.Noise()),
        "particles float32": flow(F, problems.particles(3, dtype=np.float32), own_schemes.Noise()),
        "gaussian": flow(fn.Entropy() + F, problems.gaussian(3), own_schemes.HeatOnLine()),
        "failed": flow(F, problems.particles(2), own_schemes.Failing(at=2), throw=False),
    }


RUNS = runs()


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


@pytest.mark.parametrize("name", RUNS)
def test_a_saved_run_is_loaded_as_it_was(tmp_path, name):
    run = RUNS[name]
    path = run.save(tmp_path / "run.nc")
    loaded = Trajectory.load(str(path))
    for field in ("times", "energy", "energy_uncertainty"):
        assert np.array_equal(getattr(run, field), getattr(loaded, field)), field
    for field in ("tau", "functional", "scheme", "energy_kind", "displacement_modulus", "attributes"):
        assert getattr(run, field) == getattr(loaded, field), field
    for mu, nu in zip(run.measures, loaded.measures, strict=True):
        same_measure(mu, nu)
    for column in run.info:
        assert run.info[column].dtype.kind == loaded.info[column].dtype.kind
        assert run.info[column].tolist() == pytest.approx(loaded.info[column].tolist(), nan_ok=True)
    assert [p.name for p in tmp_path.iterdir()] == ["run.nc"]
    assert loaded.save(tmp_path / "again.nc").exists()


@pytest.mark.parametrize("name", RUNS)
def test_other_tools_open_it(tmp_path, name):
    import h5py
    import xarray

    run = RUNS[name]
    path = run.save(tmp_path / "run.nc")
    with xarray.open_dataset(path) as dataset:
        assert np.array_equal(dataset["time"], run.times)
        assert np.array_equal(dataset["energy"], run.energy)
        assert dataset.attrs["units"] == "nondimensional"
        assert list(dataset["step_status"].values) == list(run.info.status)
    with h5py.File(path) as file:
        assert np.array_equal(file["energy"][:], run.energy)
        field = {Density: "density", Particles: "position", Gaussian: "mean"}[type(run.final)]
        assert file[field].shape[0] == len(run)


def test_the_dataset_has_labelled_axes():
    dataset = RUNS["density 2D"].to_xarray()
    grid = RUNS["density 2D"].final.grid
    assert dataset["density"].dims == ("time", "x1", "x2")
    assert np.array_equal(dataset["x2"], grid.axes[1])
    assert (
        dataset["density"].sel(time=1.0, x1=grid.axes[0][3], x2=grid.axes[1][1]).item()
        == RUNS["density 2D"].final.values[3, 1]
    )
    particles = RUNS["particles"].to_xarray()
    assert particles["position"].dims == ("time", "particle", "axis")
    assert particles["step_iterations"].dims == ("step",)
    assert particles["step"].values.tolist() == [1, 2, 3, 4, 5]


def test_attributes_are_kept(tmp_path):
    run = RUNS["gaussian"]
    noted = Trajectory(
        run.times, run.energy, run.measures, run.info, run.tau, attributes={"figure": "3a", "run": 4}
    )
    loaded = Trajectory.load(noted.save(tmp_path / "run.nc"))
    assert loaded.attributes["figure"] == "3a"
    assert loaded.attributes["run"] == 4
    assert loaded.displacement_modulus is None


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    import xarray

    path = RUNS["gaussian"].save(tmp_path / "run.nc")
    content = path.read_bytes()

    def half(self, where, **options):
        where.write_bytes(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(xarray.Dataset, "to_netcdf", half)
    with pytest.raises(OSError, match="no space"):
        RUNS["particles"].save(path)
    assert path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["run.nc"]


def other_netcdf(path):
    import xarray

    xarray.Dataset({"x": ("t", [1.0])}).to_netcdf(path, engine="h5netcdf")


def cut_netcdf(path):
    RUNS["gaussian"].save(path)
    path.write_bytes(path.read_bytes()[:3000])


def emptied_netcdf(path):
    RUNS["gaussian"].to_xarray().drop_vars("covariance").to_netcdf(path, engine="h5netcdf")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no file"),
        (lambda path: path.write_text("time,energy\n0,1\n"), "is not a netCDF file of a run"),
        (lambda path: path.write_bytes(b""), "is not a netCDF file of a run"),
        (lambda path: path.mkdir(), "is not a netCDF file of a run"),
        (other_netcdf, "not one that Trajectory.save wrote"),
        (emptied_netcdf, "not one that Trajectory.save wrote"),
        (cut_netcdf, "is not a netCDF file of a run"),
    ],
)
def test_other_files_are_refused(tmp_path, make, message):
    path = tmp_path / "run.nc"
    make(path)
    with pytest.raises(ValueError, match=rf"^path: .*{message}"):
        Trajectory.load(path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"^path: the folder .* does not exist"):
        RUNS["gaussian"].save(tmp_path / "nowhere" / "run.nc")
