"""Links inside the built site lead to the paragraph that they name, and nothing is fetched from elsewhere."""

import pytest

from tests.site.pages import BUILT, LISTINGS, all_pages, foreign_sources, links, names

pytestmark = [
    pytest.mark.site,
    pytest.mark.skipif(
        not (BUILT / "index.html").exists(),
        reason="docs/_build is not built: python -m sphinx docs docs/_build",
    ),
]


def test_every_link_leads_to_a_page_and_a_paragraph():
    texts = {path.resolve(): path.read_text(encoding="utf-8") for path in all_pages()}
    anchors = {path: names(text) for path, text in texts.items()}
    broken = []
    for path, text in texts.items():
        for link in set(links(text)):
            where, _, name = link.partition("#")
            where = where.partition("?")[0]
            target = (path.parent / where).resolve() if where else path
            if not target.is_file():
                broken.append(f"{path.relative_to(BUILT)}: no file {link}")
            elif LISTINGS in path.parts:
                continue  # a listing knows one name for its module, whatever its classes are called by
            elif name and target in anchors and name not in anchors[target]:
                broken.append(f"{path.relative_to(BUILT)}: no paragraph {link}")
    assert not broken, "\n".join(sorted(broken))


def test_no_page_fetches_anything_from_elsewhere():
    fetched = {
        str(path.relative_to(BUILT)): found
        for path in all_pages()
        if (found := foreign_sources(path.read_text(encoding="utf-8")))
    }
    assert not fetched
