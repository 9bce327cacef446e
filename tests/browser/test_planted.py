"""Faults of layout, planted one by one, and each is found."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.browser]
LONG = "alpha " * 80
CUE = "background: linear-gradient(red, red) local, linear-gradient(red, red) scroll;"
FINE = f"""
<p>{LONG}</p>
<div style="overflow-x: auto; {CUE}"><pre>{LONG}</pre></div>
<div style="overflow-x: hidden; text-overflow: ellipsis; white-space: nowrap">{LONG}</div>
<span style="position: absolute; left: -200px">skip</span>
<svg class="marks" width="200" height="60"><text y="20">a</text><text y="40">b</text></svg>
<table><tr><td>words between which a line may break, self-made/own</td></tr></table>
"""
CHART = '<svg class="marks" width="200" height="60">{}</svg>'
FAULTS = {
    "texts of a chart overlap": CHART.format(
        '<text x="20" y="30">one word</text><text x="30" y="32">another</text>'
    ),
    "cut in a chart": CHART.format('<text x="180" y="30">a long text</text>'),
    "scrolls without a cue: <div.hidden": (
        f'<div class="hidden" style="overflow-x: auto; {CUE}">'
        f'<pre style="background: white; width: 2000px; margin: 0">{LONG}</pre></div>'
    ),
    "the page is": '<div style="width: 2000px">wide</div>',
    "out of the window": ('<div style="overflow: hidden"><p style="width: 2000px">wide</p></div>'),
    "scrolls without a cue": f'<pre style="overflow-x: auto">{LONG}</pre>',
    "cut at the side": f'<pre style="overflow-x: hidden">{LONG}</pre>',
    "cut below": f'<div style="height: 20px; overflow: hidden">{LONG}</div>',
    "broken word in a table": (
        '<table style="width: 30px; table-layout: fixed"><tr>'
        '<td style="overflow-wrap: anywhere">unlearnable</td></tr></table>'
    ),
    "it asks for http://localhost:9/": '<img src="http://localhost:9/a.png" alt="">',
    "thrown by the page": '<script>throw Error("thrown by the page")</script>',
}


def looked_at(faults, folder, body):
    page = folder / "page.html"
    page.write_text(f"<!doctype html><title>a</title><body>{body}", "utf-8")
    return faults(page.as_uri())


def test_a_page_without_faults_has_none(faults, tmp_path):
    assert looked_at(faults, tmp_path, FINE) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(faults, tmp_path, fault):
    found = looked_at(faults, tmp_path, FINE + FAULTS[fault])
    assert any(fault in each for each in found), found
