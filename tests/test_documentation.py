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
    "docs/metrics.md": 3,
    "docs/mass.md": 5,
    "docs/species.md": 1,
    "docs/rooms.md": 1,
    "docs/tori.md": 2,
    "docs/sensitivity.md": 2,
    "docs/engines/primal_dual.md": 3,
    "docs/tutorials/first_flow.md": 6,
    "docs/tutorials/your_own_functional.md": 5,
    "docs/tutorials/which_engine.md": 3,
    "docs/tutorials/reading_a_certificate.md": 4,
    "docs/tutorials/learning_from_snapshots.md": 4,
}
LONG = {"docs/tutorials/learning_from_snapshots.md"}  # five seconds, most of them compilation
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def nothing_stays_registered(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    monkeypatch.setattr(Scheme, "known", dict(Scheme.known))


@pytest.mark.usefixtures("nothing_stays_registered")
@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[pytest.mark.slow] if page in LONG else []) for page in PAGES]
)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    assert len(blocks) == PAGES[page] == text.count("```python")
    namespace = {"__name__": "page"}
    for block in blocks:
        line = text[: block.start()].count("\n") + 1
        exec(compile("\n" * line + block.group(1), page, "exec"), namespace)


def test_every_tutorial_is_among_the_pages_that_are_run():
    assert {f"docs/tutorials/{path.name}" for path in ROOT.glob("docs/tutorials/*.md")} <= set(PAGES)


def test_every_example_has_its_place_in_the_gallery():
    index = (ROOT / "examples" / "index.rst").read_text(encoding="utf-8")
    shown = re.findall(r"^   \.\./examples/(\w+)\.py$", index, re.MULTILINE)
    assert sorted(shown) == sorted(path.stem for path in ROOT.glob("examples/*.py"))
