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
    "docs/mass.md": 4,
    "docs/species.md": 1,
    "docs/sensitivity.md": 2,
}
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def nothing_stays_registered(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    monkeypatch.setattr(Scheme, "known", dict(Scheme.known))


@pytest.mark.usefixtures("nothing_stays_registered")
@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    assert len(blocks) == PAGES[page] == text.count("```python")
    namespace = {"__name__": "page"}
    for block in blocks:
        line = text[: block.start()].count("\n") + 1
        exec(compile("\n" * line + block.group(1), page, "exec"), namespace)
