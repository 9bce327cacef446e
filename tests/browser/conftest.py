"""Headless Chromium, and what it finds wrong on a page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDTHS, SCHEMES = (390, 768, 1280), ("light", "dark")
LAYOUT = (Path(__file__).parent / "layout.js").read_text("utf-8")
# Nothing that the browser would ask for by itself.
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update"]  # fmt: skip


def chromium() -> str | None:
    """The browser of the system; None for the one that Playwright installed."""
    return next(filter(None, (os.environ.get("CHROMIUM"), *map(shutil.which, NAMES))), None)


@pytest.fixture(scope="session")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=QUIET)
        yield started
        started.close()


@pytest.fixture
def faults(browser) -> Callable[..., list[str]]:
    """``faults(url, ...)`` opens pages in all widths and colours, and gives what is wrong."""

    def look(*urls: str, ready: Callable[[Any], None] = lambda page: None) -> list[str]:
        found: list[str] = []
        context = browser.new_context()
        page = context.new_page()
        # A server of the test's own, or that one file.
        own = ("data:", "blob:", *(urls if urls[0].startswith("file:") else [urls[0]]))

        def asked(request) -> None:
            if not request.url.startswith(own):
                found.append(f"{page.url}: it asks for {request.url}")

        context.on("request", asked)
        page.on("pageerror", lambda error: found.append(f"{page.url}: {error}"))
        for url in urls:
            page.goto(url)
            page.add_style_tag(content="* {transition: none !important}")  # where it ends counts
            ready(page)
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)
                for width in WIDTHS:
                    page.set_viewport_size({"width": width, "height": 844})
                    if page.query_selector("svg.marks"):
                        page.wait_for_timeout(500)  # charts are drawn anew
                    place = f"{url} at {width}, {scheme}"
                    found += [f"{place}: {fault}" for fault in page.evaluate(LAYOUT)]
        context.close()
        return found

    return look
