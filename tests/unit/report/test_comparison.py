from __future__ import annotations

import pytest

from unit.report.run_folder import SUITES, write_run
from unlearnkit.errors import UserError
from unlearnkit.report.comparison import (
    Compared,
    Line,
    Spread,
    comparison_report,
    picture,
    trade_offs,
)
from unlearnkit.runs.compare import compare
from unlearnkit.runs.report import report_comparison
from unlearnkit.suites.meaning import stored_meaning

ROWS = ["copyright/forget/rougeL_recall", "copyright/normal/rougeL_recall"]
LINES = {key: Line(key, stored_meaning(*key.split("/", 1))) for key in ROWS}
PNG = b"\x89PNG\r\n\x1a\n"


def column(name, forget, normal, deviation=None):
    values = dict(zip(ROWS, (forget, normal), strict=True))
    seeds = 1 if deviation is None else 3
    return Compared(name, seeds, {k: Spread(v, deviation) for k, v in values.items()})


def test_the_picture_holds_every_recipe_with_its_deviation():
    (chart,) = trade_offs([column("ga", 0.1, 0.8, 0.05), column("npo", 0.2, 0.9)], LINES)
    points = chart.spec["data"]["values"]
    assert [point["model"] for point in points] == ["ga", "npo"]
    assert points[0]["forget_low"] == pytest.approx(0.05)
    assert points[0]["high"] == pytest.approx(0.85)
    assert points[1]["low"] == points[1]["high"] == 0.9


def test_a_picture_is_png_and_needs_both_sides():
    columns = [column("ga", 0.1, 0.8)]
    png = picture(columns, LINES)
    assert png is not None
    assert png.startswith(PNG)
    assert picture(columns, {ROWS[0]: LINES[ROWS[0]]}) is None


def test_names_are_escaped_and_the_best_marked():
    html = comparison_report(
        [column("<b>ga</b>", 0.1, 0.8), column("npo", 0.2, 0.9, 0.01)],
        {
            ROWS[0]: LINES[ROWS[0]]._replace(best=["<b>ga</b>"]),
            ROWS[1]: LINES[ROWS[1]]._replace(best=["npo"]),
        },
        ["Different rows of <i>forget</i>."],
    )
    assert "<p>Different rows of &lt;i&gt;forget&lt;/i&gt;.</p>" in html
    assert "<b>ga" not in html
    assert "<mark>0.100</mark>" in html
    assert "<mark>0.900 ± 0.010</mark>" in html


def test_files_are_new_and_none_is_overwritten(tmp_path):
    runs = [write_run(tmp_path / name, suites=SUITES, recipe=name) for name in ("a", "b")]
    found = compare(runs)
    png, html = tmp_path / "c.png", tmp_path / "c.html"
    assert report_comparison(found, png, html) == [png, html]
    assert png.read_bytes().startswith(PNG)
    html.write_text("mine")
    with pytest.raises(UserError, match="exists and is not overwritten"):
        report_comparison(found, tmp_path / "new.png", html)
    assert not (tmp_path / "new.png").exists()
    assert html.read_text() == "mine"
