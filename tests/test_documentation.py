"""The code of the documentation is run, block after block, page by page."""

import re
from pathlib import Path

import pytest

from functionals import registry
from jko.scheme import Scheme

ROOT = Path(__file__).parent.parent
PAGES = {
    "docs/extending.md": 6,
    "CONTRIBUTING.md": 4,
    "docs/metrics.md": 4,
    "docs/mass.md": 6,
    "docs/species.md": 2,
    "docs/rooms.md": 1,
    "docs/grids.md": 1,
    "docs/tori.md": 2,
    "docs/sensitivity.md": 2,
    "docs/engines/primal_dual.md": 3,
    "docs/tutorials/first_flow.md": 6,
    "docs/tutorials/your_own_functional.md": 5,
    "docs/tutorials/which_engine.md": 3,
    "docs/tutorials/reading_a_certificate.md": 4,
    "docs/tutorials/learning_from_snapshots.md": 4,
    "docs/diffusion.md": 6,
    "docs/at_rest.md": 2,
}
LONG = {
    "docs/tutorials/learning_from_snapshots.md",
    "docs/diffusion.md",
    "docs/at_rest.md",
    "docs/engines/primal_dual.md",
}  # seconds to half a minute, most of them compilation
# what a page takes as known to its reader: pages that begin in the middle
KNOWN = """
import matplotlib.pyplot as plt
import numpy as np
import jax.numpy as jnp
import functionals as fn
import jko
F = fn.Entropy() + fn.Potential("quadratic")
grid = jko.Grid.uniform(-5.0, 5.0, 100)
rho0 = mu = bump = jko.Density.gaussian(grid, mean=1.0, std=0.6)
nu = jko.Density.gaussian(grid, mean=-0.5, std=1.0)
cloud, x, t = mu.sample(40, seed=0), np.zeros((3, 1)), 0.3
runs = {"JKO": jko.flow(F, mu, jko.steps.Quantile(), tau=0.5, n_steps=2)}
times, solution = np.linspace(0.0, 1.0, 5), jko.exact.OrnsteinUhlenbeck(mean=1.0, std=0.6)
"""
GIVEN = {
    "docs/transport.md": "",
    "docs/schrodinger.md": "rho, points = mu, jko.Particles(np.linspace(-1.0, 1.0, 5)[:, None])",
    "docs/comparing_runs.md": """
runs["noise"] = jko.flow(F, cloud, jko.descent.Langevin(), tau=0.5, n_steps=2)
""",
    "docs/learning.md": """
points = np.random.default_rng(0).normal(size=(900, 2))
snapshots = jko.learn.Snapshots([0.0, 0.1, 0.2], [points, points / 2.0, points / 3.0])
held_out, mu0, times = snapshots, snapshots.measures[0], [0.0, 0.1]
""",
    "docs/error_bounds.md": "",
    "docs/two_layer_network.md": """
inputs, new_inputs = 0.5 * np.random.default_rng(0).normal(size=(2, 30, 2))
targets, neurons = inputs[:, 0] ** 2, jko.Particles(np.random.default_rng(1).normal(size=(20, 4)))
""",
    "docs/report.md": "",
    "docs/films.md": "",
    "docs/exact_answers.md": "",
    "docs/engines/adaptive.md": "",
    "docs/engines/back_and_forth.md": "",
    "docs/engines/cvxpy.md": "",
    "docs/engines/descent.md": "",
    "docs/engines/entropic.md": "",
    "docs/engines/finite_volume.md": "",
    "docs/engines/forces.md": "",
    "docs/engines/gaussian.md": "",
    "docs/engines/kernel_flows.md": """
cloud = jko.Particles(np.random.default_rng(0).normal(size=(40, 2)))
points = np.random.default_rng(1).normal(size=(30, 2))
""",
    "docs/engines/linearized.md": "",
    "docs/engines/monge_ampere.md": "",
    "docs/engines/quantile.md": "",
    "docs/engines/second_order.md": "",
    "docs/engines/stochastic.md": "",
}
ELSEWHERE = {
    "docs/ensembles.md",  # asks for a cluster; tests/ensembles
    "docs/many_devices.md",  # asks for several devices and machines; tests/sharding
}
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def nothing_stays_registered(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    monkeypatch.setattr(Scheme, "known", dict(Scheme.known))


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_stays_registered")
@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[pytest.mark.long] if page in LONG else []) for page in PAGES]
)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ran(page, {"__name__": "page"}) == PAGES[page]


def ran(page, namespace):
    """How many blocks of code a page has, after they have run one after the other."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    assert len(blocks) == text.count("```python")
    for block in blocks:
        line = text[: block.start()].count("\n") + 1
        exec(compile("\n" * line + block.group(1), page, "exec"), namespace)
    return len(blocks)


@pytest.mark.long
@pytest.mark.usefixtures("nothing_stays_registered")
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("page", GIVEN)
def test_the_code_of_a_page_that_begins_in_the_middle_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "page"}
    exec(KNOWN + GIVEN[page], namespace)
    assert ran(page, namespace)


def test_every_page_with_code_is_among_those_that_are_run():
    pages = {path for path in ROOT.glob("docs/**/*.md") if "```python" in path.read_text(encoding="utf-8")}
    found = {path.relative_to(ROOT).as_posix() for path in pages if "_build" not in path.parts}
    known = set(PAGES) | set(GIVEN) | ELSEWHERE
    assert found <= known, f"give them a place in PAGES or GIVEN: {sorted(found - known)}"


def test_every_example_has_its_place_in_the_gallery():
    index = (ROOT / "examples" / "index.rst").read_text(encoding="utf-8")
    shown = re.findall(r"^   \.\./examples/(\w+)\.py$", index, re.MULTILINE)
    assert sorted(shown) == sorted(path.stem for path in ROOT.glob("examples/*.py"))
