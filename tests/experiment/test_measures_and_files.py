"""Initial measures in every form, gridded data, images, points: what is read is what is there."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import functionals as fn
import jko
from functionals import registry
from jko.experiment import ExperimentError, load, parse

LINE = """
[grid]
lower = -4.0
upper = 4.0
cells = 128
"""
PLANE = """
[grid]
lower = [0.0, 0.0]
upper = [2.0, 1.0]
cells = [16, 8]
"""
RUNS = """
[[functional]]
name = "entropy"
[runs.PDE]
scheme = "FiniteVolume"
tau = 0.01
n_steps = 1
[runs.Langevin]
scheme = "Langevin"
tau = 0.01
n_steps = 1
"""
MANY = "particles = 20_000\nseed = 3\n"


def both(initial, grid=LINE, particles=MANY, folder="."):
    """The initial density and the initial cloud of an experiment."""
    experiment = parse(f"{grid}\n[initial]\n{initial}\n{RUNS}{particles}", folder)
    return experiment.runs["PDE"].measure, experiment.runs["Langevin"].measure, experiment


def test_finite_volumes_in_another_metric():
    start = '[initial]\nkind = "gaussian"\nmean = 0.5\nstd = 1.0\n'
    terms = '[[functional]]\nname = "fermi_dirac"\ncap = 1.0\n'
    runs = '[runs.PDE]\nscheme = "FiniteVolume"\ntau = 0.01\nn_steps = 1\n'
    runs += 'mobility = "exclusion"\nmetric = [[2.0]]\n'
    experiment = parse(LINE + start + terms + runs)
    assert experiment.runs["PDE"].scheme == jko.limits.FiniteVolume(mobility=jko.Exclusion(), metric=[[2.0]])
    with pytest.raises(ExperimentError, match=r'runs\.PDE.*mobility: expected "exclusion"'):
        parse(LINE + start + terms + runs.replace("exclusion", "none"))


def test_a_periodic_axis(tmp_path):
    runs = RUNS.split("[runs.Langevin]")[0]
    start = '[initial]\nkind = "expression"\ndensity = "2 + cos(2*pi*x1)"'
    experiment = parse(f"{PLANE}periodic = [true, false]\n{start}\n{runs}")
    assert experiment.grid.periodic == (True, False)
    run = experiment.runs["PDE"]
    assert run.flow(experiment.functional).final.grid == experiment.grid
    assert parse(f"{PLANE}periodic = true\n{start}\n{runs}").grid.periodic == (True, True)
    Image.fromarray(np.full((8, 16), 200, np.uint8)).save(tmp_path / "grey.png")
    seen = parse(f'{PLANE}periodic = true\n[initial]\nkind = "image"\nfile = "grey.png"\n{runs}', tmp_path)
    assert seen.runs["PDE"].measure.grid == seen.grid


@pytest.mark.parametrize(
    ("initial", "mean", "variance"),
    [
        ('kind = "gaussian"\nmean = 0.5\nstd = 0.6', 0.5, 0.36),
        ('kind = "gaussian"\nmean = 0.5\ncovariance = 0.36', 0.5, 0.36),
        ('kind = "mixture"\nmeans = [-1, 2]\nstds = [0.5, 0.3]\nweights = [3, 1]', -0.25, 1.6875 + 0.21),
        ('kind = "indicator"\nlower = -1\nupper = 2', 0.5, 0.75),
        ('kind = "uniform"', 0.0, 64 / 12),
        ('kind = "expression"\ndensity = "exp(-abs(x - 1)^2*2)"', 1.0, 0.25),
    ],
)
def test_density_and_cloud_are_the_same_measure(initial, mean, variance):
    rho, cloud, _ = both(initial)
    assert rho.mass == pytest.approx(1.0, abs=1e-12)
    assert rho.mean()[0] == pytest.approx(mean, abs=2e-3)
    assert rho.covariance()[0, 0] == pytest.approx(variance, rel=2e-3)
    spread = np.sqrt(variance / cloud.n)
    assert abs(cloud.mean()[0] - mean) < 4 * spread
    assert cloud.covariance()[0, 0] == pytest.approx(variance, rel=0.05)


def test_the_seed_draws_the_particles():
    initial = 'kind = "gaussian"\nmean = 0\nstd = 1'
    one, same, other = (
        both(initial, particles=f"particles = 9\nseed = {s}\n")[1].positions for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_gaussian_scheme_starts_from_the_gaussian():
    text = LINE + '[initial]\nkind = "gaussian"\nmean = 0\nstd = 1\n' + RUNS
    gaussian = text + '[runs.exact]\nscheme = "steps.Gaussian"\ntau = 0.1\nn_steps = 1\n'
    experiment = parse(gaussian.replace("[runs.Langevin]", "[runs.Langevin]\nparticles = 9"))
    assert isinstance(experiment.runs["exact"].measure, jko.Gaussian)
    uniform = gaussian.replace('kind = "gaussian"\nmean = 0\nstd = 1', 'kind = "uniform"')
    with pytest.raises(ExperimentError, match=r"^runs.exact.scheme: steps.Gaussian starts from a Gaussian"):
        parse(uniform.replace("[runs.Langevin]", "[runs.Langevin]\nparticles = 9"))


def test_the_exact_solution_as_the_start():
    exact = '[exact]\nname = "Barenblatt"\nstart_time = 0.2\n'
    rho, cloud, experiment = both('kind = "exact"\n' + exact)
    np.testing.assert_allclose(rho.values, jko.exact.Barenblatt(start_time=0.2).on(rho.grid, 0.0).values)
    assert np.abs(cloud.positions).max() <= experiment.exact.radius(0.0) + rho.grid.spacing[0]
    with pytest.raises(ExperimentError, match=r"^initial.kind: 'exact' needs a table \[exact\]"):
        both('kind = "exact"')


@pytest.mark.parametrize("suffix", ["csv", "npy"])
def test_points(tmp_path: Path, suffix):
    points = np.random.default_rng(5).normal([1.0, 0.5], 0.1, size=(300, 2))
    if suffix == "csv":
        np.savetxt(tmp_path / "p.csv", points, delimiter=",", header="x,y", comments="", fmt="%.17g")
    else:
        np.save(tmp_path / "p.npy", points)
    initial = f'kind = "points"\nfile = "p.{suffix}"'
    rho, cloud, experiment = both(initial, PLANE, "", tmp_path)
    np.testing.assert_array_equal(cloud.positions, points)
    np.testing.assert_allclose(rho.mean(), points.mean(axis=0), atol=0.02)
    assert experiment.notes == (
        f"grid runs start from a Gaussian kernel density estimate of the 300 points of p.{suffix} "
        "(Silverman's bandwidth)",
    )
    _, few, _ = both(initial, PLANE, "particles = 100\n", tmp_path)
    assert few.n == 100
    assert np.isin(few.positions, points).all()
    with pytest.raises(ExperimentError, match=r"^runs.Langevin.particles: expected 300 at most"):
        both(initial, PLANE, "particles = 301\n", tmp_path)
    _, line, _ = both(f"{initial}\ncolumns = [0]", LINE, "", tmp_path)
    np.testing.assert_array_equal(line.positions, points[:, :1])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"1,2\n3\n", "initial.file: "),
        (b"1,nan\n3,4\n", "initial.file: "),
        (b"1,a\n3,4\nb,c\n", "initial.file: "),
        (b"", "initial.file"),
        (b"9,9\n8,8\n", "initial.file: 2 of 2 lie outside the grid"),
        (b"1,2,3\n1,2,3\n", "initial.kind: the measure has dimension 3, the grid 2"),
    ],
)
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_points_that_are_none(tmp_path: Path, content, says):
    (tmp_path / "p.csv").write_bytes(content)
    with pytest.raises(ExperimentError) as refusal:
        both('kind = "points"\nfile = "p.csv"', PLANE, "", tmp_path)
    assert str(refusal.value).startswith(says)


def test_an_array_that_carries_code_is_refused(tmp_path: Path):
    np.save(tmp_path / "p.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ExperimentError, match=r"^initial.file: 'p.npy' cannot be read as numbers"):
        both('kind = "points"\nfile = "p.npy"', PLANE, "", tmp_path)


def test_an_image_has_its_right_side_right_and_its_top_up(tmp_path: Path):
    pixels = np.zeros((40, 80), dtype=np.uint8)
    pixels[:10, 60:] = 255
    Image.fromarray(pixels).save(tmp_path / "i.png")
    rho, _, experiment = both('kind = "image"\nfile = "i.png"', PLANE, MANY, tmp_path)
    assert rho.mean() == pytest.approx([1.75, 0.875])
    variance = np.array([0.5, 0.25]) ** 2 / 12 * (1 - 1 / np.array([16.0, 4.0]))
    assert rho.covariance() == pytest.approx(np.diag(variance), rel=1e-9, abs=1e-12)
    assert "80×40 pixels" in experiment.notes[0]
    dark, _, _ = both('kind = "image"\nfile = "i.png"\ninvert = true', PLANE, MANY, tmp_path)
    assert dark.values[-1, -1] == 0.0
    (tmp_path / "i.png").write_bytes(b"no image")
    with pytest.raises(ExperimentError, match=r"^initial.file: 'i.png' cannot be read as an image"):
        both('kind = "image"\nfile = "i.png"', PLANE, MANY, tmp_path)


def test_gridded_density(tmp_path: Path):
    values = np.arange(128.0).reshape(16, 8)
    np.save(tmp_path / "d.npy", values)
    rho, _, _ = both('kind = "gridded"\nfile = "d.npy"', PLANE, MANY, tmp_path)
    np.testing.assert_allclose(rho.values, values / (values.sum() / 64.0))
    np.save(tmp_path / "d.npy", values.T)
    with pytest.raises(ExperimentError, match=r"^initial.file: expected shape \(16, 8\)"):
        both('kind = "gridded"\nfile = "d.npy"', PLANE, MANY, tmp_path)


def functional(tables, grid=PLANE, folder="."):
    """The functional of the given [[functional]] tables."""
    run = "[runs.PDE]\nscheme = 'FiniteVolume'\ntau = 1\nn_steps = 1\n"
    return parse(f"{grid}\n[initial]\nkind = 'uniform'\n{tables}\n{run}", folder).functional


@pytest.mark.parametrize("turn", [np.atleast_2d, np.transpose], ids=["row", "column"])
def test_a_table_on_the_line_is_a_column_or_a_row(tmp_path: Path, turn):
    values = np.random.default_rng(3).random(128)
    np.savetxt(tmp_path / "d.csv", turn(values[None]), delimiter=",")
    rho, _, _ = both('kind = "gridded"\nfile = "d.csv"', LINE, MANY, tmp_path)
    np.testing.assert_allclose(rho.values, values / (values.sum() * rho.grid.cell_volume))
    V = functional('[[functional]]\nname = "potential"\nfile = "d.csv"', LINE, tmp_path)
    np.testing.assert_allclose(V.values(rho.grid.points), values, atol=1e-12)


@pytest.mark.parametrize(
    ("start", "says"),
    [
        ('kind = "gridded"\nfile = "d.csv"', "initial.file: expected shape"),
        ('kind = "expression"\ndensity = "log(x1)"', "initial.density: expected finite numbers"),
        ('kind = "gaussian"\nmean = 99.0\nstd = 0.1', "initial.mean: the Gaussian of mean"),
        ('kind = "points"\nfile = "d.csv"\nbandwidth = -1.0', "initial.bandwidth: expected a positive"),
    ],
)
def test_a_start_that_is_refused_is_named_by_its_key(tmp_path: Path, start, says):
    (tmp_path / "d.csv").write_text("1\n2\n3\n")
    with pytest.raises(ExperimentError, match=f"^{says}"):
        both(start, LINE, MANY, tmp_path)
    text = f"{LINE}\n[species.a]\n{start}\n[[functional]]\nname = 'entropy'\nspecies = 'a'\n"
    text += "[runs.q]\nscheme = 'SpeciesInTurn'\ntau = 1.0\nn_steps = 1\nstep.scheme = 'Quantile'\n"
    with pytest.raises(ExperimentError, match=f"^{says.replace('initial', 'species.a')}"):
        parse(text, tmp_path)


def test_gridded_potential_of_an_image_like_file(tmp_path: Path):
    rows = np.random.default_rng(2).random((9, 17))
    np.savez(tmp_path / "v.npz", V=rows, other=rows[:2])
    keys = '[[functional]]\nname = "potential"\nfile = "v.npz"\nkey = "V"\n'
    V = functional(
        keys + "rows_down = true\ncrop = [[1, 9], [0, 16]]\ncoarsen = 2\nscale = 3.0", folder=tmp_path
    )
    blocks = rows[1:9, :16].reshape(4, 2, 8, 2).mean(axis=(1, 3))
    grid = jko.Grid.uniform((0, 0), (2, 1), (8, 4))
    np.testing.assert_allclose(V.values(grid.points).reshape(8, 4), 3.0 * blocks[::-1].T, atol=1e-12)
    W = functional(
        keys + "crop = [[0, 9], [0, 9]]\nnormalise = true\nlower = 0\nupper = [1, 1]", folder=tmp_path
    )
    at_samples = W.values(jko.Grid.uniform((0, 0), (1, 1), 9).points)
    assert at_samples.min() == pytest.approx(0.0, abs=1e-12)
    assert at_samples.max() == pytest.approx(1.0)
    for wrong, says in [
        ('key = "U"', r"\.key: no array 'U' in 'v.npz'; "),
        ("crop = [[0, 99], [0, 16]]", r"\.crop: expected whole numbers 0 <= first < stop <= 9"),
        ("coarsen = 5", r"\.coarsen: 5 leaves fewer than 4 samples"),
        ("lower = [1, 2, 3]", r"\.lower: expected 2 numbers"),
    ]:
        text = keys.replace('key = "V"', wrong) if wrong.startswith("key") else keys + wrong
        with pytest.raises(ExperimentError, match=r"^functional\[1\]" + says):
            functional(text, folder=tmp_path)


def test_the_terrain_is_the_one_that_matplotlib_ships():
    """Found without importing matplotlib; rows of the elevation model run from north to south."""
    table = '[[functional]]\nname = "potential"\nsample = "jacksboro_fault_dem.npz"\nkey = "elevation"\n'
    V = functional(table + "rows_down = true\n")
    folder = Path(importlib.util.find_spec("matplotlib").origin).parent / "mpl-data" / "sample_data"
    elevation = np.load(folder / "jacksboro_fault_dem.npz")["elevation"].astype(float)
    grid = jko.Grid.uniform((0, 0), (2, 1), elevation.shape[::-1])
    corner = grid.centers[[0, -1], [0, -1]]
    np.testing.assert_allclose(V.values(corner), [elevation[-1, 0], elevation[0, -1]], rtol=1e-12)


def test_sums_weights_and_expressions():
    F = functional(
        """
