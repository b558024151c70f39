"""Pictures say what they should: the artists in the figures, and the files."""

import numpy as np
import pytest

import functionals as fn
import jko
from jko import plotting
from jko.plotting import style
from jko.plotting.inputs import chosen_times, window
from jko.scheme import Records

F = fn.Entropy() + fn.Potential("quadratic")
TIMES = np.linspace(0.0, 1.0, 6)


def trajectory(measures, **options):
    energy = options.pop("energy", 0.3 + np.exp(-2.0 * TIMES))
    records = Records.constant(len(TIMES) - 1, gap=1e-9, mass_error=1e-16, dissipation=1e-3)
    arguments = {"tau": 0.2, "functional": "F", "scheme": "Hand()", "displacement_modulus": 1.0} | options
    return jko.Trajectory(times=TIMES, energy=energy, measures=measures, info=records, **arguments)


def gaussians(dimension):
    solution = jko.exact.OrnsteinUhlenbeck(mean=np.linspace(1.5, 0.5, dimension), std=0.5)
    return solution, [solution.at(t) for t in TIMES]


def densities(dimension):
    solution, exact = gaussians(dimension)
    cells = {1: 80, 2: (24, 30), 3: (10, 12, 14)}[dimension]
    grid = jko.Grid.uniform((-4.0,) * dimension, (5.0,) * dimension, cells)
    return solution, [mu.on(grid) for mu in exact]


def clouds(dimension, n=300):
    solution, exact = gaussians(dimension)
    return solution, [mu.sample(n, seed=0) for mu in exact]


KINDS = [(kind, d) for d in (1, 2, 3) for kind in (gaussians, densities, clouds)]
IDS = [f"{kind.__name__} {d}D" for kind, d in KINDS]


def test_the_energy_plot_shows_every_run_its_band_and_the_bound(tmp_path):
    _, measures = gaussians(1)
    runs = {
        "exact energy": trajectory(measures),
        "estimate": trajectory(measures, energy_kind="estimate", energy_uncertainty=np.full(6, 0.02)),
    }
    figure = plotting.plot_energy(runs, minimum=0.3, path=tmp_path / "energy.png")
    left, right = figure.axes
    assert [text.get_text() for text in left.get_legend().get_texts()] == [
        "exact energy",
        "estimate (estimate)",
    ]
    assert right.get_yscale() == "log"
    labels = [text.get_text() for text in right.get_legend().get_texts()]
    assert labels[0] == "exact energy: rate 2"
    assert "λ = 1" in labels[-1]
    curve = right.lines[0]
    np.testing.assert_allclose(curve.get_ydata(), np.exp(-2.0 * TIMES), rtol=1e-12)
    bound = right.lines[-1]
    np.testing.assert_allclose(bound.get_ydata(), np.exp(-2.0 * bound.get_xdata()), rtol=1e-12)
    assert len(left.collections) == 1  # the band of the estimate
    assert (tmp_path / "energy.png").stat().st_size > 5000


def test_an_energy_without_a_least_value_has_one_panel():
    _, measures = gaussians(1)
    figure = plotting.plot_energy(trajectory(measures, energy=-np.log(1.0 + TIMES), displacement_modulus=0.0))
    assert len(figure.axes) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "dimension"), KINDS, ids=IDS)
def test_every_measure_has_its_density_plot_overview_and_film(kind, dimension, tmp_path):
    from PIL import Image

    solution, measures = kind(dimension)
    run = trajectory(measures)
    figure = plotting.plot_density({"run": run}, solution, times=[0.0, 1.0], path=tmp_path / "density.png")
    panels = 2 if dimension == 1 else 4 + 1  # run and exact at two times, one colour bar
    assert len(figure.axes) == panels
    plotting.plot_trajectory(run, path=tmp_path / "run.png")
    jko.animate(run, tmp_path / "film.gif", fps=20, frames=3)
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 3
        first = np.asarray(film.convert("RGB"), dtype=int)
        film.seek(2)
        last = np.asarray(film.convert("RGB"), dtype=int)
    assert np.mean(np.abs(first - last)) > 0.1  # the picture moves
    assert sorted(p.name for p in tmp_path.iterdir()) == ["density.png", "film.gif", "run.png"]


