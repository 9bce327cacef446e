"""The built documentation in Chromium: nothing cut, broken or asked for elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.browser]
ROOT = Path(__file__).parents[2]


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and logs nothing."""

    def log_message(self, format, *args):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Address of the site, and its pages."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pages = sorted(page.parent.relative_to(folder) for page in folder.rglob("index.html"))
    yield f"http://127.0.0.1:{server.server_port}/", pages
    server.shutdown()
    server.server_close()


def test_every_page_fits_in_both_colours_and_asks_nobody(site, faults):
    address, pages = site
    assert len(pages) > 30
    assert faults(address, *(f"{address}{page}/" for page in pages[1:])) == []


def test_the_site_takes_the_colours_of_the_system(site, browser):
    grounds = []
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(site[0])
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.close()
    light, dark = (sum(map(int, re.findall(r"\d+", each)[:3])) for each in grounds)
    assert dark < 200 < 700 < light
