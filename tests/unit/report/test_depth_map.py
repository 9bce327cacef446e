"""The heat map of an inspection, and its place in the report."""

from __future__ import annotations

import json
import os

import altair as alt
import pytest
from rounding import near

from unit.report.run_folder import HOSTILE, write_run
from unlearnkit.report.depth_map import by_block, depth_map, lens_curves
from unlearnkit.runs import conclude
from unlearnkit.runs import report as reporting

FOUND = {
    "models": {"before": "b", "after": "now", "gold": "g"},
    "tau": 0.05,
    "score": 0.625,
    "sentence": "Gone in part: some of the blocks that carried the rows still do.",
    "by_block": [0.75, None],
    "rows": [
        {"source": "f.jsonl:1", "gold": [0.5, 0.04], "after": [0.25, 9.0]},
        {"source": HOSTILE, "gold": [2.0, 0.0], "after": [3.0, -1.0]},
    ],
}


def test_a_cell_is_the_share_that_is_gone_and_empty_where_nothing_was_carried():
    chart = depth_map(FOUND)
    assert chart is not None
    alt.Chart.from_dict(chart.spec)  # validates
    cells = chart.spec["data"]["values"]
    assert [(cell["block"], cell["gone"]) for cell in cells] == [(0, near(0.5)), (0, near(1.0))]
    assert cells[0]["row"] == "1: f.jsonl:1"
    assert chart.spec["description"].startswith("Gone in part:")
    assert by_block(FOUND) == [{"carried": 2, "gone": 0.75}, {"carried": 0, "gone": None}]
    assert depth_map({**FOUND, "tau": 5.0}) is None


def test_a_lens_has_a_curve_for_each_model():
    curves = {"before": [-3.0, -1.0], "after": [-4.0, -2.0]}
    (chart,) = lens_curves({**FOUND, "lenses": {"logit": curves}})
    alt.Chart.from_dict(chart.spec)  # validates
    assert [tuple(point.values()) for point in chart.spec["data"]["values"]] == [
        ("before", 0, -3.0), ("before", 1, -1.0), ("after", 0, -4.0), ("after", 1, -2.0),
    ]  # fmt: skip
    assert "logit lens" in chart.caption
    assert lens_curves(FOUND) == []


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(conclude, "fingerprint_of", lambda model: "now")
    folder = write_run(tmp_path / "run")
    (folder / "inspection").mkdir()
    return folder


def test_the_report_shows_the_newest_inspection_of_its_model(run):
    for age, (name, changes) in enumerate(
        [
            ("depth-2.json", {}),
            ("depth.json", {"sentence": "Gone: an older one."}),
            ("depth-3.json", {"models": {**FOUND["models"], "after": "then"}}),
        ]
    ):
        file = run / "inspection" / name
        file.write_text(json.dumps(FOUND | changes))
        os.utime(file, (1000 - age, 1000 - age))
    html = reporting.report(run).read_text(encoding="utf-8")
    assert '<h2 id="h-depth">Where it went</h2>' in html
    said = "still do. Unlearning depth score: 0.625, over 2 rows."
    assert said in html
    assert "an older one" not in html
    assert "inspection/depth-3.json: it does not belong to this model." in html
    assert "<script>alert(1)" not in html
    assert "<td>2 of 2</td><td>0.750</td>" in html


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": [{"source": "f", "gold": [1.0], "after": [1.0, 2.0]}]},
        {"rows": [{"source": "f", "gold": ["1"], "after": [1.0]}], "by_block": [1.0]},
        {"rows": [{"source": "f", "gold": [float("nan")], "after": [1.0]}], "by_block": [1.0]},
        {"rows": [{"source": 1, "gold": [1.0, 1.0], "after": [1.0, 2.0]}]},
        {"sentence": None},
        {"models": {}},
        {"tau": None},
    ],
)
def test_a_file_that_is_no_inspection_is_named_and_left_out(run, changes):
    (run / "inspection" / "depth.json").write_text(json.dumps(FOUND | changes))
    html = reporting.report(run).read_text(encoding="utf-8")
    assert "Where it went" not in html
    assert "inspection/depth.json: it is not what `unlearnkit inspect` writes." in html


def test_without_an_inspection_nothing_is_said(run):
    html = reporting.report(run).read_text(encoding="utf-8")
    assert "Where it went" not in html
    assert "inspection/" not in html