def test_a_density_curve_is_the_density():
    solution, measures = densities(1)
    run = trajectory(measures)
    figure = plotting.plot_density({"run": run}, solution, times=[1.0])
    drawn, exact = figure.axes[0].lines
    np.testing.assert_array_equal(drawn.get_ydata(), run.final.values)
    np.testing.assert_allclose(
        exact.get_ydata(), solution.density(1.0, exact.get_xdata()[:, None]), rtol=1e-12
    )


def test_a_heat_map_has_x1_to_the_right_and_x2_upwards():
    grid = jko.Grid.uniform((0.0, 0.0), (4.0, 2.0), (4, 2))
    values = np.zeros((4, 2))
    values[3, 0] = 1.0  # right, below
    density = jko.Density(grid, values + 1e-9)
    figure = plotting.plot_density({"run": trajectory([density] * 6)}, times=[0.0])
    image = figure.axes[0].images[0]
    assert image.origin == "lower"
    assert tuple(image.get_extent()) == (0.0, 4.0, 0.0, 2.0)
    assert np.unravel_index(np.argmax(image.get_array()), (2, 4)) == (0, 3)


def _scales(figure):
    return [image.get_clim() for axes in figure.axes for image in axes.images]


def test_heat_maps_share_one_colour_scale_unless_each_time_is_given_its_own():
    grid = jko.Grid.uniform((-3.0, -3.0), (3.0, 3.0), (12, 12))
    measures = [jko.Density.gaussian(grid, mean=0.0, std=std) for std in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)]
    run = trajectory(measures)
    peaks = [measures[0].values.max(), measures[-1].values.max()]
    times = [0.0, 1.0]
    figure = plotting.plot_density({"a": run, "b": run}, times=times)
    assert _scales(figure) == [(0.0, peaks[0])] * 4
    assert len(figure.axes) == 4 + 1
    figure = plotting.plot_density({"a": run, "b": run}, times=times, shared_scale=False)
    assert _scales(figure) == [(0.0, peaks[0]), (0.0, peaks[1])] * 2
    assert len(figure.axes) == 4 + 2
    assert set(_scales(plotting.plot_trajectory(run))) == {(0.0, peaks[0])}
    overview = plotting.plot_trajectory(run, shared_scale=False)
    assert len(set(_scales(overview))) == len(_scales(overview)) == 4
    assert len(overview.axes) == 4 + 4 + 2


def test_a_histogram_of_particles_has_their_mass():
    cloud = jko.Particles(np.array([0.0, 0.1, 2.0]), np.array([0.25, 0.25, 0.5]))
    figure = plotting.plot_density({"run": trajectory([cloud] * 6)}, times=[0.0])
    heights, edges, _ = figure.axes[0].patches[0].get_data()
    assert np.sum(heights * np.diff(edges)) == pytest.approx(1.0)


@pytest.mark.parametrize("dimension", [1, 2, 3, 5])
def test_particles_are_drawn_where_they_are(dimension, tmp_path):
    solution, measures = clouds(dimension)
    exact = solution if dimension < 4 else None
    figure = plotting.plot_particles(trajectory(measures), exact, path=tmp_path / "particles.png")
    axes = figure.axes[0]
    if dimension == 1:
        rug = next(line for line in axes.lines if line.get_marker() == "|")
        np.testing.assert_array_equal(np.sort(rug.get_xdata()), np.sort(measures[-1].positions[:, 0]))
    else:
        np.testing.assert_array_equal(axes.collections[1].get_offsets(), measures[-1].positions[:, :2])
    jko.animate(trajectory(measures), tmp_path / "film.gif", frames=2)
    plotting.plot_trajectory(trajectory(measures))


