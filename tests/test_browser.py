"""The helper that opens pages: what it hears, and that a test without a browser is skipped."""

import pytest

from tests.browser import browser, chromium_path, open_page, overflow


def test_a_page_tells_its_errors_its_requests_and_its_width(tmp_path):
    page_file = tmp_path / "page.html"
    page_file.write_text(
        "<!doctype html><title>A page</title><link rel='stylesheet' href='not_there.css'>"
        "<div style='width:500px'>wide</div><script>console.error('said'); throw new Error('thrown')</script>"
    )
    with open_page(page_file, width=390) as page:
        assert page.title() == "A page"
        assert any("said" in error for error in page.errors)
        assert any("thrown" in error for error in page.errors)
        assert [url.rsplit("/", 1)[-1] for url in page.requests] == ["not_there.css"]
        assert overflow(page) > 100


def test_without_a_browser_a_test_is_skipped_with_the_reason(monkeypatch, tmp_path):
    pytest.importorskip("playwright.sync_api")
    monkeypatch.setenv("JKO_CHROMIUM", str(tmp_path / "none"))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    assert chromium_path() is None
    with pytest.raises(pytest.skip.Exception, match="set JKO_CHROMIUM"), browser():
        pass