[[functional]]
name = "entropy"
weight = 0.5
[[functional]]
name = "potential"
potential = "x1^2 + 3*x2"
[[functional]]
name = "interaction"
kernel = "exp(-r^2)"
linearly_convex = true
[[functional]]
name = "interaction"
general = true
kernel = "x1*y1 + x2"
[[functional]]
name = "internal"
U = "s^2"
[[functional]]
name = "kl"
V = "2*x1"
[[functional]]
name = "reward"
reward = "3*x2"
strength = 2.0
log_density = "-x1"
[[functional]]
name = "cap"
cap = "3 + x1"
"""
    )
    parts = F.parts
    assert parts.temperature == 3.5
    np.testing.assert_allclose(parts.potential_values([[2.0, 1.0]]), [7.0 + 4.0 - 3.0 + 4.0])
    assert [atom.general for _, atom in parts.interaction] == [False, True]
    assert parts.interaction[0][1].linearly_convex is True
    rho = jko.Density.uniform(jko.Grid.uniform((0, 0), (2, 1), (16, 8)))
    second = 0.5 * rho.pair_integrate(lambda x, y: x[0] * y[0] + x[1])
    assert parts.interaction[1][1](rho) == pytest.approx(float(second))
    assert parts.constraints[0].values([[0.5, 0.0]]) == pytest.approx([3.5])


def test_a_discrepancy_to_a_gaussian():
    table = """