def test_particles_over_a_potential():
    _, measures = clouds(2)
    figure = plotting.plot_particles({"cloud": trajectory(measures)}, potential=F)
    assert figure.axes[1].get_ylabel() == "potential V"
    figure = plotting.plot_particles({"cloud": trajectory(measures)}, potential=lambda x: x[0] ** 2)
    assert figure.axes[1].get_ylabel() == "potential V"


def test_a_convergence_plot_has_the_errors_and_both_slopes(tmp_path):
    study = jko.convergence(lambda h: 2.0 * h**1.1, [0.1, 0.05, 0.025], parameter="h", error=float)
    figure = study.plot(tmp_path / "orders.pdf")
    axes = figure.axes[0]
    points, fitted, reference = axes.lines
    np.testing.assert_array_equal(points.get_ydata(), study.errors)
    np.testing.assert_allclose(fitted.get_ydata(), study.errors, rtol=1e-12)
    slope = np.polyfit(np.log(reference.get_xdata()), np.log(reference.get_ydata()), 1)[0]
    assert slope == pytest.approx(1.0)
    assert (tmp_path / "orders.pdf").read_bytes()[:4] == b"%PDF"
    assert axes.get_xlabel() == "h"


def test_times_and_window():
    _, measures = gaussians(1)
    runs = {"run": trajectory(measures)}
    times = chosen_times(runs, None, 3)
    assert times[0] == 0.0
    assert times[-1] == 1.0
    assert set(times) <= set(TIMES)
    low, high = window(runs, None, [0.0])
    assert low[0] == pytest.approx(1.5 - 3.7 * 0.5)
    assert high[0] == pytest.approx(1.5 + 3.7 * 0.5)


def test_figures_leave_pyplot_alone_and_show_in_notebooks():
    import matplotlib
    import matplotlib.pyplot as plt

    backend, shown = matplotlib.get_backend(), plt.get_fignums()
    _, measures = gaussians(1)
    figure = plotting.plot_energy(trajectory(measures))
    assert plt.get_fignums() == shown
    assert matplotlib.get_backend() == backend
    assert figure._repr_png_()[:8] == b"\x89PNG\r\n\x1a\n"


def test_an_old_picture_survives_a_failed_save(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    figure = style.new_figure(2.0, 2.0)
    style.save(figure, path)
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        style.save(figure, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["picture.png"]


def test_refusals(tmp_path):
    _, measures = gaussians(1)
    _, planar = gaussians(2)
    _, many = clouds(5)
    run = trajectory(measures)
    with pytest.raises(TypeError, match="runs: expected a Trajectory or a dict"):
        plotting.plot_energy([run])
    several = (plotting.plot_energy, plotting.plot_density, plotting.plot_errors, plotting.plot_particles)
    for plot in (*several, plotting.plot_convergence):
        with pytest.raises(TypeError, match=r"got an empty dict$"):
            plot({})
    for wrong in ({"a": run}, {}, None):
        with pytest.raises(TypeError, match=r"run: expected one Trajectory, got .*: plot_energy"):
            plotting.plot_trajectory(wrong)
    with pytest.raises(TypeError, match=r"runs\['a'\]"):
        plotting.plot_energy({"a": 3})
    with pytest.raises(ValueError, match="one dimension"):
        plotting.plot_density({"a": run, "b": trajectory(planar)})
    with pytest.raises(ValueError, match="1, 2 or 3 dimensions"):
        plotting.plot_density(trajectory(many))
    with pytest.raises(ValueError, match="none of them moves particles"):
        plotting.plot_particles(run)
    with pytest.raises(ValueError, match="does not end as a picture does"):
        plotting.plot_energy(run, path=tmp_path / "picture.txt")
    with pytest.raises(TypeError, match="studies: expected a Convergence"):
        plotting.plot_convergence([1, 2])
    assert list(tmp_path.iterdir()) == []
