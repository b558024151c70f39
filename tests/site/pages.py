"""The built documentation, as files: which pages there are, what they link to, what can be linked to."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

BUILT = Path(__file__).parent.parent.parent / "docs" / "_build"
_LINK = re.compile(r"""<(?:a|img|link|script|source)\b[^>]*?\s(?:href|src)="([^"]*)\"""")
_NAME = re.compile(r"""\s(?:id|name)="([^"]+)\"""")
_ELSEWHERE = re.compile(r"^[a-z][a-z+.-]*:|^//")
LISTINGS = "_modules"  # source code by the hundred: their links are checked, they are not drawn


def all_pages() -> list[Path]:
    """Every page, listings of source code among them."""
    return sorted(path for path in BUILT.rglob("*.html") if "_static" not in path.parts)


def drawn_pages() -> list[Path]:
    """The pages that somebody wrote, or an example."""
    return [path for path in all_pages() if LISTINGS not in path.parts]


def links(text: str) -> Iterator[str]:
    """What a page links to inside the site, pictures and scripts too."""
    for found in _LINK.finditer(text):
        address = html.unescape(found.group(1))
        if not _ELSEWHERE.match(address):
            yield unquote(address)


def names(text: str) -> set[str]:
    """The anchors of a page."""
    return {html.unescape(found.group(1)) for found in _NAME.finditer(text)}


def foreign_sources(text: str) -> list[str]:
    """Scripts, styles and pictures that a page would fetch from elsewhere."""
    loads = re.findall(r"""<(?:img|script|source)\b[^>]*?\ssrc="([^"]*)\"""", text)
    loads += re.findall(r"""<link\b[^>]*?rel="stylesheet"[^>]*?href="([^"]*)\"""", text)
    return [address for address in loads if _ELSEWHERE.match(address) and not address.startswith("data:")]
