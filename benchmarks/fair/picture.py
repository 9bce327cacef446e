"""The pictures of the fair table: ``python -m benchmarks.fair.picture``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.fair.running import KEY
from benchmarks.fair.table import DISTANCE, RESULTS, keeps, read_rows
from benchmarks.stored import Results

PICTURES = Path(__file__).parents[2] / "docs" / "images"


def picture(path: Path = RESULTS) -> str:
    """Distance to gold with its interval over rows, a line a method."""
    stages, rows = read_rows(path)
    points: list[dict[str, Any]] = [
        _point("before unlearning", [stages["before"]], "-"),
        *(
            _point(row.name, row.measured, "yes" if keeps(row, stages["before"]) else "no")
            for row in rows
        ),
    ]
    return _lines(points, "D to gold, unseen wordings, mean over seeds")


def _point(name: str, measured: Sequence[dict[str, Any]], kept: str) -> dict[str, Any]:
    return {
        "name": name,
        "value": fmean(each[DISTANCE] for each in measured),
        "low": min(each["interval"][0] for each in measured),
        "high": max(each["interval"][1] for each in measured),
        "kept": kept,
    }


def depth_picture(path: Path = RESULTS) -> str:
    """How much comes back of each method's model, with the interval over cells."""
    stages, rows = read_rows(path)
    kept = {row.name: "yes" if keeps(row, stages["before"]) else "no" for row in rows}
    points = [
        {
            "name": f"{line['method']}, seed {line['number']}"
            if line["method"] in kept
            else "before unlearning",
            "value": line["comes back"],
            "low": line["comes back, 2.5 %"],
            "high": line["comes back, 97.5 %"],
            "kept": kept.get(line["method"], "-"),
        }
        for line in Results(path, KEY).all()
        if line["kind"] == "depth"
    ]
    return _lines(points, "comes back: exact memorisation over gold, mean over attacks")


def _lines(points: Sequence[dict[str, Any]], title: str) -> str:
    """Values with their intervals, the lowest at the top."""
    import altair as alt
    import vl_convert

    base = alt.Chart(alt.Data(values=list(points))).encode(
        y=alt.Y("name:N", title=None, sort=alt.EncodingSortField("value")),
        color=alt.Color("kept:N", title="keeps both bounds", scale=alt.Scale(
            domain=["yes", "no", "-"], range=["#1b7f4b", "#b3541e", "#555555"])),
    )  # fmt: skip
    bars = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title=title, scale=alt.Scale(zero=True)), x2="high:Q"
    )
    dots = base.mark_point(filled=True, size=70).encode(x="value:Q")
    chart = (bars + dots).properties(width=560, height=alt.Step(24))
    return vl_convert.vegalite_to_svg(chart.to_json())


if __name__ == "__main__":
    (PICTURES / "fair.svg").write_text(picture(), encoding="utf-8")
    (PICTURES / "depth.svg").write_text(depth_picture(), encoding="utf-8")