[[functional]]
name = "mmd"
mean = [0.5, 0.0]
std = 0.7
width = 0.9
"""
    F = functional(table)
    by_hand = fn.MMD(jko.Gaussian.of([0.5, 0.0], 0.7), width=0.9)
    cloud = jko.Gaussian.of([0.0, 0.0], 1.0).sample(20, seed=0)
    assert F(cloud) == pytest.approx(by_hand(cloud), rel=1e-12)
    with pytest.raises(ValueError, match="positive definite"):
        functional(table.replace("width = 0.9", 'kernel = "quadratic"'))


def test_a_functional_of_ones_own_is_known_by_its_signature(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))

    class Tilt(fn.Functional):
        """∫ s x₁ dρ."""

        def __init__(self, slope: float, offset: float = 0.0):
            self.slope, self.offset = slope, offset

        def energy(self, mu):
            return mu.integrate(lambda x: self.slope * x[0] + self.offset)

    fn.register("tilt of a test", Tilt)
    F = functional('[[functional]]\nname = "tilt of a test"\nslope = 2.0\n')
    assert F(jko.Density.uniform(jko.Grid.uniform((0, 0), (2, 1), (4, 4)))) == pytest.approx(2.0)
    with pytest.raises(
        ExperimentError,
        match=r"^functional\[1\]\.slop: unknown key of 'tilt of a test'; did you mean 'slope'",
    ):
        functional('[[functional]]\nname = "tilt of a test"\nslop = 2.0\n')


@pytest.mark.parametrize("name", ["fokker_planck", "terrain", "points", "porous_medium", "aggregation"])
def test_every_example_is_ready_to_run(name):
    folder = Path(__file__).parents[2] / "examples"
    experiment = load(folder / f"{name}.toml")
    experiment.require_common_times()
    assert len(experiment.runs) >= 2
