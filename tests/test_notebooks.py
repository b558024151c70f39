"""What objects show of themselves: in a line, in a notebook, and in one that is run."""

import io
from dataclasses import fields
from html.parser import HTMLParser

import numpy as np
import pytest

import functionals as fn
import jko
from jko import inline
from jko.scheme import Records, Scheme, Wrapper
from tests.page.pages import run_of, spreading
from tests.problems import FUNCTIONALS

LINE, PLANE = jko.Grid.uniform(-3.0, 4.0, 120), jko.Grid.uniform((-3.0,) * 2, (4.0,) * 2, (90, 70))
TIMES = np.linspace(0.0, 1.0, 5)
MEASURES = [
    *(spreading(LINE, [0.5])),
    *(spreading(PLANE, [0.5])),
    jko.Gaussian.of(0.3, 1.0),
    jko.Gaussian.of(0.3, 1.0, dimension=3),
    jko.Gaussian.of(0.3, 1.0).sample(900, seed=0),
    jko.Gaussian.of(0.3, 1.0, dimension=5).sample(900, seed=0),
    jko.Population(np.ones((3, 2)), mass=2.5),
    jko.Species(prey=jko.Gaussian.of(0.0, 1.0), fox=jko.Gaussian.of(0.0, 1.0).sample(9, seed=0)),
]


class Elements(HTMLParser):
    """The tags of a piece of HTML, which must all be closed."""

    EMPTY = frozenset({"img", "circle", "polyline", "br"})

    def __init__(self, text):
        super().__init__()
        self.names, self.open = [], []
        self.feed(text)
        assert self.open == [], text

    def handle_starttag(self, tag, attributes):
        self.names.append(tag)
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.names.append(tag)


def test_a_trajectory_is_three_lines():
    run = run_of(spreading(LINE, TIMES), TIMES)
    assert repr(run).split("\n") == [
        "Trajectory: 4 steps of τ = 0.25 by Scheme to t = 1, 5 stored",
        "  F = Entropy(): 1 → 0.135335",
        "  120 cells; every step converged",
    ]
    run.info = Records.constant(4, status="not converged")
    run.functional, run.energy_kind = "a long\nfunctional " * 50, "estimate"
    lines = repr(run).split("\n")
    assert len(lines) == 3
    assert max(map(len, lines)) < 130
    assert lines[1].endswith("(estimate)")
    assert lines[2].endswith("4 steps did not converge")


def test_a_comparison_is_one_line():
    report = jko.compare({"a": run_of(spreading(LINE, TIMES), TIMES)}, exact=jko.exact.Heat())
    assert repr(report) == "Report of 1 run and Heat at 5 common times, t = 0 ... 1"
    names = Elements(report._repr_html_()).names
    assert names.count("tr") == str(report).split("\n\n")[1].count("\n")  # a line a row, but for the rule


@pytest.mark.parametrize("mu", MEASURES, ids=lambda mu: repr(mu)[:30])
def test_a_measure_shows_a_line_and_a_picture(mu):
    assert "\n" not in repr(mu)
    names = Elements(mu._repr_html_()).names
    assert names.count("svg") + names.count("img") == (2 if isinstance(mu, jko.Species) else 1)
    assert len(mu._repr_html_()) < 60_000


def test_a_trajectory_shows_its_energy_and_its_ends():
    run = run_of(spreading(PLANE, TIMES), TIMES, energy=np.array([np.inf, 3.0, 2.0, np.nan, 1.0]))
    names = Elements(run._repr_html_()).names
    assert (names.count("svg"), names.count("img")) == (1, 2)


@pytest.mark.parametrize("name", FUNCTIONALS)
def test_a_functional_shows_its_terms(name):
    for F in FUNCTIONALS[name](2):
        F = 2.0 * F + fn.Entropy()
        assert "\n" not in repr(F)
        names = Elements(F._repr_html_()).names
        assert names.count("li") == len(F.terms)


def test_every_scheme_shows_its_settings():
    shown = 0
    for scheme in Scheme.known.values():
        try:
            one = scheme()
        except TypeError:  # a wrapper needs the scheme that it wraps, another one its metric
            wraps = issubclass(scheme, Wrapper)
            one = scheme(jko.steps.Quantile()) if wraps else scheme(metric=np.eye(2))
        names = Elements(one._repr_html_()).names
        settings = [field.name for field in fields(scheme)]
        assert names.count("tr") == (1 + len(settings)) * bool(settings)
        shown += 1
    assert shown > 15


def test_an_sde_shows_its_equation():
    sde = jko.diffusion.SDE(lambda x, t: -x, lambda x, t: np.eye(1))
    assert repr(sde) == "SDE(drift=<lambda>, diffusion=<lambda>)"
    assert "dx = f(x, t) dt + G(x, t) dB" in sde._repr_html_()


def test_names_are_not_read_as_tags():
    run = run_of(spreading(LINE, TIMES), TIMES)
    run.functional = run.scheme = "<script>alert(1)</script>"
    assert "script" not in Elements(run._repr_html_()).names
    assert "script" not in Elements(jko.compare({"<script>": run})._repr_html_()).names


