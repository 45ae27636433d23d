"""A real browser without a screen: Debian's Chromium, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests import debian

PROGRAM = "chromium"
# Without these, Chromium asks its maker's servers for updates while it starts.
QUIET = (
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--disable-gpu",
)


@contextmanager
def chromium() -> Iterator["Browser"]:  # noqa: F821
    """The browser; a test without one is skipped, but never in CI."""
    try:
        from playwright.sync_api import sync_playwright

        if "CI" in os.environ and os.geteuid() == 0 and not shutil.which(PROGRAM):
            debian.install(PROGRAM)
    except (ImportError, debian.NotInstalled) as error:
        _missing(str(error))
    program = shutil.which(PROGRAM)
    if program is None:
        _missing(f"apt-get install {PROGRAM}")
    sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*QUIET, *sandbox])
        yield browser
        browser.close()


def _missing(why: str) -> None:
    told = f"no browser: {why}"
    if "CI" in os.environ:
        raise RuntimeError(told)
    pytest.skip(told)
