"""A headless Chromium for tests that look at pages; where there is none they are skipped, with the reason.

    from tests.browser import open_page

    def test_landing(tmp_path):
        with open_page(tmp_path / "index.html", width=390, dark=True) as page:
            assert page.title() == "jko"

`JKO_CHROMIUM` names the browser; unset, one on the PATH is taken, else the one that playwright installed.
A page gathers what it said and asked for: `page.errors` (console errors and exceptions) and `page.requests`
(every address beyond the page itself).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_OPTIONS = ["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"]
_TIMEOUT = 20_000  # milliseconds: a loaded machine of two cores, not a page, may need that


def chromium_path() -> str | None:
    """The browser that JKO_CHROMIUM names, or one on the PATH; None leaves the choice to playwright."""
    named = os.environ.get("JKO_CHROMIUM")
    found = (shutil.which(name) for name in ([named] if named else _NAMES))
    return next((path for path in found if path), None)


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium of playwright's synchronous API; skips the test where none can be started."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install 'jko[browser]'"
    )
    with playwright.sync_playwright() as driver:
        try:
            started = driver.chromium.launch(executable_path=chromium_path(), args=_OPTIONS)
        except playwright.Error as error:
            pytest.skip(f"no Chromium could be started ({str(error).splitlines()[0]}): set JKO_CHROMIUM")
        try:
            yield started
        finally:
            started.close()


@contextmanager
def open_page(
    address: str | Path, *, width: int = 1280, height: int = 900, dark: bool = False, chromium: Any = None
) -> Iterator[Any]:
    """A page at a file's path or an address, with `errors` and `requests`; `chromium` reuses a browser."""
    if chromium is None:
        with (
            browser() as chromium,
            open_page(address, width=width, height=height, dark=dark, chromium=chromium) as page,
        ):
            yield page
        return
    here = address.resolve().as_uri() if isinstance(address, Path) else address
    context = chromium.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
    )
    try:
        page = context.new_page()
        page.set_default_timeout(_TIMEOUT)
        _listen(page, here)
        page.goto(here)
        yield page
    finally:
        context.close()


def overflow(page: Any) -> int:
    """By how many pixels the page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def _listen(page: Any, here: str) -> None:
    page.errors, page.requests = [], []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda said: page.errors.append(said.text) if said.type == "error" else None)
    page.on("request", lambda asked: page.requests.append(asked.url) if _foreign(asked.url, here) else None)


def _foreign(url: str, here: str) -> bool:
    return url.split("#")[0] != here.split("#")[0] and not url.startswith(("data:", "blob:"))
