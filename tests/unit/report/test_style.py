"""Rules of the style that hold in every browser: contrast, and cues for what scrolls."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from unit.report.run_folder import SUITES, write_run
from unlearnkit.report.charts import losses
from unlearnkit.runs.compare import compare
from unlearnkit.runs.report import report, report_comparison

STYLE = files("unlearnkit.report").joinpath("templates/report.css").read_text(encoding="utf-8")
LIGHT, DARK = (
    dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", block))
    for block in re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
)


def luminance(colour):
    """Relative luminance of WCAG 2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    light, dark = sorted(map(luminance, (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def rule(selector, style=STYLE):
    """All declarations of the rules that have this selector."""
    flat = re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL)
    found = re.findall(r"([^{}]+)\{([^{}]*)\}", flat)
    return " ".join(body for names, body in found if selector in map(str.strip, names.split(",")))


def test_contrast_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_texts_can_be_read(colours):
    pairs = [(colours["on-status"], colours[status]) for status in ("good", "warn", "bad", "none")]
    pairs += [(colours[ink], colours[on]) for ink in ("ink", "quiet", "accent")
              for on in ("ground", "raised")]  # fmt: skip
    pairs += [(colours["ink"], colours[f"fell-{i}"]) for i in (1, 2, 3)]
    pairs += [(colours["mark-ink"], colours["mark"])]
    assert min(contrast(*pair) for pair in pairs) >= 4.5
    # The edge beside the verdict is no text: 3 is enough.
    assert min(contrast(colours[s], colours["raised"]) for s in ("good", "warn", "bad")) >= 3


def test_what_is_wider_than_the_window_scrolls_in_a_box_with_shadows():
    for selector in (".wide", "pre"):
        assert "overflow-x: auto" in rule(selector)
        assert rule(selector).count("scroll,") == 2
        assert rule(selector).count("local,") == 2
        assert "--under" in rule(selector)
    assert "overflow-wrap: anywhere" in rule("body")
    assert "overflow-wrap: normal" in rule("table")
    # Nothing is hidden: no rule clips what does not fit.
    assert "overflow: hidden" not in STYLE
    assert "text-overflow" not in STYLE


def test_every_table_and_listing_stands_in_a_box_that_scrolls(tmp_path):
    runs = [write_run(tmp_path / name, recipe=name) for name in ("a", "b")]
    page = tmp_path / "compared.html"
    report_comparison(compare(runs), None, page)
    for file in (report(runs[0]), page):
        html = re.sub(r"<script.*?</script>", "", file.read_text(encoding="utf-8"), flags=re.S)
        boxes = re.findall(r'<div class="wide" tabindex="0" role="region" [^>]+>\s*<table', html)
        assert len(boxes) == len(re.findall(r"<table\b", html)) > 0
        assert html.count("<pre") == html.count('<pre tabindex="0"')


def test_one_sentence_comes_before_all_numbers(tmp_path):
    html = report(write_run(tmp_path / "run")).read_text(encoding="utf-8")
    body = html[html.index("<body>") :]
    sentence = '<p class="verdict good"><strong class="status good">near gold</strong>: it says of'
    assert body.count('class="verdict') == 1
    assert body.index(sentence) < body.index('<p class="how">') < body.index("<main")


def test_a_comparison_has_a_row_of_verdicts_in_their_colours(tmp_path):
    lost = {k: dict(v) for k, v in SUITES["copyright"].items()}
    lost["after"]["normal/rougeL_recall"] = 0.1
    runs = [write_run(tmp_path / "kept", recipe="kept"),
            write_run(tmp_path / "lost", recipe="lost", suites={"copyright": lost})]  # fmt: skip
    page = tmp_path / "compared.html"
    report_comparison(compare(runs), None, page)
    row = next(line for line in page.read_text().splitlines() if 'row">verdict' in line)
    cells = re.findall(r"<td>(.*?)</td>", row)
    # Direction, before, gold, and the runs.
    assert cells[:3] == ["–"] * 3
    assert [cell.strip() for cell in cells[3:]] == [
        '<strong class="status good">near gold</strong>',
        '<strong class="status bad">damaged</strong>',
    ]


def test_no_curve_is_drawn_twice():
    lines = [{"step": i, "train/loss": 2.0 - i, "train/npo": 2.0 - i, "lr": 0.1} for i in (0, 1)]
    charts = losses(lines, ["npo"])
    assert [chart.caption for chart in charts] == [
        "weighted sum of all objectives, and the same of train/npo: 2 at the start, 1 at the end",
        "lr: 0.1 at the start, 0.1 at the end",
    ]
