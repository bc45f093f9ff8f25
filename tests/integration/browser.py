"""A browser for integration tests: the Chromium of the distribution, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """Path of a Chromium; fail where it must be there, skip where it may be missing."""
    named = os.environ.get("MATRIX_TEST_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        why = f"no Chromium is here ({', '.join(NAMES)}): `apt-get install chromium` brings it"
        if os.environ.get("MATRIX_TEST_BROWSER") == "required":
            pytest.fail(f"MATRIX_TEST_BROWSER=required, and {why}")
        pytest.skip(why)
    return found


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser without a window."""
    program = chromium()
    with sync_playwright() as playwright:
        # its sandbox needs what neither root nor most containers have; the pages are our own
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield found
        finally:
            found.close()