def test_a_map_is_a_png_of_its_values():
    from PIL import Image

    values = np.random.default_rng(0).random((7, 5))
    pixels = np.zeros((5, 7, 4), dtype=np.uint8)
    pixels[..., 3] = np.rint(255.0 * values.T[::-1])
    read = np.asarray(Image.open(io.BytesIO(inline.png(pixels))).convert("RGBA"))
    np.testing.assert_array_equal(read, pixels)


def test_a_curve_goes_through_its_points():
    text = inline.curve(np.array([0.0, 1.0, 2.0, 3.0]), np.array([1.0, np.inf, 3.0, 2.0]))
    points = np.array([p.split(",") for p in text.split("points='")[1].split("'")[0].split()], dtype=float)
    assert len(points) == 3  # what is infinite is left out
    np.testing.assert_allclose(
        points[:, 0], 3.0 + np.array([0.0, 2.0, 3.0]) / 3.0 * (inline.WIDTH - 6), atol=0.1
    )
    heights = (inline.HEIGHT - 4.0 - points[:, 1]) / (inline.HEIGHT - 8)
    np.testing.assert_allclose(heights, [0.0, 1.0, 0.5], atol=0.01)


def _study():
    return jko.convergence(lambda tau: tau, values=[0.1, 0.05, 0.025], error=lambda tau: tau**2)


def _line():
    return {"a": run_of(spreading(LINE, TIMES), TIMES, displacement_modulus=1.0)}


def _plane():
    return {"a": run_of(spreading(PLANE, TIMES), TIMES)}


def _cloud():
    return {"a": run_of([mu.sample(50, seed=0) for mu in spreading(PLANE, TIMES)], TIMES)}


PLOTS = {
    "energy": (lambda ax: jko.plotting.plot_energy(_line(), minimum=0.0, ax=ax), 2),
    "errors": (lambda ax: jko.plotting.plot_errors(_line(), {"a": (TIMES[1:], TIMES[1:])}, ax=ax), 1),
    "density on the line": (lambda ax: jko.plotting.plot_density(_line(), times=[0.0, 0.5, 1.0], ax=ax), 3),
    "density in the plane": (lambda ax: jko.plotting.plot_density(_plane(), times=[0.0, 1.0], ax=ax), 2),
    "particles": (lambda ax: jko.plotting.plot_particles(_cloud(), ax=ax), 1),
    "trajectory on the line": (lambda ax: jko.plotting.plot_trajectory(_line()["a"], ax=ax), 3),
    "trajectory in the plane": (lambda ax: jko.plotting.plot_trajectory(_plane()["a"], ax=ax), 5),
    "convergence": (lambda ax: jko.plotting.plot_convergence(_study(), ax=ax), 1),
}


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_draws_into_axes_that_are_given(name, monkeypatch):
    from matplotlib import pyplot

    draw, count = PLOTS[name]
    others = pyplot.get_fignums()  # that other tests left open
    figure, axes = pyplot.subplots(1, count)
    try:
        assert draw(axes) is axes
        assert all(one.lines or one.images or one.collections or one.texts for one in np.ravel(axes))
        assert pyplot.get_fignums() == [*others, figure.number]  # and no other figure of pyplot's was opened
        with pytest.raises(ValueError, match=f"ax: expected {count} axes, one a panel, got {count + 1}: plt"):
            draw([*np.ravel(axes), np.ravel(axes)[0]])
        with pytest.raises(TypeError, match="ax: expected axes of matplotlib, got int"):
            draw(3)
    finally:
        pyplot.close(figure)
    own = draw(None)
    assert pyplot.get_fignums() == others  # a figure of nobody's is shown once, as the value of a cell
    assert len(own.axes) >= count
    assert own._repr_png_()[:8] == b"\x89PNG\r\n\x1a\n"


CELLS = [
    "%matplotlib inline\nimport functionals as fn, jko\nfrom matplotlib import pyplot as plt",
    "run = jko.flow(fn.Entropy(), jko.Gaussian.of(0.0, 1.0), jko.steps.Gaussian(), tau=0.1, n_steps=3)\nrun",
    "jko.plotting.plot_density(run, times=[0.0, 0.3])",
    "jko.plotting.plot_energy(run, ax=plt.subplots()[1])",
    "jko.compare({'a': run})",
    "from jko.progress import progress_bar\nwith progress_bar(True, 5, 'work', 'step') as tick: tick(2)",
]


@pytest.mark.long
def test_a_notebook_shows_each_thing_once():
    nbclient = pytest.importorskip("nbclient", reason="pip install 'jko[notebook]'")
    pytest.importorskip("ipykernel", reason="pip install 'jko[notebook]'")
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    outputs = [[dict(output) for output in cell["outputs"]] for cell in notebook.cells]

    def pictures(cell):
        return sum("image/png" in output.get("data", {}) for output in outputs[cell])

    (trajectory,) = [output["data"] for output in outputs[1] if "data" in output]
    assert trajectory["text/plain"].startswith("Trajectory: 3 steps of τ = 0.1 by Gaussian")
    assert "<svg" in trajectory["text/html"]
    assert pictures(2) == 1
    assert pictures(3) == 1
    assert "<table" in next(output["data"]["text/html"] for output in outputs[4] if "data" in output)
    assert any("2/5" in output.get("text", "") or "work" in str(output) for output in outputs[5])
