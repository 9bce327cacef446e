"""The pictures of the documentation, taken of short runs."""

from __future__ import annotations

import struct

import pytest

from tools import screenshots

pytestmark = [pytest.mark.slow, pytest.mark.browser]
SHORT = ("--trainer.max_steps", "2", "--evaluate", "[{name: copyright, limit: 4}]")


def size_of(png):
    """Width and height of a PNG file."""
    content = png.read_bytes()
    assert content.startswith(b"\x89PNG")
    return struct.unpack(">II", content[16:24])


def test_pictures_are_of_the_sizes_that_the_pages_show(browser, tmp_path):
    shown, report, picture = screenshots.inputs(tmp_path, *SHORT)
    assert "verdict" in screenshots.terminal(shown, "unlearnkit fit")
    assert picture.read_text("utf-8").startswith("<svg")
    screenshots.photographs(browser, report, tmp_path)
    wide, phone = (tmp_path / name for name in screenshots.MADE[2:])
    assert size_of(wide) == (1000, 700)
    assert size_of(phone) == (390, 844)
    # An empty page of that size has less than a tenth of that.
    assert all(20_000 < each.stat().st_size < screenshots.MOST for each in (wide, phone))
