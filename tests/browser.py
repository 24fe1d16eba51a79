"""Chromium without a window, for the tests of pages."""

import shutil
from contextlib import contextmanager

import pytest

PATIENCE = 600_000
"""Milliseconds for the browser to show what a test waits for."""


@contextmanager
def page_of(width=1400, height=900, **options):
    """Give an empty page whose errors fail the test at its end; skip the test where there is no browser."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"], timeout=PATIENCE)
        page = browser.new_page(viewport={"width": width, "height": height}, **options)
        page.set_default_timeout(PATIENCE)
        yield page
        browser.close()
