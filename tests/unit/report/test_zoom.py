"""Trade-offs show what is near the anchors, and say where all else lies."""

from __future__ import annotations

import json
import re

import pytest
import vl_convert
from rounding import near

from unit.report.run_folder import write_run
from unit.report.test_comparison import LINES, column
from unlearnkit.report.bundle import VEGA_LITE
from unlearnkit.report.comparison import trade_offs
from unlearnkit.report.zoom import axis_of, placed, shown_of
from unlearnkit.runs.report import report

ANCHORS = [column("before", 0.9, 0.97), column("gold", 0.1, 0.95)]


def point(model, forget, utility, off=0.0):
    bounds = {"forget_low": forget, "forget_high": forget}
    heights = {"low": utility - off, "high": utility + off}
    return {"model": model, "forget": forget, "utility": utility, **bounds, **heights}


def domains(spec):
    """Of both axes, as the first layer that has them says."""
    scales = [
        {axis: each["encoding"].get(axis, {}).get("scale", {}) for axis in ("x", "y")}
        for each in spec["layer"]
        if "encoding" in each
    ]
    return [next(s[axis]["domain"] for s in scales if "domain" in s[axis]) for axis in ("x", "y")]


def test_the_axis_ends_at_the_last_value_that_is_near():
    # 0.8 between the anchors, and half of that to both sides: from -0.3 to 1.3.
    assert shown_of([0.1, 0.9, 1.25, 1.35, -0.25], [0.1, 0.9]) == (-0.25, 1.25)
    # Anchors that are almost one: a tenth of the larger to both sides.
    assert shown_of([1.0, 1.0, 1.05, 1.2, 0.8], [1.0]) == (1.0, 1.05)
    assert shown_of([3.0, 400.0], []) == (3.0, 400.0)
    assert axis_of((2.0, 2.0)) == near((1.92, 2.08))
    assert axis_of((0.0, 0.0)) == (-0.04, 0.04)


@pytest.mark.parametrize(
    ("forget", "utility", "angle"),
    [(5, 0.5, 90), (-5, 0.5, 270), (0.5, 9, 0), (0.5, -9, 180),
     (5, 9, 45), (5, -9, 135), (-5, -9, 225), (-5, 9, 315)],
)  # fmt: skip
def test_an_outlier_points_where_it_lies_and_keeps_its_values(forget, utility, angle):
    given = [point("before", 1.0, 1.0), point("gold", 0.0, 0.0), point("mine", forget, utility)]
    found, across, up = placed(given, ["before", "gold"])
    mine = found[-1]
    assert (mine["angle"], mine["forget"], mine["utility"]) == (angle, forget, utility)
    assert mine["beyond"] == f"{forget:.3f}, {utility:.3f}"
    assert across[0] < mine["x"] < across[1]
    assert up[0] < mine["y"] < up[1]
    assert not any("beyond" in each for each in found[:2])


def test_arrows_stand_beside_what_is_near_and_say_whose_they_are():
    given = [
        {**point(model, forget, utility), "figure": f"{stream}/rougeL_recall"}
        for stream, lost in (("normal", 0.061), ("heldout", 0.045))
        for model, forget, utility in (("before", 1, 1), ("gold", 0.12, 1), ("after", 0.06, lost))
    ]
    found, _, (bottom, top) = placed(given, ["before", "gold"])
    after = [each for each in found if each["model"] == "after"]
    # 1.0 and 4 % of it to both sides are 0.96 to 1.04, and 14 % of 0.08 below.
    assert (bottom, top) == near((0.9488, 1.04))
    assert [each["label"] for each in after] == ["normal 0.061", "heldout 0.045"]
    # From 1.0 down to the frame, six tenths of the way.
    assert [each["y"] for each in after] == near([0.96928, 0.96928])
    assert [each["x"] for each in after] == [0.06, 0.06]
    assert after[0]["lift"] != after[1]["lift"]


def test_an_interval_that_is_cut_is_told():
    columns = [*ANCHORS, column("npo", 0.2, 0.9, 0.3)]
    (chart,) = trade_offs(columns, LINES)
    assert chart.caption.endswith("A line that ends at the frame goes on.")
    (whole,) = trade_offs(columns[:2], LINES)
    assert "goes on" not in whole.caption
    assert "Arrows" not in whole.caption


def test_the_drawing_has_each_model_once_with_the_values_of_the_data():
    columns = [*ANCHORS, column("npo", 0.2, 0.9), column("wild", 5.3, 0.01)]
    (chart,) = trade_offs(columns, LINES)
    (low, high), (bottom, top) = domains(chart.spec)
    # 5.3 and 0.01 move no axis: 0.1 to 0.9 and 0.9 to 0.97, and 4 % of each to both sides. Behind
    # that, 14 % of 0.864 and of 0.0756 for the arrow.
    assert [low, high, bottom, top] == near([0.068, 1.05296, 0.886616, 0.9728])
    svg = vl_convert.vegalite_to_svg(chart.spec | {"width": 400}, vl_version=VEGA_LITE)
    for model, forget, utility in (("before", 0.9, 0.97), ("gold", 0.1, 0.95), ("npo", 0.2, 0.9)):
        values = f"model: {model}; forget: {forget}; utility: {utility}"
        points = [mark for mark in re.findall(r"<path [^>]*>", svg) if values in mark]
        assert len(points) == 1
    assert ">5.300, 0.010</text>" in svg
    assert "Arrows point at what lies beyond" in chart.caption


def test_positions_in_the_drawing_are_those_of_the_values():
    (chart,) = trade_offs([*ANCHORS, column("npo", 0.2, 0.9)], LINES)
    (low, high), (bottom, top) = domains(chart.spec)
    svg = vl_convert.vegalite_to_svg(chart.spec | {"width": 400}, vl_version=VEGA_LITE)
    found = {
        re.findall(r"model: (\w+)", mark)[0]: tuple(
            map(float, re.findall(r"translate\(([\d.]+),([\d.]+)\)", mark)[0])
        )
        for mark in re.findall(r"<path [^>]*>", svg)
        if 'aria-roledescription="point"' in mark
    }
    assert list(found) == ["before", "gold", "npo"]
    for model, forget, utility in (("before", 0.9, 0.97), ("gold", 0.1, 0.95), ("npo", 0.2, 0.9)):
        x, y = found[model]
        assert x == pytest.approx(400 * (forget - low) / (high - low), abs=0.01)
        assert y == pytest.approx(300 * (top - utility) / (top - bottom), abs=0.01)


def test_a_run_that_lost_everything_does_not_squeeze_its_chart(tmp_path):
    suites = {
        "copyright": {
            "before": {"forget/rougeL_recall": 1.0, "normal/rougeL_recall": 1.0},
            "after": {"forget/rougeL_recall": 0.0, "normal/rougeL_recall": 0.0},
            "gold": {"forget/rougeL_recall": 0.12, "normal/rougeL_recall": 0.98},
        }
    }
    folder = write_run(tmp_path / "run", suites=suites)
    (folder / "intervals.json").unlink()
    html = report(folder).read_text(encoding="utf-8")
    specs = json.loads(re.findall(r'id="specs">(.*?)</script>', html)[0])
    spec = next(each for each in specs.values() if "against" in each["description"])
    assert domains(spec)[1] == near([0.98 - 0.04 * 0.02 - 0.14 * 0.0216, 1.0008])
    after = spec["data"]["values"][1]
    # How much it forgot is read off the axis.
    assert (after["beyond"], after["label"]) == ("0.000, 0.000", "0.000")
